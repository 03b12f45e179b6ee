"""Design rules: what a Program must keep so that a chip can hold it, one named function each.

A rule takes (program, chip, layers) and yields what it found; ``layers`` is the estimate of
hardware.neurocores. The name of the function is the name of the rule. Severities:

    broken      the chip cannot hold this; the Program must change
    microcode   the chip's own neuron cannot do this, a neuron program of one's own can (Loihi 2)
    note        the chip can hold this, and a reader should know it
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from hardware.arithmetic import CURRENT_LIMIT, fires
from hardware.chip import Chip, known
from hardware.lif import LIF
from hardware.neurocores import LayerPlacement, neuron_groups
from hardware.program import Convolution, CustomPopulation, Population, Program

SEVERITIES = ("broken", "microcode", "note")


class Finding(NamedTuple):
    """What a rule found; see Violation."""

    severity: str
    where: str
    value: int | str
    limit: int | str
    message: str


@dataclass(frozen=True)
class Violation:
    """A rule that does not hold: in which part of the Program, the value found, the chip's limit,
    and a sentence for people."""

    rule: str
    severity: str
    where: str
    value: int | str
    limit: int | str
    message: str


def broken(where: str, value: int | str, limit: int | str, message: str) -> Finding:
    """The chip cannot hold this."""
    return Finding("broken", where, value, limit, message)


def note(where: str, value: int | str, limit: int | str, message: str) -> Finding:
    """The chip can hold this, and a reader should know it."""
    return Finding("note", where, value, limit, message)


def _own(program: Program) -> list[Population]:
    """The populations of the chip's own neuron kind."""
    return [p for p in program.populations if isinstance(p, Population)]


def _custom(program: Program) -> list[CustomPopulation]:
    """The populations of neuron kinds that others describe."""
    return [p for p in program.populations if isinstance(p, CustomPopulation)]


def weight_bits(
    program: Program, chip: Chip, layers: Sequence[LayerPlacement]
) -> Iterator[Finding]:
    """Weights have no more bits than a synapse holds (beside the sign)."""
    limit = chip["weight_bits"]
    for p in program.projections:
        if p.weight_bits > limit:
            yield broken(
                p.name,
                p.weight_bits,
                limit,
                f"{p.weight_bits}-bit weights; the chip holds {limit} bits",
            )


def weight_exponent_range(
    program: Program, chip: Chip, layers: Sequence[LayerPlacement]
) -> Iterator[Finding]:
    """Weight exponents fit the synapse format."""
    low, high = chip["weight_exponent_min"], chip["weight_exponent_max"]
    for p in program.projections:
        for exponent in np.unique(p.exponent).tolist():
            if not low <= exponent <= high:
                yield broken(
                    p.name,
                    exponent,
                    f"{low} to {high}",
                    f"exponent {exponent}; the chip has {low} to {high}: scale the weights",
                )


def weight_exponent_per_layer(
    program: Program, chip: Chip, layers: Sequence[LayerPlacement]
) -> Iterator[Finding]:
    """A synapse format has one exponent: each further one in a layer takes a format, and the
    layer's input axons once more."""
    limit = chip["synapse_formats_per_core"]
    for population in program.populations:
        into = program.into(population.name)
        formats = sum(len(np.unique(p.exponent)) for p in into)
        if formats > limit:
            yield broken(
                population.name,
                formats,
                limit,
                f"{formats} synapse formats end in this population; a core has {limit}: use fewer "
                f"different exponents",
            )
        elif formats > len(into):
            yield note(
                population.name,
                formats,
                limit,
                f"exponents per channel: {formats} synapse formats of {limit} instead of "
                f"{len(into)}",
            )


def convolution_weight_exponent(
    program: Program, chip: Chip, layers: Sequence[LayerPlacement]
) -> Iterator[Finding]:
    """A convolution with an exponent: Lava's own model ignores it, so nobody has shown it on the
    chip."""
    for p in program.projections:
        if isinstance(p, Convolution) and np.any(p.exponent):
            yield note(
                p.name,
                int(p.exponent.max()),
                0,
                "a convolution with a weight exponent; Lava's Conv ignores its weight_exp, no "
                "public run on a chip uses one",
            )


