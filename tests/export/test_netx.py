"""lava-dl's .net files: the meaning of every field, against an independent loop in plain numpy; and
what is refused."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
import torch

import export
import hardware
from export.errors import (
    ExportError,
    GraphError,
    GraphFileError,
    QuantizationError,
    UnsupportedError,
)

CUBA = {
    "type": "CUBA",
    "iDecay": 4096,
    "vDecay": 1024,
    "vThMant": 80,
    "refDelay": 1,
    "gradedSpike": False,
}


def write(path, *layers, **root):
    """A .net file as lava-dl's slayer writes it."""
    with h5py.File(path, "w") as file:
        file["simulation/Ts"] = 1
        for key, value in root.items():
            file[key] = value
        for number, layer in enumerate(layers):
            group = file.create_group(f"layer/{number}")
            for key, value in layer.items():
                if key == "neuron" and isinstance(value, dict):
                    for name, item in value.items():
                        group[f"neuron/{name}"] = item
                elif key == "type":
                    group["type"] = np.array([value], "S10")
                else:
                    group[key] = value
    return path


def dense(weight, **more):
    weight = np.asarray(weight, np.float32)
    return {
        "type": "dense",
        "shape": np.array([len(weight)]),
        "weight": weight,
        "neuron": CUBA,
        **more,
    }


def conv(weight, shape, **more):
    one = {
        "stride": np.array([1, 1]),
        "padding": np.array([0, 0]),
        "dilation": np.array([1, 1]),
        "groups": 1,
    }
    return {
        "type": "conv",
        "shape": np.array(shape),
        "weight": np.asarray(weight, np.float32),
        "neuron": CUBA,
        **one,
        **more,
    }


def run(path, x, **options):
    program, audit = export.netx.load(path, **options)
    return (
        program,
        audit,
        hardware.run(program, x[None], "reference", record=hardware.Record(True, True)),
    )


def tz(x, k):
    return np.sign(x) * (np.abs(x) * k >> 12)


def cuba(currents, i_decay, v_decay, threshold, bias=0):
    """lava-nc's LIF with du = iDecay - 1, dv = vDecay, bias_exp 6, in a plain loop: spikes and
    potentials."""
    u = v = np.zeros(currents.shape[1:], np.int64)
    spikes, potentials = [], []
    for a in currents:
        u = tz(u, 4096 - i_decay) + (a << 6)
        v = np.clip(tz(v, 4096 - v_decay) + u + (bias << 6), 1 - (1 << 23), (1 << 23) - 1)
        s = v > (threshold << 6)
        v = np.where(s, 0, v)
        spikes.append(s)
        potentials.append(v)
    return np.stack(spikes).astype(int), np.stack(potentials)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_the_audit_says_at_which_potential_a_neuron_fires(tmp_path):
    """At the threshold exactly no spike, as netx on Lava; slayer sends one."""
    path = write(tmp_path / "a.net", dense([[2.0]], neuron={**CUBA, "vThMant": 2}))
    _, audit, recording = run(path, np.ones((1, 1), np.uint8))
    assert recording.spikes["dense_0"].sum() == 0
    assert any(
        "strictly above its threshold (>)" in line and "slayer" in line for line in audit.reading
    )


def test_dense_layer_with_bias_and_current_decay(tmp_path, rng):
    weight, bias = rng.integers(-60, 60, (4, 6)) * 2, rng.integers(-50, 50, 4)
    neuron = {**CUBA, "iDecay": 1000, "vDecay": 300}
    path = write(tmp_path / "a.net", dense(weight, bias=bias.astype(float), neuron=neuron))
    x = rng.integers(0, 2, (40, 6))
    program, audit, recording = run(path, x)
    spikes, potentials = cuba(x @ weight.T, 1000, 300, 80, bias)
    assert spikes.sum() > 10
    np.testing.assert_array_equal(recording.spikes["dense_0"][0], spikes)
    np.testing.assert_array_equal(recording.potentials["dense_0"][0], potentials)
    assert audit.verdict == "faithful"
    assert program.metadata["fraction_bits"] == {"dense_0": 6}
    assert program.metadata["origin"]["framework"] == "lava-dl"


