"""Which attacks to run: three presets for every threat. A network is as robust as the worst of
them, sample by sample.

On images the worst case is the work of a cascade (``stages``): attacks in a row, each on what is
left. Beside it a few attacks are made alone, on every sample: random noise (the floor), what
publications stop at, the strongest single one, one without gradients. They are what honesty checks
compare, and what a cascade cannot say, because its stages see only what others left.

Sources: methods compared in the ASSG, HART, RGA, PDSG and ensemble (TMLR 2024) papers, and
AutoAttack.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from toolchain.attacks.base import PIXELS, AttackError
from toolchain.attacks.registry import NORMS, AttackSpec

Fields: TypeAlias = dict[str, Any]
"""Of an ``AttackSpec``, or of its estimator."""

PRESETS = ("quick", "standard", "full")
EOT_SAMPLES = {"quick": 4, "standard": 10, "full": 10}
"""Gradient samples for random victims; 10 is the literature's choice."""

HART_WIDTHS = {"full": [round(0.1 + 0.05 * k, 2) for k in range(48)]}
"""Widths that HART tries: the published grid, 0.10 to 2.45."""


def _named(name: str, **params: Any) -> Fields:
    return {"name": name, "params": params}


TRAINING, ATAN, ASSG = (
    _named("training"),
    _named("atan", steepness=2.0),
    _named("assg", degree=0.85),
)


def _hart(preset: str) -> Fields:
    """Fields of a spec that uses HART with its width tuned."""
    return {
        "estimator": _named("hart"),
        "tuning": {"parameter": "gamma", "values": HART_WIDTHS[preset], "samples": 32, "steps": 10},
    }


IN_TURN = _named("in_turn")

WARM = {"start": "best"}
"""Of a stage that begins at the best points of those before it."""


def _apgd(steps: int, estimator: Fields = ASSG, **more: Any) -> Fields:
    return {"attack": "apgd_dlr", "params": {"steps": steps}, "estimator": estimator, **more}


def _momentum(steps: int, loss: str, **more: Any) -> Fields:
    return {
        "attack": "momentum",
        "params": {"steps": steps, "loss": loss},
        "estimator": IN_TURN,
        **more,
    }


def _local(rounds: int) -> Fields:
    return {"attack": "local_search", "params": {"rounds": rounds, "candidates": 4}, **WARM}


def stages(preset: str, norm: str) -> list[Fields]:
    """The attacks of the cascade, in order; chosen by what each added at which cost on the kept
    networks (docs/robustness.md).

    Gradient steps that begin elsewhere alternate with a local search from the best point so far:
    the first find new hills, the second climbs to their tops, where gradients of any surrogate
    vanish or mislead. In L2 there is no local search; Square takes its place.
    """
    closing = (
        _local
        if norm == "linf"
        else (lambda rounds: {"attack": "square", "params": {"queries": 4 * rounds}})
    )

    if preset == "quick":
        return [_apgd(20), _momentum(20, "current"), closing(30)]

    standard = [
        _apgd(20),
        _momentum(20, "current"),
        _momentum(20, "margin", **WARM),
        closing(50),
        _momentum(20, "current"),
        closing(50),
        _apgd(30),
        closing(50),
        # the best other class is not always the nearest one: each of several in turn
        {"attack": "apgd_targeted", "params": {"steps": 20, "targets": 5}, "estimator": ASSG},
        closing(150),
    ]
    if preset == "standard":
        return standard

    return [
        *standard,
        *(
            stage
            for estimator in (
                ATAN,
                TRAINING,
                _named("assg", degree=0.7),
                _named("assg", degree=0.95),
                _named("sigmoid"),
            )
            for stage in (_apgd(100, estimator), closing(100))
        ),
        {"attack": "sa_pgd", "params": {"steps": 100, "loss": "margin"}, "estimator": ASSG},
        closing(100),
        {"attack": "apgd_targeted", "params": {"steps": 50}, "estimator": ASSG},
        closing(100),
        {"attack": "fab", "params": {"steps": 100}, "estimator": ASSG},
        {"attack": "cw", "params": {"steps": 200}, "estimator": ASSG},
        {"attack": "square", "params": {"queries": 1000}},
        closing(1000),
    ]


