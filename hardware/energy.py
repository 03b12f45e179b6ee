"""Energy and time of one inference, estimated from a run's counts and published tables.

What is computed, for every sample of a Recording:

    dynamic energy   synaptic operations × the table's energy for their kind of synapse, neuron updates, spikes, and messages between
                     cores (each with its way over the mesh)
    time             steps × (barrier + the time of the slowest layer's cores in a mean step)
    static energy    static power × time

The counts are the counters of hardware.counters, which say what is counted. The cores come from hardware.neurocores. No energy for
an operation of Loihi 2 is public: the tables are of Loihi 1, so a result is for comparing networks, inputs and targets with each
other, and its band over the tables belongs to it. A conventional network of the same geometry (the ANN twin) is counted in
multiply-accumulate operations, as the literature does.

Sources: hardware/devices/*.toml, each constant its own; time model after SANA-FE (SLAM-Lab/SANA-FE).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from hardware import counters
from hardware.chip import Chip
from hardware.device import Device
from hardware.errors import DeviceError, InputError
from hardware.neurocores import LayerPlacement, place
from hardware.program import Convolution, Dense, Input, Program, Projection
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
    "Constants are of Loihi 1: no energy of an operation of Loihi 2 is public. Use for comparison, not as absolute figures.",
    "Every neuron is updated in every step and charged the active update; the low end of the band takes the cheapest update.",
    "A spike is one message to each core of a dense or sparse target, and one to the target of a convolution.",
    "Messages travel the mean distance between two tiles of a square mesh that holds all cores.",
    "A layer that several kinds of synapses enter has its operations divided by spikes times mean fan-out.",
    "Time takes each layer's mean step; a step with more spikes than the mean is longer, so the time is a lower bound.",
)
"""What every estimate assumes."""

_KINDS = ("dense", "sparse", "convolution")


def _kind(projection: Projection) -> str:
    if isinstance(projection, Dense):
        return "dense"
    return "convolution" if isinstance(projection, Convolution) else "sparse"


@dataclass(frozen=True)
class LayerEnergy:
    """Dynamic energy of one population, joules in one inference (mean over the samples)."""

    layer: str
    synapses_j: float
    neurons_j: float
    spikes_j: float
    messages_j: float


@dataclass(frozen=True, eq=False)
class DeviceEnergy:
    """One table's estimate; arrays are [sample], joules and seconds for one inference.

    dynamic_low_j, dynamic_high_j   with the low and the high constants of the table
    static_j, time_s                None for a conventional device
    """

    device: Device
    dynamic_j: np.ndarray
    dynamic_low_j: np.ndarray
    dynamic_high_j: np.ndarray
    static_j: np.ndarray | None
    static_low_j: np.ndarray | None
    static_high_j: np.ndarray | None
    time_s: np.ndarray | None
    layers: tuple[LayerEnergy, ...]


@dataclass(frozen=True)
class Twin:
    """The conventional network of the same geometry: one pass, every connection one multiply-accumulate operation.

    macs: population → operations; energy_j: conventional device → joules for one inference.
    """

    macs: Mapping[str, int]
    energy_j: Mapping[str, float]


@dataclass(frozen=True)
class EnergyEstimate:
    """Estimates of one Recording over several tables."""

    program: str
    target: str
    samples: int
    steps: int
    chip: str
    cores: int
    devices: tuple[DeviceEnergy, ...]
    twin: Twin

    @property
    def dynamic_band_j(self) -> tuple[float, float]:
        """Lowest and highest mean dynamic energy over all spiking tables and their bands, joules for one inference."""
        spiking = [d for d in self.devices if d.device.kind == "spiking"]
        if not spiking:
            raise DeviceError("the estimate has no spiking table; a band needs one")
        return min(float(d.dynamic_low_j.mean()) for d in spiking), max(float(d.dynamic_high_j.mean()) for d in spiking)

    def to_dict(self, *, per_sample: bool = False) -> dict:
        """Plain JSON values: means over the samples, and with ``per_sample`` every sample's value."""
        devices = []
        for entry in self.devices:
            numbers = {}
            for name in ("dynamic_j", "dynamic_low_j", "dynamic_high_j", "static_j", "static_low_j", "static_high_j", "time_s"):
                values = getattr(entry, name)
                numbers[name] = None if values is None else float(values.mean())
                if per_sample:
                    numbers[f"{name}_per_sample"] = None if values is None else values.tolist()
            constants = {name: asdict(constant) for name, constant in entry.device.constants.items()}
            about = {"name": entry.device.name, "title": entry.device.title, "kind": entry.device.kind}
            about |= {"measured_on": entry.device.measured_on, "constants": constants}
            if entry.device.step_times is not None:
                about["step_times_source"] = entry.device.step_times.source
            devices.append(about | numbers | {"layers": [asdict(layer) for layer in entry.layers]})
        spiking = any(d.device.kind == "spiking" for d in self.devices)
        return {
            "program": self.program,
            "target": self.target,
            "samples": self.samples,
            "steps": self.steps,
            "chip": self.chip,
            "cores": self.cores,
            "devices": devices,
            "dynamic_band_j": list(self.dynamic_band_j) if spiking else None,
            "twin": {"macs": dict(self.twin.macs), "energy_j": dict(self.twin.energy_j)},
            "assumptions": list(ASSUMPTIONS),
            "not_covered": list(NOT_COVERED),
        }


