"""Noise that a graph states: the Program draws it, the audit says what is native, the float
simulation draws the same."""

from __future__ import annotations

import nir
import numpy as np
import pytest

import export
import hardware
from export.errors import QuantizationError
from hardware.noise import Noise
from tests.export.grid_graphs import chain
from tests.export.nodes import inp, out, spiking

F = 6


def graph(*, noise=(Noise(5, 1500), Noise(6, 800)), seeds=None):
    """Two spiking layers on a grid of 2**-6 V."""
    rng = np.random.default_rng(0)
    first, second = (rng.integers(-40, 60, (9, 8)) * 2 / 64, rng.integers(-40, 60, (4, 9)) * 2 / 64)
    entries = {"in": {"message_bits": 0}, "out": {"decode": "spike_count"}}
    for name, one in zip(("a", "b"), noise):
        grid = {"fraction_bits": F, "current_decay": 4096, "voltage_decay": 0, "threshold": 64}
        if one is not None:
            grid["noise"] = {"seed": one.seed, "sigma": one.sigma}
        entries[name] = {
            "reset": "zero",
            "threshold_comparison": ">",
            "refractory": 0,
            "grid": grid,
        }
    for name in ("wa", "wb"):
        entries[name] = {
            "grid": {"weight_bits": 8, "fraction_bits": F, "exponent": 0, "source_fraction_bits": 0}
        }
    nodes = [
        ("in", inp(8)),
        ("wa", nir.Linear(first)),
        ("a", spiking(9)),
        ("wb", nir.Linear(second)),
        ("b", spiking(4)),
        ("out", out(4)),
    ]
    return chain(*nodes, entries=entries)


def test_noise_reaches_the_program_and_the_audit_says_what_is_native():
    program, audit = export.lower(graph(noise=(Noise(5, 1500), None)))
    assert [p.noise for p in program.populations] == [Noise(5, 1500), None]
    assert audit.verdict == "faithful"
    layer = audit.layer("a")
    sigma = layer.parameter("noise_sigma")
    assert (float(sigma.represented), int(sigma.integers), sigma.unit) == (1500 / 4096, 1500, "V")
    assert any("seed 5" in reason and "microcode" in reason for reason in layer.reasons)
    assert "noise_sigma" in audit.table()
    assert not any("noise" in reason for reason in audit.layer("b").reasons)


def test_the_same_noise_in_two_populations_is_refused():
    with pytest.raises(QuantizationError, match="population 'b': its noise has the seed 5 of 'a'"):
        export.lower(graph(noise=(Noise(5, 1500), Noise(5, 800))))


def test_noise_survives_the_file(tmp_path):
    export.write(graph(), tmp_path / "noisy.nir")
    program, _ = export.lower(export.read(tmp_path / "noisy.nir"))
    assert program.fingerprint == export.lower(graph()).program.fingerprint


def test_floating_point_simulation_draws_the_same_noise():
    """On a grid of 2**-6 V the simulation in float64 has no rounding: calibration sees the spikes
    of the Program."""
    from export import metadata
    from export.check import checked
    from export.neurons import discretize
    from export.passes.subgraphs import flatten, without_virtual
    from export.shapes import infer
    from export.simulate import simulate
    from export.trace import trace

    inputs = np.random.default_rng(1).integers(0, 2, (3, 12, 8))
    recording = hardware.run(
        export.lower(graph()).program,
        {"in": inputs},
        "reference",
        record=hardware.Record(True, True),
    )
    flat = flatten(checked(graph()))
    shapes = infer(flat.nodes, flat.edges)
    flat = without_virtual(flat)
    traced = trace(flat, shapes, 1e-3)
    entries = metadata.of(graph())["nodes"]
    neurons = {
        n: discretize(n, flat.nodes[n], shapes[n][0], entries[n], 1e-3, "euler")
        for n in traced.ways
    }
    result = simulate(traced, neurons, {"in": inputs}, record=True)
    for name in ("a", "b"):
        np.testing.assert_array_equal(result.spikes[name], recording.spikes[name])
        np.testing.assert_array_equal(result.potentials[name] * 4096, recording.potentials[name])