def threshold_bits(
    program: Program, chip: Chip, layers: Sequence[LayerPlacement]
) -> Iterator[Finding]:
    """Threshold mantissas fit their register (17 bits)."""
    limit = (1 << chip["threshold_bits"]) - 1
    for p in _own(program):
        largest = 0 if p.threshold is None else int(p.threshold.max())
        if largest > limit:
            yield broken(
                p.name,
                largest,
                limit,
                f"threshold mantissa {largest}; the chip holds up to {limit}",
            )


def integrator_threshold(
    program: Program, chip: Chip, layers: Sequence[LayerPlacement]
) -> Iterator[Finding]:
    """A non-spiking integrator gets the highest threshold, which a saturated potential still
    exceeds."""
    limit = (1 << chip["threshold_bits"]) - 1
    for p in _own(program):
        if not p.spiking:
            yield note(
                p.name,
                "no threshold",
                limit,
                f"a neuron on the chip always has a threshold: at most {limit}, which a potential "
                f"above {limit << 6} exceeds",
            )


def current_decay_range(
    program: Program, chip: Chip, layers: Sequence[LayerPlacement]
) -> Iterator[Finding]:
    """The chip adds 1 to its 12-bit current decay: 1/4096 to 4096/4096, never 0."""
    high = 1 << chip["current_decay_bits"]
    for p in _own(program):
        low, top = int(p.current_decay.min()), int(p.current_decay.max())
        if low >= 1 and top <= high:
            continue
        value = low if low < 1 else top
        message = f"current_decay {value}; the chip adds 1 to what it stores, so it has 1 to {high}"
        form = _other_form(program, p)
        yield (broken if form is None else note)(
            p.name, value, f"1 to {high}", message if form is None else f"{message}. {form}"
        )


def voltage_decay_range(
    program: Program, chip: Chip, layers: Sequence[LayerPlacement]
) -> Iterator[Finding]:
    """The 12-bit voltage decay ends at 4095/4096: a potential that keeps nothing is not possible,
    though some need no such potential."""
    limit = (1 << chip["voltage_decay_bits"]) - 1
    for p in _own(program):
        value = int(p.voltage_decay.max())
        if value <= limit:
            continue
        message = f"voltage_decay {value}; the chip has 0 to {limit}"
        form = _other_form(program, p)
        if form is None:
            yield broken(
                p.name,
                value,
                f"0 to {limit}",
                f"{message}: {limit} keeps 1/4096 of the potential, which can change spikes",
            )
        else:
            yield note(p.name, value, f"0 to {limit}", f"{message}. {form}")


def _other_form(program: Program, p: Population) -> str | None:
    """How a chip computes the same with other decays, for people; None where none is known.

    A neuron that is reset in every step keeps no potential that could decay. A read-out without
    memory has v = 0 + u + bias, so its synaptic current says the same; one that adds up in its
    current can add up in its potential.
    """
    if _fires_in_every_step(program, p):
        return (
            "It fires and is reset in every step, so that every other decay, such as 0, gives the "
            "same"
        )

    if p.spiking or program.out_of(p.name) or int(p.voltage_decay.min()) < 4096:
        return None
    if int(p.current_decay.min()) >= 1:
        added = "plus the bias " if np.any(p.bias) else ""
        return (
            f"This read-out has no memory: its potential is its synaptic current {added}in every "
            f"step, so read the current instead"
        )
    if int(p.current_decay.max()) == 0 and not np.any(p.bias):
        return (
            "This read-out adds up in its synaptic current: with current_decay 4096 and "
            "voltage_decay 0 it adds up in its potential, the "
            f"same as long as the sum stays within {CURRENT_LIMIT - 1:,}"
        )
    return None


