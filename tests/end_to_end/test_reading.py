"""A .nir that leaves something open, on the command line: asked for, said, kept in a copy."""

from __future__ import annotations

import json
from itertools import pairwise

import h5py
import nir
import numpy as np
import pytest


@pytest.fixture
def open_nir(tmp_path):
    """IF with r per second, tau in steps, no v_reset, a batch of 1; and data for it."""
    nodes = {
        "input": nir.Input(np.array([1, 6])),
        "fc": nir.Linear(np.random.default_rng(0).normal(0.2, 0.4, (4, 6))),
        "if": nir.IF(r=np.full(4, 300.0), v_threshold=np.ones(4)),
        "lif": nir.LIF(
            tau=np.full(4, 200.0),
            r=np.full(4, 2e5),
            v_leak=np.zeros(4),
            v_threshold=np.full(4, 100.0),
        ),
        "output": nir.Output(np.array([1, 4])),
    }
    nir.write(tmp_path / "open.nir", nir.NIRGraph(nodes, list(pairwise(nodes)), type_check=False))
    with h5py.File(tmp_path / "open.nir", "r+") as file:
        for name in ("if", "lif"):
            del file[f"node/nodes/{name}/v_reset"]
    np.savez(
        tmp_path / "data.npz",
        inputs=(np.random.default_rng(1).random((3, 12, 6)) < 0.4).astype(np.uint8),
    )
    return "open.nir"


TOLD = ("--dt", "1e-3", "--reset", "subtract", "--r-per", "second")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ((), ["--dt", "--reset (zero, subtract, none)", "--dialect"]),
        (
            ("--dt", "1e-3"),
            ["--reset (zero, subtract, none)", "'if' (IF)", "--r-per (step or second)"],
        ),
        (TOLD[2:], ["'if' (IF)", "--dt", "2 nodes"]),
        ((*TOLD, "--dialect", "nir"), ["--r-per", "--dialect"]),
        (("--dialect", "snntorch"), ["'if' (IF)", "snnTorch"]),
    ],
)
def test_what_is_open_is_asked_for_by_every_command(refused, open_nir, given, words):
    refused("export", open_nir, *given, "-o", "out.h5", words=words)
    refused("check", open_nir, *given, words=words)
    for command in ("run", "compare"):
        targets = ("--targets", "fast,reference") if command == "compare" else ()
        refused(command, open_nir, *given, "--data", "data.npz", *targets, words=words)


def test_every_command_says_how_it_read_the_file(spikeport, open_nir):
    for command in (
        ("run", "--data", "data.npz"),
        ("check", "--allow-microcode"),
        ("compare", "--data", "data.npz", "--targets", "fast,reference"),
    ):
        code, printed, _ = spikeport(command[0], open_nir, *TOLD, *command[1:])
        assert code == 0
        assert (
            "reading    reset subtract: given by the caller; the file states none. The other "
            "readings: zero, none" in printed
        )
        assert "reading    r of IF and I counts per second (given by the caller)" in printed
        assert "warning: node 'lif' (LIF): a time constant of 200 s is 200,000 steps" in printed
    assert spikeport("run", open_nir, *TOLD, "--data", "data.npz", "--json", "run.json")[0] == 0
    with open("run.json") as file:
        assert any("given by the caller" in line for line in json.load(file)["reading"])


def test_a_copy_needs_no_option(spikeport, refused, open_nir):
    assert spikeport("export", open_nir, *TOLD, "-o", "copy.nir")[0] == 0
    outputs = []
    for model, told in ((open_nir, TOLD), ("copy.nir", ())):
        assert (
            spikeport("export", model, *told, "-o", f"{model}.h5", "--json", f"{model}.json")[0]
            == 0
        )
        with open(f"{model}.json") as file:
            outputs.append(json.load(file))
    assert outputs[0]["program"] == outputs[1]["program"]
    assert outputs[1]["audit"]["dt_source"] == "stated in the graph"
    assert outputs[1]["audit"]["reading"] == outputs[0]["audit"]["reading"]
    refused("export", "copy.nir", "--dt", "2e-3", "-o", "out.h5", words=["0.002", "0.001"])
    refused(
        "export",
        "copy.nir",
        "--reset",
        "zero",
        "-o",
        "out.h5",
        words=["reset is 'zero'", "'subtract'"],
    )


def test_reading_options_change_nothing_in_a_program(spikeport, refused, open_nir):
    assert spikeport("export", open_nir, *TOLD, "-o", "a.h5")[0] == 0
    for option in (("--reset", "zero"), ("--r-per", "step"), ("--dialect", "nir")):
        refused("check", "a.h5", *option, words=[option[0], "changes nothing in a program"])
