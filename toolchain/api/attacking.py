"""The worst case of a preset's attacks on arrays of one's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from hardware import _tabular
from hardware.noise import MAX_SEED
from toolchain import heap
from toolchain.api.arguments import array, one_of, whole, wrong
from toolchain.api.arguments import labels as checked_labels
from toolchain.api.loading import Model, opened
from toolchain.attacks import registry
from toolchain.attacks.base import PIXELS, Threat, check_kind, verify
from toolchain.attacks.batteries import PRESETS, battery
from toolchain.attacks.cascade import STANDS, WRONG_BEFORE
from toolchain.attacks.registry import NORMS, AttackSpec
from toolchain.deploy.execution import TARGETS
from toolchain.deploy.summary import Accuracy, accuracy, accuracy_text
from toolchain.robustness import models, scoring
from toolchain.whole import whole as integers

if TYPE_CHECKING:
    import pandas

SOFTWARE = "software"


@dataclass(frozen=True, eq=False)
class Attacked:
    """What an attack did to every sample.

    adversarial     samples inside the threat model, verified, float32 (images) or uint8 (events)
    labels          int64 [sample]
    success         bool [sample]: the network is wrong on the adversarial sample (or was before)
    clean_correct   bool [sample]: the network is right on the clean sample
    felled_by       for each sample the attack that it fell to; None where it stands, or was wrong
                    before
    distance        [sample], in the norm of the threat
    queries         int [sample]: forward passes
    target          that decided: "software" or the integers' target
    attacks         those that were made, in order
    """

    adversarial: np.ndarray
    labels: np.ndarray
    success: np.ndarray
    clean_correct: np.ndarray
    felled_by: tuple[str | None, ...]
    distance: np.ndarray
    queries: np.ndarray
    threat: Threat
    preset: str
    target: str
    attacks: tuple[str, ...]

    @property
    def clean_accuracy(self) -> Accuracy:
        """On the clean samples: {"correct", "samples", "share", "interval"}."""
        return accuracy(int(self.clean_correct.sum()), len(self.labels))

    @property
    def accuracy(self) -> Accuracy:
        """Under the worst of all attacks: {"correct", "samples", "share", "interval"}."""
        return accuracy(int((~self.success).sum()), len(self.labels))

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, without the samples."""
        return {
            "threat": asdict(self.threat),
            "preset": self.preset,
            "target": self.target,
            "attacks": list(self.attacks),
            "clean_accuracy": self.clean_accuracy,
            "accuracy": self.accuracy,
            "samples": self._rows(),
        }

    def _rows(self) -> list[dict[str, object]]:
        return [
            {
                "label": int(self.labels[n]),
                "clean_correct": bool(self.clean_correct[n]),
                "success": bool(self.success[n]),
                "felled_by": self.felled_by[n],
                "distance": float(self.distance[n]),
                "queries": int(self.queries[n]),
            }
            for n in range(len(self.labels))
        ]

    def to_frame(self) -> pandas.DataFrame:
        """A data frame with a row for each sample.

        Raises:
            MissingPackageError: where pandas is not installed.
        """
        return _tabular.frame(self._rows())

    def __repr__(self) -> str:
        shares = (
            f"{100 * accuracy['share']:.1f} %" for accuracy in (self.clean_accuracy, self.accuracy)
        )
        clean, worst = shares
        limit = f"{self.threat.norm} {self.threat.epsilon:g}"
        return f"Attacked({limit}, {self.preset}: accuracy {clean} clean, {worst} under attack)"

    def _repr_html_(self) -> str:
        felled = [
            (name, sum(attack == name for attack in self.felled_by))
            for name in dict.fromkeys(self.attacks)
        ]
        title = f"{self.threat.norm} {self.threat.epsilon:g}, preset {self.preset}, {self.target}"
        lines = (
            f"clean: {accuracy_text(self.clean_accuracy)}",
            f"under attack: {accuracy_text(self.accuracy)}",
        )
        notes = "".join(f"<div>{escape(line)}</div>" for line in lines)
        return _tabular.html(title, ("attack", "samples that fell to it"), felled) + notes


