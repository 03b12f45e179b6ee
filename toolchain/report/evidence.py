"""Sections of the page about the attacks themselves: what they look like, and the flags."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from toolchain.pages import formats
from toolchain.pages.html import details, render
from toolchain.report import battery
from toolchain.report import examples as samples
from toolchain.report.examples import Example
from toolchain.report.facts import Check, Facts, ReportedModel
from toolchain.report.legends import sign, title
from toolchain.report.pareto import CROWDED
from toolchain.report.sections import Tables

FINDINGS = 3
"""Findings of a flag on a model that are shown at once."""

Findings = Mapping[str, Sequence[tuple[str, str]]]
"""Flag → (target, finding), see ``Model.findings``."""


def examples(facts: Facts, found: Tables, shown: Sequence[Example]) -> str:
    """Attacked samples of every network."""
    if not facts.radii:
        return ""
    parts = [
        _of_model(facts, model, [e for e in shown if e.model == model.name])
        for model in facts.models
    ]
    parts.append(
        "<p>Middle grey in the change is none; black and white are a change by the scale under the "
        "picture. Events are summed over time, on minus off.</p>"
    )
    drawn = "".join(parts)
    if len(facts.models) > CROWDED:
        drawn = details("Every network", drawn, "more")
    return drawn + render(found["examples"], "The samples shown")


def _of_model(facts: Facts, model: ReportedModel, mine: Sequence[Example]) -> str:
    heading = title(facts, model)
    if not mine:
        return heading + "<p>No attack made it misread a sample that it had right.</p>"
    radius = formats.radius(facts.norm, mine[0].epsilon)
    return (
        f"{heading}<p>{escape(mine[0].attack)} at {radius}, the first samples that it turned from "
        f'right to wrong.</p><div class="examples">{"".join(map(_example, mine))}</div>'
    )


def _example(example: Example) -> str:
    clean, change, attacked, scale = samples.pictures(example)
    unit = " events" if example.clean.dtype.kind == "u" else ""
    drawn = (
        (clean, f"sample {example.index}, clean, a {example.label}", "clean"),
        (change, "what the attack changed", f"change, ± {scale:.3g}{unit}"),
        (attacked, "the attacked sample", "attacked"),
    )

    three = "".join(
        f"<div>{_image(pixels, alt)}<span>{caption}</span></div>" for pixels, alt, caption in drawn
    )
    before, after = (
        _readings({t: pair[i] for t, pair in example.predictions.items()}) for i in (0, 1)
    )
    text = (
        f"Sample {example.index}, label {example.label}. Read as {before} before, "
        f"<strong>{after}</strong> after."
    )

    return (
        f'<figure class="example"><div class="three">{three}</div>'
        f"<figcaption>{text}</figcaption></figure>"
    )


def _image(pixels: np.ndarray, alt: str) -> str:
    data = base64.b64encode(samples.png(pixels)).decode()
    height, width = pixels.shape[:2]
    return (
        f'<img src="data:image/png;base64,{data}" alt="{escape(alt)}" width="{width}" '
        f'height="{height}">'
    )


def _readings(predictions: Mapping[str, int]) -> str:
    """One number where all targets agree, else each target's."""
    if len(set(predictions.values())) == 1:
        return str(next(iter(predictions.values())))
    return ", ".join(f"{value} ({target})" for target, value in predictions.items())


def flags(facts: Facts, found: Tables) -> str:
    """Every check that tripped, and on which networks."""
    if not facts.radii:
        return ""
    each = [(model, model.findings()) for model in facts.models]
    tripped = [c for c in facts.checks if any(c.name in findings for _, findings in each)]
    rest = [check for check in facts.checks if check not in tripped]
    verdict = f"{len(tripped)} of them tripped." if tripped else "None of them tripped."
    if battery.weak(facts.battery):
        verdict += " That the others did not means nothing here: the battery is a smoke test."

    parts = [
        f"<p>{len(facts.checks)} checks look for signs that an attack failed, which makes a model "
        f"look stronger than it is. {verdict}</p>",
        *(_tripped(facts, check, each) for check in tripped),
    ]
    if rest:
        listed = "".join(
            f"<dt>{escape(formats.words(check.name))}</dt><dd>{escape(check.meaning)}</dd>"
            for check in rest
        )
        parts.append(details(f"The {len(rest)} checks that did not trip", f"<dl>{listed}</dl>"))
    return "".join(parts) + render(found["flags"], "Every finding")


def _tripped(facts: Facts, check: Check, each: Sequence[tuple[ReportedModel, Findings]]) -> str:
    rows = "".join(
        _findings(facts, model, findings[check.name])
        for model, findings in each
        if check.name in findings
    )
    return (
        f'<div class="flagged" id="flag-{escape(check.name)}">'
        f"<h3>{escape(formats.words(check.name))}</h3>"
        f'<p>{escape(check.meaning)}</p><ul class="plain">{rows}</ul></div>'
    )


def _findings(facts: Facts, model: ReportedModel, found: Sequence[tuple[str, str]]) -> str:
    """What a flag says about one network; the same finding on several targets once."""
    texts: dict[str, list[str]] = {}
    for target, text in found:
        texts.setdefault(text, []).append(target)
    lines = [
        f"<li>{escape(text)} <span class=ci>({', '.join(targets)})</span></li>"
        for text, targets in texts.items()
    ]
    more = ""
    if len(lines) > FINDINGS:
        rest = "".join(lines[FINDINGS:])
        more = details(f"{len(lines) - FINDINGS} more", f"<ul>{rest}</ul>", "more")
    first = "".join(lines[:FINDINGS])
    return f"<li>{sign(facts, model)} {escape(model.name)}<ul>{first}</ul>{more}</li>"
