"""Common corruptions: strengths by hand, growing with severity, each image on its own, and what is
refused."""

from __future__ import annotations

import numpy as np
import pytest

from toolchain.data.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from toolchain.errors import DataError

pytest.importorskip("skimage", reason="the extra corruptions is not installed")

IMAGES = np.random.default_rng(0).random((6, 3, 16, 16)).astype(np.float32) * 0.8 + 0.1


@pytest.mark.parametrize("name", CORRUPTIONS)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_severity_changes_images_and_the_last_more_than_the_first(name, channels):
    images = IMAGES[:, :channels]
    changes = []
    for severity in SEVERITIES:
        found = corrupt(images, name, severity, seed=1)
        assert found.shape == images.shape
        assert found.dtype == np.float32
        assert found.min() >= 0 <= found.max() <= 1
        changes.append(np.abs(found - images).mean())
    assert changes[0] > 0
    assert changes[-1] > changes[0]


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_small_images_too_and_an_image_depends_on_no_other(name):
    images = IMAGES[:, :1, :8, :8]
    together = corrupt(images, name, 3, seed=5)
    alone = np.concatenate([corrupt(images[n : n + 1], name, 3, seed=5) for n in (3, 1)])
    assert np.array_equal(together[[3, 1]], alone)


def test_strengths_by_hand():
    grey = np.full((1, 1, 64, 64), 0.5, np.float32)
    assert corrupt(grey, "gaussian_noise", 5).std() == pytest.approx(0.10, rel=0.05)
    assert corrupt(grey, "shot_noise", 3).std() == pytest.approx((0.5 / 100) ** 0.5, rel=0.05)
    assert corrupt(grey, "speckle_noise", 5).std() == pytest.approx(0.5 * 0.20, rel=0.05)
    assert np.mean(corrupt(grey, "impulse_noise", 5) != 0.5) == pytest.approx(0.07, rel=0.15)
    assert corrupt(grey, "brightness", 2) == pytest.approx(np.full_like(grey, 0.6))
    two = np.array([0.2, 0.6], np.float32).reshape(1, 1, 1, 2)
    assert corrupt(two, "contrast", 2).ravel() == pytest.approx([0.3, 0.5])


def test_the_seed_is_all_that_the_noise_depends_on():
    first, again, other = (corrupt(IMAGES, "gaussian_noise", 1, seed=s) for s in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((IMAGES, "frost", 1), "no corruption 'frost'"),
        ((IMAGES, "contrast", 0), "severity is 0"),
        ((IMAGES, "contrast", 6), "severity is 6"),
        ((IMAGES[:, :2], "contrast", 1), "1 or 3 channels"),
        ((IMAGES + 1, "contrast", 1), "pixels from"),
    ],
)
def test_refused(arguments, says):
    with pytest.raises(DataError, match=says):
        corrupt(*arguments)
