"""Studies of one setting: networks that differ in it alone, attacked as published and honestly.
leak, steps and quantisation are such.

values = [1.0, 0.9, 0.5]           # of the setting
seeds = [0, 1, 2]                  # of training; each network is also attacked from the one of the
                                   next seed (black box)
[[networks]]
name = "signed Poisson"
recipe = "../recipes/digits-small-poisson.toml"     # a training recipe, in which the setting and
    the seed are replaced
[attack]
epsilon = 0.1                      # and more, see attacked.Attack
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta

from toolchain.pages.formats import signed
from toolchain.pages.plot import Axis, Line, PlotPanel, Point, legend, lines
from toolchain.pages.table import SEEDS, Column, Interval, Table
from toolchain.report import battery
from toolchain.robustness.statistics import spread
from toolchain.robustness.strength import Strength
from toolchain.studies import attacked, base
from toolchain.studies.attacked import BLACK_BOX, CLEAN, HONEST, NAIVE, WORST, Attack
from toolchain.studies.base import Cell
from toolchain.studies.page import Figure, Findings, Section
from toolchain.table_rules import DISTINCT, Seed, Text
from toolchain.tables import Settings, from_table
from toolchain.training import Config, read_config


@dataclass(frozen=True)
class Network(Settings):
    """One network of a study.

    name     for people
    recipe   path of a training recipe, from where the study's file lies
    """

    name: Text
    recipe: Text


@dataclass(frozen=True)
class Study(Settings):
    """The TOML file; see the module.

    values     of the setting
    networks   that are trained with each value
    seeds      of training; each network is also attacked from the one of the next seed (black box)
    attack     radius and strength of the attacks
    """

    values: Annotated[tuple[float, ...], DISTINCT]
    networks: Annotated[tuple[Network, ...], Meta(min_length=1)]
    seeds: Annotated[tuple[Seed, ...], DISTINCT] = (0, 1, 2)
    attack: Attack = field(default_factory=Attack)

    def check(self) -> str | None:
        return distinct_names(self.networks)


def distinct_names(networks: Iterable[Network]) -> str | None:
    """What is wrong with the names of networks: None, or that one stands twice."""
    names = [network.name for network in networks]
    twice = next((name for name in names if names.count(name) > 1), None)
    return None if twice is None else f"networks: {twice!r} is the name of two; names must differ"


@dataclass(frozen=True)
class SettingPlan:
    """Settings with their recipes, and (network, value, seed) -> the measurements."""

    settings: Study
    recipes: dict[str, Config]
    trained: dict[tuple[str, float, int], Cell]
    measured: dict[tuple[str, float, int], dict[str, tuple[str, Cell]]]


@dataclass(frozen=True)
class Setting:
    """What a study varies.

    title, axis   of the page and the plot
    put           (recipe, value) -> the recipe with that value; raises ConfigError for one that
                  cannot be
    claim         what the papers say
    theirs        (what, their setting) pairs, to set beside ours
    anchor        a table of numbers published elsewhere, named as such
    """

    name: str
    title: str
    axis: str
    put: Callable[[Config, float], Config]
    claim: tuple[str, ...]
    theirs: tuple[tuple[str, str], ...]
    anchor: Table | None = None

    @property
    def settings(self) -> type[Study]:
        """What its file holds."""
        return Study

    def read(self, table: Mapping[str, Any], where: str, folder: Path) -> SettingPlan:
        """See ``toolchain.studies``."""
        return _plan(self, table, where, folder)

    def cells(self, plan: SettingPlan) -> list[Cell]:
        """Every measurement; the trainings stand before them."""
        return [cell for group in plan.measured.values() for _, cell in group.values()]

    def findings(self, plan: SettingPlan, results: Mapping[str, dict[str, Any]]) -> Findings:
        """See ``toolchain.studies``."""
        return _findings(self, plan, results)


def _plan(setting: Setting, table: Mapping[str, Any], where: str, folder: Path) -> SettingPlan:
    settings = from_table(Study, table, where)
    recipes = {network.name: read_config(folder / network.recipe) for network in settings.networks}
    attacked.require_images(recipes)

    trained, configs, measured = {}, {}, {}
    for name, recipe in recipes.items():
        for value in settings.values:
            changed = setting.put(recipe, value)
            for seed in settings.seeds:
                config = replace(changed, training=replace(changed.training, seed=seed))
                configs[name, value, seed] = config
                trained[name, value, seed] = base.training(
                    config, f"{name}, {setting.name} {value:g}, seed {seed}: training"
                )

    for (name, value, seed), network in trained.items():
        other = settings.seeds[(settings.seeds.index(seed) + 1) % len(settings.seeds)]
        sources = {"a second seed": trained[name, value, other]} if other != seed else {}
        label = f"{name}, {setting.name} {value:g}, seed {seed}"
        measured[name, value, seed] = attacked.cells(
            network, configs[name, value, seed], label, settings.attack, seed, sources
        )

    return SettingPlan(settings, recipes, trained, measured)


def rows(plan: SettingPlan, results: Mapping[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """One for each network, value and measurement: group, name, and the accuracy of every seed."""
    by_attack: dict[tuple[str, float, str, str], dict[str, Any]] = {}
    for (network, value, _), measured in plan.measured.items():
        each = {name: (group, results[cell.key]) for name, (group, cell) in measured.items()}
        shares = {(group, name): result["accuracy"] for name, (group, result) in each.items()}
        for group in (HONEST, WORST):
            among = [
                result
                for kind, result in each.values()
                if group == WORST or kind in (CLEAN, HONEST)
            ]
            shares[group, f"worst of {'all' if group == WORST else group}"] = attacked.worst(among)
        for (group, name), share in shares.items():
            row = by_attack.setdefault(
                (network, value, group, name),
                {"network": network, "value": value, "group": group, "name": name, "each": []},
            )
            row["each"].append(share)
    return list(by_attack.values())


LINES = (
    ("clean", CLEAN, "clean"),
    ("as published: FGSM", NAIVE, "fgsm"),
    ("as published: PGD", NAIVE, "pgd"),
    ("black box: PGD from a second seed", BLACK_BOX, "pgd from"),
    ("honest: worst of EOT, adaptive surrogates, Square", HONEST, "worst of honest"),
    ("worst case over all", WORST, "worst of all"),
)
"""Line of the plot, group, and how the name of its measurement begins."""


def pick(
    found: list[dict[str, Any]], network: str, value: float, group: str, start: str
) -> dict[str, Any] | None:
    """The row of a line at a value."""
    wanted = (
        r
        for r in found
        if (r["network"], r["value"], r["group"]) == (network, value, group)
        and r["name"].startswith(start)
    )
    return next(wanted, None)


def _findings(
    setting: Setting, plan: SettingPlan, results: Mapping[str, dict[str, Any]]
) -> Findings:
    measured, settings = rows(plan, results), plan.settings
    tried = attacked.battery(plan.recipes.values(), settings.attack)

    panels = []
    ordered = sorted(settings.values)
    place = {value: float(i) for i, value in enumerate(ordered)}
    for network in plan.recipes:
        drawn = []
        for number, (label, group, start) in enumerate(LINES):
            points = [
                _point(
                    network, place[v], v, label, setting, pick(measured, network, v, group, start)
                )
                for v in ordered
            ]
            drawn.append(
                Line(
                    label, number, tuple(p for p in points if p is not None), strong=group == WORST
                )
            )
        panels.append(PlotPanel(network, tuple(line for line in drawn if line.points)))

    axis = Axis(setting.axis, names=tuple((place[v], f"{v:g}") for v in ordered))
    picture = lines(setting.name, setting.title, panels, axis, Axis("accuracy", "share"))
    caption = battery.caption(tried) + (
        f"Mean over {len(settings.seeds)} seeds of training; bars: smallest to largest seed. "
        f"Values of the setting stand at equal "
        "distances. The distance between the published kind of attack and the worst case is what "
        "the former does not see."
    )

    whose = {
        NAIVE: "the attack is the paper’s; data, network, radius ours",
        BLACK_BOX: "second seed as in the paper; the rest ours",
    }
    table = table_of(
        setting.name,
        measured,
        settings.attack,
        (Column("value", setting.name, "number"),),
        whose,
        tried,
    )

    changes = [_change(setting, measured, network, settings) for network in plan.recipes]
    sections = [
        Section(
            "answer",
            "The answer",
            tuple(change["said"] for change in changes),
            figures=(Figure(picture, legend(panels), caption),),
        ),
        Section(
            "claim",
            "What the papers say",
            setting.claim,
            tables=() if setting.anchor is None else (setting.anchor,),
            folded=20,
        ),
        Section(
            "settings",
            "Theirs and ours",
            ("Nothing on this page is a number of the paper’s, except where it says so.",),
            points=compared(plan.recipes.values(), settings.attack, setting.theirs),
        ),
        Section("numbers", "All numbers", tables=(table,), folded=0),
    ]

    first = changes[0]
    facts = {"battery": tried and asdict(tried), "rows": measured, "changes": changes}
    return Findings(first["title"], _lead(setting, plan), tuple(sections), table, facts, tried)


def _point(
    network: str, x: float, value: float, label: str, setting: Setting, row: dict[str, Any] | None
) -> Point | None:
    if row is None:
        return None
    s = spread(row["each"])
    title = (
        f"{network}, {setting.name} {value:g}, {label}: {100 * s.mean:.1f} % "
        f"({100 * s.low:.1f} to {100 * s.high:.1f} over {s.seeds} seeds)"
    )
    return Point(x, s.mean, s.low if s.seeds > 1 else None, s.high if s.seeds > 1 else None, title)


def _change(
    setting: Setting, found: list[dict[str, Any]], network: str, settings: Study
) -> dict[str, Any]:
    """From the first value to the last: how much the published kind of attack sees, and how much is
    left in the worst case."""
    ends = settings.values[0], settings.values[-1]
    accuracies = {}
    for name, group, start in (
        ("clean", CLEAN, "clean"),
        ("published", NAIVE, "pgd"),
        ("worst", WORST, "worst of all"),
    ):
        each = [pick(found, network, value, group, start) for value in ends]
        low, high = (spread(row["each"]).mean for row in each if row is not None)
        accuracies[name] = (low, high, high - low)

    between = f"from {setting.name} {ends[0]:g} to {ends[1]:g}"
    points = {name: signed(change) for name, (_, _, change) in accuracies.items()}
    title = (
        f"{network}: {between}, accuracy under the published kind of PGD changes by "
        f"{points['published']} points, in the worst case by "
        f"{points['worst']}"
    )
    goes = {
        name: f"goes from {100 * low:.1f} to {100 * high:.1f} % ({points[name]} points)"
        for name, (low, high, _) in accuracies.items()
    }
    text = (
        f"{network}: {between}, accuracy under PGD as published {goes['published']}. Under all "
        f"attacks together it {goes['worst']}. Clean "
        f"accuracy {goes['clean']}."
    )

    return {
        "network": network,
        "title": title,
        "said": text,
        **{name: list(values) for name, values in accuracies.items()},
    }


def _lead(setting: Setting, plan: SettingPlan) -> str:
    settings, attack = plan.settings, plan.settings.attack
    names = sorted({config.data.name for config in plan.recipes.values()})
    return (
        f"{setting.title}: {len(plan.trained)} networks ({len(plan.recipes)} encodings, "
        f"{len(settings.values)} values, "
        f"{len(settings.seeds)} seeds) on {', '.join(names)}, {attack.samples} test samples, every "
        f"pixel changed by up to "
        f"ε = {attack.epsilon:g} of 1."
    )


def compared(
    recipes: Iterable[Config], attack: Attack, theirs: tuple[tuple[str, str], ...]
) -> tuple[str, ...]:
    """Sentences that set our settings beside theirs."""
    ours = {
        topic: "; ".join(dict.fromkeys(_OURS[topic](config, attack) for config in recipes))
        for topic, _ in theirs
    }
    return tuple(f"{topic}: theirs {value}; ours {ours[topic]}." for topic, value in theirs)


_OURS: dict[str, Callable[[Config, Attack], str]] = {
    "data": lambda c, a: c.data.name,
    "network": lambda c, a: f"{c.model.name or 'layers of its own'} at width {c.model.width:g}",
    "encoding": lambda c, a: c.data.encoding,
    "time steps": lambda c, a: "no time (ANN)" if c.model.kind == "ann" else str(c.data.steps),
    "leak": lambda c, a: "no leak (ANN)" if c.model.kind == "ann" else f"{c.neuron.beta:g}",
    "radius": lambda c, a: f"{a.epsilon:g}",
    "attack": lambda c, a: (
        f"FGSM and PGD with {a.naive_steps} steps of ε/4 (the best point is kept), and the honest "
        f"ones"
    ),
    "surrogate": lambda c, a: (
        "the default" if c.surrogate is None else f"{c.surrogate.name} {c.surrogate.parameter:g}"
    ),
    "time": lambda c, a: "spikes reach the next layer in the same step",
}
"""What is compared with the paper -> our value."""

SHARMIN = (
    ("data", "CIFAR-10 and CIFAR-100"),
    (
        "network",
        "VGG-5, VGG-11 and ResNet-20, full width, first converted from an ANN, then trained with "
        "surrogate gradients",
    ),
    ("encoding", "signed Poisson"),
    ("time steps", "175 (VGG-5)"),
    ("leak", "0.99"),
    ("radius", "8/255"),
    (
        "attack",
        "FGSM, and PGD with 7 steps of 2/255, gradient straight through one draw of the encoder",
    ),
    ("surrogate", "0.3 max(0, 1 - |U / threshold - 1|)"),
    ("time", "one step of delay in every layer"),
)
"""Sharmin et al., ECCV 2020, from the paper's code."""


