"""Random NIR graphs whose numbers lie on a training grid, as quantisation-aware layers export
them."""

from __future__ import annotations

from itertools import pairwise

import nir
import numpy as np
from hypothesis import strategies as st

from export import metadata as graph_metadata
from hardware.noise import derived

DT = 1e-3


def graph_of(
    nodes: dict,
    edges: list,
    *,
    dt: float | None = DT,
    entries: dict | None = None,
    origin: dict | None = None,
) -> nir.NIRGraph:
    """A NIR graph with our metadata."""
    text = graph_metadata.dumps({"dt_s": dt, "nodes": entries or {}, "origin": origin or {}})
    return nir.NIRGraph(nodes, edges, metadata={"spikeport": text}, type_check=False)


def chain(*named: tuple[str, nir.NIRNode], **options) -> nir.NIRGraph:
    """A graph whose nodes follow each other."""
    names = [name for name, _ in named]
    return graph_of(dict(named), list(pairwise(names)), **options)


class Builder:
    """Draws one graph, node by node."""

    def __init__(self, draw, rng: np.random.Generator):
        self.draw, self.rng = draw, rng
        self.nodes: dict[str, nir.NIRNode] = {}
        self.edges: list[tuple[str, str]] = []
        self.entries: dict[str, dict] = {}

    def add(
        self, name: str, node: nir.NIRNode, source: str | None, entry: dict | None = None
    ) -> str:
        self.nodes[name] = node
        if source is not None:
            self.edges.append((source, name))
        if entry is not None:
            self.entries[name] = entry
        return name

    def weights(self, shape, fraction_bits: int, k: int) -> tuple[np.ndarray, dict]:
        """Weights in volts and their entry; ``k``: fraction bits of what they read."""
        bits = self.draw(st.sampled_from([8, 8, 4, 2, 16, 12]))
        # of more than 8 bits: fractions of a mantissa, at an exponent that makes them whole steps
        step, least = 2.0 ** (9 - bits), max(bits - 9, 0)
        most = min(least + 2, 7)
        exponent = self.draw(st.integers(least, most))
        if not self.draw(st.integers(0, 2)):
            exponent = self.rng.integers(least, most + 1, shape[0]).tolist()
        half = 1 << (bits - 1)
        mantissas = self.rng.integers(-half, half, shape) * step
        if not self.draw(st.integers(0, 3)):
            mantissas = np.abs(mantissas) % 256 // step * step
        each = (
            np.asarray(exponent).reshape(-1, *(1,) * (len(shape) - 1))
            if np.ndim(exponent)
            else exponent
        )
        grid = {
            "weight_bits": bits,
            "fraction_bits": fraction_bits,
            "exponent": exponent,
            "source_fraction_bits": k,
        }
        return (mantissas * 2.0 ** (each - fraction_bits + k)).astype(np.float32), {"grid": grid}

    def bias(self, size: int, fraction_bits: int) -> np.ndarray:
        if self.draw(st.booleans()):
            return np.zeros(size, np.float32)
        return (self.rng.integers(-400, 401, size) * 2.0**-fraction_bits).astype(np.float32)

    def neuron(self, name: str, shape, source: str, fraction_bits: int, *, spiking: bool) -> str:
        """A population of any kind that NIR and the chip have."""
        draw = self.draw
        decay = draw(st.sampled_from([0, 1, 400, 4095, 4096]))
        current = draw(st.sampled_from([4096, 4096, 4096, 0, 17, 2000]))
        threshold = np.full(shape, self.rng.integers(1, 900) * 2.0**-fraction_bits, np.float32)
        tau = DT * 4096 / decay if decay else DT * 2.0**40
        steps = np.full(shape, tau / DT)
        shared = {"r": steps, "v_leak": np.zeros(shape)}
        if current != 4096:
            tau_syn = DT * 4096 / current if current else DT * 2.0**40
            syn = {
                "tau_syn": np.full(shape, tau_syn),
                "tau_mem": np.full(shape, tau),
                "w_in": np.full(shape, tau_syn / DT),
            }
            node = (
                nir.CubaLIF(**syn, **shared, v_threshold=threshold)
                if spiking
                else nir.CubaLI(**syn, **shared)
            )
        elif decay == 0:
            node = (
                nir.IF(r=np.ones(shape), v_threshold=threshold)
                if spiking
                else nir.I(r=np.ones(shape))
            )
        elif spiking and decay == 4096 and draw(st.booleans()):
            node = nir.Threshold(threshold=threshold)
        else:
            node = (
                nir.LIF(tau=np.full(shape, tau), **shared, v_threshold=threshold)
                if spiking
                else nir.LI(tau=np.full(shape, tau), **shared)
            )
        entry: dict = {
            "grid": {
                "fraction_bits": fraction_bits,
                "current_decay": current,
                "voltage_decay": decay,
            }
        }
        if spiking:
            entry["reset"] = (
                draw(st.sampled_from(["zero", "zero", "subtract", "none"]))
                if not isinstance(node, nir.Threshold)
                else "zero"
            )
            entry["threshold_comparison"] = ">"
            entry["refractory"] = draw(st.sampled_from([0, 0, 0, 2]))
            entry["grid"]["threshold"] = int(np.round(threshold.flat[0] * 2.0**fraction_bits))
            if entry["reset"] == "subtract" and draw(st.booleans()):
                entry["reset_amount_v"] = float(
                    self.rng.integers(0, 9999) * 2.0 ** -(fraction_bits + 6)
                )
            if isinstance(node, nir.Threshold):
                del entry["refractory"]
            elif draw(st.integers(0, 3)) == 0:
                seed = derived(draw(st.integers(0, 99)), len(self.nodes))
                entry["grid"]["noise"] = {
                    "seed": seed,
                    "sigma": draw(st.sampled_from([1, 500, 30_000])),
                }
        return self.add(name, node, source, entry)

    def delay(self, name: str, shape, source: str) -> str:
        steps = (
            self.rng.integers(0, 4, shape)
            if len(shape) == 1 and self.draw(st.booleans())
            else np.full(shape, self.draw(st.integers(0, 3)))
        )
        return self.add(name, nir.Delay(delay=steps * DT), source)


