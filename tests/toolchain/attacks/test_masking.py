"""A network whose own gradient is exactly zero: plain attacks find nothing, the battery breaks it.

Required of the battery: plain PGD must look like a defence here, and the attacks that do not rely
on the training surrogate must show that it is none.
"""

import numpy as np
import pytest
import torch

from toolchain.attacks.base import Threat
from toolchain.attacks.batteries import battery
from toolchain.attacks.estimators import make_estimator
from toolchain.attacks.optimisers.apgd import APGD
from toolchain.attacks.optimisers.sa_pgd import SAPGD
from toolchain.attacks.optimisers.signed_steps import FGSM, PGD
from toolchain.attacks.optimisers.square import Square
from toolchain.attacks.registry import run
from toolchain.attacks.victims import PixelVictim

THREAT = Threat("linf", 0.2)


def accuracy(attack, masked, some, estimator=None):
    result = attack(
        PixelVictim(masked),
        *some,
        THREAT,
        estimator=None if estimator is None else make_estimator(estimator),
    )
    return 1 - result.success.mean(), result.history


@pytest.fixture(scope="module")
def clean(masked, some):
    return (PixelVictim(masked).predict(some[0]).argmax(axis=1) == some[1]).mean()


def test_potentials_stay_away_from_the_threshold(masked, digits):
    """The margin is the surrogate's half width, for any input whatever."""
    victim = PixelVictim(masked)
    images = torch.from_numpy(np.random.default_rng(0).random((50, 1, 8, 8)).astype(np.float32))
    x = victim.encoder(images)
    current = masked.first(masked.flatten(x, sequence=True))
    spikes, mem = masked.hidden(current, sequence=True, return_states=True)
    before = torch.where(spikes > 0, 0.0, mem)
    assert float((before.detach() - 600.5).abs().min()) >= 0.5
    assert masked.hidden.spike_grad.parameter == 0.5


@pytest.mark.parametrize("attack", [FGSM(), PGD(40), APGD(20)])
def test_plain_attacks_see_no_gradient(masked, some, clean, attack):
    left, history = accuracy(attack, masked, some)
    assert np.all(history["zero_gradient"] == 1)
    assert left > clean - 0.25


@pytest.mark.parametrize(
    ("attack", "estimator"),
    [
        (PGD(20), "atan"),
        (PGD(20), "straight_through"),
        (SAPGD(20), "assg"),
        (PGD(20), "bptr"),
        (PGD(20), "pdsg"),
        (Square(200), None),
    ],
)
def test_other_attacks_break_it(masked, some, clean, attack, estimator):
    left, _ = accuracy(attack, masked, some, estimator)
    assert left < clean - 0.3
    assert left < accuracy(PGD(40), masked, some)[0] - 0.2


def test_the_quick_battery_breaks_it(masked, some, clean):
    victim = PixelVictim(masked)
    correct = np.logical_and.reduce(
        [~run(spec, victim, *some, THREAT).success for spec in battery("quick", "linf")]
    )
    assert correct.mean() < clean - 0.5
