"""Energy of several Programs, such as a purifier and a classifier, that run one after the other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

from hardware.charging import LayerEnergy, TimeTerm
from hardware.chip import Chip
from hardware.energy import QUANTITIES, DeviceEnergy, EnergyEstimate, Twin, with_static

Part = TypeVar("Part", LayerEnergy, TimeTerm)


def together(parts: Mapping[str, EnergyEstimate], chip: Chip) -> EnergyEstimate:
    """Several Programs that run one after the other on the same samples, all on the chip at once.

    Energies, times and cores add up.

    parts  prefix of the layers' names → estimate on ``chip``, without a rate; the last is the one
           whose texts are kept
    """
    every = list(parts.values())
    if len(every) == 1:
        return every[0]

    cores = sum(part.cores for part in every)
    chips = -(-cores // chip["cores_per_chip"])
    devices = zip(*(part.devices for part in every))
    twins = [part.twin for part in every]

    added = replace(
        every[-1],
        cores=cores,
        chips=chips,
        static_power=chip.static_power.of(chips),
        devices=tuple(_added(dict(zip(parts, entries))) for entries in devices),
        twin=Twin(
            {
                f"{name}{layer}": macs
                for name, part in parts.items()
                for layer, macs in part.twin.macs.items()
            },
            {name: sum(twin.energy_j[name] for twin in twins) for name in twins[0].energy_j},
        ),
    )
    return with_static(added, None)


def _added(entries: Mapping[str, DeviceEnergy]) -> DeviceEnergy:
    """One table's estimates of several parts; the part that takes longest limits."""
    every = list(entries.values())
    have = [name for name in QUANTITIES if getattr(every[0], name) is not None]
    added = {name: sum(getattr(entry, name) for entry in every) for name in have}

    def renamed(part: Part, prefix: str) -> Part:
        return part if part.layer is None else replace(part, layer=f"{prefix}{part.layer}")

    layers, terms = (
        tuple(renamed(one, name) for name, each in entries.items() for one in getattr(each, field))
        for field in ("layers", "terms")
    )
    limit = None
    if terms:
        means = {n: float(e.time_s.mean()) for n, e in entries.items() if e.time_s is not None}
        longest = max(means, key=lambda name: means[name])
        limiting = entries[longest].limit
        limit = None if limiting is None else renamed(limiting, longest)
    return replace(every[-1], **added, layers=layers, terms=terms, limit=limit)
