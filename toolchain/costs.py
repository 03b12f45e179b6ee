"""What an inference is estimated to cost, of a run at hand: the estimate of all its parts, and the lines that say it.

    found = estimated({"": (program, recording)}, Chip.load("loihi2"), rate_hz=30.0)
    print("\\n".join(lines(found)))
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping

from hardware import measurements
from hardware.chip import Chip
from hardware.energy import DeviceEnergy, EnergyEstimate, estimate, together, with_static
from hardware.program import Program
from hardware.recording import Recording
from toolchain.report import formats

SHOWN = "loihi-davies2018"
"""The table whose single figures are printed; bands are over all spiking tables."""


def estimated(
    parts: Mapping[str, tuple[Program, Recording]], chip: Chip, rate_hz: float | None = None
) -> EnergyEstimate:
    """The estimate of Programs that run one after the other on the same samples.

    parts  prefix of the layers' names → Program and its run; the last is the network itself

    Raises InputError for a rate that the band of the time does not allow.
    """
    each = {name: estimate(program, recording, chip=chip) for name, (program, recording) in parts.items()}
    return with_static(together(each, chip), rate_hz)


def lines(found: EnergyEstimate) -> list[str]:
    """Energy, time, what limits it, and the error against measurement, for the terminal."""
    entry = shown(found)
    dynamic, static, time = (float(v.mean()) for v in (entry.dynamic_j, entry.static_j, entry.time_s))
    bands = {"J": (found.dynamic_band_j, found.static_band_j), "s": (found.time_band_s,)}
    (dynamic_band, static_band), (time_band,) = ([_band(*ends, unit) for ends in bands[unit]] for unit in ("J", "s"))
    return [
        f"energy     dynamic {formats.quantity(dynamic, 'J')} (band {dynamic_band}){_calibrated(entry, 'dynamic', 'J')}",
        f"           static {formats.quantity(static, 'J')} (band {static_band}), "
        f"{formats.percent(static / (static + dynamic))} of both: {_regime(found)}",
        f"time       {formats.quantity(time, 's')} (band {time_band}){_calibrated(entry, 'time', 's')}",
        f"           limited by {entry.limit.text()}: {formats.quantity(entry.limit.step_s, 's')} of each of {found.steps} steps",
        f"estimate   one inference on {found.chip}, {found.cores} of {found.chips * found.cores_per_chip} neurocores, "
        f"table {entry.device.name}; bands over {len(found.spiking)} tables",
        *(textwrap.fill(said, 110, initial_indent=" " * 11, subsequent_indent=" " * 11) for said in _errors(found)),
    ]


def short(found: EnergyEstimate) -> tuple[str, str]:
    """Energy and time with their bands, and what limits the time, in few words."""
    entry = shown(found)
    dynamic, static, time = (float(v.mean()) for v in (entry.dynamic_j, entry.static_j, entry.time_s))
    return (
        f"estimated {formats.quantity(dynamic, 'J')} dynamic ({_band(*found.dynamic_band_j, 'J')}), "
        f"{formats.quantity(static, 'J')} static ({_band(*found.static_band_j, 'J')}) an inference",
        f"estimated {formats.quantity(time, 's')} ({_band(*found.time_band_s, 's')}), limited by {entry.limit.text()}",
    )


def shown(found: EnergyEstimate) -> DeviceEnergy:
    """The estimate whose single figures are printed."""
    return next((entry for entry in found.spiking if entry.device.name == SHOWN), found.spiking[0])


def _band(low: float, high: float, unit: str) -> str:
    return f"{formats.quantity(low, unit)} to {formats.quantity(high, unit)}"


def _calibrated(entry: DeviceEnergy, name: str, unit: str) -> str:
    values = getattr(entry, f"{name}_calibrated_{unit.lower()}")
    if values is None:
        return ""
    tasks = sum(row.chip == entry.measured[0].chip for row in entry.measured)
    return f"; calibrated on n = {tasks} measured task{'s' if tasks > 1 else ''}: {formats.quantity(float(values.mean()), unit)}"


def _regime(found: EnergyEstimate) -> str:
    power = formats.quantity(found.static_power.value * 1e-3, "W")
    if found.rate_hz is None:
        return f"{power} without a pause between inferences (--rate HZ for another rate)"
    return f"{power} at {found.rate_hz:g} inferences in a second"


def _errors(found: EnergyEstimate) -> tuple[str, str]:
    rows = [row for entry in found.devices for row in entry.measured]
    return measurements.sentence(rows), measurements.static_sentence()
