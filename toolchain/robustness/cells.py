"""What one cell is, its key, and how it is computed; nothing here knows where or in which order
cells run.

A *crafted* cell is one attack on one model: adversarial samples. A *scored* cell is one target's
view of them. Every target scores the same samples, so software and hardware are compared sample by
sample. Both are pure functions of a job that holds everything they depend on; the key is the hash
of the job, and of the code and versions that compute it. A cell that cannot be (an estimator that
this kind of neuron does not have, a target for a model without a Program) raises NotApplicable, and
is kept with its reason.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from toolchain.attacks.base import NotApplicable, Threat, Victim, verify
from toolchain.attacks.registry import ATTACKS, AttackSpec, run
from toolchain.cells import maker
from toolchain.cells.keys import key_of
from toolchain.cells.maker import Maker
from toolchain.cells.work import Arrays, Context, NotPossible, Tick
from toolchain.robustness.models import ModelFile, Opened, open_model
from toolchain.targets import TARGETS

MADE_BY = "toolchain.robustness.cells"
"""Where crafted cells are computed; every module that this one leads to is part of their keys."""

SCORED_BY = ".".join(("toolchain.robustness", "scoring"))
"""Where scored cells are; put together, because a text that names a module makes it part of what
reads the text."""

SOFTWARE, INTEGERS = "software", "fast"
"""Where samples are made: on the PyTorch model, or (attacks without gradients) on its Program."""


@dataclass(frozen=True, eq=False)
class SweepData:
    """The attacked samples: images [sample, ...] in [0, 1] or binary events [sample, step, ...];
    labels and positions in the data set.

    notes   what the encoding left out, for people; no part of the key
    """

    samples: np.ndarray
    labels: np.ndarray
    index: np.ndarray
    notes: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """SHA-256 of samples, labels and positions."""
        digest = hashlib.sha256()
        for array in (self.samples, self.labels, self.index):
            digest.update(
                f"{array.dtype.str}{array.shape}".encode()
                + hashlib.sha256(np.ascontiguousarray(array).data).digest()
            )
        return digest.hexdigest()

    def first(self, count: int) -> SweepData:
        """The first so many samples."""
        return SweepData(self.samples[:count], self.labels[:count], self.index[:count])


@dataclass(frozen=True)
class CraftJob:
    """One attack on one model. ``spec`` None: the clean samples. ``source``: the other model of a
    transfer attack.

    on     SOFTWARE or INTEGERS: where the attack looks
    code   digest of the code, of the user's own modules and of the packages' versions that compute
           it; found where it is planned
    """

    model: ModelFile
    data_key: str
    spec: AttackSpec | None
    norm: str
    epsilon: float
    seed: int
    batch: int
    source: ModelFile | None = None
    on: str = SOFTWARE
    code: str = ""

    def __post_init__(self) -> None:
        if not self.code:
            object.__setattr__(self, "code", self.maker.digest)

    @property
    def maker(self) -> Maker:
        """What computes it, where this process is the one that plans it."""
        return maker_of(self, MADE_BY)

    @property
    def key(self) -> str:
        """Content hash of everything that the result depends on."""
        source = self.source.key if self.source else None
        spec = self.spec.to_json() if self.spec else None
        if spec is not None and self.source is not None:
            # its name changes nothing
            spec["params"] = {**spec["params"], "source": "the other model"}

        parts = (
            self.model.key,
            self.data_key,
            spec,
            source,
            self.norm,
            self.epsilon,
            self.seed,
            self.batch,
            self.on,
            self.code,
        )
        return key_of("crafted", *parts)

    @property
    def crafted_on(self) -> str:
        """Where the attack looked: "software", an integer target, or "model NAME" for a
        transfer."""
        return self.on if self.source is None else f"model {self.source.name}"

    def description(self) -> dict[str, Any]:
        """Plain JSON values, as records carry them."""
        spec = self.spec
        common = {
            "model": self.model.name,
            "norm": self.norm,
            "epsilon": self.epsilon,
            "seed": self.seed,
            "crafted_on": self.crafted_on,
        }

        if spec is None:
            empty: dict[str, Any] = {
                "estimator": None,
                "iterations": 0,
                "eot": 1,
                "params": {},
                "front": "through",
                "known_seed": None,
                "stages": [],
            }
            return common | {"name": "clean", "family": "clean", "optimiser": "clean"} | empty

        inner = AttackSpec.from_json(spec.params["spec"]) if spec.attack == "transfer" else spec
        return common | {
            "name": spec.label,
            "family": ATTACKS[spec.attack].family,
            "optimiser": spec.attack if spec.attack != "transfer" else f"transfer {inner.attack}",
            "estimator": None
            if inner.estimator is None
            else json.dumps(inner.estimator, sort_keys=True),
            "iterations": _iterations(inner),
            "eot": inner.eot,
            "params": dict(spec.params)
            if spec.attack != "transfer"
            else {"source": spec.params["source"]},
            "front": spec.front,
            "known_seed": spec.known_seed,
            "stages": [stage.label for stage in spec.stages] if spec.attack == "cascade" else [],
        }

    @property
    def work(self) -> float:
        """A rough measure of how long it takes, for the progress display: forward evaluations of
        one sample."""
        if self.spec is None:
            return 0.0
        inner = (
            AttackSpec.from_json(self.spec.params["spec"])
            if self.spec.attack == "transfer"
            else self.spec
        )
        if inner.attack == "cascade":
            return (
                sum(replace(self, spec=stage).work for stage in inner.stages) / 2
            )  # most samples fall on the way
        runs = (1 + inner.params.get("restarts", 0)) * inner.params.get(
            "targets", 9 if inner.attack in ("apgd_targeted", "fab") else 1
        )
        return float(_iterations(inner) * inner.eot * runs * (3 if inner.estimator else 1))


def _iterations(spec: AttackSpec) -> int:
    if spec.attack == "cascade":
        return len(spec.stages)
    return next(
        (spec.params[n] for n in ("steps", "queries", "tries", "rounds") if n in spec.params), 1
    )


def maker_of(job: CraftJob, module: str, *targets: str) -> Maker:
    """What computes a cell: our code from a module on, the modules of the user that its models are
    made by, and those of the plug-ins that its attack and the targets are."""
    users = {*job.model.modules, *(job.source.modules if job.source is not None else ())}
    users |= {*(() if job.spec is None else job.spec.modules), *TARGETS.modules(targets)}
    return maker.of(module, *sorted(users))


def victim(job: CraftJob, opened: Opened) -> Victim:
    """What the attack attacks. Raises NotApplicable."""
    front = "through" if job.spec is None else job.spec.front
    return opened.victim(front) if job.on == SOFTWARE else opened.integers(job.on, front)


def craft(
    job: CraftJob, data: SweepData, tick: Tick = lambda done, total: None
) -> dict[str, np.ndarray]:
    """Adversarial samples of a job: "adversarial", and for each sample "queries", "success" and the
    means of "history.*".

    Raises NotApplicable where the attack cannot be made on this model.
    """
    size = len(data.samples)
    if job.spec is None:
        return {
            "adversarial": data.samples,
            "queries": np.zeros(size, np.int64),
            "success": np.zeros(size, bool),
        }

    threat, opened = Threat(job.norm, job.epsilon), open_model(job.model)
    if job.spec.attack == "cascade":
        return _cascade(job, job.spec, data, opened, threat, tick)

    target = victim(job, opened)
    sources = (
        {job.spec.params["source"]: open_model(job.source).victim()}
        if job.source is not None
        else None
    )

    parts: dict[str, list[np.ndarray]] = {}
    for start in range(0, size, job.batch):
        part = slice(start, start + job.batch)
        result = run(
            job.spec,
            target,
            data.samples[part],
            data.labels[part],
            threat,
            job.seed,
            sources=sources,
            program=opened.program,
        )

        verify(data.samples[part], result.adversarial, threat)
        arrays = {
            "adversarial": result.adversarial,
            "queries": result.queries,
            "success": result.success,
        }

        count = len(result.success)
        for name, values in result.history.items():
            arrays[f"history.{name}"] = np.broadcast_to(
                np.asarray(values, np.float64).mean(axis=0).reshape(-1), (count,)
            )
        for name, values in arrays.items():
            parts.setdefault(name, []).append(values)
        tick(min(start + job.batch, size), size)

    return {name: np.concatenate(values) for name, values in parts.items()}


def craft_cell(job: CraftJob, context: Context) -> tuple[dict[str, Any], Arrays]:
    """A crafted cell: its arrays. Raises NotPossible."""
    try:
        return {}, craft(job, context.data, context.tick)
    except NotApplicable as reason:
        raise NotPossible(str(reason)) from None


def _cascade(
    job: CraftJob, spec: AttackSpec, data: SweepData, opened: Opened, threat: Threat, tick: Tick
) -> dict[str, np.ndarray]:
    """All samples at once: those that have fallen leave room for others. Gradients are the PyTorch
    model's; ``on`` says who judges."""
    judge = opened.integers(job.on) if job.on != SOFTWARE else None
    result = run(
        spec,
        opened.victim(),
        data.samples,
        data.labels,
        threat,
        job.seed,
        judge=judge,
        behind=opened.victim,
        batch=job.batch,
        program=opened.program,
        progress=tick,
    )

    verify(data.samples, result.adversarial, threat)
    history = {f"history.{name}": values[0] for name, values in result.history.items()}
    return {
        "adversarial": result.adversarial,
        "queries": result.queries,
        "success": result.success,
        **history,
    }


@dataclass(frozen=True)
class ScoreJob:
    """One target's view of a crafted cell.

    samples  the first so many of it
    seed     of the inference, where it is random
    chip     whose cores are counted and whose static power is taken
    """

    crafted: CraftJob
    target: str
    samples: int
    seed: int = 0
    chip: str = "loihi2"
    code: str = ""

    def __post_init__(self) -> None:
        if not self.code:
            object.__setattr__(self, "code", self.maker.digest)

    @property
    def maker(self) -> Maker:
        """As of a crafted cell."""
        return maker_of(self.crafted, SCORED_BY, self.target)

    @property
    def key(self) -> str:
        """Content hash of everything that the result depends on."""
        parts = (self.crafted.key, self.target, self.samples, self.seed, self.chip, self.code)
        return key_of("scored", *parts)

    def description(self) -> dict[str, Any]:
        """Plain JSON values: the crafted cell's, and the target."""
        return self.crafted.description() | {
            "crafted": self.crafted.key,
            "target": self.target,
            "inference_seed": self.seed,
        }
