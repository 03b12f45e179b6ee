"""A model lent for a run, and given back as it was."""

from __future__ import annotations

import copy
import random as python_random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn


@contextmanager
def untouched(model: nn.Module) -> Iterator[None]:
    """Leave a model as it was: training mode, hidden state, attributes, and the global random
    generators."""
    base = set(nn.Module().__dict__)
    kept = []
    for module in model.modules():
        plain = {k: v for k, v in module.__dict__.items() if k not in base}
        containers = {k: copy.copy(v) for k, v in plain.items() if type(v) in (list, dict, set)}
        contents = {k: v.detach().clone() for k, v in module._buffers.items() if v is not None}
        kept.append((module, module.training, plain, containers, dict(module._buffers), contents))

    # the global generators are what a model may draw from
    numpy_state, python_state = np.random.get_state(), python_random.getstate()  # noqa: NPY002
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []

    with torch.random.fork_rng(devices=devices):
        try:
            yield
        finally:
            np.random.set_state(numpy_state)  # noqa: NPY002
            python_random.setstate(python_state)
            for module, training, plain, containers, buffers, contents in kept:
                module.training = training
                for name in [k for k in module.__dict__ if k not in base and k not in plain]:
                    del module.__dict__[name]
                for name, value in containers.items():
                    held = plain[name]
                    held.clear()
                    held.extend(value) if isinstance(held, list) else held.update(value)
                module.__dict__.update(plain)
                module._buffers.clear()
                module._buffers.update(buffers)
                for name, content in contents.items():
                    buffer = buffers[name]
                    if buffer is None or buffer.shape != content.shape:
                        continue
                    if not torch.equal(buffer, content):
                        with torch.no_grad():
                            buffer.copy_(content)
