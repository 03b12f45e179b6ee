"""Models as a sweep measures them: how one travels to a worker, and what is known of it once it is
open.

A model needs no more than a PyTorch module. Where it becomes a Program it is scored on every
target; where it does not (an ANN), on software alone. A module that does not say what it reads (a
plain snnTorch network) is told so by the sweep: ``Options``.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
from torch import nn

from hardware import limits
from hardware._files import read_bytes
from hardware.program import Population, Program
from toolchain import data
from toolchain.attacks.base import NotApplicable
from toolchain.cells import closure
from toolchain.cells.keys import key_of
from toolchain.cells.source import ClosureError
from toolchain.deploy.stages import Stage
from toolchain.deploy.ways import Lowering, Ways
from toolchain.errors import ModelError
from toolchain.robustness import content
from toolchain.whole import whole

CALIBRATION_SAMPLES = 200


@dataclass(frozen=True)
class Options(Lowering):
    """How a model becomes a Program, and, where it does not say so itself, what it reads. None: as
    the model says.

    calibration   data set whose training part shows how large numbers get; the first 200 samples
    dataset, encoding, steps, bits, rate, bin_us   the data set and the fields of
        ``toolchain.data.Encoding``
    """

    calibration: str | None = None
    dataset: str | None = None
    encoding: str | None = None
    steps: int | None = None
    bits: int | None = None
    rate: float | None = None
    bin_us: int | None = None

    ENCODING = ("encoding", "steps", "bits", "rate", "bin_us")
    DESCRIBING = ("input_shape", "call", "dataset", *ENCODING, "fraction_bits", "input_scale")

    def ways(self) -> Ways:
        """The same for a model at hand; without the calibration, whose shape is the model's.

        Raises:
            DataError: for what is no encoding.
        """
        own = {f.name: getattr(self, f.name) for f in fields(Lowering)}
        told = self.given(self.ENCODING)
        if self.dataset is None or "encoding" not in told or "steps" not in told:
            return Ways(**own)
        encoding = data.Encoding(told.pop("encoding"), told.pop("steps"), **told)
        return Ways(**own, data={"name": self.dataset, **encoding.describe()})


@dataclass(frozen=True)
class ModelFile:
    """A model as it travels to a worker: ``source`` (package.module:factory), or the bytes of a
    file with its name.

    modules  of the user, that a factory's network is made by; with every module of the user that
             they lead to
    opened   hash of what the model is once it is open (``Opened.content``); empty: nobody has
             looked
    """

    name: str
    source: str
    content: bytes = field(repr=False, default=b"")
    weights: bytes = field(repr=False, default=b"")
    options: Options = Options()
    modules: tuple[str, ...] = ()
    opened: str = ""

    @classmethod
    def read(
        cls, name: str, source: str, weights: str | None = None, options: Options = Options()
    ) -> ModelFile:
        """From what a sweep names."""
        content = _bytes_of(source) if Path(source).is_file() else b""
        return cls(
            name,
            Path(source).name if content else source,
            content,
            b"" if weights is None else _bytes_of(weights),
            options,
        )

    @property
    def key(self) -> str:
        """SHA-256 of everything but the name; of a factory, what its modules do, and what it
        makes."""
        source = b"" if self.content else self.source.encode() + self._code().encode()
        digest = hashlib.sha256(source)
        for part in (
            self.content,
            self.weights,
            json.dumps(asdict(self.options), sort_keys=True).encode(),
            self.opened.encode(),
        ):
            digest.update(hashlib.sha256(part).digest())
        return digest.hexdigest()

    def _code(self) -> str:
        try:
            return closure.of_user(*(self.modules or (self.source.partition(":")[0],))).digest
        except ClosureError:
            return ""  # opening it says what is wrong

    def sealed(self) -> ModelFile:
        """With the modules of the user that it is made by, and what it is once it is open. Raises
        as ``open_model``."""
        found = open_model(self)
        return replace(self, modules=found.modules, opened=found.content)


def _bytes_of(path: str) -> bytes:
    return read_bytes(path, ModelError, limits.MODEL_BYTES, "a model")


@dataclass(frozen=True, eq=False)
class Opened:
    """A model, its Program where it has one (``no_program``: why not), and what it reads (``io``,
    see ``toolchain.layers``).

    content  SHA-256 of its weights and graph
    modules  of the user, that made it
    """

    stage: Stage
    module: nn.Module
    program: Program | None
    io: Mapping
    sample_shape: tuple[int, ...]
    no_program: str = ""
    content: str = ""
    modules: tuple[str, ...] = ()

    @property
    def data(self) -> dict:
        """What it says of its data: name, encoding, steps, …"""
        return dict(self.io.get("data", {}))

    @property
    def events(self) -> bool:
        """True: binary events; False: images."""
        return self.data.get("encoding") == "events"

    @property
    def front(self) -> nn.Module | None:
        """What stands before the network."""
        return getattr(self.module, "front", None)

    @cached_property
    def exact(self) -> bool:
        """True where the PyTorch model computes the Program's own integers, so that both are
        attacked alike."""
        from toolchain.layers.neuron import Neuron

        if self.program is None:
            return False
        return all(isinstance(module, Neuron) for module in self._spiking())

    @property
    def spiking(self) -> bool:
        """False for a network without a spiking neuron, whose gradient is exact."""
        return bool(self._spiking())

    def _spiking(self) -> list[nn.Module]:
        return [
            m
            for m in self.module.modules()
            if hasattr(m, "spike_grad") and getattr(m, "threshold", None) is not None
        ]

    @cached_property
    def stochastic(self) -> bool:
        """True where an inference depends on a seed."""
        return self.classifier().stochastic

    def classifier(self):
        """The PyTorch network as a victim, without what stands before it."""
        from toolchain.attacks.encoding import Reshaped
        from toolchain.attacks.victims import EventVictim, PixelVictim, encoder_of

        if self.events:
            return EventVictim(self.module, int(self.data["steps"]), io=self.io)
        encoder, shape = encoder_of(self.io), tuple(self.io["input"]["shape"])
        if shape != self.sample_shape:
            encoder = Reshaped(encoder, shape)
        return PixelVictim(self.module, encoder, io=self.io, sample_shape=self.sample_shape)

    def victim(self, front: str = "through"):
        """The PyTorch model as a victim; ``front``: see ``toolchain.attacks.fronts``. Raises
        NotApplicable."""
        from toolchain.attacks.fronts import ways

        return ways(self.classifier(), self.front, front)

    def integers(self, target: str, front: str = "through"):
        """The Program as a victim on a target, a black box. Raises NotApplicable where there is
        none."""
        from toolchain.attacks.victims import ProgramVictim

        if self.program is None:
            raise NotApplicable(f"no Program: {self.no_program}")
        if front not in ("through", "skip"):
            raise NotApplicable(
                f"a black box knows no gradient of what stands before the network that it could "
                f"treat as {front!r}"
            )
        reseeded = self.reseeded if noisy(self.program) else None
        if self.events:
            return ProgramVictim(
                self.program, steps=int(self.data["steps"]), target=target, reseeded=reseeded
            )
        return ProgramVictim(
            self.program,
            self.classifier().encoder,
            target=target,
            reseeded=reseeded,
            front=self.front if front == "through" else None,
            sample_shape=self.sample_shape,
        )

    def reseeded(self, program: Program, seed: int) -> Program:
        """The Program whose noise is that of the PyTorch model with this seed of its noise; one
        without noise as it is."""
        from toolchain.layers.noise import noise_seed

        random = noisy(program)
        if not random:
            return program
        modules = dict(self.module.named_modules())
        unknown = [p.name for p in random if p.name not in modules]
        if unknown:
            raise ModelError(
                f"{self.stage.source}: the Program's noisy layer {unknown[0]!r} is no module of "
                f"the model, whose seed it has"
            )
        with noise_seed(self.module, seed):
            seeds = {p.name: modules[p.name].noise.seed for p in random}
        populations = [
            replace(p, noise=replace(p.noise, seed=seeds[p.name])) if p.name in seeds else p
            for p in program.populations
        ]
        return replace(program, populations=tuple(populations))


def noisy(program: Program | None) -> list[Population]:
    """The Program's noisy populations."""
    populations = () if program is None else program.populations
    return [p for p in populations if p.kind == "lif" and p.noise is not None]


