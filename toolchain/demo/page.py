"""The demo's page: one HTML file that needs nothing from outside and tells the story in a minute.

Every picture has a caption or table with its numbers; colours follow the reader's light or dark
setting; it prints.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from importlib import resources

from toolchain.pages.formats import quantity


def table(
    head: Sequence[str], rows: Sequence[Sequence[str]], caption: str, numeric: Sequence[int] = ()
) -> str:
    """A table whose first column names the row; columns in ``numeric`` are aligned to the right.
    Cells are plain text."""

    def cell(tag: str, i: int, content: str, extra: str = "") -> str:
        css = ' class="n"' if i in numeric else ""
        return f"<{tag}{css}{extra}>{escape(content)}</{tag}>"

    header = "".join(cell("th", i, c, ' scope="col"') for i, c in enumerate(head))
    body = "".join(
        "<tr>"
        + cell("th", 0, row[0], ' scope="row"')
        + "".join(cell("td", i, c) for i, c in enumerate(row[1:], 1))
        + "</tr>"
        for row in rows
    )
    return (
        f'<div class="scroll" tabindex="0" role="group" '
        f'aria-label="{escape(caption)}"><table><caption>{escape(caption)}</caption>'
        f"<thead><tr>{header}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def tile(name: str, value: str, note: str, css: str = "") -> str:
    """One number of the summary."""
    return (
        f'<li><span class="name">{escape(name)}</span><span class="value '
        f'{css}">{escape(value)}</span>'
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
        f"<title>{escape(title)}</title><style>\n{style}</style></head>\n<body><main>\n"
        + "\n".join(body)
        + "\n</main></body></html>\n"
    )


def summary(facts: Mapping) -> list[str]:
    """Headline, verdict and the numbers that matter."""
    accuracy, chip = facts["accuracy"], facts["chip"]
    compared = sum(c["spikes"] + c["potentials"] for c in facts["comparisons"])
    different = sum(
        c["spike_differences"] + c["potential_differences"] for c in facts["comparisons"]
    )
    lava = next(c for c in facts["comparisons"] if "lava" in c["targets"])
    if different:
        verdict = f'<span class="verdict bad">{different:,} of {compared:,} compared values differ.</span>'
    else:
        verdict = '<span class="verdict good">Every spike and every membrane potential is the same.</span>'
    low, high = accuracy["interval"]
    return [
        '<p class="eyebrow">spikeport demo</p>',
        "<h1>Handwritten digits, from PyTorch to Loihi 2’s simulator, exactly</h1>",
        f'<p class="lead">A spiking network was trained in PyTorch, exported through NIR and '
        f"lowered to integers. Then PyTorch, "
        f"a slow reference, a fast batched executor and Intel’s Lava ran the same digits. "
        f"{verdict}</p>",
        '<ul class="tiles">',
        tile(
            "Values that differ",
            f"{different:,}",
            f"of {compared:,} spikes and potentials compared",
            "good" if not different else "bad",
        ),
        tile(
            "Test accuracy",
            percent(accuracy["share"]),
            f"{accuracy['correct']} of {accuracy['samples']} digits; 95 % interval {percent(low)} "
            f"to {percent(high)}",
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


def potentials(facts: Mapping, picture: str, panels: Sequence[Mapping]) -> str:
    """Potentials of two targets on top of each other, with the values behind a click."""
    rows = [
        (p["label"], str(t), f"{a:g}", f"{b:g}")
        for p in panels
        for t, (a, b) in enumerate(zip(p["software"], p["lava"]))
    ]
    values = table(
        ("Neuron", "step", "PyTorch (V)", "Lava (V)"),
        rows,
        "The values in the picture.",
        numeric=(1, 2, 3),
    )
    largest = max(abs(a - b) for p in panels for a, b in zip(p["software"], p["lava"]))
    return figure(
        picture,
        '<span class="key first"></span> PyTorch &nbsp; <span class="key second"></span> Lava, '
        "integers scaled to volts. "
        "Dashed: threshold; diamonds: spikes. The liveliest neuron of each layer (of the last: the "
        "one of the digit that was read), "
        f"potentials after reset; largest distance between line and circle: {largest:g} V.",
    ) + details("The values as a table", values)


def _readings(facts: Mapping) -> str:
    """What each target read; one number where they agree."""
    readings = facts["shown"]["predictions"]
    if len(set(readings.values())) == 1:
        return f"{next(iter(readings.values()))} by every target"
    return ", ".join(
        f"{value} by {facts['target_names'][target]}" for target, value in readings.items()
    )


def activity(facts: Mapping, digit: str, raster: str) -> str:
    """One digit on its way through the network, and what an average digit costs."""
    shown = facts["shown"]
    rows = [
        (
            layer["name"],
            " × ".join(map(str, layer["shape"])),
            f"{layer['neurons']:,}",
            "–" if layer["spikes"] is None else count(layer["spikes"]),
            "–" if layer["spikes"] is None else percent(layer["spikes_per_neuron_and_step"], 1),
            "–" if layer["input"] else count(layer["syn_ops"]),
        )
        for layer in facts["layers"]
    ]
    return (
        f'<div class="digit">{digit}<p>Test digit number {shown["sample"]}: a {shown["label"]}, '
        f"read as {_readings(facts)}. "
        f"It is shown for {facts['data']['steps']} time steps; "
        f"{escape(facts['data']['encoding_text'])}</p></div>"
        + figure(
            raster,
            "Every mark is a spike. In each step the input is an image; a layer has a row for each "
            "channel, a column for each pixel. "
            + "; ".join(f"{name}: {spikes:,} spikes" for name, spikes in shown["spikes"].items())
            + ".",
        )
        + table(
            ("Layer", "shape", "neurons", "spikes", "active", "synaptic operations"),
            rows,
            f"Means over the {facts['accuracy']['samples']} test digits, for one inference. "
            f"Active: share of neurons that spike in a step.",
            numeric=(2, 3, 4, 5),
        )
    )


def weights(facts: Mapping, kernels: str, rounding: str) -> str:
    """The trained weights beside those on the chip."""
    rows = [
        (
            w["layer"],
            f"{w['count']:,}",
            f"{w['bits']} bits",
            f"{w['integers'][0]} to {w['integers'][1]}",
            f"{w['step_v']:g} V"
            if isinstance(w["step_v"], float)
            else f"{w['step_v'][0]:g} to {w['step_v'][1]:g} V",
            f"{w['max_error_v']:.2g} V",
            percent(w["rms_relative_error"], 2),
        )
        for w in facts["weights"]
    ]
    first = facts["weights"][0]["layer"]
    return (
        figure(
            kernels,
            f'The first kernels of {escape(first)}: <span class="key first"></span> excitatory, '
            f'<span class="key second-fill"></span> '
            "inhibitory; the stronger the colour, the larger the weight. Above as PyTorch’s "
            "optimiser holds them, below as the chip "
            "multiplies with them.",
        )
        + figure(
            rounding,
            f"Every weight of {escape(first)}: how far it moved when it was rounded, in steps of "
            f"the chip’s grid. "
            f"Dashed: half a step, the most that rounding may do; the largest here is "
            f"{facts['weights'][0]['max_error_steps']:.2f} steps.",
        )
        + table(
            ("Layer", "weights", "format", "integers", "step", "largest rounding", "rms error"),
            rows,
            "Training already computed with the rounded weights, so this rounding costs no "
            "accuracy when the network moves to the chip.",
            numeric=(1, 2, 3, 4, 5, 6),
        )
    )


def chip(facts: Mapping) -> str:
    """Used and maximum, and every broken rule."""
    c = facts["chip"]
    broken = "".join(f"<li>{escape(rule)}</li>" for rule in c["broken"])
    verdict = (
        f"<p>Every design rule of {escape(c['name'])} holds.</p>"
        if c["fits"]
        else f'<ul class="bad">{broken}</ul>'
    )
    notes = "".join(f"<li>{escape(note)}</li>" for note in (*c["notes"], *c["estimates"]))
    return (
        verdict
        + table(
            c["head"],
            c["rows"],
            f"Used and most allowed on {c['name']}.",
            numeric=range(1, len(c["head"])),
        )
        + details("What the check says besides", f"<ul>{notes}</ul>")
    )


def energy(facts: Mapping) -> str:
    """Estimate, bands, what limits the time, and the error against measurement."""
    told = facts["energy"]
    spiking = [entry for entry in told["devices"] if entry["kind"] == "spiking"]
    shown = next(entry for entry in spiking if entry["name"] == told["shown"])
    limit = shown["limit"]
    where = limit["term"] if limit["layer"] is None else f"{limit['term']} of {limit['layer']}"
    power = quantity(told["static_power_mw"]["value"] * 1e-3, "W")
    chips = "1 chip" if told["chips"] == 1 else f"{told['chips']} chips"
    names = ("dynamic_j", "static_j", "time_s")
    rows = [
        (
            entry["title"],
            *(cell for name in names for cell in _with_band(entry, name)),
            quantity(entry["dynamic_calibrated_j"], "J"),
            quantity(entry["time_calibrated_s"], "s"),
        )
        for entry in spiking
    ]
    head = (
        "Table",
        "dynamic",
        "band",
        "static",
        "band",
        "time",
        "band",
        "dynamic, calibrated",
        "time, calibrated",
    )
    assumed = "".join(
        f"<li>{escape(text)}</li>" for text in (*told["assumptions"], *told["not_covered"])
    )
    return (
        f"<p>No energy of an operation of Loihi 2 is public: this is an estimate from counts and "
        f"tables of Loihi 1. A mean step takes "
        f"{quantity(limit['step_s'], 's')}, limited by {escape(where)}. Static energy is {power} "
        f"of {chips}, without a pause "
        "between inferences.</p>"
        f"<p><strong>{escape(told['measured_text'])}</strong> {escape(told['static_text'])}</p>"
        + table(
            head, rows, "One inference, mean over the test digits.", numeric=range(1, len(head))
        )
        + details("What is assumed, and what is not covered", f"<ul>{assumed}</ul>")
    )


def _with_band(entry: Mapping, name: str) -> tuple[str, str]:
    """A quantity, and its band."""
    what, suffix = name.rsplit("_", 1)
    unit = {"j": "J", "s": "s"}[suffix]
    low, high = (quantity(entry[f"{what}_{end}_{suffix}"], unit) for end in ("low", "high"))
    return quantity(entry[name], unit), f"{low} to {high}"


def repeat(facts: Mapping) -> str:
    """How to get the same again, and with what it was made."""
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    commands = "\n".join(facts["commands"])
    return (
        f"<p>Seed {facts['seed']}; training took {facts['training']['wall_time_s']:.0f} s for "
        f"{facts['training']['epochs']} epochs, "
        f"the whole command {facts['wall_time_s']:.0f} s. Made with {escape(versions)}.</p>"
        f"<pre>{escape(commands)}</pre>"
        f"<p>The integer Program has the fingerprint <code>{facts['fingerprint'][:16]}</code>. "
        "All numbers of this page are in <code>demo.json</code>.</p>"
    )


def build(facts: Mapping, drawn: Mapping[str, str], panels: Sequence[Mapping]) -> str:
    """The page from the numbers of ``demo.json`` and the pictures ``digit``, ``raster``,
    ``potentials``, ``kernels``, ``rounding``."""
    return page(
        "spikeport demo: handwritten digits, from PyTorch to Loihi 2",
        [
            *summary(facts),
            "<h2>Do they all agree?</h2>",
            agreement(facts),
            "<h2>One digit, spike by spike</h2>",
            activity(facts, drawn["digit"], drawn["raster"]),
            "<h2>PyTorch and Lava on top of each other</h2>",
            potentials(facts, drawn["potentials"], panels),
            "<h2>Weights before and after</h2>",
            weights(facts, drawn["kernels"], drawn["rounding"]),
            f"<h2>Does it fit {escape(facts['chip']['name'])}?</h2>",
            chip(facts),
            "<h2>What would it cost?</h2>",
            energy(facts),
            "<h2>Repeat it</h2>",
            repeat(facts),
            "<footer>Lava’s Loihi 2 simulator computes what the chip’s neurons and synapses "
            "compute, not its speed or power. "
            "Digits: optical recognition of handwritten digits, UCI, as shipped with "
            "scikit-learn.</footer>",
        ],
    )
