"""Models as people have them: a factory with a file of weights, or a pickled module."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from export.errors import ModelError
from export.frameworks import factories, weight_files, weight_names
from export.frameworks.wrappers import unwrap
from hardware.parameters import parameter


@dataclass(frozen=True)
class OpenedCheckpoint:
    """A model in evaluation mode, and a line for everything that was stripped, kept or ignored."""

    module: nn.Module
    notes: tuple[str, ...] = ()


def open_factory(
    name: str, weights: str | os.PathLike[str] | None = None, *, trust_pickle: bool = False
) -> OpenedCheckpoint:
    """Make a model by calling ``package.module:factory`` without arguments, and load its weights.

    name          a function (or class) that returns a torch.nn.Module; looked for in the working
                  directory too. Its code runs.
    weights       safetensors, or PyTorch's format (.pt, .pth, .ckpt) read by its weights-only
                  loader; see ``weight_files`` and ``weight_names`` for what is read. None: as
                  the factory made it
    trust_pickle  read a file of PyTorch's that holds more than tensors; its code runs

    torch.compile and DataParallel around the model are taken off. Raises ModelError,
    UnsupportedError for TorchScript.
    """
    model, notes = unwrap(factories.make(name))
    if weights is not None:
        values, remarks = weight_files.read_weights(weights, trust_pickle=trust_pickle)
        notes += remarks + weight_names.fill(model, values, Path(weights))
    elif trust_pickle:
        raise ModelError(f"{name!r}: to trust a pickle changes nothing without a file of weights")
    return OpenedCheckpoint(model.eval(), tuple(notes))


def open_pickle(path: str | os.PathLike[str]) -> OpenedCheckpoint:
    """The module that ``torch.save(model, path)`` pickled. Reading it runs all code in it.

    Raises ModelError where it holds something else, UnsupportedError for TorchScript.
    """
    content, notes = weight_files.read_pickle(path)
    if not isinstance(content, nn.Module):
        raise ModelError(
            f"{path}: holds {type(content).__name__}, no module; for weights give "
            f"package.module:factory with {parameter('weights')}"
        )
    model, remarks = unwrap(content)
    return OpenedCheckpoint(model.eval(), (*notes, *remarks))


def load_factory(
    name: str, weights: str | os.PathLike[str] | None = None, *, trust_pickle: bool = False
) -> nn.Module:
    """``open_factory``'s model; what was stripped, kept or ignored is a UserWarning for each."""
    opened = open_factory(name, weights, trust_pickle=trust_pickle)
    for note in opened.notes:
        warnings.warn(note, stacklevel=2)
    return opened.module
