"""The demo's page: one HTML file that needs nothing from outside and tells the story in a minute.

Every picture has a caption or table with its numbers; colours follow the reader's light or dark setting; it prints.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from importlib import resources


def table(head: Sequence[str], rows: Sequence[Sequence[str]], caption: str, numeric: Sequence[int] = ()) -> str:
    """A table whose first column names the row; columns in ``numeric`` are aligned to the right. Cells are plain text."""

    def cell(tag: str, i: int, content: str, extra: str = "") -> str:
        css = ' class="n"' if i in numeric else ""
        return f"<{tag}{css}{extra}>{escape(content)}</{tag}>"

    header = "".join(cell("th", i, c, ' scope="col"') for i, c in enumerate(head))
    body = "".join(
        "<tr>" + cell("th", 0, row[0], ' scope="row"') + "".join(cell("td", i, c) for i, c in enumerate(row[1:], 1)) + "</tr>" for row in rows
    )
    return (
        f'<div class="scroll" tabindex="0" role="group" aria-label="{escape(caption)}"><table><caption>{escape(caption)}</caption>'
        f"<thead><tr>{header}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def tile(name: str, value: str, note: str, css: str = "") -> str:
    """One number of the summary."""
    return (
        f'<li><span class="name">{escape(name)}</span><span class="value {css}">{escape(value)}</span>'
        f'<span class="note">{escape(note)}</span></li>'
    )


def figure(picture: str, caption: str) -> str:
    """A picture with its caption; ``caption`` is HTML."""
    return f"<figure>{picture}<figcaption>{caption}</figcaption></figure>"


def details(summary: str, content: str) -> str:
    """Something for the second minute; ``content`` is HTML."""
    return f"<details><summary>{escape(summary)}</summary>{content}</details>"


def percent(share: float, digits: int = 1) -> str:
    """A share for reading."""
    return f"{100 * share:.{digits}f} %"


def count(value: float) -> str:
    """A count, or a mean of counts, for reading."""
    return f"{value:,.0f}" if float(value).is_integer() or value >= 100 else f"{value:,.1f}"


def page(title: str, body: Sequence[str]) -> str:
    """The whole document."""
    style = resources.files("toolchain.demo").joinpath("style.css").read_text(encoding="utf-8")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>\n{style}</style></head>\n<body><main>\n" + "\n".join(body) + "\n</main></body></html>\n"
    )


def summary(facts: Mapping) -> list[str]:
    """Headline, verdict and the numbers that matter."""
    accuracy, chip = facts["accuracy"], facts["chip"]
    compared = sum(c["spikes"] + c["potentials"] for c in facts["comparisons"])
    different = sum(c["spike_differences"] + c["potential_differences"] for c in facts["comparisons"])
    lava = next(c for c in facts["comparisons"] if "lava" in c["targets"])
    if different:
        verdict = f'<span class="verdict bad">{different:,} of {compared:,} compared values differ.</span>'
    else:
        verdict = '<span class="verdict good">Every spike and every membrane potential is the same.</span>'
    low, high = accuracy["interval"]
    return [
        '<p class="eyebrow">spikeport demo</p>',
        "<h1>Handwritten digits, from PyTorch to Loihi 2’s simulator, exactly</h1>",
        f'<p class="lead">A spiking network was trained in PyTorch, exported through NIR and lowered to integers. Then PyTorch, '
        f"a slow reference, a fast batched executor and Intel’s Lava ran the same digits. {verdict}</p>",
        '<ul class="tiles">',
        tile(
            "Values that differ", f"{different:,}", f"of {compared:,} spikes and potentials compared", "good" if not different else "bad"
        ),
        tile(
            "Test accuracy",
            percent(accuracy["share"]),
            f"{accuracy['correct']} of {accuracy['samples']} digits; 95 % interval {percent(low)} to {percent(high)}",
        ),
        tile("Run in Lava", f"{lava['samples']} digits", "every layer, every neuron, every step"),
        tile(
            f"Fits {chip['name']}",
            "yes" if chip["fits"] else "no",
            f"{chip['cores_used']:,} of {chip['cores_max']:,} neurocores",
            "good" if chip["fits"] else "bad",
        ),
        "</ul>",
    ]


def agreement(facts: Mapping) -> str:
    """Who was compared with whom, over how much, and what differed."""
    rows = [
        (
            " and ".join(facts["target_names"][t] for t in c["targets"]),
            f"{c['samples']:,}",
            f"{c['spikes']:,}",
            f"{c['spike_differences']:,}",
            f"{c['potentials']:,}",
            f"{c['potential_differences']:,}",
        )
        for c in facts["comparisons"]
    ]
    return table(
        ("Compared", "digits", "spike values", "differ", "potentials", "differ"),
        rows,
        "Every layer, neuron and time step of every digit, with zero tolerance.",
        numeric=(1, 2, 3, 4, 5),
    )
