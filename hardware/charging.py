"""Charge a Workload to an energy table: joules of events, and the time of a step as the largest of
five named terms.

    neuron updates   the fullest core of a layer updates its neurons and sends their spikes, one
                     after the other
    synaptic reads   it reads the weights of the spikes that reach it
    messages         it takes messages in and sends messages out
    links            the busiest link of the mesh carries its messages
    barrier          all cores agree that the step is over

The core and the network work at the same time, so a step takes as long as the largest. Source of
this form: arXiv 2601.10035 (runtime of Loihi 2 as the largest of terms on the busiest core or
link); the constants are of the table, each with its source.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from hardware.device import Device, StepTimes
from hardware.workload import LayerLoad, Workload

CORE_TERMS = ("neuron updates", "synaptic reads", "messages")
CHIP_TERMS = ("links", "barrier")
TERMS = (*CORE_TERMS, *CHIP_TERMS)
"""What may limit a step."""

ENDS = ("low", "value", "high")


@dataclass(frozen=True)
class LayerEnergy:
    """Dynamic energy of one population, joules in one inference (mean over the samples)."""

    layer: str
    synapses_j: float
    neurons_j: float
    spikes_j: float
    messages_j: float


@dataclass(frozen=True)
class TimeTerm:
    """How long one term takes in a mean step, seconds (mean over the samples).

    layer   whose fullest core it is; None for links and barrier, which are the chip's
    cores   of that layer
    """

    term: str
    layer: str | None
    cores: int | None
    step_s: float

    def text(self) -> str:
        """The term, and of a core the layer that it belongs to."""
        return self.term if self.layer is None else f"{self.term} of {self.layer}"


@dataclass(frozen=True, eq=False)
class Charge:
    """What a table says of a Workload, nothing added: arrays are [sample], joules and seconds of
    one inference.

    time_s, terms   None and () of a conventional device, whose table has no times
    """

    dynamic_j: np.ndarray
    dynamic_low_j: np.ndarray
    dynamic_high_j: np.ndarray
    layers: tuple[LayerEnergy, ...]
    time_s: np.ndarray | None = None
    terms: tuple[TimeTerm, ...] = ()

    @property
    def limit(self) -> TimeTerm | None:
        """The term that a mean step waits for."""
        return max(self.terms, key=lambda term: term.step_s, default=None)


def charge(workload: Workload, device: Device) -> Charge:
    """Energies of a table for every sample; of a spiking one the times, too."""
    parts = _spiking if device.kind == "spiking" else _conventional
    totals: dict[str, np.ndarray] = {}
    nothing = np.zeros(workload.samples)
    layers: tuple[LayerEnergy, ...] = ()
    for end in ENDS:
        joules = {
            name: getattr(constant, end) * 1e-12 for name, constant in device.constants.items()
        }
        charges = {load.layer: parts(load, joules, workload, device) for load in workload.layers}
        totals[end] = sum((sum(each, nothing) for each in charges.values()), nothing)
        if end == "value":
            layers = tuple(
                LayerEnergy(name, *(float(np.mean(j)) for j in each))
                for name, each in charges.items()
            )
    if device.step_times is None:
        return Charge(totals["value"], totals["low"], totals["high"], layers)
    time, terms = _times(workload, device.step_times)
    return Charge(totals["value"], totals["low"], totals["high"], layers, time, terms)


def _spiking(
    load: LayerLoad, joules: dict[str, Any], workload: Workload, device: Device
) -> tuple[np.ndarray, ...]:
    """Joules for synapses, neurons, spikes and messages of a population."""
    assert device.step_times is not None, "a spiking table has times"
    synapses = sum(done * joules[f"{kind}_syn_op_pj"] for kind, done in load.operations.items())
    east_west, north_south = mean_hops(tiles(workload, device.step_times))
    way = (
        joules["message_pj"]
        + east_west * joules["hop_east_west_pj"]
        + north_south * joules["hop_north_south_pj"]
    )
    return (
        synapses,
        load.updates * joules["neuron_update_pj"],
        load.spikes * joules["spike_pj"],
        load.messages_out * way,
    )


def _conventional(
    load: LayerLoad, joules: dict[str, Any], workload: Workload, device: Device
) -> tuple[np.ndarray, ...]:
    """The convention of the literature: an operation of a binary spike is an addition, of a graded
    one a multiply-accumulate.
    """
    binary = sum(load.operations.values()) - load.graded
    nothing = np.zeros(workload.samples)
    return binary * joules["ac_pj"] + load.graded * joules["mac_pj"], nothing, nothing, nothing


def _times(workload: Workload, times: StepTimes) -> tuple[np.ndarray, tuple[TimeTerm, ...]]:
    """Seconds of every sample, and every term of a mean step."""
    durations: list[tuple[str, LayerLoad | None, np.ndarray]] = []
    for load in workload.layers:
        durations += [
            (term, load, ns) for term, ns in zip(CORE_TERMS, _core_ns(load, times, workload.steps))
        ]
    durations += [(term, None, ns) for term, ns in zip(CHIP_TERMS, _chip_ns(workload, times))]

    step = np.maximum.reduce([ns for _, _, ns in durations]) * 1e-9
    terms = (
        TimeTerm(
            term,
            None if load is None else load.layer,
            None if load is None else load.cores,
            float(ns.mean()) * 1e-9,
        )
        for term, load, ns in durations
    )
    return step * workload.steps, tuple(terms)


def _core_ns(load: LayerLoad, times: StepTimes, steps: int) -> tuple[np.ndarray, ...]:
    """Nanoseconds that the fullest core of a layer takes in a mean step, in the order of
    ``CORE_TERMS``.
    """
    share = load.share / steps
    updates = load.updates * share * times.neuron_update_ns + load.spikes * share * times.spike_ns
    reads = sum(
        done * share * getattr(times, f"{kind}_syn_op_ns") for kind, done in load.operations.items()
    )
    messages = (
        load.messages_in / steps * times.message_in_ns
        + load.messages_out * share * times.message_out_ns
    )
    return updates, reads, messages


def _chip_ns(workload: Workload, times: StepTimes) -> tuple[np.ndarray, ...]:
    """Nanoseconds of the busiest link and of the barrier in a mean step, in the order of
    ``CHIP_TERMS``.
    """
    used = tiles(workload, times)
    sent = sum(load.messages_out for load in workload.layers) / workload.steps
    east_west, north_south = busiest_link(used)
    links = np.maximum(
        sent * east_west * times.hop_east_west_ns, sent * north_south * times.hop_north_south_ns
    )
    barrier = 1e3 * float(np.interp(used, times.barrier_tiles, times.barrier_us))
    return links, np.full(workload.samples, barrier)


def tiles(workload: Workload, times: StepTimes) -> int:
    """Tiles that hold all cores."""
    return math.ceil(workload.cores / times.cores_per_tile)


def mesh(tiles: int) -> tuple[int, int]:
    """Width and height of a mesh as square as may be."""
    width = math.ceil(math.sqrt(tiles))
    return width, math.ceil(tiles / width)


def mean_hops(tiles: int) -> tuple[float, float]:
    """Mean hops east-west and north-south between two tiles, each drawn evenly."""
    width, height = mesh(tiles)
    return (width * width - 1) / (3 * width), (height * height - 1) / (3 * height)


def busiest_link(tiles: int) -> tuple[float, float]:
    """Share of all messages that the busiest link east-west, and north-south, carries in one
    direction.

    Messages run between two tiles drawn evenly, first along the row and then along the column. The
    link in the middle is the busiest: every message from one half to the other crosses one of the
    links beside it.
    """
    width, height = mesh(tiles)
    crossing = [(n // 2) * (n - n // 2) / n**2 for n in (width, height)]
    return crossing[0] / height, crossing[1] / width