def test_convolution_flatten_dense_is_pytorchs_order(tmp_path, rng):
    kernel = rng.integers(-40, 40, (4, 1, 3, 2, 1)) * 2  # slayer keeps a fifth dimension
    weight = rng.integers(-40, 40, (3, 4 * 2 * 4)) * 2
    layers = [
        {"type": "input", "shape": np.array([2, 5, 6])},
        conv(
            kernel,
            (4, 2, 4),
            groups=2,
            stride=np.array([2, 1]),
            padding=np.array([1, 0]),
            dilation=np.array([2, 2]),
            bias=np.arange(4.0),
        ),
        {"type": "flatten", "shape": np.array([1, 1, 32])},
        dense(weight),
    ]
    path = write(tmp_path / "a.net", *layers)
    x = rng.integers(0, 2, (30, 2, 5, 6))
    program, _, recording = run(path, x)
    given = torch.nn.functional.conv2d(
        torch.tensor(x, dtype=torch.float64),
        torch.tensor(kernel[..., 0], dtype=torch.float64),
        None,
        (2, 1),
        (1, 0),
        (2, 2),
        2,
    )
    first, _ = cuba(given.numpy().astype(np.int64), 4096, 1024, 80, np.arange(4).reshape(-1, 1, 1))
    second, _ = cuba(first.reshape(30, -1) @ weight.T, 4096, 1024, 80)
    np.testing.assert_array_equal(recording.spikes["conv_1"][0], first)
    np.testing.assert_array_equal(recording.spikes["dense_3"][0], second)
    assert first.sum() > 20 < second.sum() + 20
    assert program.outputs[0].decode == "spike_count"


def test_recurrent_layer_gets_the_spikes_of_the_step_before(tmp_path, rng):
    weight, back = rng.integers(0, 60, (3, 4)) * 2, rng.integers(-60, 20, (3, 3)) * 2
    path = write(
        tmp_path / "a.net",
        {**dense(weight), "type": "dense_rec", "weight_rec": back.astype(np.float32)},
    )
    x = rng.integers(0, 2, (25, 4))
    _, _, recording = run(path, x)
    v, before, spikes = np.zeros(3, np.int64), np.zeros(3, np.int64), []
    for a in x:
        v = tz(v, 4096 - 1024) + ((weight @ a + back @ before) << 6)
        before = (v > 80 << 6).astype(np.int64)
        v = np.where(before, 0, v)
        spikes.append(before)
    np.testing.assert_array_equal(recording.spikes["dense_rec_0"][0], spikes)


@pytest.mark.parametrize("kind", ["one", "output", "input", "synapse"])
def test_delays_are_on_synapses(tmp_path, rng, kind):
    weight = rng.integers(0, 40, (3, 4)) * 2
    delay = {
        "one": np.array(2),
        "output": np.array([0, 1, 5]),
        "input": np.array([3, 0, 1, 2]),
        "synapse": rng.integers(0, 4, (3, 4)),
    }[kind]
    path = write(tmp_path / "a.net", dense(weight, delay=delay.astype(float)))
    each = {
        "one": delay,
        "output": delay.reshape(-1, 1),
        "input": delay.reshape(1, -1),
        "synapse": delay,
    }[kind] * np.ones((3, 4), int)
    x = rng.integers(0, 2, (20, 4))
    currents = np.zeros((20, 3), np.int64)
    for t in range(20):
        for o in range(3):
            currents[t, o] = sum(
                weight[o, i] * x[t - each[o, i], i] for i in range(4) if t >= each[o, i]
            )
    _, _, recording = run(path, x)
    np.testing.assert_array_equal(recording.spikes["dense_0"][0], cuba(currents, 4096, 1024, 80)[0])


def test_layer_without_neuron_accumulates(tmp_path, rng):
    weight = rng.integers(-40, 40, (2, 4)) * 2
    layer = dense(weight)
    del layer["neuron"]
    program, audit, recording = run(
        write(tmp_path / "a.net", layer), x := rng.integers(0, 2, (15, 4))
    )
    np.testing.assert_array_equal(
        recording.potentials["dense_0"][0], np.cumsum(x @ weight.T, axis=0) << 6
    )
    assert program.outputs[0].decode == "last_potential"
    assert any("accumulates" in r for r in audit.layer("dense_0").reasons)


@pytest.mark.parametrize(
    ("threshold", "spiking", "decode"),
    [
        (131070, True, "spike_count"),
        (131071, True, "last_potential"),
        (131072, False, "last_potential"),
    ],
)
def test_thresholds_out_of_reach_make_a_readout(tmp_path, threshold, spiking, decode):
    program, _ = export.netx.load(
        write(tmp_path / "a.net", dense([[2.0, 4.0]], neuron={**CUBA, "vThMant": threshold}))
    )
    assert program.nodes["dense_0"].spiking == spiking
    assert program.outputs[0].decode == decode


def test_input_layer_turns_an_image_into_bias(tmp_path, rng):
    layers = [
        {
            "type": "input",
            "shape": np.array([2, 3, 4]),
            "neuron": {**CUBA, "iDecay": 7, "vDecay": 900},
            "weight": np.array(40.0),
            "bias": np.array(36.0),
        },
        dense(rng.integers(-20, 20, (2, 24)) * 2),
    ]
    path = write(
        tmp_path / "a.net", layers[0], {"type": "flatten", "shape": np.array([24])}, layers[1]
    )
    image = rng.integers(-200, 200, (2, 3, 4))
    program, audit, recording = run(path, np.broadcast_to(image, (12, 2, 3, 4)))
    spikes, potentials = cuba(np.zeros((12, 2, 3, 4), np.int64), 7, 900, 80, image)
    np.testing.assert_array_equal(recording.spikes["input_0"][0], spikes)
    np.testing.assert_array_equal(recording.potentials["input_0"][0], potentials)
    assert program.inputs[0].message_bits == 13
    assert program.metadata["origin"]["input_transform"] == {"weight": [40], "bias": [36]}
    assert any("not applied here" in note for note in audit.notes)


