"""Encoders: integers in the range that the Program's input will have, the same for a sample
wherever it stands."""

from __future__ import annotations

import numpy as np
import pytest

from hardware.program import Input
from toolchain.data import Encoding, inputs, load
from toolchain.data.datasets import Dataset
from toolchain.errors import DataError


def images(values, name="digits", maximum=16):
    values = np.asarray(values, np.uint8)
    return Dataset(
        name,
        "test",
        values.reshape(len(values), 1, 1, -1),
        np.zeros(len(values), np.int64),
        (1, 1, values.shape[-1]),
        maximum,
    )


def test_direct_repeats_the_image():
    encoded = Encoding("direct", steps=3).encode(images([[0, 5, 16]]), slice(None))
    assert encoded.shape == (1, 3, 1, 1, 3)
    assert encoded[0, :, 0, 0].tolist() == [[0, 5, 16]] * 3


@pytest.mark.parametrize(
    ("name", "maximum", "bits", "expected", "top"),
    [
        ("digits", 16, None, (6, 4), 16),
        ("digits", 16, 2, (4, 2), 4),
        ("mnist", 255, None, (9, 8), 255),
        ("mnist", 255, 4, (5, 4), 15),
        ("mnist", 255, 1, (2, 0), 1),
    ],
)
def test_the_input_format_holds_every_value_and_full_intensity_is_one(
    name, maximum, bits, expected, top
):
    encoding = Encoding("direct", steps=1, bits=bits)
    message_bits, fraction_bits = encoding.input_format(name)
    assert (message_bits, fraction_bits) == expected
    encoded = encoding.encode(images([[0, maximum]], name, maximum), slice(None))
    assert encoded.max() == top
    low, high = Input("input", (1,), message_bits).value_range
    assert low <= 0 <= top <= high
    assert 0.5 <= top * 2.0**-fraction_bits <= 1
    assert high < 4 * top  # no wasted bits beyond the sign


def test_binary_encodings_have_binary_inputs():
    assert Encoding("poisson").input_format("mnist") == (0, 0)
    assert Encoding("latency").input_format("digits") == (0, 0)
    assert Encoding("events").input_format("nmnist") == (0, 0)


def test_poisson_rates_follow_intensity_and_seed():
    data = images(np.tile([0, 4, 8, 16], (200, 1)))
    encoded = Encoding("poisson", steps=50, rate=0.5, seed=3).encode(data, slice(None))
    assert set(np.unique(encoded)) == {0, 1}
    np.testing.assert_allclose(encoded.mean((0, 1)).ravel(), [0, 0.125, 0.25, 0.5], atol=0.02)
    again = Encoding("poisson", steps=50, rate=0.5, seed=3)
    assert np.array_equal(again.encode(data, np.array([150, 3])), encoded[[150, 3]])
    assert not np.array_equal(again.encode(data, slice(0, 5), epoch=1), encoded[:5])
    assert not np.array_equal(
        Encoding("poisson", steps=50, rate=0.5, seed=4).encode(data, slice(0, 5)), encoded[:5]
    )
    assert not np.array_equal(encoded[0], encoded[1])
    full = Encoding("poisson", steps=20).encode(images([[16, 0]]), slice(None))
    assert full[0, :, 0, 0].tolist() == [[1, 0]] * 20


def test_poisson_spikes_never_change():
    # drawn from raw words of a counter-based generator, so neither numpy's version nor the platform
    # matters
    encoded = Encoding("poisson", steps=4, seed=7).encode(images([[8] * 8]), slice(None))
    assert np.packbits(encoded).tobytes().hex() == "7a889f6f"


def test_latency_is_one_spike_the_brighter_the_earlier():
    encoded = Encoding("latency", steps=5).encode(images([[0, 1, 8, 16]]), slice(None))[0, :, 0, 0]
    assert encoded.sum(0).tolist() == [0, 1, 1, 1]
    assert encoded.argmax(0)[1:].tolist() == [4, 2, 0]
    assert Encoding("latency", steps=1).encode(images([[0, 1, 16]]), slice(None))[
        0, 0, 0, 0
    ].tolist() == [0, 1, 1]


def test_events_fall_into_bins():
    events = np.array([[0, 0, 1, 2], [999, 0, 1, 2], [1000, 1, 33, 0], [5000, 0, 0, 0]], np.int32)
    data = Dataset("nmnist", "test", [events], np.array([0]), (2, 34, 34), 0)
    encoded = Encoding("events", steps=3).encode(data, slice(None))
    assert encoded.shape == (1, 3, 2, 34, 34)
    assert np.argwhere(encoded[0]).tolist() == [[0, 0, 1, 2], [1, 1, 33, 0]]
    assert Encoding("events", steps=3, bin_us=2000).encode(data, slice(None)).sum() == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "rate"}, "kind is 'rate'; it must be one of direct, direct_signed, poisson"),
        ({"steps": 0}, "encoding: steps is 0; it must be a whole number from 1 to 65,536"),
        ({"steps": 2.0}, "steps is 2.0"),
        ({"bits": 9}, "bits is 9"),
        ({"kind": "poisson", "rate": 0}, "rate is 0; it must be a finite number above 0 to 1"),
        ({"kind": "poisson", "rate": float("nan")}, "rate is nan"),
        ({"kind": "poisson", "rate": True}, "rate is True"),
        ({"kind": "poisson", "seed": -1}, "seed is -1"),
        (
            {"kind": "latency", "bits": 4},
            "bits goes with encoding 'direct' or 'direct_signed' or 'poisson'",
        ),
        ({"kind": "direct", "seed": 1}, "seed goes with encoding 'poisson' or 'poisson_signed'"),
        ({"kind": "direct", "bin_us": 500}, "bin_us goes with encoding 'events'"),
    ],
)
def test_unusable_encodings_are_refused(arguments, message):
    with pytest.raises(DataError, match=message):
        Encoding(**arguments)


