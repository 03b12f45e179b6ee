"""What one cell is, its key, and how it is computed; nothing here knows where or in which order cells run.

A *crafted* cell is one attack on one model: adversarial samples. A *scored* cell is one target's view of them. Every
target scores the same samples, so software and hardware are compared sample by sample. Both are pure functions of a job
that holds everything they depend on, and the key is the hash of the job.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np

from toolchain.attacks.base import Threat, verify
from toolchain.attacks.registry import ATTACKS, AttackSpec, run
from toolchain.errors import ToolchainError
from toolchain.robustness.records import Scored

CODE = ("hardware", "export", "toolchain/attacks", "toolchain/layers", "toolchain/models")
"""Sources whose text is part of every key: what they compute is what a cell holds."""

CRAFTING_TARGET = "fast"
"""Integer target that attacks without gradients query."""

FAMILIES = {
    "noise": "noise",
    "event_noise": "noise",
    "fgsm": "single_step",
    "rfgsm": "single_step",
    "square": "black_box",
    "transfer": "black_box",
    "sponge": "energy",
}
"""Attack → family, as the honesty checks group them; all others are "iterative"."""

Tick = Callable[[int, int], None]
"""Called with (done, in all) of a cell's own units."""


@lru_cache(maxsize=1)
def code_version() -> str:
    """SHA-256 over the source text that results depend on, tables of devices and chips included."""
    root = Path(__file__).resolve().parents[2]
    digest = hashlib.sha256()
    for part in CODE:
        for path in sorted(path for path in (root / part).rglob("*") if path.suffix in (".py", ".toml")):
            digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


@dataclass(frozen=True)
class ModelFile:
    """A model as it travels to a worker: ``source`` (package.module:factory), or the bytes of a file with its name."""

    name: str
    source: str
    content: bytes = field(repr=False, default=b"")
    weights: bytes = field(repr=False, default=b"")

    @classmethod
    def read(cls, name: str, source: str, weights: str | None = None) -> ModelFile:
        """From what a sweep names."""
        content = Path(source).read_bytes() if Path(source).is_file() else b""
        return cls(name, Path(source).name if content else source, content, b"" if weights is None else Path(weights).read_bytes())

    @property
    def key(self) -> str:
        """SHA-256 of everything but the name."""
        digest = hashlib.sha256(self.source.encode() if not self.content else b"")
        for part in (self.content, self.weights):
            digest.update(hashlib.sha256(part).digest())
        return digest.hexdigest()


@lru_cache(maxsize=8)
def _opened(key: str, source: str, content: bytes, weights: bytes):
    """(stage, program) of a model, once for each process."""
    from toolchain import stages

    with tempfile.TemporaryDirectory(prefix="spikeport-model-") as folder:
        path, side = source, None
        if content:
            path = str(Path(folder) / source)
            Path(path).write_bytes(content)
        if weights:
            side = Path(folder) / "weights.safetensors"
            side.write_bytes(weights)
        stage = stages.load(path, side)
        stage.require_module("an attack")
        program, _ = stages.to_program(stage, stages.Ways())
    return stage, program


def open_model(model: ModelFile):
    """(stage, program) of a model: its PyTorch twin and the integers that it becomes. Raises ToolchainError or ExportError."""
    return _opened(model.key, model.source, model.content, model.weights)


@dataclass(frozen=True, eq=False)
class Data:
    """The attacked samples: images [sample, ...] in [0, 1] or binary events [sample, step, ...]; labels and positions in the data set."""

    samples: np.ndarray
    labels: np.ndarray
    index: np.ndarray

    @property
    def key(self) -> str:
        """SHA-256 of samples, labels and positions."""
        digest = hashlib.sha256()
        for array in (self.samples, self.labels, self.index):
            digest.update(f"{array.dtype.str}{array.shape}".encode() + hashlib.sha256(np.ascontiguousarray(array)).digest())
        return digest.hexdigest()

    def first(self, count: int) -> Data:
        """The first so many samples."""
        return Data(self.samples[:count], self.labels[:count], self.index[:count])


class CodeError(ToolchainError):
    """A worker has other sources than the process that planned the cell: its result would be kept under a wrong key."""


