"""The description of the chip's own neuron: what it names exists, its ranges are the chip's, and
its step is the same in every kind of number."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest
import torch

import hardware
from export.shapes import NEURONS
from hardware import lif
from hardware.chip import Chip
from hardware.errors import ProgramError
from hardware.lif import LIF

ROOT = Path(hardware.__file__).parent


def test_what_it_names_exists():
    assert set(LIF.nir) == {node.__name__ for node in NEURONS}
    tree = ast.parse((ROOT / "lava" / "processes" / "neurons.py").read_text(encoding="utf-8"))
    classes = {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
    assert {name for name in classes if not name.startswith("Py")} == set(LIF.lava)


def test_its_ranges_are_those_of_the_chips_registers():
    chip, registers = Chip.load("loihi2"), [p for p in LIF.parameters if p.register]
    assert {p.name for p in registers} == {"threshold", "bias"}
    for parameter in registers:
        bits = chip[parameter.register]
        signed = parameter.low < 0
        assert parameter.high == (1 << (bits - signed)) - 1
        assert parameter.low == (-(1 << (bits - 1)) if signed else 0)


def test_its_parameters_are_the_fields_of_a_population():
    fields = hardware.Population.__dataclass_fields__
    for parameter in LIF.parameters:
        default = fields[parameter.name].default
        assert default == parameter.default, parameter.name
    with pytest.raises(ProgramError, match="no parameter 'colour'; it has current_decay"):
        LIF["colour"]


@pytest.mark.parametrize("reset", ["zero", "subtract", "none"])
def test_a_step_is_the_same_in_numpy_and_torch_and_python(reset):
    rng = np.random.default_rng(4)
    p = lif.Constants(700, 300, 5, 20, reset, 1280, 2)
    inputs, noise = rng.integers(-20, 60, (40, 3)), rng.integers(-500, 500, (40, 3))
    states = [
        [(0, 0, 0)] * 3,
        tuple(np.zeros(3, np.int64) for _ in range(3)),
        tuple(torch.zeros(3, dtype=torch.int64) for _ in range(3)),
    ]
    fired = 0
    for step, (brought, added) in enumerate(zip(inputs, noise)):
        singles = [
            lif.advance(p, *state, int(b), int(a)) for state, b, a in zip(states[0], brought, added)
        ]
        one = lif.advance(p, *states[1], brought, added)
        other = lif.advance(p, *states[2], torch.from_numpy(brought), torch.from_numpy(added))
        for name in lif.Advanced._fields:
            wanted = [int(getattr(single, name)) for single in singles]
            assert getattr(one, name).astype(int).tolist() == wanted, (step, name)
            assert getattr(other, name).to(torch.int64).tolist() == wanted, (step, name)
        states = [[s[:3] for s in singles], one[:3], other[:3]]
        fired += int(one.fired.sum())
    assert fired > 5
