"""What a report knows, as frozen dataclasses, and as plain JSON values (``to_json``).

The fields stand in the order of the JSON file. A share is a ``Share`` with its 95 % Wilson
interval, 0 to 1; a mean is a ``Mean`` with its 95 % t interval; a difference of two shares of the
same samples has Newcombe's interval. Energy is in joules of one inference, time in seconds. None
stands for what there is no number for.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any, TypeVar

import numpy as np

from toolchain.pages.table import Interval
from toolchain.robustness.statistics import Share, Spread
from toolchain.robustness.strength import Strength

T = TypeVar("T")

HIDDEN = {"json": False}
"""Metadata of a field that the JSON file leaves out."""


@dataclass(frozen=True)
class Mean:
    """A mean of samples; ``no_interval`` says why it has no ends, see ``counts.mean``."""

    value: float
    low: float | None
    high: float | None
    samples: int
    no_interval: str | None


@dataclass(frozen=True)
class ReportedStage:
    """A stage of a cascade: how many samples it was tried on, how many it added, which share of all
    stands afterwards, and its forward passes for each sample of the set."""

    stage: int
    name: str
    made: bool
    tried: int
    added: int
    left: float
    passes: float
    passes_so_far: float


@dataclass(frozen=True)
class ReportedAttack:
    """One attack at one radius and seed. ``optimiser`` and ``known_seed`` (whether the adversary
    knows the seed of the inference) say which attack it is; ``name`` is for reading."""

    name: str
    family: str
    norm: str
    epsilon: float
    seed: int
    crafted_on: str
    iterations: int
    estimator: str | None
    eot: int
    crafted: str
    front: str
    samples: int
    attacked_accuracy: Share
    drop: float
    success_over_all: Share
    success_over_correct: Share
    mean_margin: float
    largest_distance: float
    mean_queries: float | None
    spikes: float | None
    syn_ops: float | None
    dynamic_j: float
    flags: tuple[str, ...]
    stages: tuple[ReportedStage, ...]
    optimiser: str = field(default="", metadata=HIDDEN)
    known_seed: bool = field(default=False, metadata=HIDDEN)


@dataclass(frozen=True)
class Worst:
    """The per-sample worst case of one radius over the whole battery.

    over_seeds   of each attack seed's battery alone
    kinds        the worst case of every kind of attack alone, see ``worst_cases.KINDS``
    published    what usual publications report, and the points by which that lies above
                 (``flattered``)
    """

    epsilon: float
    attacks: int
    share: Share
    over_seeds: Spread
    strongest: str
    strongest_share: Share
    flags: tuple[str, ...]
    battery: Strength
    kinds: Mapping[str, Share | None]
    zero_gradient: float | None
    published: Share | None
    published_attacks: tuple[str, ...]
    flattered: Interval | None


@dataclass(frozen=True)
class Energy:
    """One inference: of clean inputs, under the attack that leaves least accuracy ("attacked"), or
    under the costliest energy attack ("energy attack").

    table     the device table that single figures are of
    change    of dynamic energy, from clean inputs
    tables    device table → quantity → mean
    """

    inputs: str
    epsilon: float
    attack: str
    samples: int
    table: str
    dynamic_j: Mean
    band_low_j: float
    band_high_j: float
    dynamic_calibrated_j: float | None
    static_j: float | None
    static_low_j: float | None
    static_high_j: float | None
    time_s: float | None
    time_low_s: float | None
    time_high_s: float | None
    time_calibrated_s: float | None
    time_limit: str | None
    static_share: float | None
    change: Mean | None
    spikes: float | None
    syn_ops: float | None
    tables: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class ReportedLayer:
    """Activity of one layer in one inference; ``inputs`` as in ``Energy``."""

    layer: str
    inputs: str
    attack: str
    epsilon: float
    spikes: float | None
    syn_ops: float | None
    dendrite_updates: float | None
    macs: float | None


@dataclass(frozen=True)
class Flagged:
    """A check that tripped; ``cells``: the numbers that it accuses, (attack, radius, seed)."""

    name: str
    findings: tuple[str, ...]
    cells: tuple[tuple[str, float, int], ...]
    finding: str


@dataclass(frozen=True)
class Inference:
    """Accuracy over the seeds of the inference (``numbers``), of one radius; clean at radius 0."""

    epsilon: float
    numbers: tuple[int, ...]
    each: tuple[float, ...]
    mean: float
    deviation: float | None
    low: float
    high: float
    seeds: int


@dataclass(frozen=True)
class Detected:
    """What a detector makes of clean inputs or of an attack. ``caught``: share that is taken for
    perturbed. ``auc``: over all thresholds; None of clean inputs."""

    name: str
    family: str
    epsilon: float
    seed: int
    crafted_on: str
    front: str
    auc: float | None
    caught: Share


@dataclass(frozen=True)
class ReportedCorruption:
    """A common corruption."""

    name: str
    severity: int
    share: Share
    change: Interval
    mean_margin: float
    energy_change: Mean | None


@dataclass(frozen=True)
class ReportedTarget:
    """One model on one target; of a random model everything but ``inference`` is of its first
    inference seed."""

    target: str
    samples: int
    clean: Share
    clean_over_seeds: Spread
    attacks: tuple[ReportedAttack, ...]
    worst: tuple[Worst, ...]
    battery: Strength | None
    energy: tuple[Energy, ...]
    layers: tuple[ReportedLayer, ...]
    flags: tuple[Flagged, ...]
    inference: tuple[Inference, ...]
    detector: tuple[Detected, ...]
    corruptions: tuple[ReportedCorruption, ...]

    def worst_at(self, epsilon: float | None) -> Worst | None:
        """The worst case at a radius; None where the target was not attacked there."""
        return next((row for row in self.worst if row.epsilon == epsilon), None)

    def energy_of(self, inputs: str, epsilon: float | None) -> Energy | None:
        """Energy of clean inputs, or of attacked ones at a radius."""
        rows = (row for row in self.energy if row.inputs == inputs)
        return next((row for row in rows if inputs == "clean" or row.epsilon == epsilon), None)


@dataclass(frozen=True)
class Compared:
    """One set of inputs on two targets: accuracy of the second minus the first, on the same
    samples."""

    name: str
    family: str
    norm: str
    epsilon: float
    seed: int
    crafted_on: str
    accuracy: tuple[float, float]
    identical: bool
    predictions_that_differ: int
    energy_change: Mean | None
    difference: float
    low: float
    high: float
    right_only_on_baseline: int
    right_only_on_target: int
    p_value: float
    samples: int


@dataclass(frozen=True)
class ComparedWorst:
    """The worst case of one radius on two targets."""

    epsilon: float
    shares: tuple[Share, Share]
    difference: float
    low: float
    high: float
    right_only_on_baseline: int
    right_only_on_target: int
    p_value: float
    samples: int


@dataclass(frozen=True)
class ReportedComparison:
    """Two targets on the same samples: clean, attack by attack (``cells``), and in the worst case.
    ``identical``: every prediction, spike and synaptic operation."""

    targets: tuple[str, str]
    cells: tuple[Compared, ...]
    worst: tuple[ComparedWorst, ...]
    energy_change: Mean | None
    identical: bool

    def worst_at(self, epsilon: float | None) -> ComparedWorst | None:
        """The worst case at a radius."""
        return next((row for row in self.worst if row.epsilon == epsilon), None)


@dataclass(frozen=True)
class AgainstSoftware:
    """The answer's target against software."""

    clean: Compared | None
    worst: ComparedWorst | None
    energy_change: Mean | None
    identical: bool
    cells: int


