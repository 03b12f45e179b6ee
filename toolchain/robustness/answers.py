"""What must hold of a model before it is attacked: its answer depends on the sample, and it has an
answer for each class of the data. Otherwise attacks are computed for hours and say nothing."""

from __future__ import annotations

import numpy as np
from torch import nn

from hardware.program import Program
from toolchain.data import Dataset
from toolchain.errors import ModelError
from toolchain.robustness.models import Opened


def check(name: str, opened: Opened, dataset: Dataset) -> None:
    """Raises ModelError where a model cannot answer, or has fewer outputs than the data has
    classes."""
    connected = _module_connected(opened.module)
    if opened.program is not None:
        connected = connected and program_connected(opened.program)
    if not connected:
        raise ModelError(
            f"model {name!r} ({opened.stage.source}): all weights on the way from the input to the "
            "output are zero, so that it answers the same for every sample and an attack says "
            "nothing; its trained weights must be given"
        )

    outputs = classes(opened)
    if dataset.classes > outputs:
        raise ModelError(
            f"model {name!r} ({opened.stage.source}): has {outputs} outputs; {dataset.name} has "
            f"the "
            f"classes 0 to {dataset.classes - 1}, and the model must have an output for each"
        )


def classes(opened: Opened) -> int:
    """Number of a model's outputs; where it has no Program, of the scores of a zero sample."""
    if opened.program is None:
        return opened.classifier().classes
    return opened.program.nodes[opened.program.outputs[0].population].size


def program_connected(program: Program) -> bool:
    """Whether a way of projections, each with a weight other than zero, leads from an input to the
    output that is read."""
    reached = {part.name for part in program.inputs}
    carrying = [p for p in program.projections if np.any(p.weights)]
    # loops: until nothing is new
    while new := {p.target for p in carrying if p.source in reached} - reached:
        reached |= new
    return program.outputs[0].population in reached


def _module_connected(module: nn.Module) -> bool:
    """Whether any weight of a network is other than zero; what stands before it does not count, and
    neither do biases and other numbers of one neuron each."""
    weights = [
        values
        for name, values in module.named_parameters()
        if values.ndim > 1 and not name.startswith("front.")
    ]
    return not weights or any(bool(values.detach().any()) for values in weights)
