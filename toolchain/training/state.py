"""The state of a training under way, as a file: whoever goes on from it makes the very steps that
would have followed.

File: safetensors, never a pickle. Tensors: "model.NAME", "best.NAME" (weights of the best epoch),
"optimiser.PARAMETER.NAME", "random.cpu", "random.cuda" (states of PyTorch's generators), "order"
(of the samples in this epoch). ``__metadata__["spikeport-training"]`` holds the rest as JSON: of
what training it is, history, sums of the epoch, numbers of the optimiser and the schedule, numpy's
generator, what defences remember. JSON gives a floating-point number back bit by bit.
``__metadata__["spikeport-sha256"]`` is a hash of all of that.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from hardware import limits
from hardware._files import read_bytes
from toolchain import files
from toolchain.errors import CheckpointError
from toolchain.training.evaluation import Best
from toolchain.training.run import Tally, TrainingRun

FORMAT = 1
KEY, SEAL = "spikeport-training", "spikeport-sha256"
MOST_BYTES = 4 * limits.MODEL_BYTES
"""Weights, two moments of the optimiser and the best weights, and as much again."""

DAMAGE = (
    KeyError,
    TypeError,
    ValueError,
    RuntimeError,
    IndexError,
    AttributeError,
    SafetensorError,
)


def write(
    path: Path, run: TrainingRun, training: dict[str, Any], details: dict[str, Any], seconds: float
) -> None:
    """Write the state between two steps, whole or not at all.

    training  of what training it is, plain values that ``Saved.training`` has again
    details   of its result
    seconds   that it took so far

    Raises OutputError.
    """
    tensors, optimiser = _optimiser(run.optimiser)
    tensors |= {f"model.{name}": _copy(tensor) for name, tensor in run.model.state_dict().items()}
    tensors |= {"random.cpu": torch.get_rng_state(), "order": torch.from_numpy(run.feed.order)}
    if run.feed.device.type == "cuda":
        tensors["random.cuda"] = torch.cuda.get_rng_state(run.feed.device)
    best = None
    if run.best is not None:
        best = run.best.described()
        tensors |= {f"best.{name}": _copy(tensor) for name, tensor in run.best.weights.items()}

    values = {
        "format": FORMAT,
        "training": training,
        "details": details,
        "seconds": seconds,
        "done": run.done,
        "history": run.history,
        "tally": run.tally.state(),
        "best": best,
        "optimiser": optimiser,
        "schedule": None if run.schedule is None else run.schedule.state_dict(),
        "generator": run.feed.generator.bit_generator.state,
        "defences": run.defences.state(),
    }
    text = json.dumps(values, allow_nan=False)
    metadata = {KEY: text, SEAL: _digest(text, tensors)}
    files.write_bytes(path, save(tensors, metadata=metadata), force=True)


def read(path: Path) -> SavedState:
    """The state in a file. Raises CheckpointError."""
    content = read_bytes(path, CheckpointError, MOST_BYTES, "the state of a training")
    length = int.from_bytes(content[:8], "little")
    if len(content) < 8 or not 2 <= length <= min(limits.HEADER_BYTES, len(content) - 8):
        raise CheckpointError(f"{path}: is no state of a training, or a truncated one")

    try:
        metadata = json.loads(content[8 : 8 + length])["__metadata__"]
        text, seal = metadata[KEY], metadata[SEAL]
        values = json.loads(text)
        version = values["format"]
    except (*DAMAGE, RecursionError):
        raise CheckpointError(
            f"{path}: is no state of a training; it must be a file that spikeport train keeps "
            f"beside its output"
        ) from None

    if version != FORMAT:
        raise CheckpointError(f"{path}: format {version!r}; this version reads format {FORMAT}")
    try:
        tensors = load(content)
        if _digest(text, tensors) != seal:
            raise CheckpointError(f"{path}: damaged: it is not what was written")
        return SavedState(path, tensors, values, dict(values["training"]))
    except DAMAGE as error:
        raise CheckpointError(f"{path}: damaged: {str(error)[:200]}") from None


@dataclass(frozen=True)
class SavedState:
    """What a file of a state holds; training: of what training it is."""

    path: Path
    tensors: dict[str, torch.Tensor]
    values: dict[str, Any]
    training: dict[str, Any]

    @property
    def details(self) -> dict[str, Any]:
        """Of the training's result."""
        return dict(self.values["details"])

    @property
    def seconds(self) -> float:
        """That the training took so far."""
        return float(self.values["seconds"])

    def restore(self, run: TrainingRun) -> None:
        """Put the state into a fresh run of the same recipe, and PyTorch's generators where they
        were. Raises CheckpointError."""
        try:
            self._restore(run)
        except DAMAGE as error:
            raise CheckpointError(f"{self.path}: damaged: {str(error)[:200]}") from None

    def _restore(self, run: TrainingRun) -> None:
        values = self.values
        run.model.load_state_dict(self._under("model."))
        run.optimiser.load_state_dict(self._optimiser())
        if run.schedule is not None:
            run.schedule.load_state_dict(values["schedule"])

        run.done, run.history = int(values["done"]), list(values["history"])
        run.tally = Tally(**values["tally"])
        run.feed.order = self.tensors["order"].numpy()
        run.feed.generator.bit_generator.state = values["generator"]
        run.defences.restore(values["defences"])
        if values["best"] is not None:
            weights = {n: t.to(run.feed.device) for n, t in self._under("best.").items()}
            run.best = Best(**values["best"], weights=weights)

        torch.set_rng_state(self.tensors["random.cpu"])
        if run.feed.device.type == "cuda":
            torch.cuda.set_rng_state(self.tensors["random.cuda"], run.feed.device)

    def _under(self, start: str) -> dict[str, torch.Tensor]:
        return {
            name.removeprefix(start): tensor
            for name, tensor in self.tensors.items()
            if name.startswith(start)
        }

    def _optimiser(self) -> dict[str, Any]:
        state: dict[int, dict[str, Any]] = {
            int(place): dict(numbers)
            for place, numbers in self.values["optimiser"]["state"].items()
        }
        for name, tensor in self._under("optimiser.").items():
            place, _, field = name.partition(".")
            state[int(place)][field] = tensor
        groups = [
            {name: tuple(v) if name == "betas" else v for name, v in group.items()}
            for group in self.values["optimiser"]["groups"]
        ]
        return {"state": state, "param_groups": groups}


def _optimiser(optimiser: torch.optim.Optimizer) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """(its tensors by name, everything else as plain values)."""
    state = optimiser.state_dict()
    tensors: dict[str, torch.Tensor] = {}
    others: dict[int, dict[str, Any]] = {}
    for place, entries in state["state"].items():
        others[place] = {}
        for name, value in entries.items():
            if isinstance(value, torch.Tensor):
                tensors[f"optimiser.{place}.{name}"] = _copy(value)
            else:
                others[place][name] = value
    return tensors, {"state": others, "groups": state["param_groups"]}


def _digest(text: str, tensors: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 over everything in the file."""
    digest = hashlib.sha256(text.encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(np.ascontiguousarray(tensor.numpy()).data)
    return digest.hexdigest()


def _copy(tensor: torch.Tensor) -> torch.Tensor:
    """On the CPU, sharing no memory with another one, which safetensors would refuse."""
    return tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
