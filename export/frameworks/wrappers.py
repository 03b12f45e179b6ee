"""Wrappers around a model that compute what the model inside computes: taken off, with a line that
says so."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import nn

from export.errors import UnsupportedError

_ATTRIBUTES = {
    "OptimizedModule": "_orig_mod",
    "DataParallel": "module",
    "DistributedDataParallel": "module",
}
"""Class of a wrapper in torch → the attribute that holds the model."""


_COMPILED = "_compiled_call_impl"


def described(path: str, module: nn.Module) -> str:
    """A module as messages name it: its dotted name and its class."""
    name = f"module {path!r}" if path else "the model"
    return f"{name} ({type(module).__name__})"


def _inside(module: nn.Module) -> nn.Module | None:
    kind = type(module)
    attribute = _ATTRIBUTES.get(kind.__name__) if kind.__module__.startswith("torch.") else None
    return None if attribute is None else getattr(module, attribute)


def _bare(path: str, module: nn.Module) -> tuple[nn.Module, list[str]]:
    notes = []
    while (inner := _inside(module)) is not None:
        kind = (
            "torch.compile" if type(module).__name__ == "OptimizedModule" else type(module).__name__
        )
        where = f"module {path!r}" if path else "the model"
        notes.append(f"{where}: {kind} taken off; read is the {type(inner).__name__} inside")
        module = inner
    return module, notes


def refuse_scripted(model: nn.Module) -> None:
    """Raises UnsupportedError where a module is TorchScript, whose operations cannot be
    followed."""
    for path, module in model.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            name = getattr(module, "original_name", type(module).__name__)
            where = f"module {path!r}" if path else "the model"
            raise UnsupportedError(
                f"{where} ({name}) was compiled by torch.jit, so its layers cannot be seen; "
                "give the nn.Module that torch.jit.script or torch.jit.trace was called with"
            )


def unwrap(model: nn.Module) -> tuple[nn.Module, list[str]]:
    """The model without what is around it and around its modules (in place), and a line for each.

    Taken off are torch.compile, DataParallel and DistributedDataParallel. Raises UnsupportedError
    for TorchScript.
    """
    refuse_scripted(model)
    model, notes = _bare("", model)
    waiting, seen = [("", model)], set()
    while waiting:
        path, module = waiting.pop()
        if id(module) in seen:
            continue
        seen.add(id(module))
        if getattr(module, _COMPILED, None) is not None:  # module.compile(), in place
            setattr(module, _COMPILED, None)
            notes.append(f"{described(path, module)}: compiled by torch.compile; read as written")
        for name, child in list(module.named_children()):
            place = f"{path}.{name}" if path else name
            bare, remarks = _bare(place, child)
            module._modules[name] = bare
            notes += remarks
            waiting.append((place, bare))
    return model, notes


@contextmanager
def unwrapped(model: nn.Module) -> Iterator[tuple[nn.Module, list[str]]]:
    """``unwrap`` for as long as the context lasts: everything is as it was after it."""
    wrapped = [
        (module, name, child)
        for module in model.modules()
        for name, child in module.named_children()
        if _inside(child) is not None
    ]
    compiled = {m: getattr(m, _COMPILED, None) for m in model.modules()}
    try:
        with eager():
            yield unwrap(model)
    finally:
        for module, name, child in wrapped:
            module._modules[name] = child
        for module, call in compiled.items():
            if call is not None:
                setattr(module, _COMPILED, call)


def eager() -> AbstractContextManager[None]:
    """A context in which functions under torch.compile run as written."""
    # compiling imports torch._dynamo, which is slow; where that did not happen nothing is compiled
    known = "torch._dynamo" in sys.modules and hasattr(torch.compiler, "set_stance")
    return torch.compiler.set_stance("force_eager") if known else nullcontext()
