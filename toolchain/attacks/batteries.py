"""Which attacks to run: three presets for every threat. A network is as robust as the worst of them, sample by sample.

Sources: methods compared in the ASSG, HART, RGA, PDSG and ensemble (TMLR 2024) papers, and AutoAttack. Every battery holds random
noise (the floor), single- and many-step gradients, more than one loss, estimators whose gradient vanishes nowhere (atan, ASSG),
estimators that leave time out, and an attack without gradients: what honesty checks compare.
"""

from __future__ import annotations

from dataclasses import replace

from toolchain.attacks.base import AttackError
from toolchain.attacks.registry import NORMS, PIXELS, AttackSpec

PRESETS = ("quick", "standard", "full")
EOT_SAMPLES = {"quick": 4, "standard": 10, "full": 10}
"""Gradient samples for random victims; 10 is the literature's choice."""

HART_WIDTHS = {"standard": [0.25, 0.5, 1.0, 1.5, 2.0], "full": [round(0.1 + 0.05 * k, 2) for k in range(48)]}
"""Widths that HART tries; full: the published grid, 0.10 to 2.45."""


def _named(name: str, **params) -> dict:
    return {"name": name, "params": params}


TRAINING, ATAN, ASSG = _named("training"), _named("atan", steepness=2.0), _named("assg", degree=0.85)


def _hart(preset: str) -> dict:
    """Fields of a spec that uses HART with its width tuned."""
    return {"estimator": _named("hart"), "tuning": {"parameter": "gamma", "values": HART_WIDTHS[preset], "samples": 32, "steps": 10}}


def _pixels(preset: str) -> list[dict]:
    if preset == "quick":
        return [
            {"attack": "noise", "params": {"kind": "uniform", "tries": 5}},
            {"attack": "fgsm", "estimator": TRAINING},
            {"attack": "pgd", "params": {"steps": 10}, "estimator": TRAINING},
            {"attack": "pgd", "params": {"steps": 10}, "estimator": ATAN},
            {"attack": "apgd_ce", "params": {"steps": 20}, "estimator": TRAINING},
            {"attack": "sa_pgd", "params": {"steps": 20}, "estimator": ASSG},
            {"attack": "square", "params": {"queries": 200}},
        ]
    many = {"standard": {"restarts": 1}, "full": {"restarts": 5}}[preset]
    steps = {"standard": 50, "full": 100}[preset]
    others = [ATAN, ASSG, _named("rga"), _named("bptr")]
    specs = [
        {"attack": "noise", "params": {"kind": "uniform", "tries": 10}},
        {"attack": "noise", "params": {"kind": "gaussian", "tries": 10}},
        {"attack": "fgsm", "estimator": TRAINING},
        {"attack": "rfgsm", "estimator": TRAINING},
        *({"attack": "pgd", "params": {"steps": 40, **many}, "estimator": e} for e in (TRAINING, *others)),
        {"attack": "pgd", "params": {"steps": 40, **many}, **_hart(preset)},
        {"attack": "apgd_ce", "params": {"steps": steps}, "estimator": TRAINING},
        {"attack": "apgd_dlr", "params": {"steps": steps}, "estimator": TRAINING},
        {"attack": "apgd_dlr", "params": {"steps": steps}, "estimator": ASSG},
        {"attack": "sa_pgd", "params": {"steps": 100}, "estimator": TRAINING},
        {"attack": "sa_pgd", "params": {"steps": 100}, "estimator": ASSG},
        {"attack": "square", "params": {"queries": 1000 if preset == "standard" else 5000}},
    ]
    if preset == "full":
        specs += [
            {"attack": "fgsm", "estimator": ATAN},
            {"attack": "bim", "params": {"steps": 40}, "estimator": TRAINING},
            *(
                {"attack": a, "params": {"steps": 100}, "estimator": e}
                for a in ("apgd_ce", "apgd_dlr", "sa_pgd")
                for e in others
                if (a, e) not in (("apgd_dlr", ASSG), ("sa_pgd", ASSG))
            ),
            *({"attack": a, "params": {"steps": 100}, **_hart(preset)} for a in ("apgd_ce", "sa_pgd")),
            *({"attack": "sa_pgd", "params": {"steps": 100}, "estimator": _named("assg", degree=d)} for d in (0.7, 0.8, 0.9, 0.95)),
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
                "tuning": {"parameter": "degree", "between": [0.7, 0.98], "rounds": 8, "samples": 32, "steps": 20},
            },
            {"attack": "apgd_targeted", "params": {"steps": 100}, "estimator": TRAINING},
            {"attack": "apgd_targeted", "params": {"steps": 100}, "estimator": ASSG},
            *(
                {"attack": a, "params": {"steps": 100}, "estimator": e}
                for a in ("apgd_ce", "sa_pgd")
                for e in (_named("cba", clamp=False), _named("cba", clamp=True), _named("hart_mix"))
            ),
            {"attack": "fab", "params": {"steps": 100}, "estimator": TRAINING},
            {"attack": "fab", "params": {"steps": 100}, "estimator": ASSG},
            {"attack": "cw", "params": {"steps": 200}, "estimator": TRAINING},
            {"attack": "cw", "params": {"steps": 200}, "estimator": ASSG},
        ]
    return specs