def open_model(model: ModelFile) -> Opened:
    """Open a model, once for each process. Raises ToolchainError or ExportError."""
    found = _opened(replace(model, opened="").key, replace(model, name="", modules=(), opened=""))
    if model.opened and model.opened != found.content:
        raise ModelError(
            f"{model.source}: is another network here than where the run was planned "
            f"({found.content[:12]}, not {model.opened[:12]}); a "
            "factory must make the same one every time: give it weights, or a seed"
        )
    return found


@lru_cache(maxsize=8)
def _opened(key: str, model: ModelFile) -> Opened:
    from toolchain.deploy import stages

    before = set(closure.loaded())
    with tempfile.TemporaryDirectory(prefix="spikeport-model-") as folder:
        path, side = model.source, None
        if model.content:
            path = str(Path(folder) / model.source)
            Path(path).write_bytes(model.content)
        if model.weights:
            side = Path(folder) / "weights.safetensors"
            side.write_bytes(model.weights)
        stage = replace(
            stages.load(path, side), source=model.source
        )  # not the name of this folder, which would enter the Program
        module = stage.require_module("an attack")
    made = content.of_module(module)
    found = _read(stage, module, model)
    modules = () if model.content else _users(model, module, before)
    return replace(found, content=key_of(made, content.of_program(found.program)), modules=modules)