def test_flat_input_layer(tmp_path, rng):
    path = write(
        tmp_path / "a.net",
        {"type": "input", "shape": np.array([5]), "neuron": CUBA},
        dense(rng.integers(-20, 20, (2, 5)) * 2),
    )
    x = np.broadcast_to(rng.integers(0, 90, 5), (9, 5))
    _, _, recording = run(path, x)
    np.testing.assert_array_equal(
        recording.spikes["input_0"][0], cuba(x.astype(np.int64), 4096, 1024, 80)[0]
    )


def test_decays_for_each_channel(tmp_path, rng):
    kernel = rng.integers(0, 40, (3, 1, 2, 2)) * 2
    neuron = {
        **CUBA,
        "vDecay": np.array([100, 2000, 4096]),
        "iDecay": np.array([4096, 10, 500]),
        "vThMant": np.array([90, 95, 300]),
    }
    path = write(tmp_path / "a.net", conv(kernel, (3, 3, 3), neuron=neuron))
    x = rng.integers(0, 2, (20, 1, 4, 4))
    with pytest.raises(UnsupportedError, match="say input_shape"):
        export.netx.load(path)
    _, _, recording = run(path, x, input_shape=(1, 4, 4))
    given = (
        torch.nn.functional.conv2d(
            torch.tensor(x, dtype=torch.float64), torch.tensor(kernel, dtype=torch.float64)
        )
        .numpy()
        .astype(np.int64)
    )
    column = (3, 1, 1)
    spikes, _ = cuba(
        given,
        neuron["iDecay"].reshape(column),
        neuron["vDecay"].reshape(column),
        neuron["vThMant"].reshape(column),
    )
    np.testing.assert_array_equal(recording.spikes["conv_0"][0], spikes)


@pytest.mark.parametrize(
    ("weight", "mantissas", "exponent"),
    [
        ([[3, -5]], [[6, -10]], -1),  # odd numbers of both signs: half steps
        ([[3, 255]], [[3, 255]], 0),
        ([[-3, -255]], [[-3, -255]], 0),
        ([[-256, 254]], [[-256, 254]], 0),
        ([[-256, 0]], [[-256, 0]], 0),
        ([[0, 0]], [[0, 0]], 0),
        ([[508, -512]], [[254, -256]], 1),
    ],
)
def test_weights_keep_their_value_in_the_chips_format(tmp_path, weight, mantissas, exponent):
    """Also where netx's own optimize_weight_bits fails: all zero, all negative, beyond 8 bits."""
    program, _ = export.netx.load(write(tmp_path / "a.net", dense(weight)))
    projection = program.projections[0]
    assert projection.weights.tolist() == mantissas
    assert int(projection.exponent) == exponent