def estimate(
    program: Program, recording: Recording, devices: Sequence[str | Device] = DEVICES, *, chip: Chip | None = None
) -> EnergyEstimate:
    """Estimate energy and time of every sample of a Recording.

    devices  names of tables, or Devices
    chip     whose neurocores are counted; None: Loihi 2

    Raises InputError where the Recording is of another Program or holds no counts, DeviceError for an unknown table.
    """
    if recording.program != program.fingerprint:
        raise InputError(f"the Recording is of Program {recording.program[:12]}, not of {program.fingerprint[:12]}")
    missing = [name for name in counters.COUNTERS if not set(recording.layers) <= set(recording.counts.get(name, ()))]
    if missing:
        raise InputError(f"the Recording does not hold {missing[0]} of every layer; accepted is one with all counters")
    chip = Chip.load("loihi2") if chip is None else chip
    tables = [device if isinstance(device, Device) else Device.load(device) for device in devices]
    activity = _Activity(program, recording, chip)
    macs = _macs(program)
    conventional = [table for table in tables if table.kind == "conventional"]
    return EnergyEstimate(
        program=program.fingerprint,
        target=recording.target,
        samples=recording.samples,
        steps=recording.steps,
        chip=chip.name,
        cores=activity.cores,
        devices=tuple(activity.spiking(t) if t.kind == "spiking" else activity.conventional(t) for t in tables),
        twin=Twin(macs, {t.name: sum(macs.values()) * t.constants["mac_pj"].value * 1e-12 for t in conventional}),
    )


def _macs(program: Program) -> dict[str, int]:
    """Multiply-accumulate operations of one pass through the same geometry; edges of images are exact."""
    macs = {}
    for name in program.order:
        shape = program.nodes[name].shape
        macs[name] = sum(int(counters.fan_out(p, program.nodes[p.source].shape, shape).sum()) for p in program.into(name))
    return macs


