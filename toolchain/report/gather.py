"""Everything that a report shows: ``analysis``, what the Programs say about the chip, and the
samples that are shown.

facts, shown = gather(load("runs/quick"))   the facts are what --json holds (``facts.to_json``); the
                                            page and the tables show nothing else
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from hardware import placement
from hardware.chip import Chip
from hardware.program import Program
from toolchain.report import examples
from toolchain.report.analysis import analyse
from toolchain.report.examples import Example
from toolchain.report.facts import Analysis, Check, Facts, PlacedModel, ReportedModel
from toolchain.report.rate import at_rate
from toolchain.report.run import StoredRun
from toolchain.robustness.flags import CHECKS
from toolchain.version import __version__


def gather(run: StoredRun, rate_hz: float | None = None) -> tuple[Facts, list[Example]]:
    """The facts of a run, and the samples that are shown.

    Args:
        run: as ``run.load`` reads it.
        rate_hz: inferences in a second that static energy is for; None: one after the other.

    Raises:
        ReportError: the run is not one of this version, holds nothing yet, or does not allow the
            rate.
    """
    analysis = at_rate(_placed(analyse(run.records, run.about, run.absent), run.programs), rate_hz)
    shown = examples.choose(run, [model.name for model in analysis.models])
    checks = tuple(
        Check(rule.__name__, " ".join((inspect.getdoc(rule) or "").split())) for rule in CHECKS
    )
    facts = Facts(
        **_fields(analysis),
        rate_hz=rate_hz,
        checks=checks,
        examples=tuple(map(examples.facts, shown)),
        reported_by=__version__,
    )
    return facts, shown


def _placed(found: Analysis, programs: Mapping[str, Program]) -> Analysis:
    models = tuple(
        PlacedModel(**_fields(model), placement=_placement(model, programs))
        for model in found.models
    )
    return Analysis(**{**_fields(found), "models": models})


def _placement(model: ReportedModel, programs: Mapping[str, Program]) -> Mapping[str, Any] | None:
    if model.program is None or model.chip is None:
        return None
    return placement.check(programs[model.program], Chip.load(model.chip)).to_dict()


def _fields(value: Analysis | ReportedModel) -> dict[str, Any]:
    """The fields of a dataclass, one level deep."""
    return {field.name: getattr(value, field.name) for field in fields(value)}