@dataclass(frozen=True)
class CraftJob:
    """One attack on one model. ``spec`` None: the clean samples. ``source``: the other model of a transfer attack.

    ``code``: version of the sources where the job was planned; no other version computes it.
    """

    model: ModelFile
    data_key: str
    spec: AttackSpec | None
    norm: str
    epsilon: float
    seed: int
    batch: int
    source: ModelFile | None = None
    code: str = field(default_factory=lambda: code_version())

    @property
    def key(self) -> str:
        """Content hash of everything that the result depends on."""
        source = self.source.key if self.source else None
        spec = self.spec.to_json() if self.spec else None
        if spec is not None and self.source is not None:
            spec["params"] = {**spec["params"], "source": "the other model"}  # its name changes nothing
        return _hash("crafted", self.model.key, self.data_key, spec, source, self.norm, self.epsilon, self.seed, self.batch, self.code)

    @property
    def crafted_on(self) -> str:
        """Where the attack looked: "software", an integer target, or "model NAME" for a transfer."""
        if self.source is not None:
            return f"model {self.source.name}"
        if self.spec is not None and ATTACKS[self.spec.attack].access == "predictions":
            return CRAFTING_TARGET
        return "software"

    def description(self) -> dict:
        """Plain JSON values, as records carry them."""
        spec = self.spec
        common = {"model": self.model.name, "norm": self.norm, "epsilon": self.epsilon, "seed": self.seed, "crafted_on": self.crafted_on}
        if spec is None:
            return common | {
                "name": "clean",
                "family": "clean",
                "optimiser": "clean",
                "estimator": None,
                "iterations": 0,
                "eot": 1,
                "params": {},
            }
        inner = AttackSpec.from_json(spec.params["spec"]) if spec.attack == "transfer" else spec
        iterations = next((inner.params[n] for n in ("steps", "queries", "tries", "rounds") if n in inner.params), 1)
        return common | {
            "name": spec.label,
            "family": FAMILIES.get(spec.attack, "iterative"),
            "optimiser": spec.attack if spec.attack != "transfer" else f"transfer {inner.attack}",
            "estimator": None if inner.estimator is None else json.dumps(inner.estimator, sort_keys=True),
            "iterations": iterations,
            "eot": inner.eot,
            "params": dict(spec.params) if spec.attack != "transfer" else {"source": spec.params["source"]},
        }

    @property
    def work(self) -> float:
        """A rough measure of how long it takes, for the progress display: forward evaluations of one sample."""
        if self.spec is None:
            return 0.0
        inner = AttackSpec.from_json(self.spec.params["spec"]) if self.spec.attack == "transfer" else self.spec
        iterations = next((inner.params[n] for n in ("steps", "queries", "tries", "rounds") if n in inner.params), 1)
        return float(iterations * inner.eot * (1 + inner.params.get("restarts", 0)) * (3 if inner.estimator else 1))


def _hash(*parts) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True, allow_nan=False).encode()).hexdigest()


def _require_code(job: CraftJob) -> None:
    if job.code != code_version():
        raise CodeError(
            f"this worker's sources are version {code_version()[:12]}, the cell was planned with {job.code[:12]}; start workers from the "
            "same installation, and again after every change"
        )


def _software_victim(model: ModelFile, data: Data):
    from toolchain.attacks.victims import EventVictim, PixelVictim

    stage, _ = open_model(model)
    if data.samples.dtype == np.uint8:
        return EventVictim(stage.module, data.samples.shape[1])
    return PixelVictim(stage.module)


def victim(job: CraftJob, data: Data):
    """What the attack attacks: the software twin where it needs gradients, else the integer target."""
    software = _software_victim(job.model, data)
    if job.crafted_on != CRAFTING_TARGET:
        return software
    from toolchain.attacks.victims import ProgramVictim

    _, program = open_model(job.model)
    if data.samples.dtype == np.uint8:
        return ProgramVictim(program, steps=data.samples.shape[1], target=CRAFTING_TARGET)
    return ProgramVictim(program, software.encoder, target=CRAFTING_TARGET)


