"""Files of weights: safetensors, and PyTorch's own through its weights-only loader.

A file is looked at before memory is taken for it: it must be a regular file within
``hardware.limits``; a zip archive must be stored, not compressed, and hold no more than its own
size; the shapes that PyTorch's file declares are read first without data (on the device "meta") and
must fit into it.
"""

from __future__ import annotations

import os
import re
import warnings
import zipfile
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import nn

from export.errors import ModelError
from export.frameworks.factories import working_directory_importable
from hardware import limits
from hardware._files import opened
from hardware._text import shortened
from hardware.parameters import parameter

WHAT = "a file of weights"
MAX_LISTED = 5
"""Most names in one message."""

STATES = ("state_dict", "model_state_dict", "model", "net")
"""Entries of a training loop's or Lightning's checkpoint that hold the weights."""

HOW = (
    "save the weights alone: torch.save(model.state_dict(), FILE), "
    "or safetensors.torch.save_file(model.state_dict(), FILE)"
)

_ZIP = b"PK\x03\x04"
_PICKLES = tuple(bytes((0x80, protocol)) for protocol in range(2, 6))
"""First bytes of PyTorch's older format, and of plain pickles."""


def listed(names: Iterable[object]) -> str:
    """Names for a message, not more than a few."""
    texts = sorted(map(str, names))
    more = f" and {len(texts) - MAX_LISTED} more" if len(texts) > MAX_LISTED else ""
    return ", ".join(repr(shortened(text, 80)) for text in texts[:MAX_LISTED]) + more


def read_weights(
    path: str | os.PathLike[str], *, trust_pickle: bool = False
) -> tuple[dict[str, torch.Tensor], list[str]]:
    """Tensors by name, and a line for everything in the file that was left aside.

    path          safetensors; or PyTorch's format (.pt, .pth, .ckpt): a state dict, or a mapping
                  that holds one under a name of ``STATES``
    trust_pickle  unpickle PyTorch's format as it is, which runs whatever code the file holds

    Raises ModelError.
    """
    path = Path(path)
    start, size = _start(path)
    if not size:
        raise ModelError(f"{path}: is empty (0 bytes); {WHAT} must be given")
    if start.startswith((_ZIP, *_PICKLES)):
        content, notes = (
            read_pickle(path) if trust_pickle else (_weights_only(path, start, size), [])
        )
        weights, more = _state_of(path, content)
        return weights, notes + more
    if trust_pickle:
        raise ModelError(f"{path}: is no pickle, so there is nothing to trust; leave that out")
    return _safetensors(path, start, size), []


def read_pickle(path: str | os.PathLike[str]) -> tuple[object, list[str]]:
    """Whatever a pickle holds. Reading it runs its code, so only on the user's word."""
    path = Path(path)
    start, size = _start(path)
    if start.startswith(_ZIP):
        _check_pickle_inside(path, size)
    with _opened(path) as file:
        try:
            # a pickled module names its class, which lies where the user works
            with working_directory_importable():
                content = torch.load(file, map_location="cpu", weights_only=False)
        except Exception as error:
            raise ModelError(f"{path}: cannot be unpickled: {_first_line(error)}") from None
    return content, [f"{path.name}: unpickled with all code in it, on your word (trust pickle)"]


def _check_pickle_inside(path: Path, size: int) -> None:
    """Of a zip archive: that it is whole, and one that ``torch.save`` wrote."""
    names = [member.filename for member in _members(path, size)]
    if not any(name.rpartition("/")[2] == "data.pkl" for name in names):
        raise ModelError(
            f"{path}: a zip archive of {listed(names) or 'nothing'}, without the pickle that "
            f"torch.save writes, so {parameter('trust_pickle')} changes nothing; a file of "
            "torch.save must be given"
        )


def _members(path: Path, size: int) -> list[zipfile.ZipInfo]:
    """What a zip archive holds. Raises ModelError where it is damaged."""
    try:
        if not zipfile.is_zipfile(path):  # the list of its members is its end
            raise ModelError(
                f"{path}: a PyTorch file that is cut short, or damaged: after {size:,} bytes its "
                "zip archive has no end; the whole file must be given"
            )
        with zipfile.ZipFile(path) as archive:
            return archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, OSError, ValueError) as error:
        raise ModelError(f"{path}: a damaged zip archive: {shortened(str(error), 200)}") from None


def _opened(path: Path) -> AbstractContextManager[BinaryIO]:
    return opened(path, ModelError, limits.MODEL_BYTES, WHAT)


def _start(path: Path) -> tuple[bytes, int]:
    """The first nine bytes, and how many there are."""
    with _opened(path) as file:
        return file.read(9), os.fstat(file.fileno()).st_size


