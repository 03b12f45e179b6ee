"""Attacks by name, batteries of them, and one call that runs one: what the robustness harness uses.

    for spec in battery("standard", "linf", stochastic=False):
        result = run(spec, victim, images, labels, Threat("linf", 8 / 255), seed=0)

``battery`` is of ``toolchain.attacks.batteries``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from hardware.noise import MAX_SEED
from hardware.program import Program
from hardware.registry import Registry
from toolchain.attacks import cascade
from toolchain.attacks.base import (
    EVENTS,
    PIXELS,
    Attack,
    AttackError,
    AttackResult,
    NotApplicable,
    Threat,
    Victim,
    check_kind,
)
from toolchain.attacks.energy import Sponge, synapses_per_spike
from toolchain.attacks.estimators import ESTIMATORS, make_estimator
from toolchain.attacks.estimators.base import Estimator
from toolchain.attacks.events.flips import SparseFlips
from toolchain.attacks.events.noise import EventNoise
from toolchain.attacks.events.retiming import Retiming
from toolchain.attacks.fronts import FRONTS
from toolchain.attacks.known import Known
from toolchain.attacks.optimisers.apgd import APGD, TargetedAPGD
from toolchain.attacks.optimisers.carlini_wagner import CarliniWagner
from toolchain.attacks.optimisers.corruption import Corruption
from toolchain.attacks.optimisers.fab import FAB
from toolchain.attacks.optimisers.local_search import LocalSearch
from toolchain.attacks.optimisers.momentum import Momentum
from toolchain.attacks.optimisers.noise import Noise
from toolchain.attacks.optimisers.sa_pgd import SAPGD
from toolchain.attacks.optimisers.signed_steps import FGSM, PGD, RFGSM
from toolchain.attacks.optimisers.square import Square
from toolchain.attacks.optimisers.transfer import Transfer
from toolchain.attacks.search import Progress, SearchOptions
from toolchain.attacks.tuning import Tuning

STARTS = ("random", "best")
NORMS = (*PIXELS, *EVENTS)
"""Threats of a sweep's attacks; corruptions are an axis of their own."""


@dataclass(frozen=True)
class Entry:
    """make: parameters → attack. norms: threats it keeps to. access: "gradient", "predictions",
    "source" (another victim) or "stages" (what each of its attacks asks for). family: "noise",
    "single_step", "iterative", "black_box", "energy" or "corruption", by which honesty checks
    compare attacks."""

    make: Callable[..., Any]
    norms: tuple[str, ...]
    access: str
    family: str
    description: str
    source: str


