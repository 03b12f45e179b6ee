"""In which form a defence was trained and attacked, where that is otherwise than in its paper: read
off the recipe, never typed beside a number.

A form may be kinder to a defence than the one that its paper's readers doubt. A number of it says
nothing of the other form, so the difference stands beside it. Each rule is a function of the recipe
and the radii of the attacks; what a paper does not say is no difference, but where several readings
are possible, the one that is not measured is named. Sources: the papers and their code, as far as
they could be read; see the modules of the defences.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from toolchain.models import Surrogate

if TYPE_CHECKING:
    from toolchain.training import Config

Found = Iterator[str]

HALF_WIDTHS = {"triangle": 1.0, "rectangle": 0.5}
"""Surrogates that end somewhere → half width for a parameter of 1, volts."""

FIELD_RATIO = 4
"""Radius of attack to radius of training in the literature on spiking networks: 8/255 to 2/255."""


def surrogate_wider_than_margin(recipe: Config, radii: Sequence[float]) -> Found:
    """Threshold guarding: with a surrogate as wide as the margin the gradient of a guarded neuron
    is exactly zero."""
    margin = recipe.defence.margin
    if margin is None:
        return
    chosen = recipe.surrogate or Surrogate()
    if recipe.surrogate is None and recipe.neuron.noise:
        yield (
            "surrogate of the noise’s density, which vanishes nowhere, instead of one as wide as "
            "the margin"
        )
    elif chosen.name not in HALF_WIDTHS:
        yield (
            f"surrogate {chosen.name}, which vanishes nowhere, instead of one as wide as the margin"
        )
    elif (width := HALF_WIDTHS[chosen.name] * chosen.parameter) > margin.delta:
        yield f"surrogate of half width {width:g} V, wider than the margin of {margin.delta:g} V"


def penalty_on_potential_without_noise(recipe: Config, radii: Sequence[float]) -> Found:
    """Threshold guarding: the potential that is compared with the threshold has the noise in it."""
    margin = recipe.defence.margin
    if margin is not None and recipe.neuron.noise and margin.potential == "quiet":
        yield "margin penalty on the potential without its noise"


def penalty_on_attacked_images_alone(recipe: Config, radii: Sequence[float]) -> Found:
    """Threshold guarding with adversarial training."""
    margin, adversarial = recipe.defence.margin, recipe.defence.adversarial
    if margin is not None and adversarial is not None and margin.images == "trained":
        yield "margin penalty on attacked images alone, not on clean ones"


def noise_off_at_inference(recipe: Config, radii: Sequence[float]) -> Found:
    """Threshold guarding: what is published of it says both."""
    if recipe.defence.margin is None:
        return
    if not recipe.neuron.noise:
        yield "margin penalty without noisy neurons"
    elif not recipe.neuron.noise_at_inference:
        yield "noise in training only (the paper’s inference is described both ways)"


def attacked_at_the_radius_of_training(recipe: Config, radii: Sequence[float]) -> Found:
    """Adversarial training: the field attacks further than it trains."""
    adversarial = recipe.defence.adversarial
    if (
        adversarial is not None
        and radii
        and max(radii) < FIELD_RATIO * adversarial.epsilon * (1 - 1e-9)
    ):
        times = f"{max(radii) / adversarial.epsilon:.2g}"
        yield (
            f"attacked at {times} times the radius of its training; the field attacks at "
            f"{FIELD_RATIO} times"
        )


def weaker_retraction(recipe: Config, radii: Sequence[float]) -> Found:
    """SNN-RAT: the authors' code retracts by 0.002 to 0.004."""
    retraction = recipe.defence.retraction
    if retraction is not None and not 0.002 <= retraction.beta <= 0.004:
        yield f"weight retraction of {retraction.beta:g} instead of 0.002 to 0.004"


def coarser_difference(recipe: Config, radii: Sequence[float]) -> Found:
    """SR: the step of the finite difference is 0.01 in the authors' code."""
    sparsity = recipe.defence.sparsity
    if sparsity is not None and sparsity.h != 0.01:
        yield f"finite differences over {sparsity.h:g} of the pixel range instead of 0.01"


def plain_classifier_behind_a_purifier(recipe: Config, radii: Sequence[float]) -> Found:
    """The purifier's paper has multi-level firing and squeeze-and-excitation behind it."""
    if recipe.purifier is None:
        return
    missing = [] if recipe.neuron.levels else ["multi-level firing"]
    if not any(layer.kind == "squeeze_excitation" for layer in recipe.model.resolved().described()):
        missing.append("squeeze-and-excitation")
    if missing:
        yield f"classifier behind the purifier without {' and '.join(missing)}"


def fewer_steps_of_poisson_input(recipe: Config, radii: Sequence[float]) -> Found:
    """Sharmin et al. (ECCV 2020): 175 steps for VGG-5; fewer steps are said to be more robust."""
    if recipe.data.encoding == "poisson_signed" and recipe.data.steps < 175:
        yield f"{recipe.data.steps} steps of Poisson input instead of 175"


RULES: tuple[Callable[[Config, Sequence[float]], Found], ...] = (
    surrogate_wider_than_margin,
    penalty_on_potential_without_noise,
    penalty_on_attacked_images_alone,
    noise_off_at_inference,
    attacked_at_the_radius_of_training,
    weaker_retraction,
    coarser_difference,
    plain_classifier_behind_a_purifier,
    fewer_steps_of_poisson_input,
)


def differences(recipe: Config, radii: Sequence[float] = ()) -> list[str]:
    """What a network of this recipe, attacked at these radii (L infinity), has otherwise than the
    papers of its defences."""
    return [text for rule in RULES for text in rule(recipe, radii)]