def _fires_in_every_step(program: Program, p: Population) -> bool:
    """A constant source: nothing comes in, and the bias alone exceeds every threshold from a
    potential of zero."""
    if (
        p.threshold is None
        or p.reset != "zero"
        or p.refractory
        or p.noise is not None
        or program.into(p.name)
    ):
        return False
    return bool(np.all(fires(p.bias_state, p.threshold.astype(np.int64))))


def bias_range(program: Program, chip: Chip, layers: Sequence[LayerPlacement]) -> Iterator[Finding]:
    """Bias mantissas fit their register (13 bits with the sign)."""
    half = 1 << (chip["bias_mantissa_bits"] - 1)
    for p in _own(program):
        low, high = int(p.bias.min()), int(p.bias.max())
        if low < -half or high >= half:
            value = low if low < -half else high
            yield broken(
                p.name,
                value,
                f"{-half} to {half - 1}",
                f"bias mantissa {value}; the chip holds {-half} to {half - 1}",
            )


def bias_exponent_range(
    program: Program, chip: Chip, layers: Sequence[LayerPlacement]
) -> Iterator[Finding]:
    """Bias exponents are not negative; the mantissa shifted right, with an exponent of 0, is the
    same bias."""
    limit = chip["bias_exponent_max"]
    for p in _own(program):
        here = p.name, p.bias_exponent, f"0 to {limit}"
        if np.any(p.bias) and p.bias_exponent < 0:
            message = (
                f"bias exponent {p.bias_exponent}; the chip has 0 to {limit}: the mantissa shifted "
                f"right, with exponent 0, is the same"
            )
            yield note(*here, message)
        elif np.any(p.bias) and p.bias_exponent > limit:
            yield broken(*here, f"bias exponent {p.bias_exponent}; the chip has 0 to {limit}")


def delay_range(
    program: Program, chip: Chip, layers: Sequence[LayerPlacement]
) -> Iterator[Finding]:
    """Synaptic delays fit their register."""
    limit = chip["delay_max_steps"]
    for p in program.projections:
        if p.max_delay > limit:
            yield broken(
                p.name,
                p.max_delay,
                limit,
                f"a delay of {p.max_delay} steps; the chip has up to {limit}",
            )


def convolution_delay(
    program: Program, chip: Chip, layers: Sequence[LayerPlacement]
) -> Iterator[Finding]:
    """Shared kernels have no delays."""
    for p in program.projections:
        if isinstance(p, Convolution) and p.max_delay and not chip["delay_on_convolution"]:
            yield broken(
                p.name,
                p.max_delay,
                0,
                f"a delay of {p.max_delay} steps on a convolution; the chip's convolutions have "
                f"none: use dense or sparse synapses",
            )


def neuron_parameters_per_group(
    program: Program, chip: Chip, layers: Sequence[LayerPlacement]
) -> Iterator[Finding]:
    """Decays and thresholds belong to a group of neurons, and a core has few groups."""
    limit = chip["neuron_groups_per_core"]
    for p in program.populations:
        groups = neuron_groups(p)
        if groups > limit:
            yield broken(
                p.name,
                groups,
                limit,
                f"{groups} different settings of decays and threshold; a core has {limit} neuron "
                f"groups: share parameters",
            )


def graded_input_bits(
    program: Program, chip: Chip, layers: Sequence[LayerPlacement]
) -> Iterator[Finding]:
    """Graded spikes fit into a message; Loihi 1 has none."""
    limit = chip["graded_spike_bits"]
    for p in program.inputs:
        if p.message_bits > limit:
            have = (
                f"messages of up to {limit} bits"
                if limit
                else "no graded spikes: encode the input as binary spikes"
            )
            yield broken(
                p.name, p.message_bits, limit, f"{p.message_bits} message bits; the chip has {have}"
            )


def _own_neuron_program(
    chip: Chip, where: str, value: str, what: str, limit: str = "zero"
) -> Finding:
    if chip["programmable_neurons"]:
        message = f"{what} needs a neuron program of one's own (microcode)"
        return Finding("microcode", where, value, limit, message)
    message = f"{what} is not possible: the chip has one fixed neuron model"
    return broken(where, value, limit, message)


