"""Adversarial training, retraction and sparsity: each does what its formula says; all of them train
together."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

import toolchain.layers as snn
from toolchain.data import load
from toolchain.defences.adversarial_training import Adversarial, perturb
from toolchain.defences.sparsity import Sparsity, SparsityRegularisation, confidence
from toolchain.defences.weight_retraction import Retraction, retract, retracted
from toolchain.errors import ConfigError
from toolchain.training import Config, train
from toolchain.training.batches import Feed

TABLE = {
    "data": {"steps": 4},
    "model": {
        "layers": [{"kind": "dense", "features": 24}, {"kind": "dense", "features": 10}],
        "readout": "max_potential",
    },
    "training": {"epochs": 1, "samples": 90, "batch": 30},
}

MARGIN = {"delta": 0.3, "lambda_max": 1.0}


def config(**parts) -> Config:
    return Config.from_table(
        {name: TABLE.get(name, {}) | parts.get(name, {}) for name in {*TABLE, *parts}}
    )


def a_step(as_images=True, **parts):
    recipe = config(**parts)
    torch.manual_seed(0)
    model = snn.Network(
        {
            "flat": snn.Flatten(),
            "dense": snn.Linear(64, 10, source_fraction_bits=4),
            "readout": snn.LI(0.9),
        },
        input_shape=(1, 8, 8),
        message_bits=6,
        fraction_bits=4,
        decode="last_potential",
        data={"name": "digits", **recipe.data.encoder.describe()},
    )
    return next(
        Feed(
            load("digits", "train", samples=90), recipe, model, torch.device("cpu"), as_images
        ).epoch(0)
    )


def test_images_and_encoded_values_are_the_same_samples():
    images, values = a_step(True, data={"shift": 1}), a_step(False, data={"shift": 1})
    assert torch.equal(images.encode(images.images), values.values)
    assert torch.equal(images.labels, values.labels)
    assert 0 <= images.images.min() < images.images.max() <= 1


@pytest.mark.parametrize(
    "attack",
    [{"attack": "fgsm"}, {"attack": "rfgsm"}, {"attack": "pgd", "steps": 5}],
    ids=lambda a: a["attack"],
)
def test_adversarial_examples_stay_in_the_ball_and_raise_the_loss(attack):
    step = a_step()
    clean, before = step.images.clone(), step.loss(step.scores()).item()
    torch.manual_seed(1)
    found = perturb(Adversarial(**attack, epsilon=0.125), step)
    assert (found - clean).abs().max().item() == pytest.approx(0.125)
    assert (found - clean).abs().max() <= 0.125 + 1e-6
    assert 0 <= found.min() <= found.max() <= 1
    assert step.loss(step.scores(found)).item() > before + 0.01
    assert torch.equal(step.images, clean)
    assert all(
        parameter.requires_grad and parameter.grad is None for parameter in step.model.parameters()
    )


def test_fgsm_is_one_step_along_the_sign_of_the_gradient():
    step = a_step()
    images = step.images.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(step.loss(step.scores(images)), images)
    expected = (step.images + 0.125 * gradient.sign()).clamp(0, 1)
    assert torch.equal(perturb(Adversarial("fgsm", 0.125), step), expected)


def test_a_larger_step_of_rfgsm_is_more_random():
    step = a_step()
    fgsm = perturb(Adversarial("fgsm", 0.125), step)
    agreement = []
    for alpha in (0.02, 0.1):
        torch.manual_seed(0)
        found = perturb(Adversarial("rfgsm", 0.125, alpha), step)
        agreement.append(
            ((found - step.images).sign() == (fgsm - step.images).sign()).float().mean().item()
        )
    assert agreement[0] > agreement[1] + 0.1


def test_pgd_starts_at_random_and_goes_as_far_as_its_steps():
    step = a_step()
    torch.manual_seed(0)
    one, other = (perturb(Adversarial("pgd", 0.125, alpha=0.001, steps=1), step) for _ in range(2))
    assert not torch.equal(one, other)
    assert (
        (one - other).abs() > 0.1
    ).any()  # of two uniform starts; a step of 0.001 does not bring them together


def test_retraction_moves_the_singular_values_towards_one():
    torch.manual_seed(0)
    weight = torch.randn(6, 3, 3, 3, dtype=torch.float64) * 0.25
    before = torch.linalg.svdvals(weight.flatten(1))
    after = torch.linalg.svdvals(retracted(weight, 0.1).flatten(1))
    torch.testing.assert_close(
        after.sort().values, (before + 0.1 * before * (1 - before**2)).sort().values
    )


@pytest.mark.parametrize("shape", [(5, 12), (12, 5)])
def test_repeated_retraction_makes_a_matrix_orthogonal(shape):
    torch.manual_seed(0)
    layer = snn.Linear(*shape[::-1], bias=False)
    nn.init.normal_(layer.weight, 0, 0.3)

    def distance():
        w = layer.weight.detach()
        gram = w @ w.T if shape[0] < shape[1] else w.T @ w
        return float((gram - torch.eye(min(shape))).norm())

    distances = [distance()]
    for _ in range(4):
        for _ in range(50):
            retract(layer, Retraction(beta=0.05))
        distances.append(distance())
    assert all(later < earlier for earlier, later in pairwise(distances))
    assert distances[-1] < 0.01


def test_of_a_tall_linear_layer_a_random_part_of_the_rows_is_retracted():
    model = nn.ModuleList([snn.Linear(8, 200), snn.Linear(8, 199), snn.Conv2d(1, 300, 3)])
    before = [layer.weight.detach().clone() for layer in model]
    biases = [layer.bias.detach().clone() for layer in model]
    torch.manual_seed(0)
    retract(model, Retraction(beta=0.1, rows=0.3, rows_from=200))
    changed = [
        int((layer.weight != old).flatten(1).any(1).sum()) for layer, old in zip(model, before)
    ]
    assert changed == [60, 199, 300]
    assert all(torch.equal(layer.bias, old) for layer, old in zip(model, biases))


def test_confidence_is_the_two_class_softmax_against_the_strongest_rival():
    logits = torch.tensor([[1.0, 3.0, 2.0], [0.0, -1.0, 4.0]])
    found, rival = confidence(logits, torch.tensor([0, 2]))
    assert rival.tolist() == [1, 0]
    e = np.exp
    np.testing.assert_allclose(
        found.numpy(), [e(1) / (e(1) + e(3)), e(4) / (e(4) + e(0))], rtol=1e-6
    )
    kept, _ = confidence(logits, torch.tensor([0, 2]), torch.tensor([2, 1]))
    np.testing.assert_allclose(
        kept.numpy(), [e(1) / (e(1) + e(2)), e(4) / (e(4) + e(-1))], rtol=1e-6
    )


@dataclass
class LinearStep:
    """A model without time, whose input gradient is known."""

    weight: torch.Tensor
    images: torch.Tensor
    labels: torch.Tensor

    def scores(self, images=None):
        return (self.images if images is None else images) @ self.weight.T

    def logits(self, scores):
        return scores * 0.5


def test_sparsity_is_the_l1_norm_of_the_input_gradient_squared():
    torch.manual_seed(0)
    step = LinearStep(
        torch.randn(3, 5, dtype=torch.float64, requires_grad=True),
        torch.rand(4, 5, dtype=torch.float64),
        torch.tensor([0, 1, 2, 0]),
    )
    hook = SparsityRegularisation(Sparsity(weight=0.25, h=1e-6))
    hook.prepare(step)
    found = hook.penalty(step, step.scores())
    f, rival = confidence(0.5 * step.scores(), step.labels)
    gradient = (f * (1 - f))[:, None] * 0.5 * (step.weight[step.labels] - step.weight[rival])
    assert found.item() == pytest.approx(
        0.25 * (gradient.abs().sum(1) ** 2).mean().item(), rel=1e-4
    )
    (own,) = torch.autograd.grad(found, step.weight, retain_graph=True)
    assert own.abs().sum() > 0


def test_sparsity_of_a_noisy_network_sees_the_same_noise_twice():
    step = a_step()
    step.model = snn.Network(
        {
            "flat": snn.Flatten(),
            "dense": snn.Linear(64, 10, source_fraction_bits=4),
            "readout": snn.LIF(1.0, noise=0.5),
        },
        input_shape=(1, 8, 8),
        message_bits=6,
        fraction_bits=4,
        data={"name": "digits", "encoding": "direct", "steps": 4},
    ).train()
    hook = SparsityRegularisation(
        Sparsity(weight=1.0, h=0.001)
    )  # rounded away: both evaluations see one image
    hook.prepare(step)
    scores = step.scores()
    state = torch.get_rng_state()
    assert hook.penalty(step, scores).item() == 0
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(step.scores(), scores)


EVERYTHING = {
    "margin": {"delta": 0.3, "lambda_max": 2.0},
    "adversarial": {"attack": "pgd", "epsilon": 0.0625, "alpha": 0.0625, "steps": 2},
    "retraction": {"beta": 0.004},
    "sparsity": {"weight": 0.1, "h": 0.0625},
}


def test_everything_together_trains_and_repeats_itself():
    recipe = config(defence=EVERYTHING, neuron={"noise": 0.2}, data={"shift": 1})
    assert Config.from_table(recipe.to_table()) == recipe
    results = [train(recipe) for _ in range(2)]
    (entry,) = results[0].history
    assert list(entry["terms"]) == ["task", "sparsity", "margin"]
    assert entry["loss"] == pytest.approx(sum(entry["terms"].values()))
    assert all(value > 0 for value in entry["terms"].values())
    assert entry["lambda"] == pytest.approx(2.0)
    assert 0 < entry["near_threshold"] < 1
    for name, tensor in results[0].model.state_dict().items():
        assert torch.equal(tensor, results[1].model.state_dict()[name])


@pytest.mark.parametrize("name", [None, *EVERYTHING])
def test_each_defence_alone_changes_the_training(name):
    defence = {} if name is None else {name: EVERYTHING[name]}
    result = train(config(defence=defence))
    plain = train(config())
    same = all(
        torch.equal(t, plain.model.state_dict()[n]) for n, t in result.model.state_dict().items()
    )
    assert same == (name is None)
    assert ("terms" in result.history[0]) == (name in ("margin", "sparsity"))


@pytest.mark.parametrize("encoding", ["poisson", "latency"])
def test_adversarial_training_goes_through_every_encoder(encoding):
    result = train(
        config(
            defence={"adversarial": {"attack": "fgsm", "epsilon": 0.0625}},
            data={"encoding": encoding},
        )
    )
    assert np.isfinite(result.history[0]["loss"])


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (
            {"defence": {"margins": {}}},
            r"\[defence\]: there is no key 'margins' \(the nearest is 'margin'\); it must be one "
            "of margin, adversarial, retraction, sparsity",
        ),
        (
            {"defence": {"margin": {"lambda_max": 1.0}}},
            r"\[defence.margin\]: delta is missing; it must be a finite number from 1e-06 to 1000",
        ),
        (
            {"defence": {"adversarial": {"attack": "fgsm", "epsilon": 0.1, "iterations": 3}}},
            "there is no key 'iterations'",
        ),
        (
            {"defence": {"adversarial": {"attack": "cw", "epsilon": 0.1}}},
            "attack is 'cw'; it must be one of fgsm, rfgsm, pgd",
        ),
        ({"defence": {"adversarial": {"attack": "fgsm", "epsilon": 8.0}}}, "epsilon is 8.0"),
        (
            {"defence": {"adversarial": {"attack": "fgsm", "epsilon": 0.1, "alpha": 0.1}}},
            "alpha goes with rfgsm and pgd, not fgsm",
        ),
        (
            {"defence": {"adversarial": {"attack": "rfgsm", "epsilon": 0.1, "steps": 2}}},
            "steps goes with pgd, not rfgsm",
        ),
        (
            {"defence": {"adversarial": {"attack": "rfgsm", "epsilon": 0.1, "alpha": 0.2}}},
            "alpha is 0.2",
        ),
        ({"defence": {"retraction": {"beta": 0.6}}}, r"\[defence.retraction\] beta is 0.6"),
        ({"defence": {"sparsity": {"weight": -1.0}}}, r"\[defence.sparsity\] weight is -1.0"),
        (
            {"defence": {"sparsity": {"weight": 1.0}}},
            "defence.sparsity: h is 0.01; it must be 0.03125 or more: digits have 16 grey",
        ),
        ({"defence": {"adversarial": {"attack": "fgsm", "epsilon": 0.03}}}, "rounded away"),
        (
            {
                "defence": {"adversarial": {"attack": "fgsm", "epsilon": 0.1}},
                "data": {"name": "nmnist", "encoding": "events"},
            },
            "defence: adversarial changes pixels; nmnist are events",
        ),
        ({"neuron": {"noise_at_inference": True}}, "noise_at_inference without noise"),
        ({"neuron": {"noise": 0.1, "noise_seed": 3}}, "noise_seed goes with noise_at_inference"),
        ({"neuron": {"noise": -1.0}}, r"\[neuron\] noise is -1.0"),
        ({"training": {"device": "tpu"}}, "device is 'tpu'; it must be one of cpu, cuda, auto"),
        (
            {"defence": {"margin": MARGIN | {"images": "both"}}},
            "without adversarial training there are no attacked images",
        ),
        (
            {"defence": {"margin": MARGIN | {"potential": "noisy"}}},
            "potential is .noisy., and neuron.noise is 0",
        ),
        ({"defence": {"margin": MARGIN | {"images": "all"}}}, "images is 'all'"),
    ],
)
def test_what_a_recipe_may_not_say(parts, message):
    with pytest.raises(ConfigError, match=message):
        config(**parts)
