"""What stands beside a number follows from the recipe: each rule on a form that is kinder than its
paper's, and on the paper's own."""

from dataclasses import replace

import pytest

from toolchain.defences import Adversarial, Defence, Margin, Retraction, Sparsity
from toolchain.models import Model, Neuron, Surrogate
from toolchain.models.description import Layer
from toolchain.purification.settings import Purifier
from toolchain.training import Config, Data
from toolchain.training.differences import RULES, differences

NOISY = Neuron(noise=0.2, noise_at_inference=True)
GUARDED = Config(
    neuron=NOISY,
    surrogate=Surrogate("triangle", 0.3),
    defence=Defence(
        margin=Margin(0.3, 0.1, potential="noisy", images="both"),
        adversarial=Adversarial("fgsm", 0.0625),
    ),
)
"""Threshold guarding with adversarial training in the form that its paper's readers doubt; attacked
at four times the radius."""

RADII = (0.25,)


def margin(**changed) -> Config:
    return replace(
        GUARDED, defence=replace(GUARDED.defence, margin=replace(GUARDED.defence.margin, **changed))
    )


def squeezed() -> Model:
    conv, squeeze = (
        Layer("conv", channels=4, kernel=3, padding=1),
        Layer("squeeze_excitation", reduction=2),
    )
    return Model(layers=(conv, squeeze, Layer("dense", features=10)))


KINDER = {
    "surrogate_wider_than_margin": (
        replace(GUARDED, surrogate=Surrogate("triangle", 2.0)),
        "half width 2 V, wider than the margin",
    ),
    "penalty_on_potential_without_noise": (margin(potential="quiet"), "without its noise"),
    "penalty_on_attacked_images_alone": (margin(images="trained"), "attacked images alone"),
    "noise_off_at_inference": (
        replace(GUARDED, neuron=Neuron(noise=0.2)),
        "noise in training only",
    ),
    "attacked_at_the_radius_of_training": (
        replace(GUARDED, defence=replace(GUARDED.defence, adversarial=Adversarial("fgsm", 0.25))),
        "attacked at 1 times the radius of its training",
    ),
    "weaker_retraction": (
        replace(GUARDED, defence=replace(GUARDED.defence, retraction=Retraction(0.0005))),
        "0.0005 instead of 0.002",
    ),
    "coarser_difference": (
        replace(GUARDED, defence=replace(GUARDED.defence, sparsity=Sparsity(0.1, 0.0625))),
        "0.0625 of the pixel range",
    ),
    "plain_classifier_behind_a_purifier": (
        Config(purifier=Purifier("digits.toml")),
        "without multi-level firing and squeeze-and-excitation",
    ),
    "fewer_steps_of_poisson_input": (
        Config(data=Data(encoding="poisson_signed", steps=16)),
        "16 steps of Poisson input instead of 175",
    ),
}


@pytest.mark.parametrize("name", KINDER)
def test_a_kinder_form_is_said(name):
    recipe, words = KINDER[name]
    (found,) = differences(recipe, RADII)
    assert words in found


def test_every_rule_is_tested():
    assert {rule.__name__ for rule in RULES} == set(KINDER)


@pytest.mark.parametrize(
    "recipe",
    [
        Config(),
        GUARDED,
        Config(
            Data("cifar10"),
            defence=Defence(retraction=Retraction(0.003), sparsity=Sparsity(1, 0.01)),
        ),
        Config(model=squeezed(), neuron=Neuron(levels=(0.6, 1.6)), purifier=Purifier("mlf.toml")),
        Config(data=Data(encoding="poisson_signed", steps=175)),
    ],
)
def test_the_form_of_the_paper_has_no_difference(recipe):
    assert differences(recipe, RADII) == []


def test_a_surrogate_that_ends_nowhere_and_the_density_of_the_noise_are_wider_than_any_margin():
    for surrogate, words in ((Surrogate("atan", 2.0), "surrogate atan"), (None, "noise’s density")):
        (found,) = differences(replace(GUARDED, surrogate=surrogate), RADII)
        assert words in found


def test_without_a_radius_nothing_is_said_of_it():
    """Attacks of another norm cannot be compared with the radius of the training."""
    assert differences(KINDER["attacked_at_the_radius_of_training"][0]) == []