def craft(job: CraftJob, data: Data, tick: Tick = lambda done, total: None) -> dict[str, np.ndarray]:
    """Adversarial samples of a job: "adversarial", and for each sample "queries", "success" and the means of "history.*"."""
    _require_code(job)
    size = len(data.samples)
    if job.spec is None:
        return {"adversarial": data.samples, "queries": np.zeros(size, np.int64), "success": np.zeros(size, bool)}
    threat = Threat(job.norm, job.epsilon)
    target = victim(job, data)
    _, program = open_model(job.model)
    sources = {job.spec.params["source"]: _software_victim(job.source, data)} if job.source is not None else None
    parts: dict[str, list[np.ndarray]] = {}
    for start in range(0, size, job.batch):
        part = slice(start, start + job.batch)
        result = run(job.spec, target, data.samples[part], data.labels[part], threat, job.seed, sources=sources, program=program)
        verify(data.samples[part], result.adversarial, threat)
        found = {"adversarial": result.adversarial, "queries": result.queries, "success": result.success}
        count = len(result.success)
        for name, values in result.history.items():
            found[f"history.{name}"] = np.broadcast_to(np.asarray(values, np.float64).mean(axis=0).reshape(-1), (count,))
        for name, values in found.items():
            parts.setdefault(name, []).append(values)
        tick(min(start + job.batch, size), size)
    return {name: np.concatenate(values) for name, values in parts.items()}


@dataclass(frozen=True)
class ScoreJob:
    """One target's view of a crafted cell; ``samples``: the first so many of it."""

    crafted: CraftJob
    target: str
    samples: int

    @property
    def key(self) -> str:
        """Content hash of everything that the result depends on."""
        return _hash("scored", self.crafted.key, self.target, self.samples)


def _distance(clean: np.ndarray, adversarial: np.ndarray, norm: str) -> np.ndarray:
    """Size of each change in the norm of the threat model, float64 [sample]; shift: mean number of steps moved by an event."""
    change = (adversarial.astype(np.float64) - clean).reshape(len(clean), -1)
    if norm == "linf":
        return np.abs(change).max(axis=1)
    if norm == "l2":
        return np.sqrt((change**2).sum(axis=1))
    return np.count_nonzero(change, axis=1).astype(np.float64)


def score(
    job: ScoreJob, data: Data, crafted: Mapping[str, np.ndarray], tick: Tick = lambda done, total: None
) -> tuple[dict, dict[str, np.ndarray]]:
    """(description, arrays) of a scored cell, see ``records.Scored``."""
    from hardware.energy import estimate
    from toolchain import execution, summary
    from toolchain.attacks.encoding import integers
    from toolchain.attacks.victims import PixelVictim

    _require_code(job.crafted)
    stage, program = open_model(job.crafted.model)
    part = data.first(job.samples)
    adversarial = crafted["adversarial"][: job.samples]
    events = data.samples.dtype == np.uint8
    stochastic = False
    if events:
        inputs = adversarial.astype(np.uint8)
    else:
        seen = PixelVictim(stage.module)
        stochastic = seen.stochastic
        inputs = integers(seen.encoder, adversarial, job.crafted.seed)
    recording = execution.execute(stage, program, {program.inputs[0].name: inputs}, job.target, progress=tick)
    scores = next(iter(recording.scores.values()))
    rows = np.arange(len(part.labels))
    others = scores.copy()
    others[rows, part.labels] = -np.inf
    prediction = recording.predictions()
    activity = {
        name: np.stack([recording.counts[name][layer] for layer in recording.layers], axis=1).astype(np.float64)
        for name in recording.counts
    }
    spent = estimate(program, recording)
    energy = {}
    for device in spent.devices:
        found = {name: getattr(device, name) for name in ("dynamic_j", "dynamic_low_j", "dynamic_high_j", "static_j", "time_s")}
        energy[device.device.name] = {name: values for name, values in found.items() if values is not None}
    description = job.crafted.description() | {
        "crafted": job.crafted.key,
        "target": job.target,
        "stochastic": stochastic,
        "layers": list(recording.layers),
        "program": program.fingerprint,
        "samples": len(rows),
        "steps": recording.steps,
        "classes": scores.shape[1],
        "chip": spent.chip,
        "cores": spent.cores,
        "twin_macs": sum(spent.twin.macs.values()),
        "twin_energy_j": dict(spent.twin.energy_j),
        "spikes_per_inference": {entry["name"]: entry["spikes"] for entry in summary.layers(program, recording)},
    }
    history = {
        name.removeprefix("history."): values[None, : job.samples] for name, values in crafted.items() if name.startswith("history.")
    }
    history["queries"] = crafted["queries"][None, : job.samples]
    record = Scored(
        description=description,
        index=part.index,
        correct=prediction == part.labels,
        margin=scores[rows, part.labels] - others.max(axis=1),
        distance=_distance(part.samples, adversarial, job.crafted.norm),
        activity=activity,
        layers=recording.layers,
        history=history,
        energy=energy,
        label=np.asarray(part.labels, np.int64),
        prediction=prediction,
    )
    return description, record.to_arrays()