def _events(preset: str, norm: str) -> list[dict]:
    tries = {"quick": 5, "standard": 10, "full": 20}[preset]
    # rates know nothing of when: HART's gradient is the same in every step, RGA's and BPTR's slopes are
    rates = (
        [_named("hart"), _named("rga"), _named("bptr")]
        if norm == "flips"
        else [_named("triangle", width=2.0), _named("sigmoid", steepness=4.0)]
    )
    estimators = {"quick": [TRAINING, ASSG], "standard": [TRAINING, ATAN, ASSG], "full": [TRAINING, ATAN, ASSG, *rates]}[preset]
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
        raise AttackError(f"threat norm is {norm!r}; accepted are {', '.join(NORMS)}")


PUBLISHED = ("fgsm", "bim", "pgd")
"""Attacks that most publications stop at, with the training surrogate and without EOT; on a front: on the network behind it alone."""


def _around(preset: str) -> list[dict]:
    """What a front (a purifier with a gate) is attacked with besides the battery that goes through it: methods of BPDA and of evasion."""
    steps = {"quick": 10, "standard": 40, "full": 100}[preset]
    ways = [("skip", TRAINING), ("bpda", TRAINING), ("bpda", ATAN), ("detector", TRAINING), ("detector", ATAN)]
    return [
        {"attack": "fgsm", "estimator": TRAINING, "front": "skip"},
        *({"attack": "pgd", "params": {"steps": steps}, "estimator": e, "front": how} for how, e in ways),
        *({"attack": "sa_pgd", "params": {"steps": 2 * steps}, "estimator": ASSG, "front": how} for how in ("bpda", "detector")),
    ]


def battery(preset: str, norm: str, stochastic: bool = False, front: bool = False, known_seed: int | None = None) -> list[AttackSpec]:
    """The attacks of a preset on a threat; with EOT where the victim is random, and every way around a front where there is one.

    known_seed   of the inference, where the victim's neurons are noisy: beyond quick, the strongest attacks also know it
    """
    _checked(preset, norm)
    specs = _pixels(preset) if norm in PIXELS else _events(preset, norm)
    specs += _around(preset) if front and norm in PIXELS else []
    made = [AttackSpec(**spec, eot=EOT_SAMPLES[preset] if stochastic else 1) for spec in specs]
    if known_seed is None or preset == "quick":
        return made
    return made + [replace(spec, eot=1, known_seed=known_seed) for spec in _strongest(preset, made)]


def transfers(preset: str, norm: str, sources: list[str], stochastic: bool = False) -> list[AttackSpec]:
    """Attacks to make on each of the named victims and to try on another: the battery's strongest."""
    _checked(preset, norm)
    inner = _strongest(preset, battery(preset, norm, stochastic))
    return [AttackSpec("transfer", {"source": source, "spec": spec.to_json()}) for source in sources for spec in inner]


def _strongest(preset: str, specs: list[AttackSpec]) -> list[AttackSpec]:
    wanted = {"quick": {("pgd", "atan"), ("sa_pgd", "assg"), ("sparse_flips", "assg"), ("retiming", "assg")}}.get(
        preset,
        {("pgd", "training"), ("pgd", "atan"), ("sa_pgd", "training"), ("sa_pgd", "assg"), ("sparse_flips", "assg"), ("retiming", "assg")},
    )
    return [s for s in specs if s.estimator is not None and (s.attack, s.estimator["name"]) in wanted and s.front == "through"]


def energy_battery(preset: str, norm: str, stochastic: bool = False, count: str = "spikes") -> list[AttackSpec]:
    """Energy attacks: label free and unchanged; training surrogate, and ASSG beyond quick. ``count``: "spikes" or "synaptic_operations"."""
    _checked(preset, norm)
    if norm not in PIXELS:
        raise AttackError(f"energy attacks cannot keep to the threat {norm!r}; accepted are linf, l2")
    steps = {"quick": 20, "standard": 50, "full": 100}[preset]
    estimators = [ATAN] if preset == "quick" else [TRAINING, ATAN, ASSG]
    return [
        AttackSpec("sponge", {"steps": steps, "label": label, "count": count}, e, EOT_SAMPLES[preset] if stochastic else 1)
        for label in ("free", "unchanged")
        for e in estimators
    ]
