"""The demo's page: one HTML file that needs nothing from outside and tells the story in a minute,
in the house's frame (``toolchain.pages.html``).

Every picture has a caption or table with its numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from operator import itemgetter
from typing import Any

from toolchain.pages.formats import percent, quantity
from toolchain.pages.html import APPENDIX, details, document, figure, items, nav, render, section
from toolchain.pages.table import BAND, Column, Interval, Table

FOOTER = (
    "<footer>Lava’s Loihi 2 simulator computes what the chip’s neurons and synapses compute, not "
    "its speed or power. Digits: optical recognition of handwritten digits, UCI, as shipped with "
    "scikit-learn.</footer>"
)


def tile(name: str, value: str, note: str, css: str = "") -> str:
    """One number of the summary."""
    return (
        f'<li><span class="name">{escape(name)}</span><span class="value '
        f'{css}">{escape(value)}</span>'
        f'<span class="note">{escape(note)}</span></li>'
    )


def summary(facts: Mapping[str, Any]) -> list[str]:
    """Headline, verdict and the numbers that matter."""
    accuracy, chip = facts["accuracy"], facts["chip"]
    compared = sum(c["spikes"] + c["potentials"] for c in facts["comparisons"])
    different = sum(
        c["spike_differences"] + c["potential_differences"] for c in facts["comparisons"]
    )
    lava = next(c for c in facts["comparisons"] if "lava" in c["targets"])

    if different:
        sentence = f"{different:,} of {compared:,} compared values differ."
        verdict = f'<span class="verdict bad">{sentence}</span>'
    else:
        sentence = "Every spike and every membrane potential is the same."
        verdict = f'<span class="verdict good">{sentence}</span>'

    low, high = accuracy["interval"]
    return [
        '<p class="eyebrow">spikeport demo</p>',
        "<h1>Handwritten digits, from PyTorch to Loihi 2’s simulator, exactly</h1>",
        f'<p class="lead">A spiking network was trained in PyTorch, exported through NIR and '
        "lowered to integers. Then PyTorch, a slow reference, a fast batched executor and Intel’s "
        f"Lava ran the same digits. {verdict}</p>",
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


def agreement(facts: Mapping[str, Any]) -> str:
    """Who was compared with whom, over how much, and what differed."""
    names = facts["target_names"]
    columns = (
        Column("compared", "compared", get=lambda c: " and ".join(names[t] for t in c["targets"])),
        Column("samples", "digits", "count", get=lambda c: c["samples"]),
        Column("spikes", "spike values", "count", get=lambda c: c["spikes"]),
        Column("spike_differences", "differ", "count", get=lambda c: c["spike_differences"]),
        Column("potentials", "potentials", "count", get=lambda c: c["potentials"]),
        Column(
            "potential_differences", "differ", "count", get=lambda c: c["potential_differences"]
        ),
    )
    caption = "Every layer, neuron and time step of every digit, with zero tolerance."
    return _table("agreement", caption, columns, facts["comparisons"])


def _table(
    name: str, caption: str, columns: Sequence[Column], rows: Sequence[object], heading: str = ""
) -> str:
    """A table; with a ``heading`` behind a click."""
    table = Table.of(name, caption, columns, rows)
    return render(table, heading, most_open=0 if heading else len(rows))


def potentials(facts: Mapping[str, Any], picture: str, panels: Sequence[Mapping[str, Any]]) -> str:
    """Potentials of two targets on top of each other, with the values behind a click."""
    rows = [
        (panel["label"], step, one, other)
        for panel in panels
        for step, (one, other) in enumerate(zip(panel["software"], panel["lava"]))
    ]

    columns = (
        Column("neuron", "neuron", get=lambda row: row[0]),
        Column("step", "step", "count", get=lambda row: row[1]),
        Column("software_v", "PyTorch (V)", "number", get=lambda row: row[2]),
        Column("lava_v", "Lava (V)", "number", get=lambda row: row[3]),
    )

    largest = max(abs(one - other) for _, _, one, other in rows)
    caption = (
        '<span class="key first"></span> PyTorch &nbsp; <span class="key second"></span> Lava, '
        "integers scaled to volts. Dashed: threshold; diamonds: spikes. The neuron of each layer "
        "whose potential varies most (of the last: the one of the digit that was read), "
        f"potentials after reset; largest distance between line and circle: {largest:g} V."
    )

    values = _table("potentials", "The values in the picture.", columns, rows, "Potentials")
    return figure(picture, caption) + values


def _readings(facts: Mapping[str, Any]) -> str:
    """What each target read; one number where they agree."""
    readings = facts["shown"]["predictions"]
    if len(set(readings.values())) == 1:
        return f"{next(iter(readings.values()))} by every target"
    return ", ".join(
        f"{value} by {facts['target_names'][target]}" for target, value in readings.items()
    )


def activity(facts: Mapping[str, Any], digit: str, raster: str) -> str:
    """One digit on its way through the network, and what an average digit costs."""
    shown = facts["shown"]
    columns = (
        Column("layer", "layer", get=lambda row: row["name"]),
        Column("shape", "shape", get=lambda row: " × ".join(map(str, row["shape"]))),
        Column("neurons", "neurons", "count", get=lambda row: row["neurons"]),
        Column("spikes", "spikes", "count", get=lambda row: row["spikes"]),
        Column(
            "active",
            "active",
            "plain share",
            get=lambda row: None if row["spikes"] is None else row["spikes_per_neuron_and_step"],
        ),
        Column(
            "syn_ops",
            "synaptic operations",
            "count",
            get=lambda row: None if row["input"] else row["syn_ops"],
        ),
    )

    counts = "; ".join(f"{name}: {spikes:,} spikes" for name, spikes in shown["spikes"].items())
    means = (
        f"Means over the {facts['accuracy']['samples']} test digits, for one inference. Active: "
        "share of neurons that spike in a step."
    )

    return (
        f'<div class="digit">{digit}<p>Test digit number {shown["sample"]}: a {shown["label"]}, '
        f"read as {_readings(facts)}. It is shown for {facts['data']['steps']} time steps; "
        f"{escape(facts['data']['encoding_text'])}</p></div>"
        + figure(
            raster,
            "Every mark is a spike. In each step the input is an image; a layer has a row for each "
            f"channel, a column for each pixel. {escape(counts)}.",
        )
        + _table("activity", means, columns, facts["layers"])
    )


def weights(facts: Mapping[str, Any], kernels: str, rounding: str) -> str:
    """The trained weights beside those on the chip."""
    columns = (
        Column("layer", "layer", get=lambda w: w["layer"]),
        Column("count", "weights", "count", get=lambda w: w["count"]),
        Column("bits", "bits", "count", get=lambda w: w["bits"]),
        Column("integers", "integers", get=lambda w: f"{w['integers'][0]} to {w['integers'][1]}"),
        Column("step", "step", get=_step),
        Column("rounding", "largest rounding", get=lambda w: f"{w['max_error_v']:.2g} V"),
        Column("error", "rms error", get=lambda w: percent(w["rms_relative_error"], 2)),
    )

    caption = (
        "Training already computed with the rounded weights, so this rounding costs no accuracy "
        "when the network moves to the chip."
    )
    first = escape(facts["weights"][0]["layer"])

    return (
        figure(
            kernels,
            f'The first kernels of {first}: <span class="key first"></span> excitatory, '
            '<span class="key second-fill"></span> inhibitory; the stronger the colour, the '
            "larger the weight. Above as PyTorch’s optimiser holds them, below as the chip "
            "multiplies with them.",
        )
        + figure(
            rounding,
            f"Every weight of {first}: how far it moved when it was rounded, in steps of the "
            "chip’s grid. Dashed: half a step, the most that rounding may do; the largest here is "
            f"{facts['weights'][0]['max_error_steps']:.2f} steps.",
        )
        + _table("weights", caption, columns, facts["weights"])
    )


def _step(layer: Mapping[str, Any]) -> str:
    """Distance of two weights, or the smallest and the largest of the channels."""
    step = layer["step_v"]
    return f"{step:g} V" if isinstance(step, float) else f"{step[0]:g} to {step[1]:g} V"


def chip(facts: Mapping[str, Any]) -> str:
    """Used and maximum, and every broken rule."""
    placement = facts["chip"]
    verdict = f"<p>Every design rule of {escape(placement['name'])} holds.</p>"
    if not placement["fits"]:
        verdict = f'<div class="bad">{items(placement["broken"])}</div>'
    columns = [
        Column(f"column_{place}", label, get=itemgetter(place))
        for place, label in enumerate(placement["head"])
    ]
    caption = f"Used and most allowed on {placement['name']}."
    return (
        verdict
        + _table("chip", caption, columns, placement["rows"])
        + details(
            "What the check says besides", items((*placement["notes"], *placement["estimates"]))
        )
    )


def energy(facts: Mapping[str, Any]) -> str:
    """Estimate, bands, what limits the time, and the error against measurement."""
    estimate = facts["energy"]
    spiking = [entry for entry in estimate["devices"] if entry["kind"] == "spiking"]
    limit = next(entry for entry in spiking if entry["name"] == estimate["shown"])["limit"]
    where = limit["term"] if limit["layer"] is None else f"{limit['term']} of {limit['layer']}"
    power = quantity(estimate["static_power_mw"]["value"] * 1e-3, "W")
    chips = "1 chip" if estimate["chips"] == 1 else f"{estimate['chips']} chips"

    columns = (
        Column("table", "table", get=lambda entry: entry["title"]),
        Column("dynamic_j", "dynamic", "joules", BAND, lambda entry: _band(entry, "dynamic")),
        Column("static_j", "static", "joules", BAND, lambda entry: _band(entry, "static")),
        Column("time", "time, with band", get=_time),
        Column(
            "dynamic_calibrated_j",
            "dynamic, calibrated",
            "joule",
            get=lambda entry: entry["dynamic_calibrated_j"],
        ),
        Column(
            "time_calibrated_s",
            "time, calibrated",
            "seconds",
            get=lambda entry: entry["time_calibrated_s"],
        ),
    )

    assumed = items((*estimate["assumptions"], *estimate["not_covered"]))
    return (
        "<p>No energy of an operation of Loihi 2 is public: this is an estimate from counts and "
        f"tables of Loihi 1. A mean step takes {quantity(limit['step_s'], 's')}, limited by "
        f"{escape(where)}. Static energy is {power} of {chips}, without a pause between "
        "inferences.</p>"
        f"<p><strong>{escape(estimate['measured_text'])}</strong> "
        f"{escape(estimate['static_text'])}</p>"
        + _table("energy", "One inference, mean over the test digits.", columns, spiking)
        + details("What is assumed, and what is not covered", assumed)
    )


def _band(entry: Mapping[str, Any], name: str) -> Interval:
    return Interval(*(entry[f"{name}{end}_j"] for end in ("", "_low", "_high")))


def _time(entry: Mapping[str, Any]) -> str:
    value, low, high = (quantity(entry[f"time{end}_s"], "s") for end in ("", "_low", "_high"))
    return f"{value} ({low} to {high})"


def repeat(facts: Mapping[str, Any]) -> str:
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


def build(
    facts: Mapping[str, Any], drawn: Mapping[str, str], panels: Sequence[Mapping[str, Any]]
) -> str:
    """The page from the numbers of ``demo.json`` and the pictures ``digit``, ``raster``,
    ``potentials``, ``kernels``, ``rounding``."""
    sections = (
        ("agree", "Do they all agree?", agreement(facts)),
        (
            "digit-shown",
            "One digit, spike by spike",
            activity(facts, drawn["digit"], drawn["raster"]),
        ),
        (
            "both",
            "PyTorch and Lava on top of each other",
            potentials(facts, drawn["potentials"], panels),
        ),
        (
            "rounded",
            "Weights before and after",
            weights(facts, drawn["kernels"], drawn["rounding"]),
        ),
        ("fits", f"Does it fit {facts['chip']['name']}?", chip(facts)),
        ("cost", "What would it cost?", energy(facts)),
        ("repeat", "Repeat it", repeat(facts)),
    )

    return document(
        "spikeport demo: handwritten digits, from PyTorch to Loihi 2",
        [
            f"<header>{''.join(summary(facts))}</header>",
            nav("On this page", [(name, heading) for name, heading, _ in sections]),
            *(section(*entry) for entry in sections),
            APPENDIX,
            FOOTER,
        ],
    )