@dataclass(frozen=True)
class Answer:
    """What the first sentence about a model says.

    energy           inputs → row, of clean inputs and of the report's radius
    also_identical   other targets that agree with software in everything → their samples
    """

    target: str
    samples: int
    clean: Share
    worst: Worst | None
    inference: tuple[Inference, ...]
    energy: Mapping[str, Energy]
    software: AgainstSoftware | None
    also_identical: Mapping[str, int]
    flags: tuple[str, ...]


@dataclass(frozen=True)
class ReportedNearThreshold:
    """Share of potentials that are less than ``within`` of the threshold away from it."""

    layers: Mapping[str, float]
    share: float
    within: float


@dataclass(frozen=True)
class ReportedTwin:
    """An ANN of the same geometry; device table → energy."""

    macs: int
    energy_j: Mapping[str, float]


@dataclass(frozen=True)
class ReportedAbsent:
    """Cells that cannot be, of one target or one attack (``kind``), and why."""

    kind: str
    what: str
    crafted_on: tuple[str, ...]
    reason: str
    cells: int


def repeating(
    targets: Sequence[ReportedTarget], comparisons: Sequence[ReportedComparison]
) -> set[str]:
    """Targets that ran fewer samples than another and agree with the first in all of them."""
    most = max(entry.samples for entry in targets)
    same = {compared.targets[1] for compared in comparisons if compared.identical}
    return {entry.target for entry in targets if entry.samples < most and entry.target in same}