def _safetensors(path: Path, start: bytes, size: int) -> dict[str, torch.Tensor]:
    length = int.from_bytes(start[:8], "little")
    if start[8:] != b"{" or not 2 <= length <= size - 8:
        raise ModelError(f"{path}: not a safetensors file, nor one of PyTorch")
    if length > limits.HEADER_BYTES:
        raise ModelError(
            f"{path}: a safetensors file with a header of {length:,} bytes; it must have at most "
            f"{limits.HEADER_BYTES:,}"
        )

    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, ValueError, KeyError, RuntimeError) as error:
        cause = f"{type(error).__name__}: {shortened(str(error), 200)}"
        raise ModelError(f"{path}: a damaged safetensors file: {cause}") from None


def _weights_only(path: Path, start: bytes, size: int) -> object:
    """The content of PyTorch's format, tensors and plain values alone."""
    _check_archive(path, start, size)
    declared = _loaded(path, "meta")
    storages: dict[int, int] = {}
    for tensor in _tensors(declared):
        storage = tensor.untyped_storage()
        storages[storage._cdata] = storage.nbytes()
    if sum(storages.values()) > size:
        raise ModelError(
            f"{path}: declares tensors of {sum(storages.values()):,} bytes in a file of {size:,}; "
            "it is damaged, or made to exhaust memory"
        )
    return _loaded(path, "cpu")


def _check_archive(path: Path, start: bytes, size: int) -> None:
    """Of a zip archive: nothing in it may unpack to more than the file holds."""
    if not start.startswith(_ZIP):
        return  # PyTorch's older format, which its loader checks entry by entry
    members = _members(path, size)
    if any("/code/" in f"/{m.filename}" for m in members):
        raise ModelError(
            f"{path}: a TorchScript archive (torch.jit.save), not a state dict; {HOW}, "
            "with the model that torch.jit.script or torch.jit.trace was called with"
        )
    unpacked = sum(m.file_size for m in members)
    if unpacked > size or any(m.compress_type != zipfile.ZIP_STORED for m in members):
        raise ModelError(
            f"{path}: a compressed zip archive that unpacks to {unpacked:,} bytes; "
            "PyTorch writes it uncompressed, and nothing else is read"
        )


def _loaded(path: Path, device: str) -> object:
    try:
        # opened here: by a path, the loader would go by the file's ending
        with warnings.catch_warnings(), _opened(path) as file:
            # "Detected pickle protocol": what cannot be read is refused below
            warnings.simplefilter("ignore")
            return torch.load(file, map_location=device, weights_only=True)
    except ModelError:
        raise
    except Exception as error:
        unknown = re.search(r"Unsupported (?:global: GLOBAL|class) (\S+)", str(error))
        if unknown is None:
            raise ModelError(
                f"{path}: a pickle not readable as tensors alone (weights_only=True): "
                f"{_first_line(error)}; {HOW}"
            ) from None
        raise ModelError(
            f"{path}: holds a pickled {shortened(unknown[1], 80)}, more than tensors and plain "
            f"values, and to read "
            f"it may run code; {HOW}; {parameter('trust_pickle', True)} reads it all the same"
        ) from None


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__


def _tensors(content: object) -> list[torch.Tensor]:
    """All tensors in mappings and sequences, however deep."""
    tensors: list[torch.Tensor] = []
    waiting: list[Any] = [content]
    seen: set[int] = set()
    while waiting:
        item = waiting.pop()
        if isinstance(item, torch.Tensor):
            tensors.append(item)
        elif isinstance(item, (Mapping, list, tuple, set)) and id(item) not in seen:
            seen.add(id(item))
            waiting += item.values() if isinstance(item, Mapping) else item
    return tensors


def _is_state(content: object) -> bool:
    return (
        isinstance(content, Mapping)
        and bool(content)
        and all(isinstance(k, str) and isinstance(v, torch.Tensor) for k, v in content.items())
    )


def _state_of(path: Path, content: Any) -> tuple[dict[str, torch.Tensor], list[str]]:
    """The state dict in what was loaded, and what was left aside. Raises ModelError."""
    notes: list[str] = []
    for _ in range(3):  # {"model": {"state_dict": ...}} occurs
        if isinstance(content, nn.Module):
            notes.append(f"{path.name}: a pickled {type(content).__name__}; its state dict is used")
            content = content.state_dict()
        if _is_state(content):
            return dict(content), notes
        if not isinstance(content, Mapping):
            break

        keys = [k for k in STATES if isinstance(content.get(k), (Mapping, nn.Module))]
        if len(keys) != 1:
            what = f"weights under {listed(keys)}" if keys else f"{listed(content) or 'nothing'}"
            raise ModelError(
                f"{path}: holds {what}; it must hold a state dict, name → tensor, by itself or "
                f"under "
                f"one of {', '.join(map(repr, STATES))}"
            )

        aside = listed(k for k in content if k != keys[0])
        notes.append(
            f"{path.name}: weights taken from {keys[0]!r}"
            + (f"; left aside: {aside}" if aside else "")
        )
        content = content[keys[0]]

    raise ModelError(
        f"{path}: holds {type(content).__name__}; it must hold a state dict, name → tensor"
    )
