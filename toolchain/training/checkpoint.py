"""Checkpoints: safetensors with the recipe as JSON in its metadata, never a pickle.

File: safetensors format (8-byte header length, JSON header, raw tensors).
``__metadata__["spikeport"]`` holds {"format": 1, "config": the recipe as a table, "results": plain
values}. A network's name is replaced by its layers, so that a checkpoint does not depend on what a
name means in later versions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from hardware import limits
from hardware._files import read_bytes
from hardware.parameters import parameter
from toolchain import files
from toolchain.errors import CheckpointError, ConfigError, LayerError
from toolchain.models import AnyNetwork, build
from toolchain.purification.settings import Purifier
from toolchain.training.config import Config

if TYPE_CHECKING:
    from toolchain.purification.front import Front

FORMAT = 1
PICKLES = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
"""First bytes of PyTorch's files (zip, and the older plain pickle) and of other pickles."""


def save_checkpoint(
    path: str | Path,
    model: AnyNetwork,
    config: Config,
    *,
    results: Mapping[str, Any] | None = None,
    force: bool = False,
) -> None:
    """Write weights and recipe, whole or not at all.

    results  plain JSON values to keep with it (accuracy, seconds)

    Raises OutputError where the file exists (without ``force``) or cannot be written,
    CheckpointError for NaN or infinite weights.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in _state(model).items()}
    if (config.purifier is None) != (getattr(model, "front", None) is None):
        raise CheckpointError(
            f"{path}: a network with a front goes with a recipe that has a purifier, and only that"
        )
    _check_finite(str(path), tensors)
    config = replace(config, model=config.model.resolved())
    text = json.dumps(
        {"format": FORMAT, "config": config.to_table(), "results": dict(results or {})},
        allow_nan=False,
    )
    files.write_bytes(path, save(tensors, metadata={"spikeport": text}), force)


def load_checkpoint(path: str | Path) -> tuple[AnyNetwork, Config]:
    """(the network with its weights in evaluation mode, its recipe) from a checkpoint; a purifier
    is the network's ``front``.

    Raises CheckpointError for a pickle, a damaged file, weights that do not fit the recipe's
    network, NaN or infinite weights.
    """
    path = Path(path)
    content = _read(path)
    config, _ = _description(path, content)

    try:
        tensors = load(content)
    except (SafetensorError, ValueError, KeyError, RuntimeError) as error:
        raise CheckpointError(f"{path}: damaged: {str(error)[:200]}") from None

    # the recipe alone could ask for any number of weights; the file holds those that there are
    held = sum(tensor.numel() for tensor in tensors.values())
    with torch.random.fork_rng(devices=[]):
        model = _built(path, config, held)
        front = None
        if config.purifier is not None:
            front = _put_front(path, model, config.purifier)

    own = _state(model)
    if set(tensors) != set(own):
        wrong = sorted(set(tensors) ^ set(own))[0]
        raise CheckpointError(
            f"{path}: {'lacks' if wrong in own else 'holds'} {wrong!r}; there must be exactly the "
            f"tensors of its network"
        )
    for name, tensor in tensors.items():
        if tensor.shape != own[name].shape or tensor.dtype != own[name].dtype:
            raise CheckpointError(
                f"{path}: {name!r} is {tensor.dtype} of shape {tuple(tensor.shape)}; its network "
                f"has {own[name].dtype} of shape "
                f"{tuple(own[name].shape)}"
            )

    _check_finite(str(path), tensors)
    with torch.no_grad():
        for name, tensor in tensors.items():
            own[name].copy_(tensor)
    if front is not None:
        front.eval()
    return model.eval(), config


def read_recipe(path: str | Path) -> Config:
    """The recipe of a checkpoint; its network is not made. Raises CheckpointError."""
    path = Path(path)
    return _description(path, _read(path))[0]


def read_results(path: str | Path) -> dict[str, Any]:
    """What was kept with a checkpoint besides weights and recipe. Raises CheckpointError."""
    path = Path(path)
    return _description(path, _read(path))[1]


def recipe_of(where: str, content: bytes) -> Config:
    """The recipe in the bytes of a checkpoint; ``where`` names it in errors. Raises
    CheckpointError."""
    return _description(Path(where), content)[0]


def _built(path: Path, config: Config, most: int) -> AnyNetwork:
    try:
        return build(
            config.model,
            config.neuron,
            config.grid,
            config.surrogate,
            dataset=config.data.name,
            encoding=config.data.encoder,
            most_weights=most,
        )
    except (ConfigError, LayerError) as error:
        raise CheckpointError(f"{path}: its recipe is not usable: {error}") from None


def _put_front(path: Path, model: AnyNetwork, settings: Purifier) -> Front:
    from toolchain.purification.front import Front, attach

    try:
        front = Front(settings, model.input_shape)
        attach(model, front)
    except ConfigError as error:
        raise CheckpointError(f"{path}: its recipe is not usable: {error}") from None
    return front


def _state(model: AnyNetwork) -> dict[str, torch.Tensor]:
    """All tensors by name, those of a front as "front.NAME"; the network's own memory, not
    copies."""
    front = getattr(model, "front", None)
    return model.state_dict() | (
        {} if front is None else {f"front.{name}": t for name, t in front.state_dict().items()}
    )


def _check_finite(where: str, tensors: Mapping[str, torch.Tensor]) -> None:
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise CheckpointError(f"{where}: {name!r} holds NaN or infinite values")


def _read(path: Path) -> bytes:
    content = read_bytes(path, CheckpointError, limits.MODEL_BYTES, "a checkpoint")
    if content.startswith(PICKLES):
        raise CheckpointError(
            f"{path}: a pickle (PyTorch .pt or .pth), which can run code when it is read; it "
            f"must be a safetensors checkpoint: where you "
            "trust the file, convert it with safetensors.torch.save_file(model.state_dict(), "
            "'model.safetensors') and give "
            f"package.module:factory with {parameter('weights')}"
        )
    return content


def _description(path: Path, content: bytes) -> tuple[Config, dict[str, Any]]:
    length = int.from_bytes(content[:8], "little")
    if len(content) < 8 or not 2 <= length <= min(limits.HEADER_BYTES, len(content) - 8):
        raise CheckpointError(f"{path}: no safetensors file, or a truncated one")

    try:
        header = json.loads(content[8 : 8 + length])
        description = header["__metadata__"]["spikeport"]
        described = json.loads(description)
        version, table, results = (
            described["format"],
            described["config"],
            dict(described["results"]),
        )
    except (ValueError, KeyError, TypeError, RecursionError):
        raise CheckpointError(
            f"{path}: a safetensors file without a recipe, or no such file; it must be a "
            f"checkpoint that spikeport wrote (for weights "
            f"alone give package.module:factory with {parameter('weights')})"
        ) from None

    if version != FORMAT:
        raise CheckpointError(f"{path}: format {version!r}; this version reads format {FORMAT}")
    try:
        return Config.from_table(table), results
    except ConfigError as error:
        raise CheckpointError(f"{path}: its recipe is not usable: {error}") from None
