"""Models of training frameworks → NIR graphs.

    graph = trace(model, example_input, time_first=True, dt=1e-3)
    model = load_factory("package.module:factory", "weights.safetensors")

Import needs torch.
"""

from export.frameworks.checkpoints import load_factory, open_factory, open_pickle
from export.frameworks.torch_trace import trace

__all__ = ["load_factory", "open_factory", "open_pickle", "trace"]