_OWN: Mapping[str, Entry] = {
    "noise": Entry(
        Noise, PIXELS, "predictions", "noise", "worst of several random points: the floor", "-"
    ),
    "fgsm": Entry(
        FGSM, PIXELS, "gradient", "single_step", "one gradient step", "Goodfellow et al., ICLR 2015"
    ),
    "rfgsm": Entry(
        RFGSM,
        PIXELS,
        "gradient",
        "single_step",
        "a random step, then one gradient step",
        "Tramer et al., ICLR 2018",
    ),
    "bim": Entry(
        lambda **p: PGD(**{"steps": 10, **p}, restarts=0),
        PIXELS,
        "gradient",
        "iterative",
        "projected gradient steps from the clean sample",
        "Kurakin et al., 2017",
    ),
    "pgd": Entry(
        PGD,
        PIXELS,
        "gradient",
        "iterative",
        "projected gradient steps from random points",
        "Madry et al., ICLR 2018",
    ),
    "apgd_ce": Entry(
        lambda **p: APGD(**p, loss="ce"),
        PIXELS,
        "gradient",
        "iterative",
        "Auto-PGD, cross entropy",
        "Croce & Hein, ICML 2020",
    ),
    "apgd_dlr": Entry(
        lambda **p: APGD(**p, loss="dlr"),
        PIXELS,
        "gradient",
        "iterative",
        "Auto-PGD, difference of logits ratio",
        "Croce & Hein, ICML 2020",
    ),
    "apgd_targeted": Entry(
        TargetedAPGD,
        PIXELS,
        "gradient",
        "iterative",
        "Auto-PGD, targeted DLR, several targets",
        "Croce & Hein, ICML 2020",
    ),
    "sa_pgd": Entry(
        SAPGD,
        PIXELS,
        "gradient",
        "iterative",
        "stable adaptive PGD, per-pixel steps",
        "ASSG, CVPR 2026",
    ),
    "momentum": Entry(
        Momentum,
        PIXELS,
        "gradient",
        "iterative",
        "momentum sign steps",
        "Dong et al., CVPR 2018 (MI-FGSM)",
    ),
    "cw": Entry(
        CarliniWagner,
        PIXELS,
        "gradient",
        "iterative",
        "Adam on the margin, change of variables",
        "Carlini & Wagner, IEEE S&P 2017",
    ),
    "fab": Entry(
        FAB,
        PIXELS,
        "gradient",
        "iterative",
        "nearest decision boundary, several targets",
        "Croce & Hein, ICML 2020 (FAB-T)",
    ),
    "square": Entry(
        Square,
        PIXELS,
        "predictions",
        "black_box",
        "random search with square windows",
        "Andriushchenko et al., ECCV 2020",
    ),
    "local_search": Entry(
        LocalSearch,
        ("linf",),
        "predictions",
        "black_box",
        "pixels, pairs and blocks to the edges of the ball",
        "-",
    ),
    "cascade": Entry(
        lambda **params: _stages(params),
        NORMS,
        "stages",
        "cascade",
        "attacks in a row, each on what is left",
        "toolchain.attacks.cascade",
    ),
    "transfer": Entry(
        Transfer,
        (*PIXELS, *EVENTS),
        "source",
        "black_box",
        "made on one victim, tried on another",
        "Papernot et al., 2016",
    ),
    "event_noise": Entry(
        EventNoise,
        EVENTS,
        "predictions",
        "noise",
        "worst of several random changes of events: the floor",
        "-",
    ),
    "sparse_flips": Entry(
        SparseFlips,
        ("flips",),
        "gradient",
        "iterative",
        "few flipped events, confirmed one by one",
        "SDA, CVPR 2025",
    ),
    "retiming": Entry(
        Retiming,
        ("shift",),
        "gradient",
        "iterative",
        "events moved in time",
        "Spike-Retiming Attacks, ICLR 2026",
    ),
    "sponge": Entry(
        Sponge,
        PIXELS,
        "gradient",
        "energy",
        "more spikes or synaptic operations",
        "Krithivasan et al., 2022",
    ),
    "corruption": Entry(
        Corruption,
        ("corruption",),
        "predictions",
        "corruption",
        "a common corruption, nobody's attack",
        "Hendrycks & Dietterich, ICLR 2019",
    ),
}

ATTACKS: Registry[Entry] = Registry("attack", "spikeport.attacks", Entry, _OWN, AttackError)
"""Name → attack; other distributions add entries by entry points (docs/extending.md)."""


def attacks_on(norm: str) -> tuple[str, ...]:
    """Names of the attacks that keep to a threat and look at one network alone."""
    return tuple(
        name
        for name, entry in ATTACKS.items()
        if norm in entry.norms and entry.access not in ("source", "stages")
    )


