"""A model at any stage of its way to the chip, opened for the public calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from export.dialects import DIALECTS
from export.reading import PER
from hardware.program import DECODINGS, RESETS, Program
from toolchain.api.arguments import array, number, one_of, text, whole, wrong
from toolchain.data import DATASETS, ENCODINGS, Dataset
from toolchain.data import load as load_data
from toolchain.data.datasets import SPLITS
from toolchain.deploy import stages
from toolchain.deploy.inputs import ENCODED, SampleSource
from toolchain.deploy.job import Job, prepared, settled
from toolchain.deploy.stage import Stage
from toolchain.deploy.ways import Ways

if TYPE_CHECKING:
    import nir
    from torch import nn

    from export.audit import Audit

MODEL = (
    "a path, 'package.module:factory', a torch.nn.Module, a NIR graph, a Program, or what load() "
    "returned"
)


@dataclass(frozen=True, eq=False)
class Model:
    """A model, and how the rest of its way to integers is gone; ``load`` makes it.

    stage   what was found, see ``toolchain.deploy.stage.Stage``
    ways    the options
    said    what ``load`` was told of how samples of a data set become inputs; counts in every call
            that does not say it anew
    root    folder that holds data sets; None: SPIKEPORT_DATA
    """

    stage: Stage
    ways: Ways
    said: Mapping[str, Any] = field(default_factory=dict)
    root: Path | None = None
    _jobs: dict[tuple[object, ...], Job] = field(default_factory=dict, repr=False)

    @property
    def kind(self) -> str:
        """ "checkpoint", "factory", "module", "pickle", "graph", "network" or "program"."""
        return self.stage.kind

    @property
    def notes(self) -> tuple[str, ...]:
        """What was stripped, ignored or kept when it was read."""
        return self.stage.notes

    @property
    def module(self) -> nn.Module | None:
        """The PyTorch model, where there is one."""
        return self.stage.module

    @property
    def program(self) -> Program:
        """The integers; computed once."""
        return self.job().program

    @property
    def audit(self) -> Audit | None:
        """How it became integers; None where it was a Program already."""
        return self.job().audit

    @property
    def graph(self) -> nir.NIRGraph:
        """The model as a NIR graph."""
        return stages.to_graph(self.stage, self.ways)

    @property
    def data(self) -> dict[str, Any]:
        """What is known of its data: name, encoding, steps, ...; empty where nothing is."""
        return stages.data_of(self.stage) or dict(self.ways.data or {})

    def source(
        self, name: str, samples: int | None, root: Path | None, **told: Any
    ) -> SampleSource:
        """Where samples come from, with what ``load`` was told where the call says nothing; a file
        is used as it is."""
        if name not in DATASETS:
            return SampleSource(name, samples, root, **told)
        own = {key: self.said.get(key) if value is None else value for key, value in told.items()}
        return SampleSource(name, samples, self.root if root is None else root, **own)

    def job(self, source: SampleSource | None = None) -> Job:
        """The Program for samples of a source, kept for the next call."""
        key = () if source is None else (source.name, *sorted(source.encoded().items()))
        if key not in self._jobs:
            self._jobs[key] = prepared(self.stage, self.ways, source)
        return self._jobs[key]

    def save_nir(self, path: str | Path, *, dt: float | None = None, force: bool = False) -> Path:
        """Write the NIR graph.

        Args:
            path: ends in ``.nir``.
            dt: length of a step in seconds. A model that counts in steps does not state it, and a
                ``.nir`` file is in seconds; None: as the model states it, or ``load`` was told.
            force: replace a file that exists.

        Raises:
            ArgumentError: for another ``dt`` than the one that ``load`` was told.
            MissingInformationError: where nothing states ``dt``.
            ExportError: where the model cannot be one, or the file cannot be written.
        """
        import export

        target = Path(text("path", path, "the path of a file"))
        step_s, told_s = number("dt", dt), self.ways.dt
        if None not in (step_s, told_s) and step_s != told_s:
            raise wrong("dt", dt, f"left out here, or {told_s!r}, as the model was loaded")
        ways = self.ways if step_s is None else replace(self.ways, dt=step_s)
        export.write(stages.to_graph(self.stage, ways), target, force=force)
        return target

    def __repr__(self) -> str:
        data = self.data
        suffix = f", {data.get('name')} {data.get('encoding')}" if data else ""
        return f"Model({self.stage.source}: {self.kind}{suffix})"

    def _repr_html_(self) -> str:
        notes = "".join(f"<li>{escape(note)}</li>" for note in self.notes)
        return f"<div><strong>{escape(repr(self))}</strong></div><ul>{notes}</ul>"


def load(
    source: object,
    *,
    weights: str | Path | None = None,
    trust_pickle: bool = False,
    input_shape: Sequence[int] | None = None,
    call: str | None = None,
    decode: str | None = None,
    trace_steps: int | None = None,
    dt: float | None = None,
    dialect: str | None = None,
    reset: str | None = None,
    r_per: str | None = None,
    weight_bits: int | None = None,
    per_channel: bool | None = None,
    discretization: str | None = None,
    allow_clipping: bool = False,
    calibration: str | np.ndarray | Mapping[str, np.ndarray] | None = None,
    message_bits: int | None = None,
    fraction_bits: int | None = None,
    input_scale: float | None = None,
    data: str | None = None,
    encoding: str | None = None,
    steps: int | None = None,
    bits: int | None = None,
    rate: float | None = None,
    bin_us: int | None = None,
    data_root: str | Path | None = None,
) -> Model:
    """Open a model at any stage of its way to the chip.

    A plain PyTorch model needs ``input_shape`` and ``call``; to know what its input means it also
    needs the data set, ``data``, ``encoding`` and ``steps``, here or where it is run.

    Example:
        >>> import spikeport
        >>> model = spikeport.load("examples/checkpoints/digits-tgo-0.safetensors")
        >>> model.kind
        'checkpoint'

    Args:
        source: a checkpoint, a ``.nir``, a Program ``.h5``, a lava-dl ``.net``, or
            ``package.module:factory``; or a ``torch.nn.Module``, a NIR graph or a Program itself.
        weights: a file of weights for a factory.
        trust_pickle: read a pickled module; runs all code in the file.
        input_shape: of one step of one sample.
        call: how a plain model is called: "time-first", "batch-first", "step" or "constant".
        decode: how the output is read.
        trace_steps: time steps that the model is traced with.
        dt: length of a step in seconds, where the model does not state it.
        dialect, reset, r_per: how a ``.nir`` is read that leaves this open.
        weight_bits: 2 to 16, of weights that are quantised here; more than 8: two synapses carry
            each weight.
        per_channel: one weight scale for each output channel (True), or for each layer (False);
            None: where it helps.
        discretization: "euler" or "exponential".
        allow_clipping: clip weights where that makes the error smaller.
        calibration: typical inputs that scales are chosen for: a data set, a ``.npz``, or integers
            [sample, step, *shape].
        message_bits: of graded inputs; 0: spikes.
        fraction_bits: k: an input integer x means x * 2**-k.
        input_scale: what the model takes for full intensity, a power of two.
        data: name of the data set that the model was trained on.
        encoding, steps, bits, rate, bin_us: how its samples become inputs.
        data_root: folder that holds data sets; None: SPIKEPORT_DATA.

    Raises:
        ArgumentError: for arguments of the wrong type.
        ModelError, and the readers' own errors: for what is no model, or options that change
            nothing in it.
    """
    stage = _opened(source, weights, trust_pickle)
    ways = Ways(
        weight_bits=whole("weight_bits", weight_bits, 2),
        per_channel=None if per_channel is None else _flag("per_channel", per_channel),
        discretization=_optional("discretization", discretization, ("euler", "exponential")),
        allow_clipping=_flag("allow_clipping", allow_clipping),
        dt=number("dt", dt),
        decode=_optional("decode", decode, DECODINGS),
        reset=_optional("reset", reset, RESETS),
        r_per=_optional("r_per", r_per, PER),
        dialect=_optional("dialect", dialect, tuple(DIALECTS)),
        message_bits=whole("message_bits", message_bits, 0),
        fraction_bits=whole("fraction_bits", fraction_bits, -32),
        input_scale=number("input_scale", input_scale),
        input_shape=_shape(input_shape),
        call=_optional("call", call, tuple(stages.CALLS)),
        trace_steps=whole("trace_steps", trace_steps),
    )

    _optional("data", data, tuple(DATASETS))
    root = None if data_root is None else Path(text("data_root", data_root, "a folder or None"))
    options = encoded(encoding, steps, bits, rate, bin_us)
    source = None if data is None else SampleSource(data, root=root, **options)
    ways = _calibrated(stage, settled(stage, ways, source), source, calibration)

    return Model(
        stage, ways, {key: value for key, value in options.items() if value is not None}, root
    )


def _opened(source: object, weights: str | Path | None, trust_pickle: bool) -> Stage:
    there = stages.of(source)
    if there is None:
        path = text("source", source, MODEL)
        side = None if weights is None else text("weights", weights, "the path of a file or None")
        return stages.load(path, side, trust_pickle=_flag("trust_pickle", trust_pickle))
    if weights is not None or trust_pickle:
        raise wrong("weights" if weights is not None else "trust_pickle", weights, "left out here")
    return there


def dataset(
    name: str,
    split: str = "test",
    *,
    samples: int | None = None,
    data_root: str | Path | None = None,
) -> Dataset:
    """A data set; ``images()`` and ``labels`` are what ``attack`` takes.

    Example:
        >>> import spikeport
        >>> spikeport.dataset("digits", samples=10).images().shape
        (10, 1, 8, 8)

    Args:
        name: one of ``toolchain.data.DATASETS``.
        split: "train" or "test".
        samples: the first so many; None: all.
        data_root: folder that holds data sets; None: SPIKEPORT_DATA.

    Raises:
        ArgumentError: for arguments of the wrong type.
        DataError: where the data is absent or damaged.
    """
    one_of("name", name, tuple(DATASETS))
    one_of("split", split, SPLITS)
    root = None if data_root is None else text("data_root", data_root, "a folder or None")
    return load_data(name, split, root=root, samples=whole("samples", samples))


def opened(model: object) -> Model:
    """A model as the other calls take it: what ``load`` returned, or anything that it takes."""
    return model if isinstance(model, Model) else load(model)


def encoded(
    encoding: str | None,
    steps: int | None,
    bits: int | None,
    rate: float | None,
    bin_us: int | None,
) -> dict[str, Any]:
    """The fields of an encoding, checked; see ``toolchain.data.Encoding``."""
    values = (
        _optional("encoding", encoding, ENCODINGS),
        whole("steps", steps),
        whole("bits", bits),
        number("rate", rate),
        whole("bin_us", bin_us),
    )
    return dict(zip(ENCODED, values))


def _optional(name: str, value: object, known: Sequence[str]) -> str | None:
    return None if value is None else one_of(name, value, known)


def _flag(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise wrong(name, value, "True or False")
    return value


def _shape(value: object) -> tuple[int, ...] | None:
    if value is None:
        return None
    wanted = "a shape such as (2, 34, 34)"
    if isinstance(value, (str, Mapping)) or not isinstance(value, Sequence) or not value:
        raise wrong("input_shape", value, wanted)
    if any(isinstance(n, bool) or not isinstance(n, int) or n < 1 for n in value):
        raise wrong("input_shape", value, wanted)
    return tuple(value)


def _calibrated(stage: Stage, ways: Ways, source: SampleSource | None, value: object) -> Ways:
    if value is None:
        return ways
    if isinstance(value, (str, Path)):
        return settled(stage, ways, source, str(value))
    if isinstance(value, Mapping):
        return replace(ways, calibration=value)
    wanted = "a data set, a .npz file, or whole numbers [sample, step, ...]"
    return replace(ways, calibration=array("calibration", value, wanted))