def subtractive_reset_needs_microcode(
    program: Program, chip: Chip, layers: Sequence[LayerPlacement]
) -> Iterator[Finding]:
    """The chip's own neuron resets to zero."""
    for p in _own(program):
        if p.reset == "subtract":
            yield _own_neuron_program(chip, p.name, p.reset, "reset by subtraction")


def no_reset_needs_microcode(
    program: Program, chip: Chip, layers: Sequence[LayerPlacement]
) -> Iterator[Finding]:
    """The chip's own neuron resets to zero."""
    for p in _own(program):
        if p.reset == "none":
            yield _own_neuron_program(chip, p.name, p.reset, "a spiking neuron without reset")


def refractory_needs_microcode(
    program: Program, chip: Chip, layers: Sequence[LayerPlacement]
) -> Iterator[Finding]:
    """Loihi 1 rests up to 62 steps; Lava has no fixed-point or chip model of it, so Loihi 2 needs a
    neuron program."""
    limit = chip["refractory_max_steps"]
    for p in _own(program):
        if p.refractory <= limit:
            continue
        severity = "microcode" if chip["programmable_neurons"] else "broken"
        needs = (
            "a neuron program of one's own (microcode)"
            if chip["programmable_neurons"]
            else f"at most {limit}"
        )
        yield Finding(
            severity,
            p.name,
            p.refractory,
            limit,
            f"a refractory period of {p.refractory} steps needs {needs}",
        )


def noise_needs_microcode(
    program: Program, chip: Chip, layers: Sequence[LayerPlacement]
) -> Iterator[Finding]:
    """Our noise is compared with the threshold, is near normal, and starts anew with each sample; a
    chip's own noise does none of this.

    Loihi 1 adds pseudo-random numbers to the synaptic current, the membrane potential (where they
    stay) or the refractory delay (Davies 2018). nengo-loihi (block.py; emulator/interface.py,
    NoiseState) has them uniform in [-127, 127], plus 64 times an offset, times 2**(exponent - 7),
    with exponent, offset and place shared by a core, from a generator that is seeded once for a
    run. Of Loihi 2 it is public that neuron programs can use noise, amplitude times a pseudo-random
    number (lava-optimization, its stochastic neurons); how its numbers are made is not.
    """
    own = (
        "the chip's own noise is another: uniform numbers with a power-of-two scale for a whole "
        "core, kept in the current or the "
        "potential, not restarted with a sample"
    )
    for p in _own(program):
        if p.noise is not None:
            severity = "microcode" if chip["programmable_neurons"] else "broken"
            needs = (
                "needs a neuron program of one's own (microcode)"
                if chip["programmable_neurons"]
                else "is not possible"
            )
            what = f"noise of sigma {p.noise.sigma} on the comparison with the threshold {needs}"
            yield Finding(severity, p.name, p.noise.sigma, 0, f"{what}; {own}")


def neuron_kind_needs_microcode(
    program: Program, chip: Chip, layers: Sequence[LayerPlacement]
) -> Iterator[Finding]:
    """A neuron kind that its description says the chip's own neuron cannot be."""
    for p in _custom(program):
        if p.description.microcode:
            what = f"neuron kind {p.kind!r}: {p.description.microcode}"
            yield _own_neuron_program(chip, p.name, p.kind, what, LIF.name)


