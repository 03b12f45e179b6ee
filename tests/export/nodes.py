"""Short names for nodes, and the floating-point traces that a Program is measured against."""

from __future__ import annotations

import nir
import numpy as np

from export import metadata
from export.check import checked
from export.neurons import discretize
from export.passes.subgraphs import flatten, without_virtual
from export.reading import Told, settle
from export.shapes import infer
from export.simulate import simulate
from export.trace import trace


def inp(*shape):
    return nir.Input(np.array(shape))


def out(*shape):
    return nir.Output(np.array(shape))


def full(shape, value):
    return np.full(shape, value, float)


def lif(shape, tau=0.02, r=1.0, leak=0.0, threshold=1.0, reset=None):
    reset = None if reset is None else full(shape, reset)
    return nir.LIF(
        tau=full(shape, tau),
        r=full(shape, r),
        v_leak=full(shape, leak),
        v_threshold=full(shape, threshold),
        v_reset=reset,
    )


def cuba(shape, tau_syn=0.005, tau_mem=0.02, threshold=1.0, leak=0.0):
    times = {"tau_syn": full(shape, tau_syn), "tau_mem": full(shape, tau_mem)}
    return nir.CubaLIF(
        **times,
        r=full(shape, 2.0),
        v_leak=full(shape, leak),
        v_threshold=full(shape, threshold),
        w_in=full(shape, 1.5),
    )


def spiking(shape, threshold=1.0):
    return nir.IF(r=np.ones(shape), v_threshold=full(shape, threshold))


def float_traces(graph, inputs, dt, discretization="euler"):
    """Spikes and potentials in volts of a graph in floating point."""
    flat = flatten(checked(graph))
    shapes = infer(flat.nodes, flat.edges)
    flat = without_virtual(flat)
    traced = trace(flat, shapes, dt)
    neurons = {
        n: discretize(n, flat.nodes[n], shapes[n][0], {}, dt, discretization) for n in traced.ways
    }
    return simulate(traced, neurons, inputs, record=True)


def float_as_read(graph, inputs, **told):
    """Spikes and potentials in volts in floating point, of a graph as ``export.lower`` reads it
    with the options ``told``."""
    read = settle(graph, Told(**told))
    flat = flatten(read.graph)
    shapes = infer(flat.nodes, flat.edges)
    flat = without_virtual(flat)
    traced = trace(flat, shapes, read.dt_s)
    entries = metadata.of(read.graph)["nodes"]
    neurons = {
        n: discretize(n, flat.nodes[n], shapes[n][0], entries.get(n, {}), read.dt_s, "euler")
        for n in traced.ways
    }
    return simulate(traced, neurons, inputs, record=True)


def volts(recording, program, name):
    """Potentials of a recorded population in volts."""
    return recording.potentials[name] * 2.0 ** -(program.metadata["fraction_bits"][name] + 6)
