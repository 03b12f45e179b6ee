"""Everything that a report shows, as one JSON value: ``analysis``, and what the Programs say about
the chip.

facts = gather(load("runs/quick"))          the value behind --json; the page and the tables show
                                            nothing else
"""

from __future__ import annotations

import inspect

from hardware import placement
from hardware.chip import Chip
from toolchain import __version__
from toolchain.report import examples
from toolchain.report.analysis import analyse
from toolchain.report.examples import Example
from toolchain.report.rate import at_rate
from toolchain.report.run import Run
from toolchain.robustness.flags import CHECKS

CROWDED = 6
"""Models beyond which a report speaks of all of them together first, and leaves targets that ran
fewer samples out of its pictures."""


def gather(run: Run, rate_hz: float | None = None) -> tuple[dict, list[Example]]:
    """(facts, the samples that are shown); ``rate_hz``: inferences in a second that static energy
    is for.

    Raises ReportError where the run is not one of this version, holds nothing yet, or does not
    allow the rate.
    """
    found = analyse(run.records, run.about, run.absent)
    at_rate(found, rate_hz)
    shown = examples.choose(run, [model["name"] for model in found["models"]])
    for model in found["models"]:
        on_chip = model["program"] is not None
        model["placement"] = (
            placement.check(run.programs[model["program"]], Chip.load(model["chip"])).to_dict()
            if on_chip
            else None
        )
    found["checks"] = [{"name": rule.__name__, "meaning": " ".join((inspect.getdoc(rule) or "").split())} for rule in CHECKS]
    found["examples"] = [examples.facts(example) for example in shown]
    found["reported_by"] = __version__
    return found, shown


def unfinished(facts: dict) -> int:
    """Cells that the sweep plans and the run does not hold yet."""
    cells = facts["about"]["cells"]
    return cells["planned"] - cells["stored"]


def flags_of(model: dict) -> dict[str, list[tuple[str, str]]]:
    """Flag → (target, finding) of every finding on one model."""
    found: dict[str, list[tuple[str, str]]] = {}
    for entry in model["targets"]:
        for flag in entry["flags"]:
            found.setdefault(flag["name"], []).extend(
                (entry["target"], text) for text in flag["findings"]
            )
    return found
