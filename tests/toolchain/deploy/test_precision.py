"""The cheapest integers whose predictions agree with floating point, and what each rounding costs:
Python and command line."""

from __future__ import annotations

import json

import nir
import numpy as np
import pytest
from click.testing import CliRunner

import export
import spikeport
from hardware import program_file
from tests.export.grid_graphs import chain
from tests.export.nodes import inp, out, spiking
from toolchain.cli import cli
from toolchain.deploy import precision
from toolchain.deploy.stages import Stage
from toolchain.deploy.ways import Ways
from toolchain.errors import DataError, ModelError


def outlying() -> tuple[nir.NIRGraph, np.ndarray]:
    """Ten classes whose weights are small beside one in each row, which no sample uses."""
    rng = np.random.default_rng(0)
    weight = rng.normal(0.02, 0.02, (10, 50))
    weight[:, 0] = -12
    nodes = [("in", inp(50)), ("w", nir.Linear(weight)), ("n", spiking(10, 0.5)), ("out", out(10))]
    x = (rng.random((30, 60, 50)) < 0.3).astype(np.uint8)
    x[..., 0] = 0
    told = {"n": {"reset": "zero", "threshold_comparison": ">"}, "in": {"message_bits": 0}}
    return chain(*nodes, entries={**told, "n": {**told["n"], "r_per": "step"}}), x


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """(folder, net.nir, typical.npz)."""
    folder = tmp_path_factory.mktemp("precision")
    graph, x = outlying()
    export.write(graph, folder / "net.nir")
    np.savez(folder / "typical.npz", inputs=x)
    return folder


def stage() -> tuple[Stage, Ways]:
    graph, x = outlying()
    return Stage("net.nir", "graph", graph=graph), Ways(calibration=x)


def test_the_cheapest_setting_is_taken_and_what_was_tried_is_said():
    model, ways = stage()
    some = precision.cheapest(model, ways, 0.01)
    assert [one.name for one in some.tried] == ["8 bits, one scale for each layer"]
    assert some.ways == Ways(weight_bits=8, per_channel=False)
    found = precision.cheapest(model, ways, 0.95)
    shares = [one.share for one in found.tried]
    assert len(shares) == 4
    assert max(shares[:-1]) < 0.95 <= shares[-1]
    assert found.ways == Ways(weight_bits=16)
    sizes = [one.weight_bytes for one in found.tried]
    assert sizes == [500, 500, 500, 1000]
    assert found.lines()[-1] == "taken: 16 bits: two synapses a weight"
    # what is said is what the exported Program does
    graph, x = outlying()
    exported = spikeport.export(spikeport.load(graph, calibration=x), agreement=0.95)
    assert exported.tried == found.tried
    assert [p.weight_bits for p in exported.program.projections] == [8, 8]


def test_a_share_that_no_setting_reaches_is_an_error_that_says_what_each_gave(monkeypatch):
    model, ways = stage()
    monkeypatch.setattr(precision, "SETTINGS", precision.SETTINGS[:2])
    with pytest.raises(
        ModelError, match=r"no setting reaches an agreement of 99 %: 8 bits, one .*"
    ):
        precision.cheapest(model, ways, 0.99)


def test_what_a_search_needs_and_refuses():
    model, ways = stage()
    with pytest.raises(DataError, match="typical inputs"):
        precision.cheapest(model, Ways(), 0.9)
    with pytest.raises(ModelError, match="weight_bits itself"):
        precision.cheapest(model, Ways(weight_bits=8, calibration=ways.calibration), 0.9)
    with pytest.raises(ModelError, match="at most 1"):
        precision.cheapest(model, ways, 1.5)


