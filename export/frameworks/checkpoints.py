"""Models by name: a factory in the user's own code, and a file of weights for it."""

from __future__ import annotations

import importlib
import json
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from export.errors import ModelError

MAX_HEADER = 1 << 26
MAX_LISTED = 5
"""Most names in one message."""

_PICKLES = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
"""First bytes of PyTorch's two formats, and of plain pickles."""


def load_factory(name: str, weights: str | os.PathLike | None = None, *, allow_torch: bool = False) -> nn.Module:
    """Make a model by calling ``package.module:factory`` without arguments, and load its weights.

    name          a function (or class) that returns a torch.nn.Module; looked for in the working directory too. Its code runs.
    weights       a safetensors file of the model's state dict; None: as the factory made it
    allow_torch   also accept PyTorch's own format, read with ``weights_only=True`` (tensors only, no other objects)

    Every entry must be there, no other may be, shapes must be equal, and values must survive the change of type. The model comes back in
    evaluation mode. Raises ModelError.
    """
    model = _made(name)
    if weights is not None:
        _fill(model, read_weights(weights, allow_torch=allow_torch), Path(weights))
    return model.eval()


def _made(name: str) -> nn.Module:
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", name):
        raise ModelError(f"{name!r} names no factory; accepted is 'package.module:factory'")
    where, what = name.split(":")
    here = os.getcwd()
    # a command in bin/ does not see the working directory; the one who calls it expects that
    added = here not in sys.path
    if added:
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(where)
    except ImportError as error:
        raise ModelError(f"{name!r}: cannot import {where!r}: {error}") from error
    finally:
        if added:
            sys.path.remove(here)
    factory = getattr(module, what, None)
    if not callable(factory):
        raise ModelError(f"{name!r}: {where!r} has no function {what!r}")
    try:
        model = factory()
    except Exception as error:
        raise ModelError(f"{name!r}: calling it without arguments failed: {type(error).__name__}: {error}") from error
    if not isinstance(model, nn.Module):
        raise ModelError(f"{name!r} returned {type(model).__name__}; accepted is a torch.nn.Module")
    return model


def read_weights(path: str | os.PathLike, *, allow_torch: bool = False) -> dict[str, torch.Tensor]:
    """Tensors by name from a safetensors file (or, if allowed, from PyTorch's own format). Raises ModelError."""
    path = Path(path)
    try:
        with path.open("rb") as file:
            start = file.read(8)
            size = os.fstat(file.fileno()).st_size
            header = file.read(min(int.from_bytes(start, "little"), MAX_HEADER)) if len(start) == 8 else b""
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror or error}") from None
    if start.startswith(_PICKLES):
        if not allow_torch:
            raise ModelError(
                f"{path}: a PyTorch or pickle file, which may run code when it is read; accepted is safetensors "
                "(or allow it explicitly: it is then read with weights_only=True)"
            )
        return _torch_weights(path)
    length = int.from_bytes(start, "little")
    if len(start) < 8 or not 2 <= length <= min(size - 8, MAX_HEADER) or not header.startswith(b"{"):
        raise ModelError(f"{path}: not a safetensors file")
    try:
        json.loads(header)
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ValueError:
        raise ModelError(f"{path}: not a safetensors file, or a damaged one") from None
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ModelError(f"{path}: a damaged safetensors file: {error}") from None


def _torch_weights(path: Path) -> dict[str, torch.Tensor]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ModelError(
            f"{path}: not readable as tensors alone (weights_only=True): "
            f"{str(error).splitlines()[0] if str(error) else type(error).__name__}"
        ) from None
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping) or not all(isinstance(k, str) and isinstance(v, torch.Tensor) for k, v in content.items()):
        raise ModelError(f"{path}: holds {type(content).__name__}; accepted is a state dict, name → tensor")
    return dict(content)


def _listed(names) -> str:
    names = sorted(names)
    return ", ".join(map(repr, names[:MAX_LISTED])) + (f" and {len(names) - MAX_LISTED} more" if len(names) > MAX_LISTED else "")


def _fill(model: nn.Module, weights: dict[str, torch.Tensor], path: Path) -> None:
    own = model.state_dict()
    missing, extra = own.keys() - weights.keys(), weights.keys() - own.keys()
    if missing or extra:
        parts = [f"lacks {_listed(missing)}"] if missing else []
        parts += [f"has {_listed(extra)}, which the model does not have"] if extra else []
        raise ModelError(f"{path}: {'; '.join(parts)}; accepted are exactly the model's {len(own)} entries")
    for name, target in own.items():
        value = weights[name]
        if value.shape != target.shape:
            raise ModelError(f"{path}: {name!r} has shape {tuple(value.shape)}; the model's is {tuple(target.shape)}")
        if value.is_complex() != target.is_complex() or value.is_floating_point() != target.is_floating_point():
            raise ModelError(f"{path}: {name!r} has type {value.dtype}; the model's is {target.dtype}")
        if not torch.equal(value.to(target.dtype).to(value.dtype), value):
            raise ModelError(
                f"{path}: {name!r} has type {value.dtype}, and its values (or NaN among them) do not survive as the model's {target.dtype}"
            )
    model.load_state_dict(weights)
