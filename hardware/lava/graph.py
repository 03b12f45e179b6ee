"""A Program as a graph of Lava processes. Imported by the worker alone.

Time. Lava's synapses send what they gathered one step earlier, so a population at depth k
(``Program.depth``) computes the program's step s of sample n in Lava's time step n * interval + s +
k + 1. LIFReset with that offset starts every sample from zero state while the samples stream
through back to back. A delay line holds the spikes that take a shorter way, or that are delayed;
its gate keeps out what would arrive after the end of the sample. Where single synapses have
different delays, Lava's own DelayDense or DelaySparse holds spikes that no gate can reach any more,
so a gap follows each sample in which they fade.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from lava.proc.conv.process import Conv
from lava.proc.dense.process import DelayDense, Dense
from lava.proc.lif.process import LIFReset
from lava.proc.sparse.process import DelaySparse, Sparse
from lava.utils.weightutils import SignMode
from scipy.sparse import csr_matrix

from hardware import program as ir
from hardware.lava import layout
from hardware.lava.errors import LavaUnsupportedError
from hardware.lava.processes.delay import DelayLine
from hardware.lava.processes.files import FileSink, FileSource
from hardware.lava.processes.neurons import CustomResetLIF, NoisyLIF, ProbedLIFReset
from hardware.populations import Node

NEVER_FIRES = 1 << 17
"""Shifted left by 6 it lies above the potential's saturation; 131071, the chip's largest threshold,
does not."""

CONV_LIMIT = 127
"""Lava keeps kernel size, stride, padding, dilation and groups of a convolution in int8."""


@dataclass(frozen=True)
class Stream:
    """Samples of one run: ``steps`` each, ``samples`` in all, stored ``chunk`` to a file in
    ``folder``; whose potentials to keep."""

    steps: int
    samples: int
    chunk: int
    folder: Path
    potentials: frozenset[str]


def delays_differ(projection: ir.Projection) -> bool:
    """Single synapses with different delays: a matter for Lava's own delayed synapses."""
    return bool(
        projection.delay.ndim
        and projection.delay.size
        and projection.delay.min() != projection.delay.max()
    )


