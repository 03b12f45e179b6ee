"""Entries by name: a package's own, and those that installed distributions add by entry points.

    TARGETS = Registry("target", "spikeport.targets", Target, {"fast": FAST}, TargetError)
    TARGETS["fast"]            an entry; TargetError for a name that nobody has
    list(TARGETS)              all names, ours first; nothing of a plug-in is imported for it

A plug-in is imported when its entry is asked for, not before. One that cannot be imported, holds
something of another type, or takes a name that is taken is a PluginError, which names the
distribution: an entry of ours is never replaced in silence.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from importlib import metadata
from typing import Any, Generic, TypeVar

from hardware.errors import PluginError

Entry = TypeVar("Entry")

GROUPS = "spikeport."
"""Every group of entry points that we read begins like this."""


Claims = Mapping[str, tuple[metadata.EntryPoint, ...]]
"""Name → the entry points that have it."""


def _claims(group: str) -> Claims:
    return _found(tuple(sys.path)).get(group, {})


@lru_cache(maxsize=8)
def _found(path: tuple[str, ...]) -> Mapping[str, Claims]:
    """Our groups' entry points on a path, sorted; searched once, because the search reads every
    distribution's metadata."""
    points = metadata.entry_points()
    groups: dict[str, dict[str, list[metadata.EntryPoint]]] = {}
    for group in sorted(name for name in points.groups if name.startswith(GROUPS)):
        for point in sorted(points.select(group=group), key=lambda p: (p.name, _distribution(p))):
            groups.setdefault(group, {}).setdefault(point.name, []).append(point)
    return {
        group: {name: tuple(points) for name, points in names.items()}
        for group, names in groups.items()
    }


def _distribution(point: metadata.EntryPoint) -> str:
    return "unknown" if point.dist is None else point.dist.metadata["Name"]


class Registry(Mapping[str, Entry], Generic[Entry]):
    """A read-only mapping name → entry.

    Args:
        what: What an entry is, for messages: "target".
        group: The group of entry points by which others add entries.
        kind: The type that every entry has.
        own: The package's own entries.
        error: Raised for a name that nobody has.
    """

    def __init__(
        self,
        what: str,
        group: str,
        kind: type[Entry],
        own: Mapping[str, Entry],
        error: type[Exception],
    ) -> None:
        self.what, self.group = what, group
        self._kind, self._own, self._error = kind, dict(own), error
        self._loaded: dict[tuple[tuple[str, ...], str], Entry] = {}

    def __iter__(self) -> Iterator[str]:
        yield from self._own
        yield from (name for name in _claims(self.group) if name not in self._own)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, name: object) -> bool:
        return name in self._own or name in _claims(self.group)

    def __getitem__(self, name: str) -> Entry:
        """An entry by name.

        Raises:
            PluginError: The entry's plug-in is broken, or the name is taken twice.
            Exception: The registry's own error, where nobody has the name.
        """
        claims = _claims(self.group).get(name, ())
        if not claims:
            if name in self._own:
                return self._own[name]
            raise self._error(f"there is no {self.what} {name!r}; there are {', '.join(self)}")
        if len(claims) > 1 or name in self._own:
            holders = [f"the distribution {_distribution(point)!r}" for point in claims]
            holders = ["spikeport itself", *holders] if name in self._own else holders
            raise PluginError(
                f"the {self.what} {name!r} is defined by {' and by '.join(holders)} (entry points "
                f"{self.group!r}); a name must have one owner: rename one, or uninstall it"
            )
        return self._load(claims[0])

    def get(self, name: str, default: Any = None) -> Any:
        """An entry by name, or ``default`` where nobody has it."""
        return self[name] if name in self else default  # noqa: SIM401 - it is the rule itself

    def modules(self, names: Iterable[str]) -> tuple[str, ...]:
        """The modules that define the plug-ins among these entries, sorted; nothing is imported."""
        claims = _claims(self.group)
        return tuple(sorted({point.module for name in names for point in claims.get(name, ())}))

    def _load(self, point: metadata.EntryPoint) -> Entry:
        key = (tuple(sys.path), point.name)
        if key not in self._loaded:
            where = (
                f"the {self.what} {point.name!r} of the distribution {_distribution(point)!r} "
                f"(entry point {self.group!r}: {point.value})"
            )

            try:
                entry = point.load()
            except Exception as error:
                raise PluginError(
                    f"{where} cannot be loaded: {type(error).__name__}: {error}; repair the "
                    f"distribution, or uninstall it"
                ) from error
            if not isinstance(entry, self._kind):
                raise PluginError(
                    f"{where} is of type {type(entry).__name__}; it must be a "
                    f"{self._kind.__module__}.{self._kind.__qualname__}"
                )
            named = getattr(entry, "name", point.name)
            if named != point.name:
                raise PluginError(f"{where} calls itself {named!r}; both names must be the same")

            self._loaded[key] = entry
        return self._loaded[key]