def _pixels(preset: str) -> list[Fields]:
    """Attacks made alone, on every sample: what publications stop at, and what the checks of
    honesty compare with each other."""
    steps = {"quick": 10, "standard": 40, "full": 40}[preset]
    specs: list[Fields] = [
        {"attack": "noise", "params": {"kind": "uniform", "tries": 5 if preset == "quick" else 10}},
        {"attack": "fgsm", "estimator": TRAINING},
        {"attack": "pgd", "params": {"steps": steps}, "estimator": TRAINING},
        {"attack": "pgd", "params": {"steps": steps}, "estimator": ATAN},
    ]
    if preset == "quick":
        return specs

    specs += [
        _apgd(50),
        {"attack": "square", "params": {"queries": 200 if preset == "standard" else 2000}},
    ]
    if preset == "standard":
        return specs

    others = [ATAN, ASSG, _named("rga"), _named("bptr")]
    return [
        *specs,
        {"attack": "noise", "params": {"kind": "gaussian", "tries": 10}},
        {"attack": "rfgsm", "estimator": TRAINING},
        {"attack": "fgsm", "estimator": ATAN},
        {"attack": "bim", "params": {"steps": 40}, "estimator": TRAINING},
        *(
            {"attack": "pgd", "params": {"steps": 40, "restarts": 5}, "estimator": e}
            for e in (TRAINING, *others)
        ),
        {"attack": "pgd", "params": {"steps": 40, "restarts": 5}, **_hart(preset)},
        *(
            {"attack": a, "params": {"steps": 100}, "estimator": e}
            for a in ("apgd_ce", "apgd_dlr", "sa_pgd")
            for e in (TRAINING, *others)
        ),
        *({"attack": a, "params": {"steps": 100}, **_hart(preset)} for a in ("apgd_ce", "sa_pgd")),
        *(
            {"attack": "pgd", "params": {"steps": 40}, "estimator": e}
            for e in (
                *(_named("triangle", width=w) for w in (0.25, 0.5, 2.0, 3.0)),
                *(_named("rectangle", width=w) for w in (0.5, 1.0, 2.0, 4.0)),
                _named("sigmoid", steepness=4.0),
                _named("straight_through"),
                _named("pdsg", per_sample=True),
            )
        ),
        {
            "attack": "sa_pgd",
            "params": {"steps": 100},
            "estimator": _named("assg"),
            "tuning": {
                "parameter": "degree",
                "between": [0.7, 0.98],
                "rounds": 8,
                "samples": 32,
                "steps": 20,
            },
        },
        *(
            {"attack": a, "params": {"steps": 100}, "estimator": e}
            for a in ("apgd_ce", "sa_pgd")
            for e in (_named("cba", clamp=False), _named("cba", clamp=True), _named("hart_mix"))
        ),
    ]


def _events(preset: str, norm: str) -> list[Fields]:
    tries = {"quick": 5, "standard": 10, "full": 20}[preset]
    # rates know nothing of when: HART's gradient is the same in every step, RGA's and BPTR's slopes
    # are
    rates = (
        [_named("hart"), _named("rga"), _named("bptr")]
        if norm == "flips"
        else [_named("triangle", width=2.0), _named("sigmoid", steepness=4.0)]
    )
    estimators = {
        "quick": [TRAINING, ASSG],
        "standard": [TRAINING, ATAN, ASSG],
        "full": [TRAINING, ATAN, ASSG, *rates],
    }[preset]
    name, count = ("sparse_flips", "rounds") if norm == "flips" else ("retiming", "steps")
    number = {"quick": 10, "standard": 40, "full": 200}[preset]
    return [
        {"attack": "event_noise", "params": {"tries": tries}},
        *({"attack": name, "params": {count: number}, "estimator": e} for e in estimators),
    ]


def _checked(preset: str, norm: str) -> None:
    if preset not in PRESETS:
        raise AttackError(f"there is no preset {preset!r}; there are {', '.join(PRESETS)}")
    if norm not in NORMS:
        raise AttackError(f"threat norm is {norm!r}; it must be one of {', '.join(NORMS)}")


PUBLISHED = ("fgsm", "bim", "pgd")
"""Attacks that most publications stop at, with the training surrogate and without EOT; on a front:
on the network behind it alone."""


def _around(preset: str) -> list[Fields]:
    """What a front (a purifier with a gate) is attacked with alone besides the battery that goes
    through it: as most publications do, by BPDA, and evading its detector. The strongest attacks go
    these ways within the cascade."""
    steps = {"quick": 10, "standard": 40, "full": 100}[preset]
    ways = [("skip", TRAINING), ("bpda", ATAN), ("detector", ATAN)]
    return [
        {"attack": "fgsm", "estimator": TRAINING, "front": "skip"},
        *(
            {"attack": "pgd", "params": {"steps": steps}, "estimator": e, "front": how}
            for how, e in ways
        ),
    ]


