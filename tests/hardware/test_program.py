"""Every rule of a Program has an example that breaks it; the error names the part and what is
accepted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hardware import program as module
from hardware.errors import ProgramError
from hardware.noise import Noise
from hardware.program import (
    Convolution,
    Dense,
    Input,
    Output,
    Population,
    Program,
    Sparse,
    sign_mode,
)
from tests.examples import many
from tests.strategies import FLAVOURS, programs, weight_array

ONES = np.ones((3, 4), int)
KERNEL = np.full((2, 1, 3, 3), 2)


def network(**changes) -> Program:
    parts = {
        "inputs": (Input("in", (4,)),),
        "populations": (Population("a", (3,)), Population("b", (2,), threshold=None)),
        "projections": (
            Dense("in-a", "in", "a", ONES),
            Dense("a-b", "a", "b", np.ones((2, 3), int)),
        ),
        "outputs": (Output("b", "last_potential"),),
    }
    return Program(**(parts | changes))


def convolution_network(**changes) -> Program:
    source, target = changes.pop("source", (1, 6, 6)), changes.pop("target", (2, 4, 4))
    projection = Convolution("conv", "in", "a", changes.pop("weights", KERNEL), **changes)
    return Program(
        (Input("in", source),), (Population("a", target),), (projection,), (Output("a"),)
    )


def dense(**changes) -> Dense:
    return Dense(**({"name": "d", "source": "in", "target": "a", "weights": ONES} | changes))


def sparse(**changes) -> Sparse:
    return Sparse(
        **(
            {
                "name": "s",
                "source": "in",
                "target": "a",
                "weights": [1, 2],
                "rows": [0, 1],
                "columns": [0, 1],
            }
            | changes
        )
    )


BROKEN = {
    # names
    "no name": (
        lambda: Input("", (1,)),
        "input: a name is 1 to 200 printable characters without '/', not ''",
    ),
    "slash in name": (lambda: Population("a/b", (1,)), "population: a name is 1 to 200"),
    "dot as name": (lambda: Population("..", (1,)), "population: a name is 1 to 200"),
    "long name": (lambda: Input("x" * 201, (1,)), "a name is 1 to 200"),
    "unprintable name": (lambda: Input("a\n", (1,)), "a name is 1 to 200"),
    "name is a number": (lambda: Input(3, (1,)), "a name is 1 to 200"),
    "projection name": (lambda: dense(name=""), "projection: a name is 1 to 200"),
    "source name": (lambda: dense(source=3), "dense projection 'd' source: a name"),
    "target name": (lambda: dense(target="/"), "dense projection 'd' target: a name"),
    "output name": (lambda: Output(["a"]), "output: a name is 1 to 200"),
    # shapes
    "shape is no tuple": (
        lambda: Input("i", 3),
        "input 'i': shape must be a tuple of positive integers, not 3",
    ),
    "shape of text": (
        lambda: Input("i", "12"),
        "shape must be a tuple of positive integers, not '12'",
    ),
    "shape of reals": (
        lambda: Input("i", (2.5,)),
        "shape must be a tuple of positive integers, not (2.5,)",
    ),
    "shape empty": (lambda: Input("i", ()), "shape must have 1 to 3 positive dimensions"),
    "shape of four": (
        lambda: Population("p", (1, 1, 1, 1)),
        "population 'p': shape must have 1 to 3",
    ),
    "shape of zero": (
        lambda: Population("p", (0,)),
        "population 'p': shape must have 1 to 3 positive dimensions",
    ),
    "too many neurons": (
        lambda: Population("p", (1 << 14, 1 << 13)),
        "has more than 67108864 neurons",
    ),
    # input
    "message bits": (
        lambda: Input("i", (1,), message_bits=25),
        "input 'i': message_bits is 25; it must be from 0 to 24",
    ),
    "message bits vector": (
        lambda: Input("i", (1,), message_bits=[1, 2]),
        "message_bits has shape (2,); it must be one number",
    ),
    # population
    "current decay high": (
        lambda: Population("p", (1,), current_decay=4097),
        "current_decay is 4097; it must be from 0 to 4096",
    ),
    "current decay low": (
        lambda: Population("p", (1,), current_decay=-1),
        "current_decay is -1; it must be from 0 to 4096",
    ),
    "voltage decay": (
        lambda: Population("p", (2,), voltage_decay=[0, 4097]),
        "voltage_decay is 4097; it must be from 0 to 4096",
    ),
    "real decay": (
        lambda: Population("p", (1,), voltage_decay=0.5),
        "voltage_decay must be integers, not float64",
    ),
    "boolean threshold": (
        lambda: Population("p", (1,), threshold=True),
        "threshold must be integers, not bool",
    ),
    "ragged threshold": (
        lambda: Population("p", (2, 2), threshold=[[1], [1, 2]]),
        "threshold is not an array: its rows differ",
    ),
    "threshold high": (
        lambda: Population("p", (1,), threshold=1 << 17),
        "threshold is 131072; it must be from 0 to 131071",
    ),
    "threshold low": (
        lambda: Population("p", (1,), threshold=-1),
        "threshold is -1; it must be from 0 to 131071",
    ),
    "threshold per channel": (
        lambda: Population("p", (2, 3), threshold=[1, 2]),
        "threshold has shape (2,); it must be one number, or",
    ),
    "bias high": (
        lambda: Population("p", (1,), bias=4096),
        "bias is 4096; it must be from -4096 to 4095",
    ),
    "bias low": (
        lambda: Population("p", (1,), bias=-4097),
        "bias is -4097; it must be from -4096 to 4095",
    ),
    "bias beyond 64 bit": (
        lambda: Population("p", (1,), bias=1 << 80),
        "bias must be integers, not object",
    ),
    "bias exponent": (
        lambda: Population("p", (1,), bias_exponent=8),
        "bias_exponent is 8; it must be from -7 to 7",
    ),
    "bias exponents": (
        lambda: Population("p", (2,), bias_exponent=[1, 2]),
        "bias_exponent has shape (2,); it must be one number",
    ),
    "reset": (
        lambda: Population("p", (1,), reset="soft"),
        "reset is 'soft'; it must be one of zero, subtract, none",
    ),
    "reset amount high": (
        lambda: Population("p", (1,), reset="subtract", reset_amount=1 << 23),
        "reset_amount is 8388608",
    ),
    "reset amount low": (
        lambda: Population("p", (1,), reset="subtract", reset_amount=-1),
        "reset_amount is -1; it must be from 0 to",
    ),
    "reset amount alone": (
        lambda: Population("p", (1,), reset_amount=1),
        "reset_amount goes with reset 'subtract', not 'zero'",
    ),
    "noise": (
        lambda: Population("p", (1,), noise=3),
        "noise is a int; it must be None or a hardware.noise.Noise",
    ),
    "noise of an integrator": (
        lambda: Population("p", (1,), threshold=None, noise=Noise(0, 1)),
        "compares nothing with a threshold",
    ),
    "refractory": (
        lambda: Population("p", (1,), refractory=-1),
        "refractory is -1; it must be from 0 to 32768",
    ),
    "integrator with reset": (
        lambda: Population("p", (1,), threshold=None, reset="none"),
        "a non-spiking integrator (threshold None) has no",
    ),
    "integrator with rest": (
        lambda: Population("p", (1,), threshold=None, refractory=1),
        "has no reset, no reset_amount and no refractory",
    ),
    # projections
    "weight range": (
        lambda: dense(weights=ONES * 256),
        "dense projection 'd': weights is 256; it must be from -256 to 255",
    ),
    "weight low": (
        lambda: dense(weights=ONES * -257),
        "weights is -257; it must be from -256 to 255",
    ),
    "real weights": (lambda: dense(weights=ONES * 1.0), "weights must be integers, not float64"),
    "odd mixed weights": (
        lambda: dense(weights=[[1, -2]]),
        "weights in [-2, 1] are not on the grid of 8 bits: they must be multiples of 2 in",
    ),
    "255 beside negative": (lambda: dense(weights=[[255, -2]]), "not on the grid of 8 bits"),
    "coarse grid": (
        lambda: dense(weights=ONES * 8, weight_bits=4),
        "grid of 4 bits: they must be multiples of 32 in [-256, 224], or of one sign",
    ),
    "weight bits": (lambda: dense(weight_bits=0), "weight_bits is 0; it must be from 1 to 8"),
    "exponent high": (lambda: dense(exponent=8), "exponent is 8; it must be from -8 to 7"),
    "exponent low": (lambda: dense(exponent=-9), "exponent is -9; it must be from -8 to 7"),
    "exponent matrix": (
        lambda: dense(exponent=[[1]]),
        "exponent has shape (1, 1); it must be one number, or one for each",
    ),
    "exponents": (
        lambda: network(projections=(dense(exponent=[1, 2]),)),
        "2 exponents; there must be one, or one for each of the 3 channels of 'a'",
    ),
    "dense vector": (
        lambda: dense(weights=[1, 2]),
        "weights have shape (2,); it must be [target neuron, source neuron]",
    ),
    "dense shape": (
        lambda: network(projections=(dense(weights=ONES.T),)),
        "weights have shape (4, 3); 'a' from 'in' needs (3, 4)",
    ),
    "dense delay": (lambda: dense(delay=63), "delay is 63; it must be from 0 to 62"),
    "dense delays": (
        lambda: dense(delay=[1, 2]),
        "delay has shape (2,); it must be one number, or one for each synapse, (3, 4)",
    ),
    "sparse lengths": (
        lambda: sparse(rows=[0]),
        "must be vectors of one length, not (2,), (1,), (2,)",
    ),
    "sparse row": (
        lambda: sparse(rows=[0, -1]),
        "sparse projection 's': rows is -1; it must be from 0 to 67108863",
    ),
    "sparse column": (
        lambda: sparse(columns=[0, 1 << 26]),
        "columns is 67108864; it must be from 0 to",
    ),
    "sparse twice": (
        lambda: sparse(rows=[1, 1], columns=[3, 3]),
        "the synapse from neuron 3 to neuron 1 occurs twice",
    ),
    "sparse delays": (
        lambda: sparse(delay=[1, 2, 3]),
        "delay has shape (3,); it must be one number, or one for each synapse, (2,)",
    ),
    "sparse ends": (
        lambda: network(projections=(sparse(rows=[0, 3]),)),
        "a synapse to neuron 3 from neuron 1; 'a' has 3 neurons, 'in' 4",
    ),
    "kernel": (
        lambda: convolution_network(weights=np.ones((2, 1), int)),
        "weights have shape (2, 1); it must be [out, in / groups, length]",
    ),
    "empty kernel": (
        lambda: convolution_network(weights=np.ones((2, 1, 0, 3), int)),
        "weights have shape (2, 1, 0, 3)",
    ),
    "stride": (
        lambda: convolution_network(stride=(1, 0)),
        "convolution projection 'conv': stride is 0; it must be from 1 to 32768",
    ),
    "one stride": (
        lambda: convolution_network(stride=(1,)),
        "stride is (1,); it must be 2 numbers, one for each spatial dimension",
    ),
    "padding": (
        lambda: convolution_network(padding=(0, -1)),
        "padding is -1; it must be from 0 to 32768",
    ),
    "dilation": (
        lambda: convolution_network(dilation=(0, 1)),
        "dilation is 0; it must be from 1 to 32768",
    ),
    "groups": (
        lambda: convolution_network(groups=3),
        "2 output channels cannot be divided into 3 groups",
    ),
    "convolution right shift": (
        lambda: convolution_network(exponent=-1),
        "exponent is -1; it must be from 0 to 7",
    ),
    "convolution delay": (
        lambda: convolution_network(delay=[1, 2]),
        "delay must be one number for the whole convolution",
    ),
    "convolution dimensions": (
        lambda: convolution_network(source=(1, 6)),
        "source 'in' has shape (1, 6); a kernel (2, 1, 3, 3) needs 3 dimensions",
    ),
    "convolution channels": (
        lambda: convolution_network(source=(2, 6, 6)),
        "source 'in' has 2 channels; 1 groups of 1 are needed",
    ),
    "kernel too large": (
        lambda: convolution_network(source=(1, 6, 2)),
        "the kernel (3, 3) does not fit into source 'in' of shape (1, 6, 2)",
    ),
    "convolution target": (
        lambda: convolution_network(target=(2, 4, 5)),
        "gives shape (2, 4, 4); target 'a' has shape (2, 4, 5)",
    ),
    # output and Program
    "decoding": (
        lambda: Output("a", "argmax"),
        "output 'a': decode is 'argmax'; it must be one of spike_count, last_potential",
    ),
    "inputs": (
        lambda: network(inputs=Input("in", (4,))),
        "inputs: is a Input; it must be a tuple of Input",
    ),
    "wrong part": (
        lambda: network(inputs=(Population("in", (4,)),)),
        "inputs: holds Population; each must be a Input",
    ),
    "bare projection": (
        lambda: network(projections=(module.Projection("p", "in", "a", ONES),)),
        "projections: holds Projection",
    ),
    "no outputs": (
        lambda: network(outputs=()),
        "needs at least one input, one population and one output",
    ),
    "metadata": (lambda: network(metadata={"a": object()}), "metadata must be plain JSON values"),
    "NaN in metadata": (
        lambda: network(metadata={"a": float("nan")}),
        "metadata must be plain JSON values",
    ),
    "node twice": (lambda: network(inputs=(Input("a", (4,)),)), "the name 'a' is used twice"),
    "projection twice": (
        lambda: network(projections=(dense(), dense())),
        "the name 'd' is used twice",
    ),
    "output twice": (
        lambda: network(outputs=(Output("a"), Output("a"))),
        "the name 'a' is used twice",
    ),
    "unknown end": (
        lambda: network(projections=(dense(target="x"),)),
        "projection 'd': there is no population 'x'; there are in, a, b",
    ),
    "into an input": (
        lambda: network(projections=(dense(source="a", target="in"),)),
        "projection 'd': its target 'in' is an input",
    ),
    "integrator as source": (
        lambda: network(projections=(dense(source="b", target="a"),)),
        "its source 'b' is a non-spiking integrator",
    ),
    "unknown output": (
        lambda: network(outputs=(Output("in"),)),
        "output 'in': there is no such population; there are a, b",
    ),
    "noise shared": (
        lambda: network(
            populations=(
                Population("a", (3,), noise=Noise(7, 1)),
                Population("b", (2,), noise=Noise(7, 2)),
            )
        ),
        "population 'b': its noise has the seed 7 of 'a': both would have the same noise",
    ),
    "silent output": (
        lambda: network(outputs=(Output("b"),)),
        "output 'b': a non-spiking integrator has no spikes to count",
    ),
    "accumulator": (
        lambda: network(
            inputs=(Input("in", (4,), message_bits=24),), projections=(dense(weights=ONES * 64),)
        ),
        "the weighted input may reach 2147483648; the accumulator holds less than 2147483648",
    ),
    "sparse accumulator": (
        lambda: network(
            inputs=(Input("in", (4,), message_bits=24),),
            projections=(sparse(rows=[1, 1], weights=[255, 1]),),
        ),
        "the weighted input may reach 2147483648",
    ),
    "loop": (
        lambda: Program(
            (Input("in", (2,)),),
            (Population("a", (2,)), Population("b", (2,))),
            (
                Dense("ab", "a", "b", np.ones((2, 2), int)),
                Dense("ba", "b", "a", np.ones((2, 2), int)),
            ),
            (Output("b"),),
        ),
        "a loop through several synapses: a, b; a loop must lead from a population to itself",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_rule_is_named(case):
    make, message = BROKEN[case]
    with pytest.raises(ProgramError) as error:
        make()
    assert message in str(error.value)


def test_the_unbroken_examples_are_accepted():
    assert network()
    assert convolution_network()
    assert dense()
    assert sparse()
    network(
        inputs=(Input("in", (4,), message_bits=24),),
        projections=(dense(weights=[[63, 64, 64, 64]] * 3),),
    )


def test_extremes_are_accepted():
    Population(
        "p",
        (2,),
        current_decay=[0, 4096],
        voltage_decay=[4096, 0],
        threshold=(1 << 17) - 1,
        bias=[-4096, 4095],
        bias_exponent=-7,
    )
    for bits, weights in (
        (8, [-256, 254]),
        (8, [255, 0]),
        (8, [-255, -1]),
        (8, [-256, 0]),
        (1, [-256, 0]),
        (1, [128, 0]),
        (1, [-128, 0]),
    ):
        dense(weights=[weights], weight_bits=bits, exponent=7, delay=62)


@settings(max_examples=many(100), deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(FLAVOURS), st.integers(1, 8))
def test_sign_mode_says_in_which_format_the_chip_keeps_the_weights(seed, flavour, bits):
    """Against the rule of lava.utils.weightutils, written here a second time, from its three sign
    modes."""
    weights = weight_array(np.random.default_rng(seed), (3, 3), flavour, bits)

    def on_chip(mode):
        low, high = {"mixed": (-256, 255), "excitatory": (0, 255), "inhibitory": (-255, 0)}[mode]
        magnitude = np.clip(weights, low, high) * (-1 if mode == "inhibitory" else 1)
        zeros = 8 - bits + (mode == "mixed")
        return ((magnitude >> zeros) << zeros) * (-1 if mode == "inhibitory" else 1)

    found = sign_mode(weights, bits)
    assert np.array_equal(on_chip(found), weights)
    for mode in ("excitatory", "inhibitory"):
        if found == "mixed":
            assert not np.array_equal(on_chip(mode), weights)


def test_weights_off_every_grid_have_no_sign_mode():
    assert sign_mode(np.array([1, -1]), 8) is None
    assert sign_mode(np.array([3]), 7) is None
    assert sign_mode(np.array([-256, 255]), 8) is None


def test_arrays_are_read_only_copies():
    weights = ONES.copy()
    made = dense(weights=weights)
    weights[:] = 7
    assert made.weights.max() == 1
    for array in (
        made.weights,
        made.exponent,
        sparse().rows,
        Population("p", (2,), bias=[1, 2]).bias,
    ):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0
    with pytest.raises(AttributeError):
        made.weights = ONES
    with pytest.raises(TypeError):
        network().metadata["a"] = 1


def test_sparse_synapses_have_one_order():
    one = sparse(weights=[5, 6, 7], rows=[2, 0, 0], columns=[0, 3, 1], delay=[1, 2, 3])
    assert (one.rows.tolist(), one.columns.tolist(), one.weights.tolist(), one.delay.tolist()) == (
        [0, 0, 2],
        [1, 3, 0],
        [7, 6, 5],
        [3, 2, 1],
    )
    assert (
        sparse(weights=np.zeros(0, int), rows=np.zeros(0, int), columns=np.zeros(0, int)).max_delay
        == 0
    )


def test_order_depth_and_ends():
    program = Program(
        (Input("in", (2,)),),
        (Population("late", (2,)), Population("early", (2,)), Population("free", (1,))),
        (
            Dense("a", "early", "late", np.ones((2, 2), int)),
            Dense("b", "in", "early", np.ones((2, 2), int)),
            Dense("skip", "in", "late", np.ones((2, 2), int)),
            Dense("self", "late", "late", np.ones((2, 2), int)),
        ),
        (Output("late"),),
    )
    assert program.order == ("early", "late", "free")
    assert dict(program.depth) == {"in": 0, "early": 1, "late": 2, "free": 0}
    assert [p.name for p in program.into("late")] == ["a", "skip", "self"]
    assert [p.name for p in program.out_of("in")] == ["b", "skip"]
    assert [p.recurrent for p in program.projections] == [False, False, False, True]


def test_bias_and_reset_in_units_of_the_state():
    population = Population(
        "p", (2,), threshold=[3, 5], bias=[-5, 5], bias_exponent=-1, reset="subtract"
    )
    assert population.bias_state.tolist() == [-3, 2]
    assert population.subtracted.tolist() == [192, 320]
    assert replace(population, reset_amount=7).subtracted == 7
    assert Population("q", (1,)).subtracted is None


def test_fingerprint_covers_what_is_computed_and_nothing_else():
    base = network()
    assert network(metadata={"made": "elsewhere"}).fingerprint == base.fingerprint
    changed = {
        network(populations=(Population("a", (3,), bias=1), base.populations[1])).fingerprint,
        network(populations=(Population("a", (3,), refractory=1), base.populations[1])).fingerprint,
        network(projections=(dense(name="in-a", delay=1), base.projections[1])).fingerprint,
        network(
            projections=(dense(name="in-a", weights=ONES * 2), base.projections[1])
        ).fingerprint,
        network(outputs=(Output("b", "max_potential"),)).fingerprint,
        network(inputs=(Input("in", (4,), message_bits=1),)).fingerprint,
        network(
            populations=(Population("a", (3,), noise=Noise(1, 5)), base.populations[1])
        ).fingerprint,
        network(
            populations=(Population("a", (3,), noise=Noise(2, 5)), base.populations[1])
        ).fingerprint,
        network(
            populations=(Population("a", (3,), noise=Noise(1, 6)), base.populations[1])
        ).fingerprint,
    }
    assert len(changed | {base.fingerprint}) == 10


@settings(max_examples=40, deadline=None)
@given(programs())
def test_random_programs_stand_in_order(program):
    seen = {part.name for part in program.inputs}
    for name in program.order:
        assert all(p.recurrent or p.source in seen for p in program.into(name))
        seen.add(name)
    assert len(repr(program)) < 200


@pytest.mark.parametrize("entry", ["steps", "encoding", "bits", "rate", "seed"])
def test_fingerprint_covers_how_data_becomes_input(entry):
    data = {"name": "digits", "encoding": "direct", "steps": 8, "bits": 4, "rate": 0.5, "seed": 1}
    base = network(metadata={"data": data, "source": "one.nir"})
    assert network(metadata={"data": data, "source": "other.nir"}).fingerprint == base.fingerprint
    changed = network(metadata={"data": data | {entry: "latency" if entry == "encoding" else 0.25}})
    assert changed.fingerprint != base.fingerprint


@pytest.mark.parametrize("entry", ["fraction_bits", "input_fraction_bits"])
def test_fingerprint_covers_what_the_integers_mean(entry):
    one, other = (network(metadata={entry: {"a": bits}}) for bits in (4, 5))
    assert one.fingerprint != other.fingerprint
