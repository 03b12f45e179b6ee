"""Which letter, colour, shape and line of a report's pictures is which."""

from __future__ import annotations

from html import escape

from toolchain.pages import formats
from toolchain.pages.marks import flag, key, letters, line_key, model_shape, shape
from toolchain.report.facts import Analysis, ReportedModel

FAMILIES = {
    "noise": "random noise",
    "single_step": "one gradient step",
    "iterative": "many gradient steps",
    "black_box": "no gradient",
    "cascade": "one after the other",
}
"""Family of attacks → what the legend says."""


def letters_of(facts: Analysis) -> dict[str, str]:
    """Name of a network → the letters that stand for it in pictures."""
    return dict(zip((model.name for model in facts.models), letters(len(facts.models))))


def sign(facts: Analysis, model: ReportedModel) -> str:
    """The letter of a network in its colour."""
    place = [m.name for m in facts.models].index(model.name)
    return _letter(place, letters_of(facts)[model.name])


def _letter(place: int, letter: str) -> str:
    return f'<span class="letter c{place % 8}">{letter}</span>'


def title(facts: Analysis, model: ReportedModel) -> str:
    """A heading with the letter and the name of a network."""
    return f"<h3>{sign(facts, model)} {escape(model.name)}</h3>"


def legend(facts: Analysis) -> str:
    """Networks and targets as a list."""
    letters = letters_of(facts)
    entries = [
        f"<li>{_letter(place, letters[model.name])} {escape(model.name)}</li>"
        for place, model in enumerate(facts.models)
    ]
    targets = dict.fromkeys(entry.target for model in facts.models for entry in model.measured)
    entries += [
        f"<li>{key(shape(target, 0, 0))} {escape(formats.TARGET_NAMES[target])}</li>"
        for target in targets
    ]
    entries += [f"<li>{escape(text)}</li>" for text in repeated(facts)]
    if any(row.flags for model in facts.models for entry in model.measured for row in entry.worst):
        entries.append(f"<li>{key(flag(-4, 6))} flagged: the accuracy may flatter</li>")
    return f'<ul class="legend">{"".join(entries)}</ul>'


def repeated(facts: Analysis) -> list[str]:
    """A tick for each target that ran fewer samples than others and agrees in all of them, over all
    networks of which that is so."""
    counts: dict[str, list[int]] = {}
    for model in facts.models:
        for entry in model.repeated:
            counts.setdefault(entry.target, []).append(entry.samples)
    return [
        f"✓ {formats.TARGET_NAMES[target]}: {sum(each):,} of {sum(each):,} identical"
        + (f", {len(each)} of {len(facts.models)} networks" if len(facts.models) > 1 else "")
        for target, each in counts.items()
    ]


def models(facts: Analysis) -> str:
    """Networks as a list, with the shapes of the scatter."""
    letters = letters_of(facts)
    entries = [
        f"<li>{key(model_shape(place, 0, 0), f'c{place % 8}')} "
        f"{_letter(place, letters[model.name])} {escape(model.name)}</li>"
        for place, model in enumerate(facts.models)
    ]
    return f'<ul class="legend">{"".join(entries)}</ul>'


def families(facts: Analysis) -> str:
    """Which line of the curves is which."""
    seen = {
        row.family for model in facts.models for entry in model.targets for row in entry.attacks
    }
    keys = [("line worst", "worst case over all, sample by sample")]
    keys += [(f"line {family}", name) for family, name in FAMILIES.items() if family in seen]
    keys.append(("chance", "chance"))
    listed = "".join(f"<li>{line_key(css)} {name}</li>" for css, name in keys)
    return f'<ul class="legend">{listed}</ul>'
