"""Event attacks on a small network that tells which half of a tiny sensor moves, and when."""

import numpy as np
import pytest
import torch

import toolchain.layers as snn
from toolchain.attacks.base import AttackError, Threat, verify
from toolchain.attacks.batteries import battery
from toolchain.attacks.estimators import make_estimator
from toolchain.attacks.events.flips import SparseFlips
from toolchain.attacks.events.noise import EventNoise
from toolchain.attacks.events.retiming import Retiming, offsets, retimed
from toolchain.attacks.victims import EventVictim

STEPS = 8


def moving(count: int, seed: int):
    """Events [sample, step, 1, 4, 4]: class 0 a bar that goes right, 1 left, 2 down, with noise."""
    rng = np.random.default_rng(seed)
    samples, labels = (
        (rng.random((count, STEPS, 1, 4, 4)) < 0.05).astype(np.uint8),
        rng.integers(0, 3, count),
    )
    for sample, label in zip(samples, labels):
        for t in range(STEPS):
            at = t // 2 if label != 1 else 3 - t // 2
            if label == 2:
                sample[t, 0, at, :] = 1
            else:
                sample[t, 0, :, at] = 1
    return samples, labels.astype(np.int64)


@pytest.fixture(scope="module")
def victim():
    torch.manual_seed(0)
    network = snn.Network(
        [
            ("flatten", snn.Flatten()),
            ("first", snn.Linear(16, 24)),
            ("hidden", snn.LIF(1.0, alpha=0.5, beta=0.75)),
            ("second", snn.Linear(24, 3)),
            ("output", snn.LIF(1.0, beta=0.75)),
        ],
        input_shape=(1, 4, 4),
    )
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-2)
    for epoch in range(25):
        samples, labels = moving(100, epoch)
        loss = torch.nn.functional.cross_entropy(
            network.scores(torch.from_numpy(samples).float().transpose(0, 1)),
            torch.from_numpy(labels),
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return EventVictim(network, STEPS)


@pytest.fixture(scope="module")
def some():
    return moving(30, 1000)


ATTACKS = {"flips": SparseFlips(10), "shift": Retiming(20)}


@pytest.mark.parametrize(
    ("norm", "budget", "name"),
    [
        ("flips", 6, "training"),
        ("flips", 6, "assg"),
        ("flips", 6, "hart"),
        ("shift", 2, "training"),
        ("shift", 2, "assg"),
    ],
)
def test_attack(victim, some, norm, budget, name):
    samples, labels = some
    threat = Threat(norm, budget)

    def attacked(part=slice(None), seed=1):
        return ATTACKS[norm](
            victim, samples[part], labels[part], threat, estimator=make_estimator(name), seed=seed
        )

    assert (victim.predict(samples).argmax(axis=1) == labels).mean() > 0.95
    result = attacked()
    verify(samples, result.adversarial, threat)
    assert result.adversarial.dtype == np.uint8
    assert np.array_equal(
        result.success, victim.predict(result.adversarial).argmax(axis=1) != labels
    )
    floor = EventNoise(10)(victim, samples, labels, threat)
    verify(samples, floor.adversarial, threat)
    assert result.success.mean() >= floor.success.mean() + 0.2
    assert np.array_equal(attacked().adversarial, result.adversarial)
    assert np.array_equal(attacked([4, 2]).adversarial, result.adversarial[[4, 2]])


def test_an_estimator_without_time_cannot_retime(victim, some):
    """HART's gradient is the same in every step, so no offset is better than another: the battery
    leaves it out."""
    result = Retiming(5, capacity=0.0)(
        victim, *some, Threat("shift", 2), estimator=make_estimator("hart")
    )
    assert np.array_equal(result.adversarial, some[0])
    assert "hart" not in {s.estimator["name"] for s in battery("full", "shift") if s.estimator}


def test_flips_are_pruned(victim, some):
    """What a broken sample keeps is needed: taking back the least useful flip mends it, or nothing
    was flipped."""
    samples, labels = some
    result = SparseFlips(20)(victim, samples, labels, Threat("flips", 40))
    changed = (result.adversarial != samples).reshape(len(samples), -1).sum(axis=1)
    assert result.success.mean() > 0.9
    assert np.median(changed[result.success]) < 12
    assert changed.max() <= 40


def test_random_flips_use_the_whole_budget(victim, some):
    result = EventNoise(1)(victim, *some, Threat("flips", 3), seed=2)
    changed = (result.adversarial != some[0]).reshape(30, -1).sum(axis=1)
    assert set(changed.tolist()) <= {0, 3}
    assert 3 in changed


def brute_force(line, preference, shifts):
    """Greedy assignment in time order, one event at a time."""
    times = [t for t, e in enumerate(line) if e]
    result, last = [0] * len(line), -1
    for number, t in enumerate(times):
        behind = len(times) - 1 - number
        allowed = [k for k, o in enumerate(shifts) if last < t + o <= len(line) - 1 - behind]
        best = max(allowed, key=lambda k: (preference[t][k], -k))
        last = t + shifts[best]
        result[last] = 1
    return result


def test_retimed_is_strict_and_takes_what_is_preferred():
    rng = np.random.default_rng(0)
    shifts = offsets(2)
    assert shifts == [0, -1, 1, -2, 2]
    events = (rng.random((3, 7, 5)) < 0.5).astype(np.float32)
    preference = rng.normal(size=(3, 7, 5, 5)).astype(np.float32)
    moved = retimed(torch.from_numpy(events), torch.from_numpy(preference)).numpy()
    for b in range(3):
        for line in range(5):
            assert moved[b, :, line].tolist() == brute_force(
                events[b, :, line].tolist(), preference[b, :, line].tolist(), shifts
            )
    shape = (3, 7, 1, 5, 1)
    verify(
        events.reshape(shape).astype(np.uint8),
        moved.reshape(shape).astype(np.uint8),
        Threat("shift", 2),
    )
    # without preference everything stays
    assert torch.equal(
        retimed(torch.from_numpy(events), torch.zeros(3, 7, 5, 5)), torch.from_numpy(events)
    )


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (
            lambda v, x, y: SparseFlips(5)(v, x, y, Threat("shift", 1)),
            "cannot keep to the threat 'shift'",
        ),
        (
            lambda v, x, y: Retiming(5)(v, x, y, Threat("flips", 1)),
            "cannot keep to the threat 'flips'",
        ),
        (lambda v, x, y: SparseFlips(5)(v, x * 2, y, Threat("flips", 1)), "other than 0 and 1"),
        (lambda v, x, y: Retiming(5, rate=0.0), "positive"),
        (lambda v, x, y: SparseFlips(0), "rounds is 0"),
    ],
)
def test_refused(victim, some, make, said):
    with pytest.raises(AttackError, match=said):
        make(victim, *some)


@pytest.mark.parametrize(
    ("norm", "attack"),
    [("flips", SparseFlips(3)), ("shift", Retiming(3)), ("shift", EventNoise(2))],
)
def test_budget_zero_changes_nothing(victim, some, norm, attack):
    assert np.array_equal(
        attack(victim, some[0][:3], some[1][:3], Threat(norm, 0)).adversarial, some[0][:3]
    )
