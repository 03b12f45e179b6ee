"""Attacks that studies compare: those of Sharmin et al. as they were made, and those that an honest
measurement adds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import numpy as np
from msgspec import Meta

from toolchain.attacks.registry import AttackSpec
from toolchain.errors import ConfigError
from toolchain.robustness.strength import AttackedNetwork, Strength, judge, weakest
from toolchain.robustness.traits import Traits
from toolchain.studies import base
from toolchain.studies.base import Cell
from toolchain.tables import Settings
from toolchain.training.config import Config

CLEAN, NAIVE, BLACK_BOX, HONEST, WORST = (
    "clean",
    "as published",
    "black box",
    "honest",
    "worst case",
)
"""Groups of measurements. As published: the training surrogate, gradients through one draw of the
encoder, few steps. Honest: gradients averaged over draws (EOT), surrogates that vanish nowhere,
adaptive steps, and no gradient at all. Worst case: of all, sample by sample."""


@dataclass(frozen=True)
class Attack(Settings):
    """How networks are attacked.

    epsilon      radius in pixels from 0 to 1, L infinity; 8/255 in Sharmin et al.
    samples      the first so many of the test split
    naive_steps  PGD of the published kind: 7 steps of epsilon / 4 (2/255 at 8/255), from a random
                 point
    steps        of the honest attacks
    eot          gradients that those average over where a network is random
    queries      of Square
    draws        of a random encoder in which a sample is classified; it counts as right where more
                 than half are
    """

    TABLE = "attack"

    epsilon: Annotated[float, Meta(ge=1e-6, le=1)] = 0.1
    samples: Annotated[int, Meta(ge=1, le=1 << 20)] = 100
    naive_steps: Annotated[int, Meta(ge=1, le=10_000)] = 7
    steps: Annotated[int, Meta(ge=1, le=10_000)] = 20
    eot: Annotated[int, Meta(ge=1, le=1000)] = 5
    queries: Annotated[int, Meta(ge=1, le=1 << 20)] = 100
    draws: Annotated[int, Meta(ge=1, le=1001)] = 5


def named(name: str, **params: Any) -> dict[str, Any]:
    """An estimator in an AttackSpec."""
    return {"name": name, "params": params}


def naive(attack: Attack) -> list[AttackSpec]:
    """FGSM and PGD with the gradient of Sharmin et al.: training surrogate, straight through one
    draw of the encoder."""
    pgd = {"steps": attack.naive_steps, "step": 0.25}
    return [AttackSpec("fgsm", {}, named("training")), AttackSpec("pgd", pgd, named("training"))]


def honest(attack: Attack, config: Config) -> list[AttackSpec]:
    """What a measurement of robustness adds: for an ANN, which has no surrogate to choose, fewer;
    EOT where the network is random."""
    training, steps = named("training"), {"steps": attack.steps}
    eot = attack.eot if is_random(config) else 1
    specs = [AttackSpec("pgd", steps, training, eot), AttackSpec("apgd_ce", steps, training, eot)]
    if config.model.kind == "ann":
        specs.append(AttackSpec("apgd_dlr", steps, training))
    else:
        assg = named("assg", degree=0.85)
        specs += [
            AttackSpec("pgd", steps, named("atan", steepness=2.0), eot),
            AttackSpec("apgd_dlr", steps, assg, eot),
            AttackSpec("sa_pgd", steps, assg, eot),
        ]
    return [*specs, AttackSpec("square", {"queries": attack.queries}, None, eot)]


def battery(recipes: Iterable[Config], attack: Attack) -> Strength | None:
    """How strong the attacks of a study are: of the network that is attacked least."""
    strengths = []
    for config in recipes:
        spiking = config.model.kind != "ann"
        traits = [
            Traits.of_spec(spec, spiking) for spec in (*naive(attack), *honest(attack, config))
        ]
        strengths.append(
            judge(traits, AttackedNetwork("linf", random=is_random(config), program=spiking))
        )
    return weakest(strengths)


def is_random(config: Config) -> bool:
    """Two evaluations of its network with different seeds differ."""
    return config.data.encoding.startswith("poisson") or bool(
        config.neuron.noise and config.neuron.noise_at_inference
    )


def require_images(recipes: Mapping[str, Config]) -> None:
    """Raises ConfigError where a network reads events: attacks of a study change pixels."""
    for name, config in recipes.items():
        if config.data.encoding == "events":
            raise ConfigError(
                f"network {name!r}: attacks of a study change pixels, and {config.data.name} are "
                f"events; its recipe must be of images"
            )


def cells(
    network: Cell, config: Config, label: str, attack: Attack, seed: int, sources: dict[str, Cell]
) -> dict[str, tuple[str, Cell]]:
    """Name of a measurement -> (its group, its cell) of one trained network and its recipe.

    sources   name -> network whose samples are tried on this one
    """
    cells = {"clean": (CLEAN, _cell(network, f"{label}: clean", attack, seed, None))}
    for group, specs in ((NAIVE, naive(attack)), (HONEST, honest(attack, config))):
        for spec in specs:
            name = spec.label
            cells[name] = (group, _cell(network, f"{label}: {name}", attack, seed, spec))
    for other, source in sources.items():
        for spec in naive(attack):
            name = f"{spec.attack} from {other}"
            inner = AttackSpec("transfer", {"source": "other", "spec": spec.to_json()})
            cells[name] = (
                BLACK_BOX,
                _cell(network, f"{label}: {name}", attack, seed, inner, source),
            )
    return cells


def _cell(
    network: Cell,
    label: str,
    attack: Attack,
    seed: int,
    spec: AttackSpec | None,
    source: Cell | None = None,
) -> Cell:
    settings = {
        name: value
        for name, value in asdict(attack).items()
        if name in ("epsilon", "samples", "draws")
    }
    job = {
        "network": network.product,
        "source": source and source.product,
        "spec": spec and spec.to_json(),
        "seed": seed,
        **settings,
    }
    after = (network,) if source is None or source is network else (network, source)
    return base.cell("toolchain.studies.attacking:measure", job, label, after)


def right(result: dict[str, Any]) -> np.ndarray:
    """Booleans [sample] of a measurement."""
    return np.array([value == "1" for value in result["correct"]])


def worst(results: list[dict[str, Any]]) -> float:
    """Share of samples that are right in every measurement."""
    return float(np.logical_and.reduce([right(result) for result in results]).mean())
