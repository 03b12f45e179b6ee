"""Which networks of a run are trainings of one method: they differ in the seed of their training
alone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from toolchain.report.facts import Analysis, ReportedModel

_BEFORE = re.compile(r" seed \d+$")
"""How runs that do not say their methods (spikeport 0.1.0 of before) named trainings."""


def methods_of(names: Iterable[str], about: Mapping[str, Any]) -> dict[str, str]:
    """Name of a network → its method, as the run says it."""
    methods = {entry["name"]: entry.get("method") for entry in about.get("models") or []}
    old = None in methods.values()
    return {name: (_BEFORE.sub("", name) if old else methods.get(name) or name) for name in names}


def grouped(models: Sequence[ReportedModel]) -> dict[str, list[ReportedModel]]:
    """Method → its networks, in their order."""
    groups: dict[str, list[ReportedModel]] = {}
    for model in models:
        groups.setdefault(model.method, []).append(model)
    return groups


def several(facts: Analysis) -> bool:
    """Whether some method has more than one training."""
    return len(grouped(facts.models)) < len(facts.models)
