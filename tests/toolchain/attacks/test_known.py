"""An adversary who knows the seed of the noise attacks a network without randomness, and finds more
than one who averages over it."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

import toolchain.layers as snn
from toolchain.attacks.base import AttackError, NotApplicable, Threat
from toolchain.attacks.batteries import battery
from toolchain.attacks.encoding import Poisson, revealed
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
        assert torch.equal(
            known.scores(torch.from_numpy(x), seed=8), noisy.scores(torch.from_numpy(x), seed=3)
        )
    assert copy.copy(known).predict(x[:1]).shape == (1, 4)
    assert (known.sample_shape, known.classes, known.model) == (
        noisy.sample_shape,
        noisy.classes,
        noisy.model,
    )


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
    spec = AttackSpec("pgd", {"steps": 1}, ATAN, known_seed=0)
    with pytest.raises(NotApplicable, match="not random"):
        run(spec, PixelVictim(network()), samples(2), np.zeros(2, int), Threat("linf", 0.1))


@pytest.mark.parametrize("seed", [-1, True, 1.5, 1 << 63])
def test_a_seed_that_is_none_is_refused(seed):
    with pytest.raises(AttackError, match="known_seed is"):
        AttackSpec("pgd", {"steps": 1}, ATAN, known_seed=seed)


@pytest.mark.parametrize("preset", ["quick", "standard"])
@pytest.mark.parametrize("norm", ["linf", "flips"])
def test_who_knows_the_seed_has_every_attack_and_a_few_are_made_without_it(preset, norm):
    plain = battery(preset, norm)
    specs = battery(preset, norm, True, known_seed=2)
    knowing, secret = (
        [s for s in specs if (s.known_seed is None) == without] for without in (False, True)
    )
    assert [replace(s, known_seed=None) for s in knowing] == plain
    assert {s.known_seed for s in knowing} == {2}
    assert all(s.eot > 1 for s in secret)
    assert 0 < len(secret) <= len(plain)
    assert len({s.label for s in specs}) == len(specs)
    with pytest.raises(AttackError, match="belongs into the inner spec"):
        AttackSpec("transfer", {"source": "x", "spec": secret[1].to_json()}, known_seed=1)


def test_a_known_poisson_encoder_is_one_of_known_spikes():
    """What is drawn depends on the seed alone, so a sample has the same spikes alone, in a batch,
    and in any order."""
    victim = PixelVictim(network("poisson"))
    x, known = samples(12), Known(victim, 3, 0.1)
    whole = known.predict(x)
    assert np.array_equal(whole, victim.predict(x, seed=3))
    assert np.array_equal(known.predict(x[5:6]), whole[5:6])
    assert np.array_equal(known.predict(x[::-1]), whole[::-1])
    assert victim.encoder.reach is None


def test_who_knows_the_spikes_follows_only_those_that_can_change():
    """A pixel whose spikes are out of reach has no gradient; within reach the change of one spike
    is seen."""
    encoder = revealed(Poisson(steps=1), 0.1)
    images = torch.linspace(0, 1, 101)[:, None, None, None].requires_grad_()
    (chance,) = images.detach()[encoder(images.detach(), 7)[0, :, 0, 0, 0] == 0][-1:].flatten()
    encoder(images, 7).sum().backward()
    near = (images.detach() - chance).abs() < 0.08
    far = (images.detach() - chance).abs() > 0.12
    assert torch.all(images.grad[near] > 0)
    assert torch.all(images.grad[far] == 0)


@pytest.mark.parametrize("encoding", ["poisson", "direct"])
def test_the_known_seed_is_the_programs_too(encoding):
    """An attack that knows the seed of the encoder fools the inference of that seed on the chip's
    arithmetic."""
    noise = {} if encoding == "poisson" else {"noise": 0.5, "noise_at_inference": True}
    victim = PixelVictim(network(encoding, **noise))
    x = samples(30)
    labels = victim.predict(x, seed=3).argmax(1)
    spec = AttackSpec("apgd_dlr", {"steps": 10}, ATAN, known_seed=3)
    result = run(spec, victim, x, labels, Threat("linf", 0.1), seed=0)
    assert np.array_equal(
        result.success, victim.predict(result.adversarial, seed=3).argmax(1) != labels
    )
    assert result.success.mean() > 0.3