@heap.kept()
def attack(
    model: object,
    images: np.ndarray,
    labels: np.ndarray,
    threat: Threat,
    *,
    preset: str = "standard",
    target: str = "fast",
    seed: int = 0,
    batch: int = 100,
    progress: Callable[[int, int], None] | None = None,
) -> Attacked:
    """Attack a model with the worst case of a preset: attacks in a row, each on the samples that
    those before it left (``toolchain.attacks.cascade``).

    Gradients are the PyTorch model's. ``target`` decides whether a sample has fallen. A random
    network is attacked by an adversary who knows its draws.

    Args:
        model: what ``load`` returned, or anything that it takes; it must hold a PyTorch model.
        images: [sample, channel, height, width] in [0, 1]; or events, zeros and ones [sample, step,
            channel, height, width].
        labels: [sample].
        threat: what may change, such as ``Threat("linf", 2 / 16)``.
        preset: "quick", "standard" or "full".
        target: "software", or the target that runs the integers. A model that becomes no integers
            (an ANN) is attacked in software.
        seed: of the attacks' random draws, and of a random network's.
        batch: samples computed at once.
        progress: called with (attacks done, attacks in all).

    Raises:
        ArgumentError: for arguments of the wrong type or shape.
        ModelError: for a model that does not say what its input means.
        AttackError: for a threat that the network's samples do not have.
    """
    if not isinstance(threat, Threat):
        raise wrong("threat", threat, "a Threat, such as Threat('linf', 2 / 16)")
    one_of("threat.norm", threat.norm, NORMS)
    one_of("preset", preset, PRESETS)
    one_of("target", target, TARGETS)
    number = whole("seed", seed, 0, optional=False)
    if number > MAX_SEED:
        raise wrong("seed", seed, f"a whole number from 0 to {MAX_SEED}")
    size = whole("batch", batch, optional=False)

    network = _readable(opened(model))
    victim = network.victim()
    check_kind(victim, threat)
    samples = _samples(images, network)
    classes = checked_labels(labels, len(samples))
    if classes.size and not 0 <= classes.min() <= classes.max() < victim.classes:
        raise wrong("labels", classes, f"classes from 0 to {victim.classes - 1}")

    deciding = SOFTWARE if network.program is None else target
    judge = None if deciding == SOFTWARE else network.integers(deciding)
    spec = _cascade(preset, threat, network, number)
    result = registry.run(
        spec,
        victim,
        samples,
        classes,
        threat,
        number,
        judge=judge,
        behind=network.victim,
        batch=size,
        program=network.program,
        progress=progress,
    )
    verify(samples, result.adversarial, threat)

    names = tuple(stage.label for stage in spec.stages)
    stage_of = result.history["felled_by"][0].astype(int)
    fell = tuple(None if n in (STANDS, WRONG_BEFORE) else names[n - 1] for n in stage_of)
    return Attacked(
        adversarial=result.adversarial,
        labels=classes,
        success=result.success,
        clean_correct=stage_of != WRONG_BEFORE,
        felled_by=fell,
        distance=scoring.distance(samples, result.adversarial, threat.norm),
        queries=result.queries,
        threat=threat,
        preset=preset,
        target=deciding,
        attacks=names,
    )


def _readable(model: Model) -> models.Opened:
    """The model, ready to be attacked."""
    return models.read(model.stage, model.ways)


def _samples(images: object, found: models.Opened) -> np.ndarray:
    """Images as float32 in [0, 1], or events as uint8."""
    there = found.victim().sample_shape
    kind = "zeros and ones" if found.events else "numbers in [0, 1]"
    wanted = f"{kind} of shape [sample, {', '.join(map(str, there))}]"
    values = array("images", images, wanted)
    if not len(values) or values.shape[1:] != tuple(there):
        raise wrong("images", values, wanted)
    if found.events:
        return integers(values, np.uint8, "images", 0, 1)
    if not np.isfinite(values).all() or values.min() < 0 or values.max() > 1:
        raise wrong(
            "images", values, f"{wanted}; its values go from {values.min()} to {values.max()}"
        )
    return np.ascontiguousarray(values, np.float32)


def _cascade(preset: str, threat: Threat, found: models.Opened, seed: int) -> AttackSpec:
    """All attacks of a preset in a row; on images the battery holds that cascade, on events its
    attacks become one."""
    known = seed if found.stochastic else None
    specs = battery(
        preset,
        threat.norm,
        stochastic=found.stochastic,
        front=found.front is not None,
        known_seed=known,
        spiking=found.spiking,
    )
    if threat.norm in PIXELS:
        return next(spec for spec in specs if spec.attack == "cascade")
    alone = [replace(s, eot=1, known_seed=None) for s in specs if s.known_seed == known]
    return AttackSpec("cascade", {"stages": [s.to_json() for s in alone]}, known_seed=known)