class LavaGraph:
    """Lava processes of a Program.

    processes   all of them
    interval    Lava time steps from the beginning of one sample to that of the next
    lag         depth of the deepest population that is written
    """

    def __init__(self, program: ir.Program, stream: Stream) -> None:
        self.program, self.stream = program, stream
        self.interval = self._interval()
        self.processes: list[Any] = []
        self._spikes: dict[str, Any] = {}
        self._activations: dict[str, Any] = {}

        for number, part in enumerate(program.inputs):
            self._spikes[part.name] = self._input(
                part, self._file(part, f"input-{number}", part.message_bits > 0)
            )

        written = []
        for number, name in enumerate(program.order):
            population = program.population(name)
            assert isinstance(population, ir.Population), (
                "the registry of targets refuses other kinds"
            )
            neurons = self._add(self._neurons(population))
            self._spikes[name], self._activations[name] = neurons.s_out, neurons.a_in
            if population.spiking:
                written.append(name)
                self._write_spikes(neurons, self._file(population, f"spikes-{number}", False))
            if name in stream.potentials:
                written.append(name)
                self._write_potentials(
                    neurons, self._file(population, f"potentials-{number}", True)
                )

        self.lag = max((program.depth[name] for name in written), default=0)
        for projection in program.projections:
            self._connect(projection)

    def last_step(self, samples: int) -> int:
        """Lava time step after which everything of the first ``samples`` samples is written."""
        return (samples - 1) * self.interval + self.stream.steps + self.lag

    def _add(self, process: Any) -> Any:
        self.processes.append(process)
        return process

    def _interval(self) -> int:
        return self.stream.steps + max(
            (p.max_delay for p in self.program.projections if delays_differ(p)), default=0
        )

    def _input(self, part: ir.Input, file: dict[str, Any]) -> Any:
        """The port from which an input's spikes come."""
        return self._add(FileSource(**file)).s_out

    def _write_spikes(self, neurons: Any, file: dict[str, Any]) -> None:
        neurons.s_out.connect(self._add(FileSink(**file)).a_in)

    def _write_potentials(self, neurons: Any, file: dict[str, Any]) -> None:
        neurons.v_out.connect(self._add(FileSink(**file)).a_in)

    def _first_step(self, name: str) -> int:
        return self.program.depth[name] + 1

    def _file(self, part: Node, name: str, wide: bool) -> dict[str, Any]:
        return {
            "shape": layout.lava_shape(part.shape),
            "frame": layout.frame_shape(part.shape),
            "axes": layout.axes(part.shape),
            "path": str(self.stream.folder / name),
            "dtype": "<i4" if wide else "|u1",
            "first_step": self._first_step(part.name),
            "interval": self.interval,
            "steps": self.stream.steps,
            "samples": self.stream.samples,
            "chunk": self.stream.chunk,
        }

    def _neurons(self, population: ir.Population) -> LIFReset:
        parameters = self._lif_parameters(population)
        if not needs_custom_neuron(population):
            return ProbedLIFReset(**parameters)

        subtracted = population.subtracted
        if subtracted is None:
            subtracted = np.zeros((), np.int64)
        parameters |= {
            "spike_reset": population.reset,
            "reset_amount": _parameter(subtracted, population.shape),
            "refractory_period": population.refractory,
        }

        if population.noise is None:
            return CustomResetLIF(**parameters)
        order = layout.positions(population.shape)
        return NoisyLIF(
            noise_seed=population.noise.seed,
            noise_sigma=population.noise.sigma,
            neuron_order=order,
            **parameters,
        )

    def _lif_parameters(self, population: ir.Population) -> dict[str, Any]:
        """Arguments of Lava's LIFReset; ``du`` is the current's decay less one, because Lava's
        model adds one."""
        shape, threshold = population.shape, population.threshold
        return {
            "shape": layout.lava_shape(shape),
            "du": _parameter(population.current_decay - 1, shape),
            "dv": _parameter(population.voltage_decay, shape),
            "vth": NEVER_FIRES if threshold is None else _parameter(threshold, shape),
            "bias_mant": _parameter(population.bias, shape),
            "bias_exp": population.bias_exponent,
            "reset_interval": self.interval,
            "reset_offset": self._first_step(population.name),
        }

    def _connect(self, projection: ir.Projection) -> None:
        source, target = (
            self.program.nodes[projection.source],
            self.program.nodes[projection.target],
        )

        delay = 0 if delays_differ(projection) else projection.max_delay
        hold = (
            delay
            if projection.recurrent
            else delay + self.program.depth[target.name] - self.program.depth[source.name] - 1
        )
        spikes = self._spikes[source.name]
        crosses = (
            delay
            or projection.recurrent
            or (delays_differ(projection) and projection.source in self.program.order)
        )

        if hold or crosses:
            spikes = self._held(
                projection,
                source,
                spikes,
                hold,
                max(0, self.stream.steps - delay - projection.recurrent),
            )

        activation = self._activations[target.name]
        if isinstance(projection, ir.Convolution):
            parts = _convolution(projection, source, source.message_bits)
        else:
            parts = _matrices(projection, source, target, source.message_bits)
        for synapses in parts:
            self._add(synapses)
            _join(spikes, synapses.s_in)
            _join(synapses.a_out, activation)

    def _held(
        self, projection: ir.Projection, source: Node, spikes: Any, hold: int, open_steps: int
    ) -> Any:
        """Spikes that come ``hold`` steps later, those of the first ``open_steps`` steps of each
        sample alone."""
        line = DelayLine(
            shape=layout.lava_shape(source.shape),
            delay=hold,
            first_step=self._first_step(source.name),
            interval=self.interval,
            open_steps=open_steps,
        )
        spikes.connect(self._add(line).s_in)
        return line.s_out


def needs_custom_neuron(population: ir.Population) -> bool:
    """Whether Lava (and the chip's own neuron) has no model of how it fires, or of what follows a
    spike."""
    return population.reset != "zero" or population.refractory > 0 or population.noise is not None


