"""An assessment as one HTML page that needs nothing from outside."""

from __future__ import annotations

from html import escape

from toolchain.deploy import costs
from toolchain.deploy.assessment import Assessment
from toolchain.deploy.summary import Accuracy
from toolchain.pages import formats
from toolchain.pages.html import details, document, items, render
from toolchain.pages.table import Column, Interval, Table, Used
from toolchain.targets import TARGETS


def build(found: Assessment) -> str:
    """The page."""
    body = [
        f"<header><h1>{escape(found.model)}: floating point against integers</h1></header>",
        _section("answer", "The answer", _answer(found)),
        _section("accuracy", "Accuracy", render(_accuracy(found))),
        _section("chip", "On the chip", _chip(found)),
        _section("energy", "Energy and time", items(costs.lines(found.cost))),
        _section("audit", "Audit", _audit(found)),
    ]
    return document(f"Assessment of {found.model}", body)


def _section(name: str, heading: str, content: str) -> str:
    return (
        f'<section id="{name}" aria-labelledby="{name}-title"><h2 id="{name}-title">'
        f"{escape(heading)}</h2>{content}</section>"
    )


def _answer(found: Assessment) -> str:
    listed = items(f"{name}: {text}" for name, text in found.rows())
    if not found.warnings:
        return listed
    warned = "".join(
        f"<p><strong>warning:</strong> {escape(w.message)}</p>" for w in found.warnings
    )
    return listed + warned


def _accuracy(found: Assessment) -> Table:
    rows = [
        {
            "target": TARGETS[name].title,
            "samples": found.samples,
            "accuracy": _share(read),
        }
        for name, read in found.accuracies.items()
    ]
    columns = (
        Column("target", "target"),
        Column("samples", "samples", "count"),
        Column("accuracy", "accuracy", "share"),
    )
    paired = "" if found.paired is None else " " + ". ".join(found.paired.lines()) + "."
    caption = f"Share of samples classified correctly, with its 95 % interval.{paired}"
    return Table("accuracy", caption, columns, tuple(rows))


def _share(read: Accuracy | None) -> Interval | None:
    if read is None:
        return None
    low, high = read["interval"]
    return Interval(read["share"], low, high)


def _chip(found: Assessment) -> str:
    reports = {
        **{f"front.{name}.": part for name, part in found.parts.items()},
        "": found.placement,
    }

    rows = [
        {
            "layer": prefix + layer.population,
            "neurons": layer.neurons,
            "cores": layer.cores,
            "limited": formats.words(layer.binding),
            "used": Used(
                layer.uses[layer.binding].used,
                layer.uses[layer.binding].maximum,
            ),
        }
        for prefix, report in reports.items()
        for layer in report.layers
    ]

    columns = (
        Column("layer", "layer"),
        Column("neurons", "neurons", "count"),
        Column("cores", "neurocores", "count"),
        Column("limited", "limited by"),
        Column("used", "used of most allowed", "used"),
    )
    caption = f"Neurocores of {found.placement.chip.title}, an estimate."

    broken = [
        f"{violation.rule}: {prefix}{violation.where}: {violation.message}"
        for prefix, report in reports.items()
        for violation in report.broken
    ]

    return render(Table("chip", caption, columns, tuple(rows))) + (items(broken) if broken else "")


def _audit(found: Assessment) -> str:
    if found.audit is None:
        return "<p>The model was a Program already; nothing was rounded here.</p>"
    table = f"<pre>{escape(found.audit.table())}</pre>"
    verdict = f"<p>Verdict: {escape(found.audit.verdict)}.</p>"
    return verdict + details("What became of every parameter", table)
