"""What an opened model is, as a hash: its weights and graph, wherever they came from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator

import numpy as np
from torch import Tensor, nn

from hardware.program import Program

_PLAIN = (bool, int, float, str, type(None))


def of_module(module: nn.Module) -> str:
    """SHA-256 over the structure of a PyTorch model: every submodule's name and class, its
    parameters and buffers, also those that no state_dict holds, and its plain settings (numbers,
    texts, arrays). To be taken before the model has run."""
    digest = hashlib.sha256()
    for name, part in module.named_modules():
        digest.update(f"{name}\0{type(part).__module__}.{type(part).__qualname__}\0".encode())
        for key, text in sorted(_settings(part)):
            digest.update(f"{key}\0{text}\0".encode())
    return digest.hexdigest()


def _settings(part: nn.Module) -> Iterator[tuple[str, str]]:
    for key, tensor in (*part.named_parameters(recurse=False), *part.named_buffers(recurse=False)):
        yield f"tensor {key}", _array(tensor.detach().cpu().numpy())
    for key, value in vars(part).items():
        if key.startswith("_"):
            continue
        if isinstance(value, Tensor):
            yield key, _array(value.detach().cpu().numpy())
        elif isinstance(value, np.ndarray) and not value.dtype.hasobject:
            yield key, _array(value)
        elif _plain(value):
            yield key, repr(value)


def _plain(value: object) -> bool:
    if isinstance(value, (list, tuple)):
        return all(_plain(part) for part in value)
    return type(value) in _PLAIN


def _array(values: np.ndarray) -> str:
    content = hashlib.sha256(np.ascontiguousarray(values).data).hexdigest()
    return f"{values.dtype.str}{values.shape}{content}"


def of_program(program: Program | None) -> str:
    """SHA-256 over a Program and all that it says of itself."""
    if program is None:
        return ""
    metadata = json.dumps(program.metadata, sort_keys=True, default=repr)
    return hashlib.sha256(f"{program.fingerprint}\0{metadata}".encode()).hexdigest()