def neuron_parameter_bits(
    program: Program, chip: Chip, layers: Sequence[LayerPlacement]
) -> Iterator[Finding]:
    """Parameters of a neuron kind that others describe fit the registers that it names."""
    for p in _custom(program):
        for parameter in p.description.parameters:
            if parameter.register is None:
                continue
            bits, value = chip[parameter.register], p.parameters[parameter.name]
            signed = parameter.low < 0
            low, high = (
                (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
            )
            smallest, largest = int(value.min()), int(value.max())
            if smallest < low or largest > high:
                extreme = smallest if smallest < low else largest
                message = f"{parameter.name} {extreme}; the chip holds {low} to {high}"
                yield broken(p.name, extreme, f"{low} to {high}", message)


def convolution_synapses(
    program: Program, chip: Chip, layers: Sequence[LayerPlacement]
) -> Iterator[Finding]:
    """Without convolution synapses a compiler must lay kernels out; how well it shares them is not
    known here."""
    if chip["convolution_synapse"]:
        return
    for p in program.projections:
        if isinstance(p, Convolution):
            yield note(
                p.name,
                "convolution",
                "none",
                "the chip has no convolution synapse; memory is counted for every synapse, which "
                "is an upper bound",
            )


def _resource(resource: str, remedy: str, layers: Sequence[LayerPlacement]) -> Iterator[Finding]:
    for layer in layers:
        use = layer.uses[resource]
        if use.used > use.maximum:
            words = resource.replace("_", " ")
            yield broken(
                layer.population,
                use.used,
                use.maximum,
                f"a core would hold {use.used} {words} of {use.maximum}: {remedy}",
            )


def input_axons_per_core(
    program: Program, chip: Chip, layers: Sequence[LayerPlacement]
) -> Iterator[Finding]:
    """Even a single neuron's sources must reach one core."""
    yield from _resource("input_axons", "reduce the fan-in", layers)


def output_axons_per_core(
    program: Program, chip: Chip, layers: Sequence[LayerPlacement]
) -> Iterator[Finding]:
    """Even a single neuron's targets must be listed in one core."""
    yield from _resource("output_axons", "use fewer or smaller targets", layers)


def synaptic_memory_per_core(
    program: Program, chip: Chip, layers: Sequence[LayerPlacement]
) -> Iterator[Finding]:
    """Even a single neuron's synapses must fit one core."""
    yield from _resource("synaptic_memory_words", "reduce the fan-in or the kernel", layers)


def cores_per_chip(
    program: Program, chip: Chip, layers: Sequence[LayerPlacement]
) -> Iterator[Finding]:
    """All populations fit on one chip; where a table of another source counts more cores, the
    finding names it."""
    cores, limit = sum(layer.cores for layer in layers), chip["cores_per_chip"]
    if cores > limit:
        largest = max(layers, key=lambda layer: layer.cores)
        others = [other for other in map(Chip.load, known()) if other.generation == chip.generation]
        enough = [other.name for other in others if other["cores_per_chip"] >= cores]
        also = f"; by other sources' count of cores it fits {', '.join(enough)}" if enough else ""
        yield broken(
            largest.population,
            cores,
            limit,
            f"{cores} cores ({largest.cores} of them for this population); a chip has {limit}: "
            f"{-(-cores // limit)} chips would be needed{also}",
        )


Rule = Callable[[Program, Chip, Sequence[LayerPlacement]], Iterator[Finding]]

RULES: tuple[Rule, ...] = (
    weight_bits,
    weight_exponent_range,
    weight_exponent_per_layer,
    convolution_weight_exponent,
    threshold_bits,
    integrator_threshold,
    current_decay_range,
    voltage_decay_range,
    bias_range,
    bias_exponent_range,
    delay_range,
    convolution_delay,
    neuron_parameters_per_group,
    graded_input_bits,
    subtractive_reset_needs_microcode,
    no_reset_needs_microcode,
    refractory_needs_microcode,
    noise_needs_microcode,
    neuron_kind_needs_microcode,
    neuron_parameter_bits,
    convolution_synapses,
    input_axons_per_core,
    output_axons_per_core,
    synaptic_memory_per_core,
    cores_per_chip,
)
"""Every design rule, in the order of a report."""


def violations(
    program: Program, chip: Chip, layers: Sequence[LayerPlacement]
) -> tuple[Violation, ...]:
    """Run every rule."""
    return tuple(
        Violation(rule.__name__, *finding)
        for rule in RULES
        for finding in rule(program, chip, layers)
    )
