"""Every target by name: those that run a Program (``hardware.targets``), and "software", which is
the PyTorch model itself."""

from __future__ import annotations

from collections.abc import Iterable

from hardware.chunks import Target
from hardware.errors import TargetError
from hardware.registry import Registry
from hardware.targets import GROUP, OWN, lacking

SOFTWARE = Target(
    "software",
    "software (PyTorch)",
    None,
    needs="PyTorch and a model in it",
    missing=lambda: lacking("torch"),
    phrase="In software",
    mark="m-6.5 0a6.5 6.5 0 1 0 13 0a6.5 6.5 0 1 0-13 0z",
)

TARGETS: Registry[Target] = Registry(
    "target", GROUP, Target, {target.name: target for target in (SOFTWARE, *OWN)}, TargetError
)
"""Name → target; "software" first."""


def in_order(names: Iterable[str]) -> list[str]:
    """Names once each, in the order of the registry. Raises TargetError for an unknown one."""
    wanted = {TARGETS[name].name for name in names}
    return [name for name in TARGETS if name in wanted]


def nearest_to_chip(names: Iterable[str]) -> str:
    """The one of the highest rank. Raises TargetError for an unknown one."""
    return max(in_order(names), key=lambda name: TARGETS[name].rank)
