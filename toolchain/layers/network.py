"""Network: layers in a row, or in branches that join, over whole samples; with what the exporter
needs to know about input and output."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from hardware.program import DECODINGS
from toolchain.errors import GridError, LayerError
from toolchain.layers.graph import CallPlan, total
from toolchain.layers.neuron import name_layers

BEHIND_A_FRONT = (
    "images pass a front before they are encoded for this network: programs and a host plan of "
    "their own, which spikeport export writes "
    "beside it"
)


def decode(trace: torch.Tensor, how: str) -> torch.Tensor:
    """Scores [batch, n] from an output trace [time, batch, *shape], as the Program's output decodes
    it (volts for potentials)."""
    if how == "spike_count":
        score = trace.sum(0)
    elif how == "last_potential":
        score = trace[-1]
    elif how == "mean_potential":
        score = trace.mean(0)
    elif how == "max_potential":
        score = trace.amax(0)
    else:
        raise LayerError(f"decode is {how!r}; it must be one of {', '.join(DECODINGS)}")
    return score.flatten(1)


class Add(nn.Module):
    """The sum of what it reads, of a Network's ``inputs``: currents, or spikes that become whole
    numbers."""

    several = True

    def forward(self, *given: torch.Tensor) -> torch.Tensor:
        """The sum, of the same shape."""
        return total("Add", given)


class Network(nn.Module):
    """Layers by name over whole samples: each reads the one before it, or what ``inputs`` says.

    layers         name → layer, or (name, layer) pairs; the last one is a neuron
    inputs         layer → what it reads: one or several layers listed before it, "input" for the
                   network's input. Of several it reads the sum: currents add up in a neuron, and
                   spikes become whole numbers; a ``Concat`` puts them side by side. For example
                   ``{"shortcut": "lif1", "lif3": ("conv3", "shortcut")}``. Layers that are not
                   named read the one before. A layer without memory may stand under two names: its
                   weights are the same in both places
    input_shape    shape of one step of one sample
    message_bits   0: binary spikes; 1 to 24: signed graded inputs (hardware.program.Input)
    fraction_bits  k: the input x stands for the integers x * 2**k
    decode         one of hardware.program.DECODINGS
    data           what the exporter should pass on about the data (name, encoding, steps); plain
                   JSON values

    ``net(x)``: x [time, batch, *input_shape] float → trace of the last layer [time, batch, n]:
    spikes where decode is "spike_count", else potentials. ``net.scores(x)``: decoded, [batch, n].

    front: what images pass before they are encoded (``toolchain.purification.front.attach``), no
    part of the network; None: nothing.
    """

    front: nn.Module | None = None

    def __init__(
        self,
        layers: Mapping[str, nn.Module] | Iterable[tuple[str, nn.Module]],
        *,
        input_shape: Iterable[int],
        inputs: Mapping[str, str | Sequence[str]] | None = None,
        message_bits: int = 0,
        fraction_bits: int = 0,
        decode: str = "spike_count",
        data: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        layers = dict(layers)
        for name, layer in layers.items():
            self.add_module(name, layer)

        if decode not in DECODINGS:
            raise LayerError(f"decode is {decode!r}; it must be one of {', '.join(DECODINGS)}")
        last = list(self.children())[-1]
        last = getattr(last, "neuron", last)
        if not hasattr(last, "spiking"):
            raise LayerError(
                f"the last layer is {type(last).__name__}; it must be a neuron, whose spikes or "
                f"potentials are read"
            )
        if decode == "spike_count" and not last.spiking:
            raise LayerError(
                "the last layer is an integrator without spikes to count; decode its potential"
            )

        self.input_shape, self.message_bits, self.fraction_bits = (
            tuple(input_shape),
            message_bits,
            fraction_bits,
        )
        self.decode, self.data = decode, dict(data or {})
        self.plan = CallPlan(layers, inputs or {})
        self._reads_mem = decode != "spike_count" and last.spiking
        name_layers(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Trace of the last layer, [time, batch, n]; see the class."""
        if x.dim() != 2 + len(self.input_shape) or tuple(x.shape[2:]) != self.input_shape:
            raise LayerError(
                f"the input has shape {tuple(x.shape)}; it must be [time, batch, "
                f"{', '.join(map(str, self.input_shape))}]"
            )
        if not self.message_bits and x.numel() and not bool(((x == 0) | (x == 1)).all()):
            raise GridError(
                "the input has other values than 0 and 1; with message_bits=0 it is binary spikes"
            )
        return self.plan.run(x, self._call)

    def _call(self, name: str, *given: torch.Tensor) -> torch.Tensor:
        layer: Any = getattr(self, name)
        trace: torch.Tensor
        if name == self.plan.output and self._reads_mem:
            states = layer(*given, sequence=True, return_states=True)
            trace = states[1 + getattr(layer, "neuron", layer).states.index("mem")]
        elif getattr(layer, "temporal", False):
            trace = layer(*given, sequence=True)
        else:
            trace = layer(*given)
        return trace

    def scores(self, x: torch.Tensor) -> torch.Tensor:
        """Decoded output, [batch, n]: spike counts, or volts."""
        return decode(self(x), self.decode)

    def spikeport_io(self) -> dict[str, Any]:
        """Input, output and data as the exporter reads them; see the package's docstring."""
        reasons = {
            type(module).__name__: module.software_only
            for module in self.modules()
            if hasattr(module, "software_only")
        }
        text = "; ".join(f"{name} is {reason}" for name, reason in reasons.items())
        return ({"program": False, "no_program": text} if reasons else {}) | {
            "input": {
                "shape": list(self.input_shape),
                "message_bits": self.message_bits,
                "fraction_bits": self.fraction_bits,
            },
            "output": {"decode": self.decode},
            "call": "sequence",
            "data": self.data,
            "origin": {"framework": "spikeport"}
            | ({} if self.front is None else {"notes": [BEHIND_A_FRONT]}),
        }
