"""The learning curve: a table of the epochs, which is the CSV file and stands on the page, and the
page with its plots."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from toolchain.pages.html import details, document, figure, render, section
from toolchain.pages.plot import Axis, Line, PlotPanel, Point, legend, lines
from toolchain.pages.table import Column, Table

History = Sequence[Mapping[str, Any]]

COLUMNS = (
    Column("epoch", "epoch", "count"),
    Column("loss", "loss", "number"),
    Column("accuracy", "accuracy", "plain share"),
    Column("validation_loss", "validation loss", "number"),
    Column("validation_accuracy", "validation accuracy", "plain share"),
    Column("learning_rate", "learning rate", "number"),
    Column("seconds", "time", "seconds"),
)
"""What an epoch has; what a training has besides (parts of its loss, figures of defences) stands
between."""

TRAINING, VALIDATION = "training", "validation"


def table(history: History) -> Table:
    """A row for each epoch; see ``toolchain.training.Result.history``."""
    rows = [_row(entry) for entry in history]
    names = list(dict.fromkeys(name for row in rows for name in row))
    known = {column.key: column for column in COLUMNS}
    first = [name for name in known if name in names and name != "seconds"]
    others = [name for name in names if name not in known]
    last = [name for name in ("seconds",) if name in names]
    columns = tuple(
        known.get(name) or Column(name, name.replace("_", " "), "number")
        for name in (*first, *others, *last)
    )
    filled = tuple({column.key: row.get(column.key) for column in columns} for row in rows)
    caption = (
        "Loss and accuracy are means over the epoch, while the weights change, on what the network "
        "is trained on; those of the validation samples are measured when the epoch is over."
    )
    return Table("history", caption, columns, filled)


def _row(entry: Mapping[str, Any]) -> dict[str, Any]:
    plain = {name: value for name, value in entry.items() if name != "terms"}
    return plain | {f"{name}_loss": value for name, value in entry.get("terms", {}).items()}


def page(
    name: str,
    answer: str,
    history: History,
    recipe: Mapping[str, Any],
    kept: Mapping[str, Any] | None = None,
) -> str:
    """The page of a training.

    Args:
        name: of the network.
        answer: the result in one sentence.
        history: as ``table``.
        recipe: its table.
        kept: the epoch whose weights were kept, as in ``toolchain.training.Result.details``; None:
            the last one's.
    """
    numbers = table(history)
    last = (
        "The weights are those of the last epoch."
        if kept is None
        else f"The weights are those of epoch {kept['epoch']}, the best one on the samples that "
        f"were held back for validation. The test samples had no part in this choice."
    )

    curves = "".join(
        _figure(numbers.rows, key, title, axis)
        for key, title, axis in (
            ("loss", "Loss", Axis("loss")),
            ("accuracy", "Accuracy", Axis("samples that are right", "share")),
        )
    )

    body = [
        f'<header><p class="eyebrow">spikeport train: {escape(name)}</p><h1>{escape(answer)}</h1>'
        f'<p class="lead">{escape(last)}</p></header>',
        section("curve", "Learning curve", curves),
        section("epochs", "Epochs", render(numbers, "Epochs", 12)),
        section(
            "recipe",
            "Recipe",
            details("As JSON", f"<pre>{escape(json.dumps(recipe, indent=2))}</pre>"),
        ),
    ]
    return document(f"spikeport train: {name}", body)


def _figure(rows: Sequence[Mapping[str, Any]], key: str, title: str, axis: Axis) -> str:
    curves = []
    for place, (name, column) in enumerate(((TRAINING, key), (VALIDATION, f"validation_{key}"))):
        points = tuple(
            Point(row["epoch"], row[column], None, None, f"epoch {row['epoch']}: {row[column]:.4g}")
            for row in rows
            if row.get(column) is not None
        )
        if points:
            curves.append(Line(name, place, points))
    if not curves:
        return ""
    panels = [PlotPanel(title, tuple(curves))]
    picture = lines(key, f"{title} after each epoch", panels, Axis("epoch"), axis)
    return figure(picture, f"{title} of each epoch.", legend(panels))