@dataclass(frozen=True)
class ReportedModel:
    """One network.

    differs    what its form has otherwise than the papers of its defences, see
               ``toolchain.training.differences``
    absent     cells that cannot be: a target for a model without a Program, an estimator that a
               neuron does not have
    method     networks of one method differ in the seed of their training alone
    """

    name: str
    program: str | None
    steps: int
    chip: str | None
    cores: int | None
    classes: int
    stochastic: bool
    no_program: str
    has_front: bool
    exact: bool
    near_threshold: ReportedNearThreshold | None
    twin: ReportedTwin
    battery: Strength | None
    answer: Answer
    targets: tuple[ReportedTarget, ...]
    comparisons: tuple[ReportedComparison, ...]
    differs: tuple[str, ...] = ()
    absent: tuple[ReportedAbsent, ...] = ()
    method: str = field(default="", metadata=HIDDEN)

    def target(self, name: str) -> ReportedTarget:
        """What a target measured."""
        return next(entry for entry in self.targets if entry.target == name)

    def comparison(self, baseline: str, target: str) -> ReportedComparison | None:
        """Two targets on the same samples; None where they were not compared."""
        pair = (baseline, target)
        return next(
            (comparison for comparison in self.comparisons if comparison.targets == pair), None
        )

    def agreement(self, entry: ReportedTarget) -> int | None:
        """Samples on which a target has every prediction, spike and synaptic operation as the first
        target has; None where they differ anywhere, or were not compared."""
        comparison = self.comparison(self.targets[0].target, entry.target)
        return entry.samples if comparison is not None and comparison.identical else None

    def repeats(self, entry: ReportedTarget) -> bool:
        """Whether a target ran fewer samples than another and agrees in all of them. It says that
        the hardware computes the same; its own accuracy, of so few samples, says nothing."""
        return entry.target in repeating(self.targets, self.comparisons)

    @property
    def measured(self) -> tuple[ReportedTarget, ...]:
        """Targets whose accuracy is one: all but those that repeat another."""
        return tuple(entry for entry in self.targets if not self.repeats(entry))

    @property
    def repeated(self) -> tuple[ReportedTarget, ...]:
        """The other targets."""
        return tuple(entry for entry in self.targets if self.repeats(entry))

    def findings(self) -> dict[str, list[tuple[str, str]]]:
        """Flag → (target, finding) of every finding."""
        findings: dict[str, list[tuple[str, str]]] = {}
        for entry in self.targets:
            for flag in entry.flags:
                findings.setdefault(flag.name, []).extend((entry.target, f) for f in flag.findings)
        return findings


@dataclass(frozen=True)
class Analysis:
    """All that the records of a sweep say.

    radius    the one that the answer in words is about
    battery   how strong the weakest battery was; also of every model, target and worst case
    about     how the run was made, see ``run.ABOUT``
    """

    norm: str
    radii: tuple[float, ...]
    radius: float | None
    battery: Strength | None
    about: Mapping[str, Any]
    models: tuple[ReportedModel, ...]

    @property
    def data(self) -> str:
        """Name of the data set that was attacked."""
        return str(((self.about.get("sweep") or {}).get("data") or {}).get("name") or "not stated")

    @property
    def unfinished(self) -> int:
        """Cells that the sweep plans and the run does not hold yet."""
        return int(self.about["cells"]["planned"]) - int(self.about["cells"]["stored"])


@dataclass(frozen=True)
class PlacedModel(ReportedModel):
    """A model and how its Program lies on the chip, as ``hardware.placement`` says it; None without
    a Program."""

    placement: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Check:
    """A check of honesty, and what it looks for."""

    name: str
    meaning: str


@dataclass(frozen=True)
class ExampleFacts:
    """A sample that is shown; target → (class before, class after)."""

    model: str
    attack: str
    epsilon: float
    seed: int
    index: int
    label: int
    distance: float
    predictions: Mapping[str, tuple[int, int]]


@dataclass(frozen=True)
class Facts(Analysis):
    """The same with what the Programs say about the chip: everything that a report holds.

    rate_hz   inferences in a second that static energy is for; None: one after the other
    """

    models: tuple[PlacedModel, ...]
    rate_hz: float | None = None
    checks: tuple[Check, ...] = ()
    examples: tuple[ExampleFacts, ...] = ()
    reported_by: str = ""


def to_json(value: object) -> Any:
    """Plain JSON values: dataclasses and mappings as objects, tuples as lists."""
    if is_dataclass(value):
        shown = (f.name for f in fields(value) if f.metadata.get("json", True))
        return {name: to_json(getattr(value, name)) for name in shown}
    if isinstance(value, Mapping):
        return {key: to_json(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json(entry) for entry in value]
    return value


def finite(value: T) -> T:
    """The same with None in place of every number that is not finite, which JSON does not have."""
    plain: T = _finite(value)
    return plain


def _finite(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{f.name: _finite(getattr(value, f.name)) for f in fields(value)})
    if isinstance(value, Mapping):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_finite(entry) for entry in value)
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else None
    return value