def _convolution(b: Builder, name, source, shape, fraction_bits, k) -> tuple[str, tuple[int, ...]]:
    """A convolution of one or two dimensions that fits ``shape``."""
    draw, spatial = b.draw, shape[1:]
    groups = draw(st.sampled_from([g for g in (1, 2) if shape[0] % g == 0]))
    out = groups * draw(st.integers(1, 2))
    kernel = tuple(draw(st.integers(1, min(3, n))) for n in spatial)
    same = draw(st.integers(0, 3)) == 0
    stride = (1,) * len(spatial) if same else tuple(draw(st.integers(1, 2)) for _ in spatial)
    padding = "same" if same else tuple(draw(st.integers(0, 2)) for _ in spatial)
    weight, entry = b.weights((out, shape[0] // groups, *kernel), fraction_bits, k)
    kind = nir.Conv1d if len(spatial) == 1 else nir.Conv2d
    one = (lambda v: v if isinstance(v, str) else v[0]) if len(spatial) == 1 else (lambda v: v)
    node = kind(
        None,
        weight,
        one(stride),
        one(padding),
        one((1,) * len(spatial)),
        groups,
        b.bias(out, fraction_bits),
    )
    b.add(name, node, source, entry)
    pads = [(0, 0)] * len(spatial) if same else [(p, p) for p in padding]
    given = (
        spatial
        if same
        else tuple((n + sum(p) - q) // s + 1 for n, p, q, s in zip(spatial, pads, kernel, stride))
    )
    return name, (out, *given)


@st.composite
def grid_graphs(draw) -> tuple[nir.NIRGraph, dict[str, np.ndarray], list[str]]:
    """(graph, inputs of one sample, names of its populations)."""
    b = Builder(draw, np.random.default_rng(draw(st.integers(0, 2**32 - 1))))
    shape = draw(st.sampled_from([(5,), (2, 6), (2, 6, 4), (2, 5, 7), (1, 4, 4), (4, 4, 4)]))
    bits, k = draw(st.sampled_from([(0, 0), (0, 0), (4, 0), (6, 2)]))
    at = b.add(
        "input", nir.Input(np.array(shape)), None, {"message_bits": bits, "fraction_bits": k}
    )
    names = []
    spiking_before: list[tuple[str, tuple[int, ...]]] = []
    layers = draw(st.integers(1, 3))
    for number in range(layers):
        fraction_bits = draw(st.integers(6, 9))
        k_here = k if number == 0 else 0
        last = number == layers - 1
        if draw(st.integers(0, 5)) == 0:
            at = b.delay(f"delay{number}", shape, at)
        if len(shape) == 3 and min(shape[1:]) >= 2 and draw(st.booleans()):
            kind = draw(st.sampled_from([nir.SumPool2d, nir.AvgPool2d]))
            size = draw(st.sampled_from([(2, 2), (2, 2), (1, 2), (2, 1)]))
            stride = draw(st.sampled_from([size, (1, 1)]))
            at = b.add(
                f"pool{number}", kind(np.array(size), np.array(stride), np.array((0, 0))), at
            )
            shape = (shape[0], *((n - q) // s + 1 for n, q, s in zip(shape[1:], size, stride)))
            k_here += int(np.log2(size[0] * size[1])) if kind is nir.AvgPool2d else 0
        linear = draw(st.booleans()) or len(shape) == 1
        overlapping = f"pool{number}" in b.nodes and tuple(b.nodes[f"pool{number}"].stride) == (
            1,
            1,
        )
        if linear:
            if len(shape) > 1:
                at = b.add(f"flatten{number}", nir.Flatten(None, 0, -1), at)
            size = draw(st.integers(1, 6))
            weight, entry = b.weights((size, int(np.prod(shape))), fraction_bits, k_here)
            if overlapping:  # overlapping windows add weights up: keep the sums within the format
                weight, entry = np.zeros_like(weight), entry
                weight[:, 0] = 2.0 ** (k_here - fraction_bits + 1)
                entry["grid"]["exponent"] = 0
                entry["grid"]["weight_bits"] = 8
            bias = b.bias(size, fraction_bits)
            node = nir.Affine(weight, bias) if draw(st.booleans()) else nir.Linear(weight)
            at, shape = b.add(f"weight{number}", node, at, entry), (size,)
        elif not overlapping:
            at, shape = _convolution(b, f"weight{number}", at, shape, fraction_bits, k_here)
        elif draw(st.integers(0, 2)) == 0:
            at = b.delay(f"late{number}", shape, at)
        if draw(st.integers(0, 6)) == 0:
            at = b.add(f"scale{number}", nir.Scale(np.full(shape, 0.5)), at)
            fraction_bits += 1
            for name in (f"weight{number}",):
                if name in b.entries:
                    b.entries[name]["grid"]["fraction_bits"] = fraction_bits
        target = b.neuron(
            f"neuron{number}", shape, at, fraction_bits, spiking=not last or draw(st.booleans())
        )
        names.append(target)
        if spiking_before and draw(st.booleans()):
            source, given = draw(st.sampled_from(spiking_before))
            weight, entry = b.weights((int(np.prod(shape)), int(np.prod(given))), fraction_bits, 0)
            if len(shape) == 1:
                if len(given) > 1:
                    source = b.add(f"skipflat{number}", nir.Flatten(None, 0, -1), source)
                b.add(f"skip{number}", nir.Linear(weight), source, entry)
                b.edges.append((f"skip{number}", target))
        if type(b.nodes[target]) in (nir.IF, nir.LIF, nir.CubaLIF, nir.Threshold):
            if len(shape) == 1 and draw(st.booleans()):
                weight, entry = b.weights((shape[0], shape[0]), fraction_bits, 0)
                back = (
                    b.delay(f"back{number}", shape, target)
                    if draw(st.integers(0, 3)) == 0
                    else target
                )
                b.add(f"recurrent{number}", nir.Linear(weight), back, entry)
                b.edges.append((f"recurrent{number}", target))
            spiking_before.append((target, shape))
        at = target
    decode = (
        "spike_count"
        if type(b.nodes[at]) in (nir.IF, nir.LIF, nir.CubaLIF, nir.Threshold)
        else "last_potential"
    )
    b.add("output", nir.Output(np.array(shape)), at, {"decode": decode})
    steps = draw(st.integers(1, 8))
    low, high = (0, 2) if bits == 0 else (-(1 << (bits - 1)), 1 << (bits - 1))
    inputs = {"input": b.rng.integers(low, high, (steps, *b.nodes["input"].input_type["input"]))}
    return graph_of(b.nodes, b.edges, entries=b.entries), inputs, names
