"""The target "software": the PyTorch model itself, recorded layer by layer in the same form as
every other target.

A layer of toolchain.layers computes the Program's integers, so its potentials are recorded as those
integers (int32) and must equal the Program's. Any other model is floating point: its potentials are
float32, in units of the state's lsb, and a comparison measures what quantisation changed.

A Recording holds potentials after the reset of the step. snnTorch's neurons, unless reset_delay is
False, show the potential before a reset that comes one step later; what they show is converted
here, so that like is compared with like.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from hardware.chunks import Chunk, Options, Progress
from hardware.program import CustomPopulation, Input, Output, Population, Program
from hardware.recording import Record, Recording
from hardware.reference import run_sample
from hardware.targets import collect, run
from toolchain import calls
from toolchain.errors import ModelError
from toolchain.layers.neuron import Neuron, NeuronRun
from toolchain.whole import whole

if TYPE_CHECKING:
    from export.frameworks import snntorch_neurons

BATCH = 64
"""Samples in one forward pass, unless the caller says otherwise."""


class _Trace:
    """Spikes and potentials of one neuron layer during one forward pass, step by step, [batch,
    *shape] each."""

    def __init__(self) -> None:
        self.spikes: list[torch.Tensor] = []
        self.potentials: list[torch.Tensor] = []


def record(
    module: nn.Module,
    program: Program,
    inputs: Mapping[str, np.ndarray],
    *,
    call: str | None = None,
    record: Record = Record(),
    batch: int | None = None,
    progress: Progress | None = None,
) -> Recording:
    """Run a model on the Program's integer inputs (name → [sample, step, *shape]) and record the
    layers that the Program has.

    call   how the model is called where it has no ``spikeport_io()``, see ``toolchain.calls``

    Raises ModelError where a population has no neuron of that name in the model, or the call is
    unknown.
    """
    if len(program.inputs) != 1:
        raise ModelError(
            f"target software: the Program has {len(program.inputs)} inputs; there must be one"
        )
    describe = getattr(module, "spikeport_io", None)
    how = describe()["call"] if callable(describe) else call
    if how not in calls.OVER_TIME:
        raise ModelError(
            f"target software: the model does not say how it is called, and call is {how!r}; "
            f"it must be one of {', '.join(calls.OVER_TIME)}"
        )
    modules = dict(module.named_modules())
    neurons = {}
    maxima = set(program.metadata.get("maxima", ()))
    for name in program.order:
        if name in maxima:
            continue  # its spikes follow from what it pools
        if name in modules:
            neurons[name] = modules[name]
        elif program.into(name):
            raise ModelError(
                f"target software: the Program's layer {name!r} is no module of the model"
            )
    source = program.inputs[0].name
    scale = 2.0 ** -float(program.metadata.get("input_fraction_bits", {}).get(source, 0))

    def target(
        program: Program, arrays: dict[str, np.ndarray], options: Options
    ) -> Iterator[Chunk]:
        size = options.batch or BATCH
        array = arrays[source]
        for start in range(0, len(array), size):
            part = array[start : start + size]
            traces = _forward(module, neurons, part, scale, how)
            yield _chunk(program, neurons, part, source, traces, options.potentials)

    return collect(
        program, dict(inputs), "software", target, record=record, batch=batch, progress=progress
    )


def _forward(
    module: nn.Module, neurons: Mapping[str, nn.Module], part: np.ndarray, scale: float, how: str
) -> dict[str, _Trace]:
    """One forward pass without gradient, in evaluation mode; the model is left as it was."""
    traces = {name: _Trace() for name in neurons}
    modes = {m: m.training for m in module.modules()}
    device = next(
        (t.device for t in (*module.parameters(), *module.buffers())), torch.device("cpu")
    )
    x = torch.from_numpy(np.ascontiguousarray(part.swapaxes(0, 1), np.float32)).to(device) * scale

    try:
        module.eval()
        with torch.no_grad(), _watched(neurons, traces):
            if how == "constant" and not bool((x == x[:1]).all()):
                raise ModelError(
                    "target software: the model presents one input in every step itself; the "
                    "inputs differ between steps"
                )
            calls.reset(module)
            for _ in calls.outputs(module, x, how):
                pass  # what the layers compute is watched
            calls.reset(module)
    except IndexError as error:
        raise ModelError(
            f"target software: the model reaches beyond the {len(x)} time steps of its inputs "
            f"({error}); give data with as many steps as the model wants"
        ) from error
    finally:
        for m, training in modes.items():
            m.training = training

    return traces


@contextmanager
def _watched(neurons: Mapping[str, nn.Module], traces: dict[str, _Trace]) -> Iterator[None]:
    """Every neuron layer writes what it computes into its trace."""
    undo: list[Callable[[], None]] = []
    try:
        for name, neuron in neurons.items():
            if isinstance(neuron, Neuron):
                # over the method, of this one object; taken off again below
                vars(neuron)["_run"] = _recorded_run(neuron, traces[name])
                undo.append(partial(delattr, neuron, "_run"))
            else:
                undo.append(neuron.register_forward_hook(_hook(traces[name])).remove)
        yield
    finally:
        for action in undo:
            action()


def _recorded_run(neuron: Neuron, trace: _Trace) -> Callable[..., NeuronRun]:
    """The neuron's own ``_run``, which also keeps every step's spikes and potentials."""
    original = neuron._run

    def run(
        current: torch.Tensor, states: Sequence[torch.Tensor | None], traces: bool
    ) -> NeuronRun:
        spikes, after = original(current, states, True)
        potentials = after[neuron.states.index("mem")]
        trace.potentials += list(potentials.unbind(0))
        if spikes is not None:
            trace.spikes += list(spikes.unbind(0))
        return spikes, after if traces else [state[-1:] for state in after]

    return run


def _hook(trace: _Trace) -> Callable[[nn.Module, Any, Any], None]:
    """For neurons in snnTorch's form: spikes come first and the potential last, or the potential is
    the attribute ``mem``."""

    def hook(module: nn.Module, arguments: Any, output: Any) -> None:
        several = isinstance(output, tuple)
        trace.spikes.append((output[0] if several else output).detach().clone())
        potential = output[-1] if several else getattr(module, "mem", None)
        if isinstance(potential, torch.Tensor):
            trace.potentials.append(potential.detach().clone())

    return hook


def _chunk(
    program: Program,
    neurons: Mapping[str, nn.Module],
    part: np.ndarray,
    source: str,
    traces: dict[str, _Trace],
    wanted: Collection[str],
) -> Chunk:
    samples, steps = part.shape[:2]
    spikes: dict[str, np.ndarray] = {source: part}
    potentials: dict[str, np.ndarray] = {}
    populations = {population.name: population for population in program.populations}

    for name in program.order:
        population = populations[name]
        shape = (samples, steps, *population.shape)
        if name in program.metadata.get("maxima", ()):
            spikes[name], potential = _maximum(program, population, spikes)
            if name in wanted:
                potentials[name] = potential
            continue

        # a constant source: it has no module, because the model's bias needs none
        if name not in neurons:
            read = Output(name, "spike_count" if population.spiking else "last_potential")
            alone = Program((program.inputs[0],), (population,), (), (read,))
            spikes[name], potential = _constant(alone, part, name)
            if name in wanted:
                potentials[name] = potential
            continue

        trace = traces[name]
        theirs = (
            None
            if isinstance(neurons[name], Neuron)
            else _snntorch(name, neurons[name], population.shape)
        )
        if population.spiking:
            sent = _stack(trace.spikes, shape, name)
            sent = sent if theirs is None else sent / theirs.spike_scale
            spikes[name] = whole(sent, np.uint8, f"target software: spikes of layer {name!r}", 0, 1)

        if name in wanted:
            values = _stack(trace.potentials, shape, name).astype(np.float64)
            if theirs is not None and population.spiking:
                values = theirs.after_reset(values, spikes[name].astype(bool))
            values *= 2.0 ** (float(program.metadata["fraction_bits"][name]) + 6)
            if isinstance(neurons[name], Neuron):
                potentials[name] = whole(
                    values, np.int32, f"target software: potentials of layer {name!r}"
                )
            else:
                potentials[name] = values.astype(np.float32)
    return Chunk(spikes, potentials)


def _snntorch(
    name: str, module: nn.Module, shape: tuple[int, ...]
) -> snntorch_neurons.SnntorchNeuron | None:
    """One of snnTorch's neurons as the exporter reads it, which knows what its potential is; None
    for other modules."""
    from export.frameworks import snntorch_neurons

    neuron = snntorch_neurons.leaf(name, module)
    if neuron is not None:
        neuron.see_shapes(shape)
    return neuron


def _stack(parts: list[torch.Tensor], shape: tuple[int, ...], name: str) -> np.ndarray:
    """[step][batch, ...] → [batch, step, *shape]."""
    if len(parts) != shape[1] or any(p.numel() != np.prod(shape) // shape[1] for p in parts):
        held = f"{len(parts)} steps of {[tuple(p.shape) for p in parts[:1]]}"
        raise ModelError(f"target software: layer {name!r} gave {held}; the Program's has {shape}")
    stacked: np.ndarray = torch.stack(parts, dim=1).reshape(shape).cpu().numpy()
    return stacked


def _maximum(
    program: Program, pool: Population | CustomPopulation, spikes: Mapping[str, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Spikes and potentials of a population that pools spikes: it keeps nothing between steps, so
    they follow from the spikes that the model's neurons sent, whatever the model calls its pool."""
    name, into = pool.name, program.into(pool.name)
    sources = {p.source: np.asarray(spikes[p.source]) for p in into}
    inputs = tuple(Input(n, program.nodes[n].shape) for n in sources)
    alone = Program(inputs, (pool,), tuple(into), (Output(name, "spike_count"),))
    recording = run(alone, sources, "fast", record=Record(spikes=True, potentials=True))
    return recording.spikes[name], recording.potentials[name]


def _constant(alone: Program, part: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Spikes and potentials of a population without sources, which depend on nothing but the number
    of steps."""
    spikes, potentials = run_sample(alone, {alone.inputs[0].name: part[0]})
    sent, trace = (
        np.broadcast_to(array, (len(part), *array.shape))
        for array in (spikes[name], potentials[name])
    )
    return sent, trace