@pytest.mark.parametrize(
    ("change", "kind", "text"),
    [
        (
            {"type": "pool"},
            UnsupportedError,
            "layer 0: unknown type 'pool'; it must be one of input, conv",
        ),
        ({"type": "kwta"}, UnsupportedError, "unknown type 'kwta'"),
        (
            {"neuron": {**CUBA, "type": "ALIF"}},
            UnsupportedError,
            "neuron type 'ALIF'; it must be CUBA",
        ),
        ({"neuron": {**CUBA, "type": "ADRF_PHASE"}}, UnsupportedError, "neuron type 'ADRF_PHASE'"),
        ({"neuron": {**CUBA, "type": "SDNN"}}, UnsupportedError, "neuron type 'SDNN'"),
        (
            {"neuron": {**CUBA, "refDelay": 3}},
            UnsupportedError,
            "neuron refDelay is 3; it must be 0 or 1",
        ),
        ({"neuron": {**CUBA, "gradedSpike": True}}, UnsupportedError, "gradedSpike"),
        ({"neuron": {**CUBA, "wgtExp": 2}}, UnsupportedError, "wgtExp is 2"),
        (
            {"neuron": {**CUBA, "weight_exp": 2}},
            UnsupportedError,
            "neuron 'weight_exp' is not understood",
        ),
        ({"neuron": {**CUBA, "messageBits": 16}}, UnsupportedError, "messageBits"),
        (
            {"neuron": {"type": "CUBA", "iDecay": 1, "vDecay": 1}},
            GraphFileError,
            "vThMant is missing",
        ),
        (
            {"neuron": {**CUBA, "vDecay": 5000}},
            QuantizationError,
            "vDecay is 5000 to 5000; it must be from 0 to 4096",
        ),
        (
            {"neuron": {**CUBA, "vDecay": np.array([1, 2, 3])}},
            GraphError,
            "vDecay has 3 values; there must be one, 2 or 2",
        ),
        (
            {"neuron": {**CUBA, "vThMant": np.array([5, 200_000])}},
            UnsupportedError,
            "some thresholds are out of reach",
        ),
        ({"weight_exp": 3}, UnsupportedError, "'weight_exp' is not understood"),
        ({"weight": np.full((2, 3), 0.5)}, GraphError, "weight holds numbers that are not whole"),
        ({"weight": np.full((2, 3), np.nan)}, GraphError, "not whole"),
        ({"weight": np.array([[301, -300, 0]] * 2)}, QuantizationError, "off the grid of 8 bits"),
        ({"weight": np.zeros((3, 3))}, GraphError, r"it must be \[2, in\]"),
        (
            {"weight/real": np.ones((2, 3)), "weight/imag": np.ones((2, 3))},
            UnsupportedError,
            "weight is complex",
        ),
        ({"bias": np.full(2, 9000.0)}, QuantizationError, "13 bits with sign"),
        ({"bias": np.full(2, 4097.0)}, QuantizationError, "13 bits with sign"),
        (
            {"delay": np.full(2, 63.0)},
            QuantizationError,
            "delay is 63 to 63; it must be from 0 to 62",
        ),
        ({"delay": np.full(5, 3.0)}, GraphError, "delay has shape"),
        ({"neuron": 7}, GraphFileError, "neuron is no group"),
        ({"bias": "much"}, GraphFileError, "bias is no number"),
        (
            {"shape": np.array([2, 1 << 26, 1 << 26])},
            GraphError,
            "shape is .*; it must be 1 to 3 numbers, at most 67108864 neurons",
        ),
        ({"shape": np.ones(4, int)}, GraphError, "it must be 1 to 3 numbers"),
        ({"shape": np.zeros(0, int)}, GraphError, "it must be 1 to 3 numbers"),
    ],
)
def test_what_is_not_understood_is_refused_by_name(tmp_path, change, kind, text):
    layer = dense(np.ones((2, 3)) * 2)
    if "weight/real" in change:
        del layer["weight"]
    path = write(tmp_path / "a.net", {**layer, **change})
    with pytest.raises(kind, match=text) as caught:
        export.netx.load(path)
    assert str(path) in str(caught.value)


def test_bias_of_fourteen_bits_if_even(tmp_path):
    program, _ = export.netx.load(
        write(tmp_path / "a.net", dense([[2.0]], bias=np.array([5000.0])))
    )
    assert (
        program.nodes["dense_0"].bias_state.tolist() == [5000 << 6]
        or int(program.nodes["dense_0"].bias_state) == 5000 << 6
    )


def test_recurrent_layer_with_delay_is_refused(tmp_path):
    layer = {**dense([[2.0]]), "type": "dense_rec", "weight_rec": np.array([[2.0]]), "delay": 3.0}
    with pytest.raises(UnsupportedError, match="'delay' is not understood"):
        export.netx.load(write(tmp_path / "a.net", layer))


def test_files_that_are_no_net(tmp_path):
    with pytest.raises(UnsupportedError, match="unknown group 'extra'"):
        export.netx.load(write(tmp_path / "a.net", dense([[2.0]]), extra=1))
    with pytest.raises(GraphFileError, match="there is no group 'layer'"):
        export.netx.load(write(tmp_path / "b.net"))
    with pytest.raises(GraphError, match="no layer with neurons"):
        export.netx.load(write(tmp_path / "c.net", {"type": "input", "shape": np.array([3])}))
    with pytest.raises(GraphError, match="weight has 5 inputs; 'dense_0' has shape"):
        export.netx.load(write(tmp_path / "d.net", dense([[2.0]]), dense(np.ones((2, 5)) * 2)))
    with pytest.raises(UnsupportedError, match="an input layer that is not the first"):
        export.netx.load(
            write(tmp_path / "e.net", dense([[2.0]]), {"type": "input", "shape": np.array([3])})
        )
    with pytest.raises(GraphFileError, match="neuron is no group"):
        export.netx.load(
            write(tmp_path / "g.net", {"type": "input", "shape": np.array([3]), "neuron": 1})
        )
    path = write(tmp_path / "f.net", dense([[2.0]]))
    with h5py.File(path, "r+") as file:
        file.move("layer/0", "layer/7")
    with pytest.raises(GraphFileError, match="layers are called 7; they must be called 0 to 0"):
        export.netx.load(path)
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(ExportError, match=r"f.net"):
        export.netx.load(path)