def test_a_setting_without_integers_is_passed_over():
    """Without a bound on the current only calibration gives it room."""
    n = np.full(3, 1.0)
    node = nir.CubaLIF(
        tau_syn=n * 2.0**40, tau_mem=n * 0.01, r=n, v_leak=0 * n, v_threshold=n, w_in=n * 2.0**38
    )
    told = {"n": {"reset": "zero"}, "in": {"message_bits": 0}}
    nodes = [("in", inp(3)), ("w", nir.Linear(np.eye(3))), ("n", node), ("out", out(3))]
    graph = chain(*nodes, entries=told)
    x = np.repeat(np.eye(3, dtype=np.uint8)[:, None], 20, axis=1)
    found = precision.cheapest(Stage("g", "graph", graph=graph), Ways(calibration=x), 0.9)
    assert [one.same is None for one in found.tried] == [True, True, False]
    assert "not possible: " in found.lines()[0]


def run(*arguments):
    return CliRunner().invoke(cli, [str(a) for a in arguments], catch_exceptions=False)


def test_export_with_an_agreement(files):
    written, facts = files / "net.h5", files / "export.json"
    typical = ("--calibration", files / "typical.npz")
    ran = run(
        "export", files / "net.nir", *typical, "--agreement", "0.95", "-o", written, "--json", facts
    )
    assert ran.exit_code == 0
    assert "taken: 16 bits: two synapses a weight" in ran.output
    assert "each weight carried by two synapses" in ran.output
    said = json.loads(facts.read_text())["agreement"]
    assert (said["asked"], len(said["tried"])) == (0.95, 4)
    assert len(program_file.load(written).projections) == 2


@pytest.mark.parametrize(
    ("more", "text"),
    [
        (["--agreement", "0.9"], "give --calibration, or --data NAME"),
        (["--agreement", "0.9", "--precise", "--calibration", "x"], "chooses --precise itself"),
        (["--agreement", "0.9", "--no-per-channel"], "chooses --per-channel itself"),
        (["--precise", "--weight-bits", "8"], "--precise is --weight-bits 16"),
    ],
)
def test_options_that_contradict_each_other(files, more, text):
    ran = run("export", files / "net.nir", "-o", files / "other.h5", *more)
    assert ran.exit_code == 2
    assert text in ran.output


@pytest.mark.parametrize(
    ("more", "bits", "exponents"),
    [
        (["--precise"], [8, 8], ()),
        (["--no-per-channel"], [8], ()),
        (["--per-channel"], [8], (10,)),
    ],
)
def test_forced_settings(files, more, bits, exponents):
    written = files / "forced.h5"
    assert run("export", files / "net.nir", "-o", written, "--force", *more).exit_code == 0
    found = program_file.load(written).projections
    assert [p.weight_bits for p in found] == bits
    assert found[0].exponent.shape == exponents


def test_audit_attributes_the_loss(files):
    facts = files / "audit.json"
    given = ("--data", files / "typical.npz", "--samples", 5)
    ran = run("audit", files / "net.nir", "--attribute", *given, "--json", facts)
    assert ran.exit_code == 0
    assert "verdict: approximate" in ran.output
    assert "what rounding costs, on 5 samples x 60 steps" in ran.output
    found = json.loads(facts.read_text())
    assert found["audit"]["verdict"] == "approximate"
    layer = found["attribution"]["layers"][0]
    assert layer["name"] == "n"
    assert layer["differ"]["weights"] > 0
    assert layer["differ"]["decays"] == 0
    graph, x = outlying()
    ours = spikeport.attribute(graph, inputs=x, samples=5)
    assert ours.to_dict() == found["attribution"]
    calibrated = spikeport.attribute(spikeport.load(graph, calibration=x))
    assert calibrated.samples == 30
    assert "what rounding costs" not in run("audit", files / "net.nir").output


def test_audit_needs_what_was_quantised_here_and_samples(files):
    with pytest.raises(DataError, match="there are no samples"):
        run("audit", files / "net.nir", "--attribute")
    graph, x = outlying()
    with pytest.raises(DataError, match="there are no samples"):
        spikeport.attribute(graph)
    program = export.lower(graph).program
    with pytest.raises(ModelError, match="not chosen here"):
        spikeport.attribute(program, inputs=x)