def table_of(
    name: str,
    rows: Iterable[Mapping[str, Any]],
    attack: Attack,
    settings: tuple[Column, ...],
    whose: Mapping[str, str],
    tried: Strength | None,
) -> Table:
    """Every number of a study.

    rows       {"network", "group", "name", "each": the accuracy of every seed, and a value for each
               column of ``settings``}
    settings   columns of what the study varies
    whose      group -> whose setting its numbers have; not said: ours
    tried      how strong the attacks were, see ``toolchain.report.battery``
    """
    columns = (
        Column("network", "network"),
        *settings,
        Column("kind", "kind"),
        Column("attack", "attack"),
        Column("whose", "whose setting"),
        Column("accuracy", "accuracy (smallest to largest seed)", "share", SEEDS),
        Column("deviation", "standard deviation over seeds", "plain share"),
        Column("seeds", "seeds", "count"),
        Column("battery", "battery"),
    )

    entries = []
    for row in rows:
        s = spread(row["each"])
        entries.append(
            {
                "network": row["network"],
                **{column.key: row[column.key] for column in settings},
                "kind": row["group"],
                "attack": row["name"],
                "whose": whose.get(row["group"], "ours"),
                "accuracy": Interval(s.mean, s.low, s.high),
                "deviation": s.deviation if s.seeds > 1 else None,
                "seeds": s.seeds,
                "battery": None if row["group"] == CLEAN else battery.mark(tried),
            }
        )

    caption = f"Share of {attack.samples} test samples that are classified correctly."
    return Table(name, battery.caption(tried) + caption, columns, tuple(entries))