def test_images_are_no_events():
    with pytest.raises(DataError, match="direct, direct_signed, poisson, poisson_signed, latency"):
        Encoding("events").input_format("digits")
    with pytest.raises(DataError, match="it must be one of events"):
        Encoding("direct").input_format("nmnist")


def test_a_model_states_its_encoding_in_words_that_give_it_back():
    for encoding in (
        Encoding("direct", 12),
        Encoding("direct", 3, bits=2),
        Encoding("poisson", 5, rate=0.5, seed=9),
        Encoding("events", 7, bin_us=10),
    ):
        described = encoding.describe()
        assert Encoding.from_description({"name": "x", **described}) == encoding
    with pytest.raises(DataError, match="steps is 'many'"):
        Encoding.from_description({"encoding": "direct", "steps": "many"})


def test_inputs_come_from_the_models_own_words():
    arrays, labels = inputs({"name": "digits", "encoding": "latency", "steps": 4}, samples=5)
    data = load("digits", "test", samples=5)
    assert np.array_equal(arrays, Encoding("latency", 4).encode(data, slice(None)))
    assert np.array_equal(labels, data.labels)
    for description in ({}, {"name": "digits"}, {"name": 3, "encoding": "direct"}):
        with pytest.raises(DataError, match="does not say how its data is encoded"):
            inputs(description)


@pytest.mark.parametrize(
    ("name", "maximum", "bits", "expected"),
    [
        ("digits", 16, None, (5, 3)),
        ("digits", 16, 2, (3, 1)),
        ("mnist", 255, None, (8, 7)),
        ("mnist", 255, 1, (2, 0)),
    ],
)
def test_signed_levels_are_twice_the_level_less_one(name, maximum, bits, expected):
    data = images([range(maximum + 1)], name, maximum)
    plain, signed = Encoding("direct", 1, bits), Encoding("direct_signed", 1, bits)
    assert signed.input_format(name) == expected
    level = plain.encode(data, slice(None)) * 2.0 ** -plain.input_format(name)[1]
    encoded = signed.encode(data, slice(None))
    np.testing.assert_array_equal(encoded * 2.0 ** -signed.input_format(name)[1], 2 * level - 1)
    low, high = Input("input", (1,), expected[0]).value_range
    assert low <= encoded.min() < 0 < encoded.max() <= high
    assert high < 2 * max(encoded.max(), -encoded.min())  # no wasted bits


def test_signed_poisson_is_signed_and_its_mean_is_the_signed_level():
    data = images(np.tile([0, 4, 8, 12, 16], (200, 1)))
    encoding = Encoding("poisson_signed", steps=50, rate=0.5)
    encoded = encoding.encode(data, slice(None))
    assert encoding.input_format("digits") == (2, 0)
    assert set(np.unique(encoded)) == {-1, 0, 1}
    np.testing.assert_allclose(encoded.mean((0, 1)).ravel(), [-0.5, -0.25, 0, 0.25, 0.5], atol=0.02)
    assert np.all(encoded[:, :, 0, 0, 0] <= 0)
    assert np.all(encoded[:, :, 0, 0, 4] >= 0)


@pytest.mark.parametrize(
    ("kind", "share"), [("poisson", 255 / 256), ("poisson_signed", 2 * 255 / 256 - 1)]
)
def test_poisson_draws_with_the_level_that_an_attacked_image_has(kind, share):
    data = images([[255] * 100] * 100, "mnist", 255)
    silent = 1 - np.abs(Encoding(kind, steps=20).encode(data, slice(None))).mean()
    expected, count = 1 - share, 100 * 100 * 20
    assert abs(silent - expected) < 5 * np.sqrt(
        expected * (1 - expected) / count
    )  # and not 0, as of value / 255


@pytest.mark.parametrize("kind", ["poisson", "poisson_signed"])
def test_poisson_can_be_prequantised(kind):
    rough = Encoding(kind, steps=20, bits=1).encode(images([[0, 7, 8, 15, 16]]), slice(None))
    assert np.array_equal(
        rough, Encoding(kind, steps=20, bits=1).encode(images([[0, 0, 8, 8, 16]]), slice(None))
    )
    assert np.array_equal(
        rough, Encoding(kind, steps=20).encode(images([[0, 0, 8, 8, 16]]), slice(None))
    )