@dataclass(frozen=True)
class AttackSpec:
    """What to run, in plain JSON values; equal contents have equal keys.

    attack      name in ATTACKS
    params      its parameters. transfer: {"spec": the inner spec as JSON, "source": name of a
                victim given to ``run``}; sponge: "count" is "spikes" or "synaptic_operations" (then
                ``run`` needs the Program); cascade: {"stages": specs as JSON}, see ``cascade``
    estimator   {"name": name in ESTIMATORS, "params": {…}}; None for attacks that use no gradient
    eot         gradient samples for random victims
    tuning      None, or the fields of ``tuning.Tuning``: the estimator's parameter is chosen on
                some of the attacked samples
    front       how what stands before the network is treated, see ``fronts``; without anything
                there only "through"
    known_seed  None, or the seed of the inference, which the adversary knows, see ``known``
    start       "random": where the attack itself begins; "best": a stage of a cascade begins at the
                best points so far
    """

    attack: str
    params: Mapping[str, Any] = field(default_factory=dict)
    estimator: Mapping[str, Any] | None = None
    eot: int = 1
    tuning: Mapping[str, Any] | None = None
    front: str = "through"
    known_seed: int | None = None
    start: str = "random"

    def __post_init__(self) -> None:
        known = self.known_seed
        if known is not None and (
            isinstance(known, bool) or not isinstance(known, int) or not 0 <= known <= MAX_SEED
        ):
            raise AttackError(
                f"attack {self.attack!r}: known_seed is {known!r}; it must be a whole number from "
                f"0 to {MAX_SEED}"
            )
        if known is not None and self.attack == "transfer":
            raise AttackError(
                "transfer: known_seed is of the network that samples are made on; it belongs into "
                "the inner spec"
            )

        if self.front not in FRONTS:
            raise AttackError(
                f"attack {self.attack!r}: front is {self.front!r}; it must be one of "
                f"{', '.join(FRONTS)}"
            )
        entry = ATTACKS[self.attack]
        if self.start not in STARTS:
            raise AttackError(
                f"attack {self.attack!r}: start is {self.start!r}; it must be one of "
                f"{', '.join(STARTS)}"
            )
        if self.attack == "cascade":
            _stages(self.params)

        wants = entry.access == "gradient"
        if wants != (self.estimator is not None):
            raise AttackError(
                f"attack {self.attack!r} needs {'an' if wants else 'no'} estimator, not "
                f"{self.estimator!r}"
            )
        if self.estimator is not None and self.estimator.get("name") not in ESTIMATORS:
            raise AttackError(
                f"there is no estimator {self.estimator.get('name')!r}; there are "
                f"{', '.join(ESTIMATORS)}"
            )
        if self.tuning is not None and self.estimator is None:
            raise AttackError(f"attack {self.attack!r} has no estimator to tune")

        try:
            json.dumps(asdict(self), allow_nan=False)
        except (TypeError, ValueError) as error:
            raise AttackError(
                f"attack {self.attack!r}: its specification is not plain JSON ({error})"
            ) from error

    def to_json(self) -> dict[str, Any]:
        """Plain values; ``from_json`` gives an equal spec back."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return plain

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> AttackSpec:
        """From what ``to_json`` gave. Raises AttackError for unknown fields."""
        unknown = set(values) - set(cls.__dataclass_fields__)
        if unknown or "attack" not in values:
            raise AttackError(
                f"attack specification with fields {', '.join(map(str, values))}; they must be of "
                f"{', '.join(cls.__dataclass_fields__)}"
            )
        return cls(**values)

    @property
    def key(self) -> str:
        """Content hash, 64 hexadecimal digits."""
        return hashlib.sha256(json.dumps(self.to_json(), sort_keys=True).encode()).hexdigest()

    def __hash__(self) -> int:
        return hash(self.key)

    @property
    def label(self) -> str:
        """A short name for tables, such as "sa_pgd 100 · assg 0.85"."""
        if self.attack == "transfer":
            inner = AttackSpec.from_json(self.params["spec"])
            return f"transfer from {self.params.get('source')}: {inner.label}"
        if self.attack == "cascade":
            return f"cascade of {len(self.params['stages'])}" + self._suffix

        counts = [
            str(self.params[n])
            for n in ("steps", "queries", "tries", "rounds", "kind", "count", "name", "loss")
            if n in self.params
        ]
        extra = [f"x{self.params['restarts']}"] if self.params.get("restarts", 1) > 1 else []
        text = " ".join(
            [
                self.attack,
                *counts,
                *extra,
                *([self.params["label"]] if "label" in self.params else []),
            ]
        )

        if self.estimator is None:
            return text + self._suffix
        values = " ".join(
            f"{v:g}" if isinstance(v, float) else str(v)
            for v in (self.estimator.get("params") or {}).values()
        )
        return (
            f"{text} · {self.estimator['name']}"
            + (f" {values}" if values else "")
            + (" tuned" if self.tuning else "")
            + self._suffix
        )

    @property
    def _suffix(self) -> str:
        """What differs from an attack of its own on a network without a front and without
        randomness."""
        parts = [
            "" if self.front == "through" else self.front,
            f"EOT {self.eot}" if self.eot > 1 else "",
            "" if self.known_seed is None else f"knows seed {self.known_seed}",
            "from the best" if self.start == "best" else "",
        ]
        return "".join(f" · {part}" for part in parts if part)

    @property
    def stages(self) -> tuple[AttackSpec, ...]:
        """Of a cascade; of any other attack itself alone."""
        return _stages(self.params) if self.attack == "cascade" else (self,)

    @property
    def modules(self) -> tuple[str, ...]:
        """Modules of the plug-ins that it runs, whose code its results rest on."""
        if self.attack == "transfer":
            return AttackSpec.from_json(self.params["spec"]).modules
        return ATTACKS.modules(stage.attack for stage in self.stages)

    def describe(self) -> dict[str, Any]:
        """Plain values for records: name, optimiser, estimator ("" without one), family,
        iterations, eot."""
        if self.attack == "transfer":
            inner = AttackSpec.from_json(self.params["spec"]).describe()
            return {**inner, "name": self.label, "optimiser": "transfer", "family": "black_box"}
        if self.attack == "cascade":
            own = {"name": self.label, "optimiser": "cascade", "estimator": "", "family": "cascade"}
            return {**own, "iterations": len(self.stages), "eot": self.eot}

        attack = ATTACKS[self.attack].make(**{n: v for n, v in self.params.items() if n != "count"})
        iterations = next(
            (
                getattr(attack, n)
                for n in ("steps", "queries", "tries", "rounds")
                if hasattr(attack, n)
            ),
            1,
        )
        estimator = self.label.split(" · ")[1] if self.estimator is not None else ""

        return {
            "name": self.label,
            "optimiser": self.attack,
            "estimator": estimator,
            "family": ATTACKS[self.attack].family,
            "iterations": iterations,
            "eot": self.eot,
        }


def _stages(params: Mapping[str, Any]) -> tuple[AttackSpec, ...]:
    """The attacks of a cascade. Raises AttackError for what cannot be one of them."""
    if set(params) != {"stages"}:
        raise AttackError(
            f"cascade with parameters {', '.join(params) or 'none'}; it must have stages, and "
            f"nothing else"
        )

    stages = params["stages"]
    if not isinstance(stages, (list, tuple)) or not stages:
        raise AttackError("cascade: stages must be a list with at least one attack")
    if not all(isinstance(stage, Mapping) for stage in stages):
        raise AttackError(
            'cascade: a stage must be a table such as {attack = "fgsm", estimator = {name = '
            '"training"}}'
        )

    specs = tuple(AttackSpec.from_json(stage) for stage in stages)
    for stage in specs:
        if stage.attack in ("cascade", "transfer", "sponge", "corruption"):
            raise AttackError(f"cascade: {stage.attack!r} cannot be one of its stages")
        if stage.known_seed is not None or stage.eot != 1:
            raise AttackError(
                "cascade: known_seed and eot are given for all of it, not for a stage"
            )
    return specs


def run(
    spec: AttackSpec,
    victim: Victim,
    samples: np.ndarray,
    labels: np.ndarray,
    threat: Threat,
    seed: int = 0,
    *,
    start: np.ndarray | None = None,
    judge: Victim | None = None,
    behind: Callable[[str], Victim] | None = None,
    batch: int | None = None,
    sources: Mapping[str, Victim] | None = None,
    program: Program | None = None,
    progress: Progress | None = None,
) -> AttackResult:
    """Run one attack on all the samples at once (the caller bounds memory by the number of
    samples).

    start     points within the threat model where the attack begins instead of its own
    judge     of a cascade: the integer Program as a victim, which says what has fallen, and which
              attacks without gradients ask; None: the victim itself
    behind    of a cascade: front → the victim that a stage with this ``front`` is made on; None:
              only "through" can be
    batch     of a cascade: samples in one call of a stage
    sources   victims by name, for transfer attacks
    program   the victim's Program, for the energy attack that counts synaptic operations

    With tuning, the result's history has "tuned" [1, 1], the value that was chosen. Raises
    AttackError for what cannot be run.
    """
    if threat.norm not in ATTACKS[spec.attack].norms:
        raise AttackError(
            f"attack {spec.attack!r} cannot keep to the threat {threat.norm!r}; it must be one of "
            f"{', '.join(ATTACKS[spec.attack].norms)}"
        )
    check_kind(victim, threat)
    if spec.start == "best":
        raise AttackError(
            f'attack {spec.attack!r}: start "best" is of a stage of a cascade; an attack alone '
            f"begins where it does itself"
        )
    if spec.attack == "transfer":
        return _transfer(
            spec, victim, samples, labels, threat, seed, sources or {}, program, progress
        )
    if spec.known_seed is not None:
        victim = Known(victim, spec.known_seed, threat.epsilon)
        judge = None if judge is None else Known(judge, spec.known_seed)
    if spec.attack == "cascade":
        return _cascade(
            spec,
            victim,
            samples,
            labels,
            threat,
            seed,
            victim if judge is None else judge,
            behind,
            batch,
            program,
            progress,
        )
    attack = _make(spec, program)
    options: SearchOptions = {"seed": seed, "eot": spec.eot}
    if start is not None:
        options["start"] = start
    if spec.estimator is None:
        return attack(victim, samples, labels, threat, progress=progress, **options)
    if spec.tuning is None:
        return attack(
            victim,
            samples,
            labels,
            threat,
            estimator=_estimator(spec),
            progress=progress,
            **options,
        )
    tuning = Tuning(**spec.tuning)
    brief = _make(
        replace(
            spec,
            params={**spec.params, **({} if tuning.steps is None else {"steps": tuning.steps})},
        ),
        program,
    )

    def attempt(value: float, part: slice) -> AttackResult:
        return brief(
            victim,
            samples[part],
            labels[part],
            threat,
            estimator=_estimator(spec, {tuning.parameter: value}),
            **options,
        )

    value = tuning.choose(attempt, victim, labels, seed)
    result = attack(
        victim,
        samples,
        labels,
        threat,
        estimator=_estimator(spec, {tuning.parameter: value}),
        progress=progress,
        **options,
    )
    return replace(result, history={**result.history, "tuned": np.array([[value]], np.float32)})


def _cascade(
    spec: AttackSpec,
    victim: Victim,
    samples: np.ndarray,
    labels: np.ndarray,
    threat: Threat,
    seed: int,
    judge: Victim,
    behind: Callable[[str], Victim] | None,
    batch: int | None,
    program: Program | None,
    progress: Progress | None,
) -> AttackResult:
    def attacked(stage: AttackSpec) -> Victim:
        if ATTACKS[stage.attack].access != "gradient":
            return judge
        if stage.front == "through":
            return victim
        if behind is None:
            raise NotApplicable(
                f"nothing stands before the network that a stage could treat as {stage.front!r}"
            )
        base = behind(stage.front)
        return base if spec.known_seed is None else Known(base, spec.known_seed, threat.epsilon)

    def made(stage: AttackSpec) -> cascade.CascadeStage:
        def attack(
            samples: np.ndarray, labels: np.ndarray, seed: int, start: np.ndarray | None
        ) -> AttackResult:
            alone = replace(stage, eot=spec.eot, start="random")
            return run(
                alone, attacked(stage), samples, labels, threat, seed, start=start, program=program
            )

        return cascade.CascadeStage(attack, stage.start == "best")

    return cascade.run(
        [made(s) for s in spec.stages], judge, samples, labels, threat, seed, batch, progress
    )


def _estimator(spec: AttackSpec, changed: Mapping[str, Any] | None = None) -> Estimator:
    if spec.estimator is None:
        raise AttackError(f"attack {spec.attack!r} has no estimator")
    return make_estimator(
        spec.estimator["name"], {**(spec.estimator.get("params") or {}), **(changed or {})}
    )


def try_out(spec: AttackSpec) -> None:
    """Make everything that a specification names, as ``run`` will. Raises AttackError, or what a
    wrong value raises."""
    if spec.attack == "transfer":
        try_out(AttackSpec.from_json(spec.params["spec"]))
        return
    _make(
        replace(
            spec, params={name: value for name, value in spec.params.items() if name != "count"}
        ),
        None,
    )
    if spec.estimator is not None:
        _estimator(spec)
    if spec.tuning is not None:
        Tuning(**spec.tuning)


def _make(spec: AttackSpec, program: Program | None) -> Attack:
    params = dict(spec.params)
    if spec.attack == "sponge":
        count = params.pop("count", "spikes")
        if count not in ("spikes", "synaptic_operations"):
            raise AttackError(
                f"sponge: count is {count!r}; it must be spikes or synaptic_operations"
            )
        if count == "synaptic_operations":
            if program is None:
                raise NotApplicable(
                    "sponge: to count synaptic operations, run() needs the victim's Program; there "
                    "is none"
                )
            params["weights"] = synapses_per_spike(program)
    try:
        attack: Attack = ATTACKS[spec.attack].make(**params)
        return attack
    except TypeError as error:
        raise AttackError(f"attack {spec.attack!r} with {params!r}: {error}") from error


def _transfer(
    spec: AttackSpec,
    victim: Victim,
    samples: np.ndarray,
    labels: np.ndarray,
    threat: Threat,
    seed: int,
    sources: Mapping[str, Victim],
    program: Program | None,
    progress: Progress | None,
) -> AttackResult:
    if set(spec.params) != {"spec", "source"}:
        raise AttackError(
            f"transfer with parameters {', '.join(spec.params)}; they must be spec and source"
        )
    inner, name = AttackSpec.from_json(spec.params["spec"]), spec.params["source"]
    if name not in sources:
        raise AttackError(
            f"transfer from {name!r}, which was not given; given are {', '.join(sources) or 'none'}"
        )

    def craft(
        source: Victim,
        samples: np.ndarray,
        labels: np.ndarray,
        threat: Threat,
        *,
        seed: int,
        progress: Progress | None = None,
    ) -> AttackResult:
        return run(
            inner,
            source,
            samples,
            labels,
            threat,
            seed,
            sources=sources,
            program=program,
            progress=progress,
        )

    return Transfer(craft, sources[name])(
        victim, samples, labels, threat, seed=seed, progress=progress
    )
