"""Loss terms, detector and gate against values computed by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from toolchain.errors import ConfigError, LayerError
from toolchain.purification import detector
from toolchain.purification.detector import Gate
from toolchain.purification.losses import asymmetric, charbonnier, divergence, total_variation
from toolchain.purification.settings import Purifier
from toolchain.training.purifier import terms


def test_charbonnier_by_hand():
    found = charbonnier(torch.tensor([0.3, 0.5]), torch.tensor([0.0, 0.5]), epsilon=0.4)
    assert found.item() == pytest.approx((0.5 + 0.4) / 2)


def test_divergence_by_hand_and_its_direction():
    clean, restored = torch.tensor([[math.log(3), 0.0]]), torch.tensor([[0.0, 0.0]])
    expected = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)
    assert divergence(clean, restored).item() == pytest.approx(expected)
    assert divergence(restored, clean).item() != pytest.approx(expected)
    assert divergence(clean.repeat(5, 1), restored.repeat(5, 1)).item() == pytest.approx(expected)


def test_an_under_estimated_noise_weighs_more():
    noise = torch.tensor([0.5, 0.5])
    assert asymmetric(torch.tensor([0.3, 0.5]), noise, under=0.7).item() == pytest.approx(
        0.7 * 0.04 / 2
    )
    assert asymmetric(torch.tensor([0.7, 0.5]), noise, under=0.7).item() == pytest.approx(
        0.3 * 0.04 / 2
    )


def test_total_variation_by_hand():
    image = torch.tensor([[0.0, 1.0, 3.0], [2.0, 1.0, 0.0]])
    down, right = (4 + 0 + 9) / 3, (1 + 4 + 1 + 1) / 4
    assert total_variation(image[None, None]).item() == pytest.approx(down + right)


def test_the_loss_is_the_weighted_sum_of_the_four():
    torch.manual_seed(0)
    clean, attacked, restored, estimate = (torch.rand(2, 1, 4, 4) for _ in range(4))
    first, second = torch.randn(2, 3), torch.randn(2, 3)
    noise = (attacked - clean).abs()
    parts = {
        "charbonnier": charbonnier(restored, clean, 0.01),
        "kl": divergence(first, second),
        "asymmetric": asymmetric(estimate, noise, 0.6),
        "variation": total_variation(estimate),
    }
    weights = {"charbonnier": 2.0, "kl": 3.0, "asymmetric": 5.0, "variation": 7.0}
    chosen = Purifier("x", charbonnier_epsilon=0.01, under=0.6, **weights)
    found = terms(chosen, clean, attacked, restored, estimate, first, second)
    assert found.item() == pytest.approx(
        sum(weights[name] * value.item() for name, value in parts.items()), rel=1e-5
    )


IMAGES = torch.tensor([[0.2, 0.4], [0.2, 0.4]]).reshape(2, 1, 1, 2)
PURIFIED = torch.tensor([[0.2, 0.5], [0.2, 0.7]]).reshape(2, 1, 1, 2)


def test_the_gate_passes_the_raw_image_up_to_the_threshold():
    gate = Gate()
    gate.threshold.copy_(detector.distance(IMAGES, PURIFIED)[0])
    with torch.no_grad():
        found = gate(IMAGES, PURIFIED)
    assert torch.equal(found[0], IMAGES[0])  # r = threshold
    assert torch.equal(found[1], PURIFIED[1])
    assert torch.equal(gate(IMAGES.clone().requires_grad_(), PURIFIED), found)


@pytest.mark.parametrize("gradient", ["branch", "soft"])
def test_gradients_of_the_gate(gradient):
    gate = Gate(0.2, gradient=gradient, width=0.1)
    images, purified = IMAGES.clone().requires_grad_(), PURIFIED.clone().requires_grad_()
    gate(images, purified).sum().backward()
    # r = 0.1 and 0.3 at the second pixel; the decision's slope times the difference of the sums
    # (0.1 and 0.3), through r = |x - P|
    share = [1 / (1 + math.exp(-(r - 0.2) / 0.1)) for r in (0.1, 0.3)]
    soft = (
        [s * (1 - s) / 0.1 * d for s, d in zip(share, (0.1, 0.3))]
        if gradient == "soft"
        else [0.0, 0.0]
    )
    assert images.grad.flatten().tolist() == pytest.approx([1, 1 - soft[0], 0, -soft[1]], abs=1e-5)
    assert purified.grad.flatten().tolist() == pytest.approx([0, soft[0], 1, 1 + soft[1]], abs=1e-5)


def test_refused_gates():
    with pytest.raises(LayerError, match="soft, branch"):
        Gate(gradient="hard")
    with pytest.raises(LayerError, match="positive"):
        Gate(width=0.0)


def test_calibration_lets_the_share_of_clean_images_pass():
    clean = np.arange(1, 101, dtype=np.float32) / 100
    threshold = detector.calibrate(clean[::-1], 0.95)
    assert np.float32(threshold) == np.float32(0.95)
    assert np.mean(clean > threshold) == pytest.approx(0.05)


def test_the_detectors_report_by_hand():
    found = detector.report(np.array([0.1, 0.2, 0.6]), np.array([0.3, 0.7]), 0.5)
    # of six pairs, (0.6, 0.3) alone is in the wrong order
    assert found == {
        "auc": pytest.approx(5 / 6),
        "false_positive_rate": pytest.approx(1 / 3),
        "true_positive_rate": pytest.approx(1 / 2),
    }


@pytest.mark.parametrize(
    "entries",
    [
        {"classifier": ""},
        {"channels": ()},
        {"channels": (4, 0)},
        {"channels": (4,) * 5},
        {"bits": 9},
        {"quantile": 1.5},
        {"under": -0.1},
        {"noise_layers": 1},
        {"device": "tpu"},
    ],
)
def test_settings_that_are_refused(entries):
    with pytest.raises(ConfigError):
        Purifier(**{"classifier": "x", **entries})
