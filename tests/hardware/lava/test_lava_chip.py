"""Target loihi2, as far as it can be tested without the chip and without Intel's closed
back-end."""

from __future__ import annotations

import numpy as np
import pytest

from hardware.lava.errors import LavaEnvironmentError
from hardware.targets import run
from tests.hardware.lava.endless import data, network

pytestmark = pytest.mark.lava


@pytest.fixture(scope="module")
def answers(inside):
    """The chip's graph with stand-ins for the closed adapters."""
    return inside("chip")


def test_without_the_back_end_the_error_says_exactly_what_is_missing():
    with pytest.raises(
        LavaEnvironmentError,
        match=r"lava-loihi.*missing: lava\.utils\.loihi2_profiler, "
        r".*lava\.proc\.embedded_io.*SLURM",
    ):
        run(network(), data(1), "loihi2")


def test_the_back_end_is_found_by_its_modules(answers):
    assert answers["without"].startswith("LavaEnvironmentError")
    assert answers["with"] is None


def test_the_chips_graph_gives_the_references_spikes_where_the_adapters_pass_spikes_on(answers):
    assert answers["interval"] == 16, "the chip wants a power of two"
    assert answers["spikes"] > 50
    assert answers["differences"] == 0


def test_spikes_on_delayed_synapses_fade_before_the_next_sample(answers):
    interval, spikes, differences = answers["delayed"]
    assert interval == 16, "8 steps and 5 for the delays, up to a power of two"
    assert spikes > 10
    assert differences == 0


def test_what_the_chip_cannot_hold_is_refused_by_name(answers):
    assert "LavaUnsupportedError: population 'map': reset 'subtract'" in answers["custom_reset"]
    assert "custom microcode" in answers["custom_reset"]
    assert "with noise needs custom microcode" in answers["noise"]
    assert "LavaUnsupportedError: projection 'dense'" in answers["delay"]


def test_values_of_24_bits_are_sign_extended(inside):
    values = inside("sink")
    assert values == [[-1, 1, -(1 << 23), (1 << 23) - 1]] * 2, (
        "from the chip; and unchanged from the simulator"
    )
    assert np.ravel(values).dtype.kind == "i"
