"""Where the state of a training is kept while it goes on, and which training may go on from it."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hardware._text import shown
from hardware.parameters import parameter
from toolchain.data import Dataset
from toolchain.errors import CheckpointError, OutputError
from toolchain.training import state
from toolchain.training.config import Config
from toolchain.training.run import TrainingRun

SHOWN = 3
"""Differences of two recipes that an error names."""


@dataclass(frozen=True)
class Keeping:
    """A state is written after every epoch, and between two steps whenever the last one is older
    than ``every_s``.

    path     of the state; a network that is trained first (``model.init``) has one beside it
    every_s  seconds
    resume   True: go on from the state that is there
    force    True: begin anew although a state is there
    code     names the code and the versions of packages that train, such as a digest: a state of
             other code is refused; "": not looked at
    """

    path: Path
    every_s: float = 600.0
    resume: bool = False
    force: bool = False
    code: str = ""

    def inside(self) -> Keeping:
        """For the network that is trained first."""
        path = self._inner
        return replace(self, path=path, resume=self.resume and path.exists())

    @property
    def _inner(self) -> Path:
        return self.path.with_name(f"{self.path.stem}.init{self.path.suffix}")

    def check(self) -> None:
        """Refuse early what would be refused later. Raises OutputError where a state is there and
        nobody said what to do with it, CheckpointError where there is none to go on from."""
        there = [path for path in (self.path, self._inner) if path.exists()]
        if self.resume and not there:
            raise CheckpointError(
                f"{self.path}: there is no such state of a training to go on from; without "
                f"{parameter('resume', True)} it begins anew"
            )
        if there and not (self.resume or self.force):
            raise OutputError(
                f"{there[0]}: is the state of a training that was stopped; "
                f"{parameter('resume', True)} goes on from it, {parameter('force', True)} begins "
                f"anew"
            )

    def begin(
        self, config: Config, data: Dataset, held: Dataset | None, device: torch.device
    ) -> Kept:
        """What keeps the state of this training. Raises OutputError and CheckpointError, also where
        the state to go on from is another training's."""
        self.check()
        training = {
            "recipe": config.to_table(),
            "data": _digest(data, held),
            "start": _content(config),
            "code": self.code,
            "device": device.type,
            "threads": torch.get_num_threads(),
        }
        if not self.resume or not self.path.exists():
            return Kept(self, training)
        saved = state.read(self.path)
        _require_same(self.path, saved.training, training)
        return Kept(self, training, saved)

    def done(self) -> None:
        """The result is safe: remove what was kept."""
        for path in (self.path, self._inner):
            path.unlink(missing_ok=True)


class Kept:
    """The state of one training, while it goes on.

    saved    what it goes on from; None: it begins anew
    details  of its result, kept with the state
    """

    def __init__(
        self, keeping: Keeping, training: dict[str, Any], saved: state.SavedState | None = None
    ) -> None:
        self.saved, self.details = saved, {} if saved is None else saved.details
        self._keeping, self._training = keeping, training
        self._before = 0.0 if saved is None else saved.seconds
        self._started = self._written = time.monotonic()

    @property
    def seconds(self) -> float:
        """That the training took so far, with what came before it was stopped."""
        return self._before + time.monotonic() - self._started

    def started(self, run: TrainingRun) -> None:
        """The network has what it starts from: that is safe from now on, and the state of the
        training of what it starts from is needed no more."""
        self.write(run)
        self._keeping.inside().path.unlink(missing_ok=True)

    def after_step(self, run: TrainingRun) -> None:
        """Write, where it is time to."""
        if time.monotonic() - self._written >= self._keeping.every_s:
            self.write(run)

    def after_epoch(self, run: TrainingRun) -> None:
        """Write."""
        self.write(run)

    def write(self, run: TrainingRun) -> None:
        """Write the state as it is. Raises OutputError."""
        state.write(self._keeping.path, run, self._training, self.details, self.seconds)
        self._written = time.monotonic()


def _digest(*parts: Dataset | None) -> str:
    """SHA-256 over values and labels."""
    digest = hashlib.sha256()
    for part in parts:
        if part is not None:
            values = part.values if part.is_events else [part.values]
            for array in (*values, part.labels):
                array = np.ascontiguousarray(array)
                digest.update(f"{array.dtype.str}{array.shape}".encode())
                digest.update(hashlib.sha256(array.data).digest())
    return digest.hexdigest()


def _content(config: Config) -> str | None:
    """SHA-256 of the file that the training starts from; None: there is none."""
    if config.model.init is None:
        return None
    path = Path(config.model.init.source)
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from None


def _require_same(path: Path, there: Mapping[str, Any], here: Mapping[str, Any]) -> None:
    """Raises CheckpointError where a state is of another training, and says what differs."""
    differs = [
        f"{name} is {old} there and {new} here"
        for name, old, new in _differences(there.get("recipe"), here["recipe"])
    ]
    if len(differs) > SHOWN:
        differs[SHOWN:] = [f"and {len(differs) - SHOWN} more"]

    others = {
        "data": "the data were others",
        "start": "the file that it starts from (model.init) was another",
        "code": "the code, or versions of packages, were others",
        "device": f"it was on {there.get('device')} and is on {here['device']}",
        "threads": f"PyTorch had {there.get('threads')} threads and has {here['threads']} "
        f"(OMP_NUM_THREADS), whose sums round otherwise",
    }
    differs += [text for name, text in others.items() if there.get(name) != here[name]]

    if differs:
        raise CheckpointError(
            f"{path}: is the state of another training: {'; '.join(differs)}; with the same recipe "
            f"it can go on; with {parameter('force', True)} alone it begins anew"
        )


def _differences(there: object, here: object, place: str = "") -> Iterator[tuple[str, str, str]]:
    """(key, value there, value here) of what differs in two tables."""
    if isinstance(there, Mapping) and isinstance(here, Mapping):
        for key in dict.fromkeys((*there, *here)):
            name = f"{place}.{key}" if place else str(key)
            yield from _differences(there.get(key), here.get(key), name)
    elif there != here:
        yield place, shown(there), shown(here)
