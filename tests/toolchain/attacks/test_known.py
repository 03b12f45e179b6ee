"""An adversary who knows the seed of the noise attacks a network without randomness, and finds more than one who averages over it."""

import copy

import numpy as np
import pytest
import torch

import toolchain.layers as snn
from toolchain.attacks.base import AttackError, NotApplicable, Threat
from toolchain.attacks.batteries import battery, transfers
from toolchain.attacks.known import Known
from toolchain.attacks.registry import AttackSpec, run
from toolchain.attacks.victims import PixelVictim

ATAN = {"name": "atan", "params": {"steepness": 2.0}}


def network(encoding: str = "direct", **noise) -> snn.Network:
    torch.manual_seed(1)
    direct = encoding == "direct"
    return snn.Network(
        [
            ("flatten", snn.Flatten()),
            ("first", snn.Linear(36, 30, source_fraction_bits=4 if direct else 0)),
            ("hidden", snn.LIF(1.0, beta=0.75, **noise)),
            ("second", snn.Linear(30, 4)),
            ("output", snn.LI(0.9)),
        ],
        input_shape=(1, 6, 6),
        message_bits=6 if direct else 0,
        fraction_bits=4 if direct else 0,
        decode="mean_potential",
        data={"name": "digits", "encoding": encoding, "steps": 6},
    ).eval()


@pytest.fixture(scope="module")
def noisy() -> PixelVictim:
    return PixelVictim(network(noise=0.5, noise_at_inference=True))


def samples(count: int = 40) -> np.ndarray:
    return (np.random.default_rng(0).integers(0, 17, (count, 1, 6, 6)) / 16).astype(np.float32)


def test_every_call_is_the_inference_of_that_seed(noisy):
    x, known = samples(), Known(noisy, 3)
    assert noisy.stochastic
    assert not known.stochastic
    assert np.array_equal(known.predict(x, seed=8), noisy.predict(x, seed=3))
    assert not np.array_equal(noisy.predict(x, seed=8), noisy.predict(x, seed=3))
    with torch.no_grad():
        assert torch.equal(known.scores(torch.from_numpy(x), seed=8), noisy.scores(torch.from_numpy(x), seed=3))
    assert copy.copy(known).predict(x[:1]).shape == (1, 4)
    assert (known.sample_shape, known.classes, known.model) == (noisy.sample_shape, noisy.classes, noisy.model)


def test_what_it_finds_fools_the_inference_of_that_seed_more_often(noisy):
    x = samples(60)
    labels = noisy.predict(x, seed=3).argmax(1)
    left = {}
    for seed in (3, None):
        spec = AttackSpec("pgd", {"steps": 10}, ATAN, eot=4, known_seed=seed)
        result = run(spec, noisy, x, labels, Threat("linf", 0.07), seed=0)
        predicted = noisy.predict(result.adversarial, seed=3).argmax(1)
        left[seed] = (predicted == labels).mean()
        if seed == 3:
            assert np.array_equal(result.success, predicted != labels)
    assert left[3] < left[None]


def test_where_there_is_no_seed_to_know_it_is_not_applicable():
    with pytest.raises(NotApplicable, match="not random"):
        Known(PixelVictim(network()), 0)
    with pytest.raises(NotApplicable, match="by a sample's place in its batch"):
        Known(PixelVictim(network("poisson")), 0)
    spec = AttackSpec("pgd", {"steps": 1}, ATAN, known_seed=0)
    with pytest.raises(NotApplicable, match="not random"):
        run(spec, PixelVictim(network()), samples(2), np.zeros(2, int), Threat("linf", 0.1))


@pytest.mark.parametrize("seed", [-1, True, 1.5, 1 << 63])
def test_a_seed_that_is_none_is_refused(seed):
    with pytest.raises(AttackError, match="known_seed is"):
        AttackSpec("pgd", {"steps": 1}, ATAN, known_seed=seed)


def test_beyond_quick_the_strongest_attacks_of_the_battery_also_know_the_seed():
    assert battery("quick", "linf", True, known_seed=2) == battery("quick", "linf", True)
    own = battery("standard", "linf", True)
    more = battery("standard", "linf", True, known_seed=2)[len(own) :]
    assert {spec.known_seed for spec in more} == {2}
    assert {spec.eot for spec in more} == {1}
    assert [spec.label for spec in more] == [
        f"{AttackSpec.from_json(t.params['spec']).label} · knows seed 2" for t in transfers("standard", "linf", ["x"], True)
    ]
    assert AttackSpec.from_json(more[0].to_json()) == more[0]
    with pytest.raises(AttackError, match="belongs into the inner spec"):
        AttackSpec("transfer", {"source": "x", "spec": own[2].to_json()}, known_seed=1)