class _Activity:
    """Counts of a Recording, arranged by what a table charges; arrays are float64 [sample]."""

    def __init__(self, program: Program, recording: Recording, chip: Chip):
        self.program, self.recording = program, recording
        self.layers: dict[str, LayerPlacement] = {layer.population: layer for layer in place(program, chip)}
        self.cores = sum(layer.cores for layer in self.layers.values())
        self.sent = {name: self._sent(name) for name in recording.layers}
        self.operations = {name: self._operations(name) for name in program.order}

    def _sent(self, name: str) -> np.ndarray:
        """Spikes of a layer: each is counted once for every projection that it enters, or recorded where it is an output."""
        if name in self.recording.spikes:
            spikes = self.recording.spikes[name]
            return np.count_nonzero(spikes.reshape(len(spikes), -1), axis=1).astype(np.float64)
        projections = len(self.program.out_of(name))
        return self.recording.counts["axon_out"][name] / max(1, projections)

    def _operations(self, name: str) -> list[tuple[Projection, np.ndarray]]:
        """Synaptic operations of a layer, divided among the projections that enter it."""
        total = self.recording.counts["syn_ops"][name].astype(np.float64)
        into = self.program.into(name)
        shares = []
        for projection in into:
            source = self.program.nodes[projection.source]
            shares.append(self.sent[projection.source] * counters.fan_out(projection, source.shape, self.program.nodes[name].shape).mean())
        whole = np.maximum(sum(shares), 1e-300) if shares else total
        return [(projection, total * share / whole) for projection, share in zip(into, shares)]

    def _by_kind(self, name: str) -> dict[str, np.ndarray]:
        """Kind of synapse → operations of a layer."""
        found = {kind: np.zeros(self.recording.samples) for kind in _KINDS}
        for projection, operations in self.operations[name]:
            found[_kind(projection)] += operations
        return found

    def _messages(self, name: str) -> np.ndarray:
        """Messages that a population sends between cores."""
        reached = sum(1 if isinstance(p, Convolution) else self.layers[p.target].cores for p in self.program.out_of(name))
        return self.sent[name] * reached

    def spiking(self, device: Device) -> DeviceEnergy:
        """Charge a spiking table's energies and times."""
        time = self.time(device)
        dynamic, layers = {}, ()
        for end in ("low", "value", "high"):
            by_layer = {name: self._charge(name, device, end) for name in self.program.order}
            dynamic[end] = sum(sum(parts) for parts in by_layer.values())
            if end == "value":
                layers = tuple(LayerEnergy(name, *(float(part.mean()) for part in parts)) for name, parts in by_layer.items())
        power = device.constants["static_power_mw"]
        return DeviceEnergy(
            device,
            dynamic["value"],
            dynamic["low"],
            dynamic["high"],
            time * power.value * 1e-3,
            time * power.low * 1e-3,
            time * power.high * 1e-3,
            time,
            layers,
        )

    def _charge(self, name: str, device: Device, end: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Joules for synapses, neurons, spikes and messages of a population."""
        joules = {constant: getattr(entry, end) * 1e-12 for constant, entry in device.constants.items()}
        synapses = sum(operations * joules[f"{kind}_syn_op_pj"] for kind, operations in self._by_kind(name).items())
        east_west, north_south = mean_hops(math.ceil(self.cores / device.step_times.cores_per_tile))
        way = joules["message_pj"] + east_west * joules["hop_east_west_pj"] + north_south * joules["hop_north_south_pj"]
        neurons = self.recording.counts["dendrite_updates"][name] * joules["neuron_update_pj"]
        return synapses, neurons, self.sent[name] * joules["spike_pj"], self._messages(name) * way

    def conventional(self, device: Device) -> DeviceEnergy:
        """The convention of the literature: an operation of a binary spike is an addition, of a graded one a multiply-accumulate."""
        energy, layers = {}, []
        for end in ("low", "value", "high"):
            accumulate, multiply = (getattr(device.constants[name], end) * 1e-12 for name in ("ac_pj", "mac_pj"))
            energy[end] = np.zeros(self.recording.samples)
            for name in self.program.order:
                charged = np.zeros(self.recording.samples)
                for projection, operations in self.operations[name]:
                    source = self.program.nodes[projection.source]
                    graded = isinstance(source, Input) and source.message_bits > 0
                    charged += operations * (multiply if graded else accumulate)
                energy[end] += charged
                if end == "value":
                    layers.append(LayerEnergy(name, float(charged.mean()), 0.0, 0.0, 0.0))
        return DeviceEnergy(device, energy["value"], energy["low"], energy["high"], None, None, None, None, tuple(layers))

    def time(self, device: Device) -> np.ndarray:
        """Seconds of every sample."""
        times, steps = device.step_times, self.recording.steps
        tiles = math.ceil(self.cores / times.cores_per_tile)
        slowest = np.zeros(self.recording.samples)
        for name, layer in self.layers.items():
            ns = np.full(self.recording.samples, min(layer.uses["neurons"].used, layer.neurons) * times.neuron_update_ns)
            ns += self.sent[name] * times.spike_ns / (layer.cores * steps)
            ns += self._messages(name) * times.message_out_ns / (layer.cores * steps)
            for projection in self.program.into(name):
                arriving = self.sent[projection.source] / steps
                ns += arriving * times.message_in_ns / (layer.cores if isinstance(projection, Convolution) else 1)
            for kind, operations in self._by_kind(name).items():
                ns += operations * getattr(times, f"{kind}_syn_op_ns") / (layer.cores * steps)
            slowest = np.maximum(slowest, ns)
        barrier = float(np.interp(tiles, times.barrier_tiles, times.barrier_us)) * 1e-6
        return steps * (barrier + slowest * 1e-9)


def mean_hops(tiles: int) -> tuple[float, float]:
    """Mean hops east-west and north-south between two tiles, each drawn evenly, of a mesh as square as may be."""
    width = math.ceil(math.sqrt(tiles))
    height = math.ceil(tiles / width)
    return (width * width - 1) / (3 * width), (height * height - 1) / (3 * height)