def _users(model: ModelFile, module: nn.Module, before: set[str]) -> tuple[str, ...]:
    """Modules of the user that a factory's network is made by: the factory's, those of its classes,
    and those that were loaded on the way, however that was done."""
    there = closure.loaded()
    classes = {type(part).__module__ for part in module.modules()}
    # a module is loaded once in a process, and counts as often as the model is opened
    loaded = _loaded_by.setdefault(model.source, set())
    loaded |= set(there) - before
    return tuple(
        sorted({model.source.partition(":")[0], *(classes & set(there)), *(loaded & set(there))})
    )


_loaded_by: dict[str, set[str]] = {}
"""Factory → modules of the user that were loaded while it was called."""


def _read(stage: Stage, module: nn.Module, model: ModelFile) -> Opened:
    options, source = model.options, model.source
    if not callable(getattr(module, "spikeport_io", None)):
        missing = [name for name in NEEDED if getattr(options, name) is None]
        if missing:
            raise ModelError(
                f"{source}: the model does not say what it reads, and the sweep does not say "
                f"{', '.join(missing)}; accepted in [[models]]: {', '.join(Options.DESCRIBING)}"
            )
        return read(stage, options.ways(), options.calibration)

    if told := options.given(Options.DESCRIBING):
        raise ModelError(
            f"{source}: {', '.join(told)} changes nothing in a model that states this itself; "
            f"leave it out"
        )
    return read(stage, options.ways(), options.calibration)


NEEDED = ("input_shape", "call", "dataset", "encoding", "steps")
"""What must be said of a model that does not say what it reads."""


def read(stage: Stage, ways: Ways, calibration: str | None = None) -> Opened:
    """A model at hand, ready to be attacked and scored.

    Args:
        stage: with a PyTorch model.
        ways: how it becomes a Program; of a model that does not say what it reads also
            ``input_shape``, ``call`` and ``data``.
        calibration: data set whose training part scales are chosen for, where ``ways`` hold none.

    Raises:
        ModelError: for a model that lacks one of these, or contradicts them.
        ExportError: where it cannot become a Program.
    """
    from toolchain.deploy import stages

    module = stage.require_module("an attack")
    if not callable(getattr(module, "spikeport_io", None)):
        return _described(stage, module, ways, calibration)
    io = module.spikeport_io()
    shape = tuple(io["input"]["shape"])
    if io.get("program") is False:
        told = [*ways.given(), *([] if calibration is None else ["calibration"])]
        if told:
            raise ModelError(
                f"{stage.source}: {', '.join(told)} changes nothing in a model that becomes no "
                f"Program; leave it out"
            )
        why = str(io.get("no_program") or "the model is no spiking network")
        return Opened(stage, module, None, io, shape, why)
    ways = _calibrated(ways, calibration, io.get("data", {}))
    return Opened(stage, module, stages.to_program(stage, ways)[0], io, shape)


