"""What an attack is, as far as others share it: what it sees, which loss it climbs, along which
gradient, for how long.

Attacks that share these fail together. A battery is judged by the kinds that it holds
(``strength``), and an estimate of what it has not found counts kinds, not attacks (``flags``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from toolchain.attacks.registry import ATTACKS, AttackSpec
from toolchain.robustness.records import Scored

CASCADE = "cascade"
"""Attacks in a row, each on what is left: of as many kinds as it has stages."""

NOISE, GRADIENT, SCORES, LOCAL, TRANSFER = "noise", "gradient", "scores", "local search", "transfer"
"""What an attack sees: nothing; gradients; the scores that it asks for, in a random search or in
one of the nearest points; another network."""

CROSS_ENTROPY, MARGIN, NO_LOSS = "cross entropy", "margin", ""
"""Losses: the cross entropy is flat where scores are spike counts; those of the kind "margin"
(difference of two scores, DLR, of currents) are not, or less."""

TRAINED, NOWHERE_ZERO, IN_TURN, BOUNDED, RATES, EXACT, NO_SURROGATE = (
    "training surrogate",
    "surrogate that vanishes nowhere",
    "surrogates in turn",
    "surrogate of bounded width",
    "gradient of rates",
    "exact gradient",
    "",
)
"""Ways to a gradient. In turn: narrow and wide ones, some of which vanish nowhere. Exact: the
network has no spiking neuron, so that every estimator is its own gradient."""

SURROGATES: Mapping[str, str] = {
    "training": TRAINED,
    "atan": NOWHERE_ZERO,
    "sigmoid": NOWHERE_ZERO,
    "straight_through": NOWHERE_ZERO,
    "pdsg": NOWHERE_ZERO,
    "assg": NOWHERE_ZERO,
    "in_turn": IN_TURN,
    "triangle": BOUNDED,
    "rectangle": BOUNDED,
    "hart": RATES,
    "hart_mix": RATES,
    "rga": RATES,
    "bptr": RATES,
    "cba": RATES,
}
"""Estimator → kind of gradient. (The density of PDSG is that of a normal distribution: nowhere
zero.)"""

OWN_LOSSES: Mapping[str, str] = {
    "apgd_targeted": MARGIN,
    "cw": MARGIN,
    "fab": MARGIN,
    "sparse_flips": MARGIN,
    "retiming": MARGIN,
}
"""Attacks with gradients whose loss is no parameter."""


@dataclass(frozen=True)
class Traits:
    """One attack.

    access, loss, surrogate   one of the constants above
    iterations   steps, or queries
    front        how what stands before the network is treated, see ``toolchain.attacks.fronts``
    known_seed   whether the adversary knows the seed of the inference
    """

    access: str
    loss: str
    surrogate: str
    iterations: int
    front: str = "through"
    known_seed: bool = False

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> Traits:
        """From the description of a record, see ``cells.CraftJob.description``."""
        estimator = estimator_of(said)
        access = _access(said)
        surrogate = NO_SURROGATE if estimator is None else SURROGATES[estimator]
        if estimator is not None and not said.get("spiking", True):
            surrogate = EXACT
        return cls(
            access,
            _loss(said) if estimator is not None else NO_LOSS,
            surrogate,
            said["iterations"],
            said.get("front", "through"),
            said.get("known_seed") is not None,
        )

    @classmethod
    def of_spec(cls, spec: AttackSpec, spiking: bool = True) -> Traits:
        """From what is to be run on the network itself; ``spiking``: False for one without spiking
        neurons."""
        return cls.of(
            {
                "estimator": None if spec.estimator is None else json.dumps(dict(spec.estimator)),
                "crafted_on": "software",
                "family": ATTACKS[spec.attack].family,
                "optimiser": spec.attack,
                "iterations": spec.describe()["iterations"],
                "params": spec.params,
                "front": spec.front,
                "known_seed": spec.known_seed,
                "spiking": spiking,
            }
        )

    @classmethod
    def made(cls, record: Scored) -> tuple[Traits, ...]:
        """Of the attack behind a record: one, or one for each stage of a cascade that could be made
        on the network."""
        description = record.description
        if description["optimiser"] != CASCADE:
            return (cls.of(description),)
        known, spiking, traits = (
            description.get("known_seed") is not None,
            description.get("spiking", True),
            [],
        )
        for number, stage in enumerate(description["params"]["stages"], 1):
            passes = record.history.get(f"passes.{number}")
            if passes is None or (np.asarray(passes) >= 0).any():
                traits.append(
                    replace(cls.of_spec(AttackSpec.from_json(stage), spiking), known_seed=known)
                )
        return tuple(traits)

    @property
    def kind(self) -> str:
        """What it shares with others, in words: attacks of one kind fail together."""
        parts = [self.access] if self.access != GRADIENT else [self.surrogate, f"{self.loss} loss"]
        parts += [] if self.front == "through" else [f"front: {self.front}"]
        parts += ["knows the seed"] if self.known_seed else []
        return ", ".join(parts)


def estimator_of(said: Mapping[str, Any]) -> str | None:
    """Name of the estimator; None for an attack without gradients."""
    text = said["estimator"]
    if not text:
        return None
    name: str = json.loads(text)["name"] if text.startswith("{") else text.split(" ")[0]
    return name


def _access(said: Mapping[str, Any]) -> str:
    if said["crafted_on"].startswith("model "):
        return TRANSFER
    if said["family"] == "noise":
        return NOISE
    if said["family"] == "black_box":
        return LOCAL if said["optimiser"].startswith("local") else SCORES
    return GRADIENT


def _loss(said: Mapping[str, Any]) -> str:
    optimiser = said["optimiser"].removeprefix("transfer ")
    if optimiser in OWN_LOSSES:
        return OWN_LOSSES[optimiser]
    loss = said.get("params", {}).get(
        "loss", optimiser.removeprefix("apgd_") if optimiser.startswith("apgd_") else "ce"
    )
    return CROSS_ENTROPY if loss == "ce" else MARGIN