def _parameter(value: np.ndarray, shape: tuple[int, ...]) -> int | np.ndarray:
    """One number as a Python integer, as Lava declares it; numbers for each neuron as a Lava map,
    which its models honour."""
    return int(value) if value.ndim == 0 else layout.to_lava(value, shape)


def _join(out_port: Any, in_port: Any) -> None:
    """Connect two ports of one size; Lava wants the shapes to be equal."""
    (out_port if out_port.shape == in_port.shape else out_port.reshape(in_port.shape)).connect(
        in_port
    )


def _matrices(
    projection: ir.Projection, source: Node, target: Node, message_bits: int
) -> Iterator[Any]:
    """One dense or sparse Lava process for each exponent: Lava's weight exponent belongs to the
    whole process."""
    columns = layout.positions(source.shape)
    rows = layout.positions(target.shape)
    exponents = projection.exponent_per_neuron(target.shape).ravel()
    delayed = delays_differ(projection)

    for exponent in np.unique(exponents):
        common = {
            "weight_exp": int(exponent),
            "num_weight_bits": projection.weight_bits,
            "sign_mode": SignMode[projection.sign_mode.upper()],
            "num_message_bits": message_bits,
        }
        if isinstance(projection, ir.Dense):
            weights = np.where((exponents == exponent)[:, None], projection.weights, 0)[
                np.ix_(rows, columns)
            ]
            if not delayed:
                yield Dense(weights=weights, **common)
            else:
                yield DelayDense(
                    weights=weights,
                    delays=projection.delay[np.ix_(rows, columns)].astype(int),
                    max_delay=projection.max_delay,
                    **common,
                )
            continue

        assert isinstance(projection, ir.Sparse), "convolutions are made apart"
        chosen = exponents[projection.rows] == exponent
        place = (
            np.argsort(rows)[projection.rows[chosen]],
            np.argsort(columns)[projection.columns[chosen]],
        )
        weights = csr_matrix(
            (projection.weights[chosen], place), shape=(target.size, source.size), dtype=np.int32
        )

        if not delayed:
            yield Sparse(weights=weights, **common)
        else:
            delays = csr_matrix((projection.delay[chosen].astype(int), place), shape=weights.shape)
            yield DelaySparse(
                weights=weights, delays=delays, max_delay=projection.max_delay, **common
            )


def _convolution(projection: ir.Convolution, source: Node, message_bits: int) -> Iterator[Any]:
    """Lava's Conv knows no exponent and no weight bits: the weights are shifted beforehand."""
    where = f"convolution projection {projection.name!r}"
    sizes = {
        "kernel_size": layout.spatial(projection.kernel_size, 1),
        "stride": layout.spatial(projection.stride, 1),
        "padding": layout.spatial(projection.padding, 0),
        "dilation": layout.spatial(projection.dilation, 1),
    }

    for name, values in (*sizes.items(), ("groups", (projection.groups,))):
        if max(values) > CONV_LIMIT:
            raise LavaUnsupportedError(
                f"{where}: {name} is {max(values)}; Lava's convolution keeps it in 8 bits, "
                f"it must be at most {CONV_LIMIT}"
            )

    channels = projection.weights.shape[0]
    exponents = np.broadcast_to(projection.exponent, (channels,)).astype(np.int64)
    weights = projection.weights.astype(np.int64) << exponents.reshape(
        (-1,) + (1,) * (projection.weights.ndim - 1)
    )
    largest = max(abs(v) for v in (source.value_range if isinstance(source, ir.Input) else (0, 1)))
    total = int(np.abs(weights).reshape(channels, -1).sum(axis=1).max()) * largest
    if total >= 1 << 31:
        raise LavaUnsupportedError(
            f"{where}: the weighted input may reach {total}; Lava's convolution holds less than "
            f"{1 << 31}: "
            "use fewer message bits or a smaller exponent"
        )

    yield Conv(
        weight=layout.kernel(weights).astype(np.int32),
        input_shape=layout.lava_shape(source.shape),
        stride=sizes["stride"],
        padding=sizes["padding"],
        dilation=sizes["dilation"],
        groups=projection.groups,
        num_weight_bits=projection.weight_bits,
        num_message_bits=message_bits,
    )