def _calibrated(
    ways: Ways, name: str | None, told: Mapping, shape: tuple[int, ...] | None = None
) -> Ways:
    if name is None:
        return ways
    from toolchain.deploy import inputs

    found = inputs.calibration(name, told, CALIBRATION_SAMPLES, shape=shape)
    return replace(ways, calibration=found)


def _described(
    stage: Stage, module: nn.Module, ways: Ways, calibration: str | None = None
) -> Opened:
    """A module that says nothing of itself, with what the user says of it."""
    from toolchain.deploy import contract, stages

    needed = {"input_shape": ways.input_shape, "call": ways.call, "data": ways.data}
    if missing := [name for name, value in needed.items() if value is None]:
        raise ModelError(
            f"{stage.source}: the model does not say what it reads: give {', '.join(missing)} "
            f"(data: a data set with encoding and steps)"
        )
    told, given = dict(ways.data), tuple(ways.input_shape)
    events, shape = told["encoding"] == "events", data.DATASETS[told["name"]][1]
    if np.prod(shape) != np.prod(given) or (events and shape != given):
        raise ModelError(
            f"{stage.source}: input_shape is {given}; samples of {told['name']} have {shape}"
        )
    bits, fraction = data.Encoding.from_description(told).input_format(told["name"])
    scale = contract.scale(told, ways, stage.source)

    program, _ = stages.to_program(stage, _calibrated(ways, calibration, told, given))
    if len(program.outputs) != 1:
        names = ", ".join(o.population for o in program.outputs)
        raise ModelError(
            f"{stage.source}: the model has {len(program.outputs)} outputs ({names}); accepted is "
            f"one, the classes"
        )
    io = {
        "input": {"shape": list(given), "message_bits": bits, "fraction_bits": fraction},
        "output": {"decode": program.outputs[0].decode},
        "call": ways.call,
        "data": told,
    }
    if scale != 1:
        io["input"]["scale"] = scale
    opened = Opened(stage, module, program, io, given if events else shape)
    _check_reading(opened)
    return opened


def _check_reading(opened: Opened) -> None:
    """What the model returns must be what its layer that the Program reads computes. Raises
    ModelError."""
    from toolchain.attacks.encoding import integers
    from toolchain.deploy import software

    victim, program = opened.classifier(), opened.program
    drawn = np.random.default_rng(0).random((3, *victim.sample_shape)).astype(np.float32)
    samples = (drawn < 0.3).astype(np.float32) if opened.events else drawn
    inputs = (
        whole(samples, np.uint8, "events", 0, 1)
        if opened.events
        else integers(victim.encoder, samples, 0)
    )
    recording = software.record(
        opened.module, program, {program.inputs[0].name: inputs}, call=opened.io["call"]
    )
    name, read = next(iter(recording.scores.items()))
    own = victim.predict(samples).astype(np.float64)
    if opened.io["output"]["decode"] != "spike_count":
        own *= 2.0 ** (float(program.metadata["fraction_bits"][name]) + 6)
    if own.shape != read.shape or not np.allclose(
        own, read, rtol=1e-4, atol=1e-4 * max(1.0, np.abs(read).max())
    ):
        raise ModelError(
            f"{opened.stage.source}: what the model returns is not what its output layer {name!r} "
            f"computes; accepted is a model that "
            "returns the spikes of its last neurons, or (spikes, ..., potentials)"
        )
