"""What an inference is estimated to cost, of a run at hand: the estimate of all its parts, and the
lines that say it.

    found = estimated({"": (program, recording)}, Chip.load("loihi2"), rate_hz=30.0)
    print("\\n".join(lines(found)))
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping

import numpy as np

from hardware import measurements
from hardware.charging import TimeTerm
from hardware.chip import Chip
from hardware.energy import DeviceEnergy, EnergyEstimate, estimate, with_static
from hardware.energy_parts import together
from hardware.errors import InputError
from hardware.parameters import parameter
from hardware.program import Program
from hardware.recording import Recording
from toolchain.pages import formats

SHOWN = "loihi-davies2018"
"""The table whose single figures are printed; bands are over all spiking tables."""


def estimated(
    parts: Mapping[str, tuple[Program, Recording]], chip: Chip, rate_hz: float | None = None
) -> EnergyEstimate:
    """The estimate of Programs that run one after the other on the same samples.

    parts  prefix of the layers' names → Program and its run; the last is the network itself

    Raises InputError for a rate that the band of the time does not allow.
    """
    each = {
        name: estimate(program, recording, chip=chip)
        for name, (program, recording) in parts.items()
    }
    return with_static(together(each, chip), rate_hz)


def lines(found: EnergyEstimate) -> list[str]:
    """Energy, time, what limits it, and the error against measurement, for the terminal."""
    entry, texts = shown(found), _quantities(found)
    static_j, limit = timed(entry)
    dynamic, static = float(entry.dynamic_j.mean()), float(static_j.mean())
    step = formats.quantity(limit.step_s, "s")
    cores = f"{found.cores} of {found.chips * found.cores_per_chip} neurocores"
    margin = " " * 11
    return [
        f"energy     dynamic {texts['dynamic']}{_calibrated(entry, 'dynamic', 'J')}",
        f"{margin}static {texts['static']}, "
        f"{formats.percent(static / (static + dynamic))} of both: {_regime(found)}",
        f"time       {texts['time']}{_calibrated(entry, 'time', 's')}",
        f"{margin}limited by {limit.text()}: {step} of each of {found.steps} steps",
        f"estimate   one inference on {found.chip}, {cores}, table {entry.device.name}; bands over "
        f"{len(found.spiking)} tables",
        *(
            textwrap.fill(text, 110, initial_indent=margin, subsequent_indent=margin)
            for text in _errors(found)
        ),
    ]


def short(found: EnergyEstimate) -> tuple[str, str]:
    """Energy and time with their bands, and what limits the time, in few words."""
    texts = _quantities(found)
    return (
        f"estimated dynamic {texts['dynamic']}, static {texts['static']} an inference",
        f"estimated {texts['time']}, limited by {timed(shown(found))[1].text()}",
    )


def _quantities(found: EnergyEstimate) -> dict[str, str]:
    """Dynamic and static energy and time → mean over the samples, with its band."""
    entry, texts = shown(found), {}
    for name, suffix, unit in (("dynamic", "j", "J"), ("static", "j", "J"), ("time", "s", "s")):
        value = float(getattr(entry, f"{name}_{suffix}").mean())
        low, high = (formats.quantity(end, unit) for end in getattr(found, f"{name}_band_{suffix}"))
        texts[name] = f"{formats.quantity(value, unit)} (band {low} to {high})"
    return texts


def shown(found: EnergyEstimate) -> DeviceEnergy:
    """The estimate whose single figures are printed."""
    return next((entry for entry in found.spiking if entry.device.name == SHOWN), found.spiking[0])


def timed(entry: DeviceEnergy) -> tuple[np.ndarray, TimeTerm]:
    """Static energy [sample], joules, and what limits the time: what a spiking table gives.

    Raises InputError for a conventional one, which knows neither.
    """
    if entry.static_j is None or entry.limit is None:
        raise InputError(f"{entry.device.name}: a {entry.device.kind} table gives no time")
    return entry.static_j, entry.limit


def _calibrated(entry: DeviceEnergy, name: str, unit: str) -> str:
    values = getattr(entry, f"{name}_calibrated_{unit.lower()}")
    if values is None:
        return ""
    number = 0 if entry.error is None else len(entry.error.calibrated_on)
    tasks = "1 measured task" if number == 1 else f"{number} measured tasks"
    return f"; calibrated on n = {tasks}: {formats.quantity(float(values.mean()), unit)}"


def _regime(found: EnergyEstimate) -> str:
    power = formats.quantity(found.static_power.value * 1e-3, "W")
    if found.rate_hz is None:
        return (
            f"{power} without a pause between inferences ({parameter('rate_hz')} for another rate)"
        )
    return f"{power} at {found.rate_hz:g} inferences in a second"


def _errors(found: EnergyEstimate) -> tuple[str, str]:
    rows = [row for entry in found.devices for row in entry.measured]
    return measurements.sentence(rows), measurements.static_sentence()
