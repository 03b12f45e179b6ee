"""Energy and time of one inference, estimated from a run's counts and published tables, with the
error against measurement.

What is computed, for every sample of a Recording and every table:

    dynamic energy   synaptic operations × the table's energy for their kind of synapse, neuron
                     updates, spikes, and messages between cores (each with its way over the mesh)
    time             steps × the largest of five named terms on the busiest core or link
                     (hardware.charging)
    static energy    the chip's static power × time; with a rate of inferences × the time between
                     two of them

No energy for an operation of Loihi 2 is public: the tables are of Loihi 1. So the estimate is set
beside every measured task that can be estimated here (hardware.measurements), and each band is made
of both: the table's own band, widened to both sides by the factor by which the estimate was wrong
on a measured task. A calibrated figure (the estimate times measured/estimate) stands beside the
estimate, never in its place. A conventional network of the same geometry (the ANN twin) is counted
in multiply-accumulate operations, as the literature does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from hardware import counters, measurements, workload
from hardware.charging import Charge, LayerEnergy, TimeTerm, charge
from hardware.chip import Chip, StaticPower
from hardware.device import Device
from hardware.errors import DeviceError, InputError
from hardware.measurements import Deviation, TaskComparison
from hardware.program import Program
from hardware.recording import Recording

DEVICES = ("loihi-davies2018", "loihi-sanafe", "keras-spiking", "cmos-45nm")
"""Tables of an estimate that names none."""

NOT_COVERED = (
    "host computer, embedded processors, and loading the network",
    "bringing inputs onto the chip and results off it, and links between chips",
    "memory beyond what a table's events include (the separate memory supply of Loihi 2)",
    "the payload of graded spikes: a graded spike costs what a binary one does",
    "microcode of neuron programs of one's own: an update costs what the built-in neuron's does",
    "learning",
)
"""What no figure of an estimate includes."""

ASSUMPTIONS = (
    "Constants are of Loihi 1: no energy of an operation of Loihi 2 is public. Use for comparison, "
    "not as absolute figures.",
    "Bands are those of the tables, widened to both sides by the largest factor between estimate "
    "and measurement.",
    "Every neuron is updated in every step and charged the active update; the low end takes the "
    "cheapest update.",
    "A spike is one message to each core of a dense or sparse target, and one to the target of a "
    "convolution.",
    "Messages travel the mean distance between two tiles of a square mesh that holds all cores.",
    "A layer that several kinds of synapses enter has its operations divided by spikes times mean "
    "fan-out.",
    "A step takes the largest of its terms on the fullest core of a layer; the layer's neurons are "
    "equally active.",
    "Time takes each layer's mean step: a step with more spikes than the mean is longer.",
    "Static power is of whole chips: a core that is not used leaks, too.",
)
"""What every estimate assumes."""

QUANTITIES = (
    *("dynamic_j", "dynamic_low_j", "dynamic_high_j", "dynamic_calibrated_j"),
    *("static_j", "static_low_j", "static_high_j"),
    *("time_s", "time_low_s", "time_high_s", "time_calibrated_s"),
)
"""Arrays of a DeviceEnergy."""


@dataclass(frozen=True, eq=False)
class DeviceEnergy:
    """One table's estimate; arrays are [sample], joules and seconds for one inference.

    *_low_*, *_high_*   the band: of the table's constants, widened by the error against measured
                        tasks
    *_calibrated_*      times measured/estimate of measured tasks of the chip's generation; None
                        without one
    static_*, time_*    None for a conventional device
    terms, limit        of a mean step: every term of every layer, and the largest
    """

    device: Device
    dynamic_j: np.ndarray
    dynamic_low_j: np.ndarray
    dynamic_high_j: np.ndarray
    layers: tuple[LayerEnergy, ...]
    measured: tuple[TaskComparison, ...] = ()
    error: Deviation | None = None
    static_j: np.ndarray | None = None
    static_low_j: np.ndarray | None = None
    static_high_j: np.ndarray | None = None
    time_s: np.ndarray | None = None
    time_low_s: np.ndarray | None = None
    time_high_s: np.ndarray | None = None
    dynamic_calibrated_j: np.ndarray | None = None
    time_calibrated_s: np.ndarray | None = None
    terms: tuple[TimeTerm, ...] = ()
    limit: TimeTerm | None = None


@dataclass(frozen=True)
class Twin:
    """The conventional network of the same geometry, one pass.

    Every connection is one multiply-accumulate operation.
    macs: population → operations; energy_j: conventional device → joules for one inference.
    """

    macs: Mapping[str, int]
    energy_j: Mapping[str, float]


@dataclass(frozen=True)
class EnergyEstimate:
    """Estimates of one Recording over several tables.

    static_power   of all ``chips``
    rate_hz        inferences in a second that static energy is for; None: as fast as the estimate's
                   time allows
    """

    program: str
    target: str
    samples: int
    steps: int
    chip: str
    cores: int
    cores_per_chip: int
    chips: int
    static_power: StaticPower
    rate_hz: float | None
    devices: tuple[DeviceEnergy, ...]
    twin: Twin

    @property
    def spiking(self) -> tuple[DeviceEnergy, ...]:
        """Estimates of the spiking tables."""
        return tuple(d for d in self.devices if d.device.kind == "spiking")

    @property
    def dynamic_band_j(self) -> tuple[float, float]:
        """Lowest and highest mean dynamic energy over all spiking tables and their bands, joules
        for one inference.
        """
        return self._band("dynamic_low_j", "dynamic_high_j")

    @property
    def time_band_s(self) -> tuple[float, float]:
        """The same of the time of one inference, seconds."""
        return self._band("time_low_s", "time_high_s")

    @property
    def static_band_j(self) -> tuple[float, float]:
        """The same of static energy, joules for one inference."""
        return self._band("static_low_j", "static_high_j")

    def _band(self, low: str, high: str) -> tuple[float, float]:
        if not self.spiking:
            raise DeviceError("the estimate has no spiking table; a band needs one")
        means = [
            (float(getattr(d, low).mean()), float(getattr(d, high).mean())) for d in self.spiking
        ]
        return min(low for low, _ in means), max(high for _, high in means)

    def to_dict(self, *, per_sample: bool = False) -> dict[str, Any]:
        """Plain JSON values: means over the samples, and with ``per_sample`` every sample's
        value."""
        bands: dict[str, Any] = {}
        if self.spiking:
            names = ("dynamic_band_j", "static_band_j", "time_band_s")
            bands = {name: list(getattr(self, name)) for name in names}

        return {
            "program": self.program,
            "target": self.target,
            "samples": self.samples,
            "steps": self.steps,
            "chip": self.chip,
            "cores": self.cores,
            "cores_per_chip": self.cores_per_chip,
            "chips": self.chips,
            "static_power_mw": asdict(self.static_power),
            "rate_hz": self.rate_hz,
            "devices": [_device_to_dict(entry, per_sample) for entry in self.devices],
            **(bands or {"dynamic_band_j": None, "static_band_j": None, "time_band_s": None}),
            **measurements.facts([entry.device for entry in self.devices]),
            "twin": {"macs": dict(self.twin.macs), "energy_j": dict(self.twin.energy_j)},
            "assumptions": list(ASSUMPTIONS),
            "not_covered": list(NOT_COVERED),
        }


def _device_to_dict(entry: DeviceEnergy, per_sample: bool) -> dict[str, Any]:
    numbers = {}
    for name in QUANTITIES:
        values = getattr(entry, name)
        numbers[name] = None if values is None else float(values.mean())
        if per_sample:
            numbers[f"{name}_per_sample"] = None if values is None else values.tolist()

    device = entry.device
    about: dict[str, Any] = {
        "name": device.name,
        "title": device.title,
        "kind": device.kind,
        "measured_on": device.measured_on,
    }
    about["constants"] = {name: asdict(constant) for name, constant in device.constants.items()}
    if device.step_times is not None:
        about["step_times_source"] = device.step_times.source

    return about | numbers | {
        "layers": [asdict(layer) for layer in entry.layers],
        "terms": [asdict(term) for term in entry.terms],
        "limit": entry.limit and asdict(entry.limit),
        "error": entry.error and asdict(entry.error),
    }  # fmt: skip


def estimate(
    program: Program,
    recording: Recording,
    devices: Sequence[str | Device] = DEVICES,
    *,
    chip: Chip | None = None,
    rate_hz: float | None = None,
) -> EnergyEstimate:
    """Estimate energy and time of every sample of a Recording.

    devices  names of tables, or Devices
    chip     whose neurocores are counted and whose static power is taken; None: Loihi 2
    rate_hz  inferences in a second; static energy of one is then static power / rate. None: one
             follows the other at once

    Raises InputError where the Recording is of another Program or holds no counts, or where the
    rate is above what the band of the time allows; DeviceError for an unknown table.
    """
    _check(program, recording)
    chip = Chip.load("loihi2") if chip is None else chip
    tables = [device if isinstance(device, Device) else Device.load(device) for device in devices]

    work = workload.of(program, recording, chip)
    chips = -(-work.cores // chip["cores_per_chip"])
    macs = _macs(program)

    without_static = EnergyEstimate(
        program=program.fingerprint,
        target=recording.target,
        samples=recording.samples,
        steps=recording.steps,
        chip=chip.name,
        cores=work.cores,
        cores_per_chip=chip["cores_per_chip"],
        chips=chips,
        static_power=chip.static_power.of(chips),
        rate_hz=None,
        devices=tuple(_estimated(charge(work, table), table, chip) for table in tables),
        twin=Twin(
            macs,
            {t.name: sum(macs.values()) * _mac_j(t) for t in tables if t.kind == "conventional"},
        ),
    )

    return with_static(without_static, rate_hz)


def _check(program: Program, recording: Recording) -> None:
    if recording.program != program.fingerprint:
        here = program.fingerprint[:12]
        raise InputError(f"the Recording is of Program {recording.program[:12]}, not of {here}")
    layers = set(recording.layers)
    for name in counters.COUNTERS:
        if not layers <= set(recording.counts.get(name, ())):
            raise InputError(
                f"the Recording does not hold {name} of every layer; it must hold all counters"
            )


def _mac_j(device: Device) -> float:
    return device.constants["mac_pj"].value * 1e-12


def _macs(program: Program) -> dict[str, int]:
    """Multiply-accumulate operations of one pass through the same geometry, exact at edges."""
    macs = {}
    for name in program.order:
        shape = program.nodes[name].shape
        into = program.into(name)
        macs[name] = sum(
            int(counters.fan_out(p, program.nodes[p.source].shape, shape).sum()) for p in into
        )
    return macs


def _estimated(charged: Charge, device: Device, chip: Chip) -> DeviceEnergy:
    """What a table charges, with bands and calibrated figures; static energy is added later."""
    if charged.time_s is None or device.step_times is None:
        return DeviceEnergy(
            device, charged.dynamic_j, charged.dynamic_low_j, charged.dynamic_high_j, charged.layers
        )

    rows = measurements.compare(device)
    error = measurements.error(rows, chip)
    uncertain = device.step_times.relative_error
    calibrated = error.dynamic_calibration is not None

    return DeviceEnergy(
        device=device,
        dynamic_j=charged.dynamic_j,
        dynamic_low_j=charged.dynamic_low_j / error.dynamic_factor,
        dynamic_high_j=charged.dynamic_high_j * error.dynamic_factor,
        layers=charged.layers,
        measured=rows,
        error=error,
        time_s=charged.time_s,
        time_low_s=charged.time_s * (1 - uncertain) / error.time_factor,
        time_high_s=charged.time_s * (1 + uncertain) * error.time_factor,
        dynamic_calibrated_j=charged.dynamic_j * error.dynamic_calibration if calibrated else None,
        time_calibrated_s=charged.time_s * error.time_calibration if calibrated else None,
        terms=charged.terms,
        limit=charged.limit,
    )


def with_static(found: EnergyEstimate, rate_hz: float | None) -> EnergyEstimate:
    """The same estimate with static energy at a rate; None: one inference follows the other.

    Raises InputError for a rate that is not positive, or that the lowest time of the band does not
    allow.
    """
    power = found.static_power
    if rate_hz is not None and found.spiking:
        fastest = found.time_band_s[0]
        if not rate_hz > 0 or rate_hz * fastest > 1:
            raise InputError(
                f"a rate of {rate_hz:g} inferences/s: it must be above 0 and at most "
                f"{1 / fastest:.4g}, since one inference takes {fastest:.3g} s at the low end of "
                "the estimate's band"
            )

    def static(entry: DeviceEnergy) -> DeviceEnergy:
        if entry.time_s is None:
            return entry
        times = {name: getattr(entry, f"time{name}_s") for name in ("", "_low", "_high")}
        if rate_hz is not None:
            times = {name: np.full(found.samples, 1 / rate_hz) for name in times}
        milliwatts = {"": power.value, "_low": power.low, "_high": power.high}
        return replace(
            entry, **{f"static{name}_j": times[name] * milliwatts[name] * 1e-3 for name in times}
        )

    return replace(found, rate_hz=rate_hz, devices=tuple(static(entry) for entry in found.devices))
