"""Threat models: what is refused, what is verified; balls, starts and projections."""

import numpy as np
import pytest
import torch

from toolchain.attacks import geometry
from toolchain.attacks.base import AttackError, Threat, verify
from toolchain.attacks.randomness import generators


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"norm": "l1", "epsilon": 1}, "it must be one of linf"),
        ({"norm": "linf", "epsilon": -0.1}, "a finite number from 0"),
        ({"norm": "linf", "epsilon": float("nan")}, "a finite number from 0"),
        ({"norm": "flips", "epsilon": 1.5}, "whole number"),
        ({"norm": "linf", "epsilon": 0.1, "low": 1.0, "high": 0.0}, "empty"),
    ],
)
def test_threat_refuses(fields, said):
    with pytest.raises(AttackError, match=said):
        Threat(**fields)


CLEAN = np.full((2, 1, 2, 2), 0.5, np.float32)


def moved(**cells):
    """CLEAN with single values of sample 1 changed."""
    changed = CLEAN.copy()
    changed[1].reshape(-1)[:] += np.array([cells.get(f"c{i}", 0.0) for i in range(4)], np.float32)
    return changed


@pytest.mark.parametrize(
    ("threat", "good", "bad", "said"),
    [
        (Threat("linf", 0.1), moved(c0=0.1, c3=-0.1), moved(c0=0.11), "sample 1 is 0.11"),
        (Threat("l2", 0.5), moved(c0=0.3, c1=0.4), moved(c0=0.3, c1=0.401), "sample 1 is 0.50"),
        (Threat("linf", 0.6), moved(c0=0.5), moved(c0=0.51), "allowed are 0.0 to 1.0"),
        (Threat("linf", 0.6), moved(c0=-0.5), moved(c0=float("nan")), "NaN"),
    ],
)
def test_images_are_verified(threat, good, bad, said):
    verify(CLEAN, good, threat)
    with pytest.raises(AttackError, match=said):
        verify(CLEAN, bad, threat)


def events(*times, steps=6):
    """One line of events."""
    sample = np.zeros((1, steps, 1, 1, 1), np.uint8)
    sample[0, list(times)] = 1
    return sample


@pytest.mark.parametrize(
    ("threat", "clean", "good", "bad", "said"),
    [
        (Threat("flips", 2), events(1, 3), events(1, 4), events(0, 4), "sample 0 has 4 changed"),
        (Threat("shift", 1), events(1, 3), events(0, 4), events(1, 5), "moved by 2 steps"),
        (Threat("shift", 1), events(1, 2), events(2, 3), events(1), "made or lost"),
        (Threat("flips", 9), events(1), events(), events(1) * 2, "other than 0 and 1"),
    ],
)
def test_events_are_verified(threat, clean, good, bad, said):
    verify(clean, good, threat)
    with pytest.raises(AttackError, match=said):
        verify(clean, bad, threat)


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("draw", [geometry.uniform_in_ball, geometry.on_the_sphere])
def test_starts_lie_in_the_ball_and_fill_it(norm, draw):
    threat = Threat(norm, 0.2)
    rng = np.random.default_rng(1)
    samples = rng.uniform(0.3, 0.7, (200, 2, 3, 3)).astype(np.float32)
    clean = torch.from_numpy(samples)
    points = draw(clean, threat, generators(samples, 0, "test"))
    verify(samples, points.numpy(), threat)
    change = (points - clean).flatten(1)
    size = (change.abs().amax(dim=1) if norm == "linf" else change.norm(dim=1)) / threat.epsilon
    if draw is geometry.on_the_sphere:
        assert float(size.min()) > 0.999
    else:
        # the radius of a uniform point in 18 dimensions: mean 18/19
        assert abs(float(size.mean()) - 18 / 19) < 0.02
    # every direction alike
    assert float(change.mean(dim=0).abs().max()) < 0.05


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_projection_is_the_nearest_allowed_point(norm):
    threat = Threat(norm, 0.3)
    generator = torch.Generator().manual_seed(0)
    clean = torch.rand(50, 1, 3, 3, generator=generator)
    far = clean + torch.randn(50, 1, 3, 3, generator=generator)
    near = geometry.project(far, clean, threat)
    verify(clean.numpy(), near.numpy(), threat)
    assert torch.equal(geometry.project(near, clean, threat), near) or torch.allclose(
        geometry.project(near, clean, threat), near, atol=1e-7
    )
    if norm == "linf":
        expected = torch.minimum(torch.maximum(far, clean - 0.3), clean + 0.3).clamp(0, 1)
        assert torch.allclose(near, expected, atol=1e-7)


def test_generators_depend_on_the_sample_alone():
    samples = np.random.default_rng(0).random((4, 3)).astype(np.float32)
    together = [g.random() for g in generators(samples, 5, "a")]
    alone = [generators(samples[i : i + 1], 5, "a")[0].random() for i in (3, 1)]
    assert alone == [together[3], together[1]]
    assert generators(samples, 6, "a")[0].random() != together[0]
    assert generators(samples, 5, "b")[0].random() != together[0]
