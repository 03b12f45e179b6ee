"""The four networks of Sharmin et al. (IJCNN 2019, ECCV 2020): ANN, converted, hybrid, trained with
spikes; attacked and attacking.

seeds = [0, 1, 2]
[[networks]]
name = "ANN"
recipe = "../recipes/digits-ann.toml"       # of kind "ann"; recipes with a model.init are converted
                                            from the ANN of the same seed
[attack]
epsilon = 0.1                               # and more, see attacked.Attack
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta

from toolchain.errors import ConfigError
from toolchain.pages.formats import percent
from toolchain.pages.plot import Axis, Line, PlotPanel, Point, legend, lines
from toolchain.pages.table import SEEDS, Column, Interval, Table
from toolchain.report import battery
from toolchain.robustness.statistics import spread
from toolchain.studies import attacked, base
from toolchain.studies.attacked import CLEAN, HONEST, NAIVE, WORST, Attack
from toolchain.studies.base import Cell
from toolchain.studies.page import Figure, Findings, Section
from toolchain.studies.setting import SHARMIN, Network, compared, distinct_names, table_of
from toolchain.table_rules import DISTINCT, Seed
from toolchain.tables import Settings, from_table
from toolchain.training import Config, read_config


@dataclass(frozen=True)
class Networks(Settings):
    """The TOML file; see the module.

    networks   that are compared
    seeds      of training, two or more
    attack     radius and strength of the attacks
    """

    networks: Annotated[tuple[Network, ...], Meta(min_length=1)]
    seeds: Annotated[tuple[Seed, ...], DISTINCT] = (0, 1, 2)
    attack: Attack = field(default_factory=Attack)

    def check(self) -> str | None:
        if len(self.seeds) < 2:
            return (
                f"seeds is {list(self.seeds)!r}; black-box attacks come from a second seed, so "
                f"there must be two or more"
            )
        return distinct_names(self.networks)


settings = Networks


@dataclass(frozen=True)
class NetworksPlan:
    """Recipes by name; (name, seed) -> training cell, and -> measurements."""

    settings: Networks
    recipes: dict[str, Config]
    trained: dict[tuple[str, int], Cell]
    measured: dict[tuple[str, int], dict[str, tuple[str, Cell]]]


def read(table: Mapping[str, Any], where: str, folder: Path) -> NetworksPlan:
    """See ``toolchain.studies``."""
    settings = from_table(Networks, table, where)
    names = [network.name for network in settings.networks]
    recipes = {network.name: read_config(folder / network.recipe) for network in settings.networks}
    attacked.require_images(recipes)

    anns = [name for name, recipe in recipes.items() if recipe.model.kind == "ann"]
    inits = {name: recipe.model.init for name, recipe in recipes.items()}
    converted = [name for name, init in inits.items() if init and init.kind == "conversion"]
    if converted and len(anns) != 1:
        raise ConfigError(
            f"{where}: {converted[0]} is converted from an ANN, and {len(anns)} networks are ANNs; "
            f"there must be one"
        )

    trained: dict[tuple[str, int], Cell] = {}
    for name in sorted(recipes, key=lambda name: name not in anns):
        for seed in settings.seeds:
            recipe = _seeded(recipes[name], seed)
            ann = trained[anns[0], seed] if name in converted else None
            trained[name, seed] = base.training(recipe, f"{name}, seed {seed}: training", ann)

    measured = {}
    for name in names:
        for place, seed in enumerate(settings.seeds):
            second = settings.seeds[(place + 1) % len(settings.seeds)]
            sources = {other: trained[other, second] for other in names}
            label = f"{name}, seed {seed}"
            measured[name, seed] = attacked.cells(
                trained[name, seed], recipes[name], label, settings.attack, seed, sources
            )

    return NetworksPlan(settings, recipes, trained, measured)


def _seeded(recipe: Config, seed: int) -> Config:
    return replace(recipe, training=replace(recipe.training, seed=seed))


def cells(plan: NetworksPlan) -> list[Cell]:
    """See ``toolchain.studies``."""
    return [cell for group in plan.measured.values() for _, cell in group.values()]


def rows(plan: NetworksPlan, results: Mapping[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """One for each network and measurement: its group, its name, and the accuracy of every seed."""
    by_attack: dict[tuple[str, str, str], list[float]] = {}
    for (network, _), measured in plan.measured.items():
        each = {name: (group, results[cell.key]) for name, (group, cell) in measured.items()}
        for name, (group, result) in each.items():
            by_attack.setdefault((network, group, name), []).append(result["accuracy"])
        for group in (HONEST, WORST):
            among = [
                result
                for kind, result in each.values()
                if group == WORST or kind in (CLEAN, HONEST)
            ]
            by_attack.setdefault(
                (network, group, f"worst of {'all' if group == WORST else group}"), []
            ).append(attacked.worst(among))
    return [
        {"network": network, "group": group, "name": name, "each": each}
        for (network, group, name), each in by_attack.items()
    ]


def findings(plan: NetworksPlan, results: Mapping[str, dict[str, Any]]) -> Findings:
    """See ``toolchain.studies``."""
    measured, names, attack = rows(plan, results), list(plan.recipes), plan.settings.attack
    share = {(row["network"], row["name"]): row["each"] for row in measured}
    theirs = "the attack is the papers’; data, network, radius ours"
    tried = attacked.battery(plan.recipes.values(), attack)
    table = table_of(
        "networks", measured, attack, (), {NAIVE: theirs, attacked.BLACK_BOX: theirs}, tried
    )

    white = _categories(
        names,
        [
            ("clean", {name: share[name, "clean"] for name in names}, False),
            (
                "as published: FGSM",
                {name: _begins(share, name, "fgsm · ") for name in names},
                False,
            ),
            ("as published: PGD", {name: _begins(share, name, "pgd ") for name in names}, False),
            ("honest: worst", {name: share[name, "worst of honest"] for name in names}, False),
            ("worst case over all", {name: share[name, "worst of all"] for name in names}, True),
        ],
        "White box, and everything together",
    )

    black = _categories(
        names,
        [
            (
                f"PGD made on {source}",
                {name: share[name, f"pgd from {source}"] for name in names},
                False,
            )
            for source in names
        ],
        "Black box: made on another network, of the next seed",
    )

    caption = (
        battery.caption(tried)
        + f"Mean over {len(plan.settings.seeds)} seeds of training; bars: smallest to largest seed."
    )
    axes = (
        Axis(
            "attacked network",
            "category",
            names=tuple((float(i), name) for i, name in enumerate(names)),
        ),
        Axis("accuracy", "share"),
    )

    figures = tuple(
        Figure(lines(f"networks-{kind}", title, [panel], *axes), legend([panel]), caption)
        for kind, title, panel in (
            ("white", "Accuracy under white-box attacks", white),
            ("black", "Accuracy under transferred samples", black),
        )
    )

    sentences = [_sentence(share, name) for name in names]
    claims = (
        "Sharmin et al. (2019, 2020): accuracy of all four is comparable; under black-box attacks "
        "spiking networks keep more than the ANN; "
        "networks trained with spikes are more robust than converted ones, which are no more "
        "robust than the ANN; samples made on spiking "
        "networks are the stronger ones.",
    )

    sections = (
        Section("answer", "The answer", points=tuple(sentences), figures=figures[:1]),
        Section("transfer", "Who fools whom", figures=figures[1:], tables=(_matrix(share, names),)),
        Section("claim", "What the papers say", claims),
        Section(
            "settings",
            "Theirs and ours",
            ("Nothing on this page is a number of the papers’.",),
            points=compared(plan.recipes.values(), attack, SHARMIN),
        ),
        Section("numbers", "All numbers", tables=(table,), folded=0),
    )

    data = ", ".join(sorted({config.data.name for config in plan.recipes.values()}))
    lead = (
        f"{len(names)} networks of {len(plan.settings.seeds)} seeds each on {data}, "
        f"{attack.samples} test samples, every pixel changed by "
        f"up to ε = {attack.epsilon:g} of 1."
    )

    return Findings(
        _title(share, names),
        lead,
        sections,
        table,
        {"battery": tried and asdict(tried), "rows": measured},
        tried,
    )


def _title(share: Mapping[tuple[str, str], list[float]], names: list[str]) -> str:
    """Who keeps most in the worst case, where its worst seed is above every other network's
    best."""
    left = {name: spread(share[name, "worst of all"]) for name in names}
    first, *others = sorted(names, key=lambda name: left[name].mean, reverse=True)
    low, high = (percent(left[name].mean) for name in ((others or [first])[-1], first))
    if all(left[first].low > left[name].high for name in others):
        seeds = left[first]
        return (
            f"{first} keeps most in the worst case: {high} ({percent(seeds.low)} to "
            f"{percent(seeds.high)} over {seeds.seeds} seeds)"
        )
    return (
        "In the worst case no network keeps more than all others beyond the spread of the seeds: "
        f"{low} to {high}"
    )


def _begins(share: Mapping[tuple[str, str], list[float]], network: str, start: str) -> list[float]:
    """The published attack, whose name also says how it was made."""
    return next(
        each
        for (name, attack), each in share.items()
        if name == network and attack.startswith(start) and "from" not in attack
    )


def _sentence(share: Mapping[tuple[str, str], list[float]], name: str) -> str:
    clean, published, worst = (
        spread(each).mean
        for each in (
            share[name, "clean"],
            _begins(share, name, "pgd "),
            share[name, "worst of all"],
        )
    )
    return (
        f"{name}: {percent(clean)} clean, {percent(published)} under the published kind of PGD, "
        f"{percent(worst)} when every attack is "
        "tried on every sample."
    )


def _categories(
    names: list[str], drawn: list[tuple[str, dict[str, Any], bool]], title: str
) -> PlotPanel:
    plotted = []
    for place, (label, each, strong) in enumerate(drawn):
        points = []
        for i, name in enumerate(names):
            s = spread(each[name])
            ends = f"{100 * s.low:.1f} to {100 * s.high:.1f} over {s.seeds} seeds"
            text = f"{name}, {label}: {percent(s.mean)} ({ends})"
            points.append(Point(float(i), s.mean, s.low, s.high, text))
        plotted.append(Line(label, place, tuple(points), strong, joined=False))
    return PlotPanel(title, tuple(plotted))


def _matrix(share: Mapping[tuple[str, str], list[float]], names: list[str]) -> Table:
    columns = (
        Column("source", "PGD made on"),
        *(Column(f"tried_on_{name}", f"tried on {name}", "share", SEEDS) for name in names),
    )
    entries = []
    for source in names:
        row: dict[str, Any] = {"source": source}
        for target in names:
            s = spread(share[target, f"pgd from {source}"])
            row[f"tried_on_{target}"] = Interval(s.mean, s.low, s.high)
        entries.append(row)
    return Table(
        "transfer",
        "Accuracy on samples that PGD made on a network of the next seed; smallest to largest seed "
        "beside it.",
        columns,
        tuple(entries),
    )
