"""The section of the page that says how its numbers were made."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from toolchain.pages import formats
from toolchain.pages.html import details
from toolchain.report.facts import Facts, ReportedModel


def made(facts: Facts) -> str:
    """Command, models, data, seeds, versions, and the sweep itself."""
    about = facts.about
    command = "<p>Started from Python, not from the command line.</p>"
    if about["command"]:
        command = f"<pre>{escape(about['command'])}</pre>"
    listed = "".join(f"<dt>{escape(name)}</dt><dd>{text}</dd>" for name, text in _entries(facts))
    sweep = json.dumps(about["sweep"], indent=2, ensure_ascii=False)
    return f"{command}<dl>{listed}</dl>{details('The sweep', f'<pre>{escape(sweep)}</pre>')}"


def _entries(facts: Facts) -> list[tuple[str, str]]:
    about = facts.about
    sources = {entry.get("name"): entry for entry in about["models"] or []}
    seeds = {row.seed for m in facts.models for e in m.targets for row in e.attacks}
    cells = (
        f"{about['cells']['stored']:,} of {about['cells']['planned']:,}, each computed once and "
        "kept sample by sample"
    )
    return [
        *((model.name, _model(model, sources.get(model.name, {}))) for model in facts.models),
        ("data", _data((about["sweep"] or {}).get("data") or {})),
        ("attack seeds", ", ".join(map(str, sorted(seeds))) or formats.NOTHING),
        *(("made by", _maker(maker)) for maker in about["makers"]),
        *_mixed(about["makers"]),
        ("reported by", f"spikeport {escape(facts.reported_by)}"),
        ("cells", cells),
    ]


def _maker(maker: Mapping[str, Any]) -> str:
    """What made some of the cells."""
    cells = f"{maker['cells']:,} {maker['kind']} cells"
    if maker["versions"] is None:
        return (
            f"{cells}: unknown, kept by a version of spikeport whose cells do not say what made "
            "them"
        )
    versions = ", ".join(f"{name} {version}" for name, version in maker["versions"].items())
    when = " to ".join(
        dict.fromkeys(str(maker[end])[:16].replace("T", " ") for end in ("first", "last"))
    )
    return (
        f"{cells}: code {_code(maker['code'])} (all modules that compute them), "
        f"{escape(versions)}; {escape(when)} UTC"
    )


def _mixed(makers: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """A line where cells that stand beside each other were made by different versions of packages,
    or nobody knows."""
    versions = {
        json.dumps(maker["versions"], sort_keys=True) for maker in makers if maker["versions"]
    }
    if len(versions) < 2 and (not versions or all(maker["versions"] for maker in makers)):
        return []
    return [
        (
            "provenance",
            "<strong>differs from cell to cell</strong>: their numbers may differ for that reason "
            "alone",
        )
    ]


def _data(data: Mapping[str, Any]) -> str:
    name, samples = (escape(str(data.get(key))) for key in ("name", "samples"))
    return f"{name}, the first {samples} of the test set, content {_code(data.get('key'))}"


def _model(model: ReportedModel, source: Mapping[str, Any]) -> str:
    program = (
        f"Program {_code(model.program)}"
        if model.program
        else f"no Program ({escape(model.no_program)})"
    )
    text = (
        f"from <code>{escape(str(source.get('source')))}</code>, content "
        f"{_code(source.get('key'))}, {program}, {model.classes} classes, {model.steps} time steps"
    )
    if model.stochastic:
        text += ", random: its accuracy depends on a seed"
    if options := source.get("options"):
        text += f", made integers with {escape(json.dumps(options, sort_keys=True))}"
    front = "".join(
        f"<li>{escape(str(e.get('step')))} ({escape(str(e.get('where')))}): "
        f"{escape(str(e.get('what')))}</li>"
        for e in source.get("front") or []
    )
    return text + (f"; before it: <ul>{front}</ul>" if front else "")


def _code(digits: object) -> str:
    """The beginning of a hash."""
    return f"<code>{escape(str(digits)[:16])}</code>"