def battery(
    preset: str,
    norm: str,
    stochastic: bool = False,
    front: bool = False,
    known_seed: int | None = None,
    spiking: bool = True,
) -> list[AttackSpec]:
    """The attacks of a preset on a threat, and every way around a front where there is one.

    stochastic   the victim is random
    known_seed   then of the inference: all attacks of the battery are made by an adversary who
                 knows it. A few are also made by one who does not (``secret``). None: by the second
                 alone
    spiking      False: an ANN, which has one gradient and no surrogates to choose from
    """
    _checked(preset, norm)
    specs = _pixels(preset) if norm in PIXELS else _events(preset, norm)
    row = stages(preset, norm) if norm in PIXELS else []
    if front and norm in PIXELS:
        specs += _around(preset)
        row = _with_front(row)
    if not spiking:
        specs, row = _without_surrogates(specs), _without_surrogates(row)
    specs += [{"attack": "cascade", "params": {"stages": row}}] if row else []
    if not stochastic:
        return [AttackSpec(**spec) for spec in specs]
    hidden = [
        AttackSpec(**spec, eot=EOT_SAMPLES[preset])
        for spec in (_secret(preset) if norm in PIXELS else specs)
    ]
    if known_seed is None:
        return hidden
    return [AttackSpec(**spec, known_seed=known_seed) for spec in specs] + hidden


def _secret(preset: str) -> list[Fields]:
    """What an adversary does who does not know what will be drawn: gradients averaged over draws
    (EOT).

    Few and short, because each costs as many passes as it averages over, and because the noise is
    no secret: what counts is the adversary who knows it.
    """
    steps = {"quick": 10, "standard": 20, "full": 100}[preset]
    specs = [
        {"attack": "noise", "params": {"kind": "uniform", "tries": 5}},
        {"attack": "fgsm", "estimator": TRAINING},
        {"attack": "pgd", "params": {"steps": steps}, "estimator": TRAINING},
        _apgd(steps),
    ]
    if preset != "full":
        return specs
    other = {"attack": "pgd", "params": {"steps": steps}, "estimator": ATAN}
    more = {"attack": "sa_pgd", "params": {"steps": steps, "loss": "margin"}, "estimator": ASSG}
    return [*specs, other, more, {"attack": "square", "params": {"queries": 1000}}]


def _with_front(row: list[Fields]) -> list[Fields]:
    """The stages, and the first of each kind again around the front: with the front as the identity
    backward, and aware of its detector."""
    first = [next(s for s in row if s["attack"] == attack) for attack in ("apgd_dlr", "momentum")]
    return [
        row[0],
        *({**stage, "front": how} for how in ("bpda", "detector") for stage in first),
        *row[1:],
    ]


def _without_surrogates(specs: list[Fields]) -> list[Fields]:
    """Every gradient is the network's own; what is then there twice, once (stages of a cascade
    begin at other points, so they stay)."""
    own = [
        {**s, "estimator": TRAINING} if s.get("estimator") else s
        for s in specs
        if "tuning" not in s
    ]
    return [
        s
        for number, s in enumerate(own)
        if s not in own[:number] or s["attack"] in ("momentum", "local_search", "apgd_dlr")
    ]


def transfers(
    preset: str, norm: str, sources: list[str], stochastic: bool = False
) -> list[AttackSpec]:
    """Attacks to make on each of the named victims and to try on another."""
    _checked(preset, norm)
    steps = {"quick": 10, "standard": 40, "full": 100}[preset]
    if norm in PIXELS:
        inner: list[Fields] = [
            {"attack": "pgd", "params": {"steps": steps}, "estimator": ATAN},
            {"attack": "sa_pgd", "params": {"steps": steps}, "estimator": ASSG},
        ]
    else:
        inner = [s for s in _events(preset, norm) if s.get("estimator") == ASSG]
    specs = [AttackSpec(**spec, eot=EOT_SAMPLES[preset] if stochastic else 1) for spec in inner]
    return [
        AttackSpec("transfer", {"source": source, "spec": spec.to_json()})
        for source in sources
        for spec in specs
    ]


def energy_battery(
    preset: str, norm: str, stochastic: bool = False, count: str = "spikes"
) -> list[AttackSpec]:
    """Energy attacks: label free and unchanged; training surrogate, and ASSG beyond quick.
    ``count``: "spikes" or "synaptic_operations"."""
    _checked(preset, norm)
    if norm not in PIXELS:
        raise AttackError(
            f"energy attacks cannot keep to the threat {norm!r}; it must be linf or l2"
        )
    steps = {"quick": 20, "standard": 50, "full": 100}[preset]
    estimators = [ATAN] if preset == "quick" else [TRAINING, ATAN, ASSG]
    return [
        AttackSpec(
            "sponge",
            {"steps": steps, "label": label, "count": count},
            e,
            EOT_SAMPLES[preset] if stochastic else 1,
        )
        for label in ("free", "unchanged")
        for e in estimators
    ]
