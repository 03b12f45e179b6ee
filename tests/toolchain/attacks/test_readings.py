"""What breaks the ties of spike counts: the same for the PyTorch network and its Program, and
nothing that changes a prediction."""

import numpy as np
import pytest
import torch

from hardware import targets
from hardware.program import Dense, Input, Output, Population, Program
from tests.toolchain.attacks.conftest import digits_network
from toolchain.attacks.goals import Misclassify
from toolchain.attacks.known import Known
from toolchain.attacks.readings import TIE_WEIGHT, Reading, ask, with_tie_breaker
from toolchain.attacks.victims import PixelVictim, ProgramVictim
from toolchain.deploy.stages import Stage, Ways, to_program


def program_of(network) -> Program:
    return to_program(Stage("network", "factory", module=network), Ways())[0]


def samples(count: int = 20) -> np.ndarray:
    return (np.random.default_rng(3).integers(0, 17, (count, 1, 8, 8)) / 16).astype(np.float32)


def test_software_and_program_break_ties_alike():
    network = digits_network(hidden=24).eval()
    software = PixelVictim(network)
    program = ProgramVictim(program_of(network), software.encoder)
    one, other = software.ask(samples()), program.ask(samples())
    assert torch.equal(one.scores.double(), other.scores)
    assert torch.allclose(one.ties.double(), other.ties, atol=1e-3)
    assert len(torch.unique(other.ties)) > 100 > len(torch.unique(other.scores))


def test_potentials_need_no_tie_break():
    network = digits_network(decode="mean_potential").eval()
    software = PixelVictim(network)
    assert software.ask(samples()).ties is None
    assert ProgramVictim(program_of(network), software.encoder).ask(samples()).ties is None


def test_the_gradient_of_a_tie_break_passes_no_read_out():
    network = digits_network(hidden=24).eval()
    victim = PixelVictim(network)
    network.output.spike_grad = lambda x: (x > 0).to(x.dtype)  # no gradient at all
    x = torch.from_numpy(samples()).requires_grad_()
    victim.read(x).ties.sum().backward()
    assert float(x.grad.abs().sum()) > 0


def test_what_stands_around_a_victim_hands_its_tie_breaks_on():
    class Random(PixelVictim):
        pass

    victim = Random(digits_network(hidden=24).eval(), stochastic=True)
    assert torch.equal(ask(Known(victim, 3), samples(), 0).ties, victim.ask(samples(), seed=3).ties)


def test_a_program_computes_the_same_beside_its_tie_breaker():
    """With a loop and a bias: the integrator gets what the counted neurons get, and they do not
    notice."""
    rng = np.random.default_rng(0)
    program = Program(
        (Input("in", (6,)),),
        (
            Population(
                "out", (4,), voltage_decay=300, threshold=40, bias=[3, 0, -2, 5], bias_exponent=4
            ),
        ),
        (
            Dense("feed", "in", "out", rng.integers(-60, 61, (4, 6)) * 2),
            Dense("loop", "out", "out", rng.integers(-20, 21, (4, 4)) * 2),
        ),
        (Output("out"),),
    )
    inputs = rng.integers(0, 2, (5, 9, 6)).astype(np.uint8)
    plain, beside = (
        targets.run(program, inputs, "reference"),
        targets.run(with_tie_breaker(program, "out"), inputs, "reference"),
    )
    assert np.array_equal(plain.spikes["out"], beside.spikes["out"])
    feed, loop = (p.weights.astype(np.int64) for p in program.projections)
    spikes = np.asarray(plain.spikes["out"], np.int64)
    before = np.concatenate([np.zeros_like(spikes[:, :1]), spikes[:, :-1]], axis=1)
    current = (inputs @ feed.T + before @ loop.T) * 64 + program.nodes["out"].bias_state
    assert np.array_equal(beside.scores["tie_breaker"], current.sum(axis=1))


@pytest.mark.parametrize(
    ("counts", "first"), [([[3.0, 3.0], [3.0, 3.0]], 1), ([[3.0, 2.0], [3.0, 1.0]], 0)]
)
def test_counts_come_first_and_currents_between_equals(counts, first):
    ties = torch.tensor([[5.0, 1.0], [5.0, 4.0]])
    outcome = Misclassify(torch.tensor([0, 0])).outcome(
        Reading(torch.tensor(counts), ties), torch.arange(2)
    )
    assert int(outcome.rank.argmax()) == first
    assert not outcome.reached.any()
    assert TIE_WEIGHT * 50 <= 1
