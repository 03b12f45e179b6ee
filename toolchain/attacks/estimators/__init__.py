"""Gradient estimators by name. All leave the forward pass as it is and change only what flows back.

The gradient through the Poisson encoder is the encoder's (``encoding.Poisson``), BPDA that of
``victims.Purified``, and EOT the search's (``search.Search``): they combine with every estimator
here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from toolchain.attacks.base import AttackError
from toolchain.attacks.estimators.adaptive import AdaptiveSharpness, PotentialDependent
from toolchain.attacks.estimators.base import Estimator, Mixed
from toolchain.attacks.estimators.ensemble import in_turn
from toolchain.attacks.estimators.rates import Activation, RateGradient, RateThrough, RateTime
from toolchain.attacks.estimators.slopes import Pointwise


@dataclass(frozen=True)
class EstimatorEntry:
    """make: parameters → estimator. batch_dependent: a sample's gradient changes with its batch
    mates."""

    make: Callable[..., Estimator]
    description: str
    source: str
    batch_dependent: bool = False


ESTIMATORS: Mapping[str, EstimatorEntry] = {
    "training": EstimatorEntry(
        Estimator,
        "the surrogate that the network was trained with, through time",
        "Neftci et al., IEEE SPM 2019",
    ),
    "triangle": EstimatorEntry(
        lambda width=1.0: Pointwise("triangle", width),
        "triangle of any half width (thresholds), through time",
        "Bellec et al., NeurIPS 2018",
    ),
    "rectangle": EstimatorEntry(
        lambda width=1.0: Pointwise("rectangle", width),
        "rectangle of any width (thresholds), through time",
        "Wu et al., Front. Neurosci. 2018",
    ),
    "atan": EstimatorEntry(
        lambda steepness=2.0: Pointwise("atan", steepness),
        "arctangent, nowhere zero, through time",
        "Fang et al., ICCV 2021",
    ),
    "sigmoid": EstimatorEntry(
        lambda steepness=4.0: Pointwise("sigmoid", steepness),
        "logistic, nowhere zero, through time",
        "SR, ICML 2024 (ensemble)",
    ),
    "straight_through": EstimatorEntry(
        lambda: Pointwise("straight_through"),
        "derivative 1 everywhere, through time",
        "Bengio et al., 2013",
    ),
    "bptr": EstimatorEntry(
        RateThrough,
        "upstream gradient where a neuron fired, no time",
        "Ding et al., SNN-RAT, NeurIPS 2022",
    ),
    "rga": EstimatorEntry(RateGradient, "slope of a piecewise linear rate", "Bu et al., CVPR 2023"),
    "hart": EstimatorEntry(
        RateTime,
        "triangle without carried potential, averaged over time; width tuned",
        "Hao et al., ICLR 2024",
    ),
    "cba": EstimatorEntry(
        Activation,
        "derivative of the converted ANN's activation, no time",
        "Ding et al., SNN-RAT, NeurIPS 2022",
    ),
    "hart_mix": EstimatorEntry(
        lambda gamma=1.0: Mixed("hart_mix", (RateTime(gamma), Estimator())),
        "mean of HART's gradient and the training surrogate's",
        "Hao et al., ICLR 2024 (MIX)",
    ),
    "pdsg": EstimatorEntry(
        PotentialDependent,
        "normal density as wide as the potentials spread",
        "PDSG-SDA, CVPR 2025",
        batch_dependent=True,
    ),
    "in_turn": EstimatorEntry(
        in_turn,
        "nine surrogates, narrow to endless, one for each step",
        "Dong et al., CVPR 2018 (ensemble)",
    ),
    "assg": EstimatorEntry(
        AdaptiveSharpness,
        "arctangent with a sharpness learnt for every neuron and step",
        "ASSG, CVPR 2026",
    ),
}


def make_estimator(name: str, parameters: Mapping[str, Any] | None = None) -> Estimator:
    """The estimator of this name. Raises AttackError for an unknown name or parameter."""
    if name not in ESTIMATORS:
        raise AttackError(f"there is no estimator {name!r}; there are {', '.join(ESTIMATORS)}")
    try:
        return ESTIMATORS[name].make(**dict(parameters or {}))
    except TypeError as error:
        raise AttackError(f"estimator {name!r} with {dict(parameters or {})!r}: {error}") from error
