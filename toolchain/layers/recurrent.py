"""A population with feedback onto itself: the spikes of one step return in the next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from toolchain.errors import LayerError
from toolchain.layers.neuron import Factor, Neuron, States
from toolchain.layers.neurons import Leaky
from toolchain.layers.synapses import Conv1d, Conv2d, Linear, WeightFormat


class Recurrent(nn.Module):
    """A neuron layer and the synapse that feeds its spikes back, one step later.

    The same as ``spk, mem = neuron(cur + recurrent(spk), mem)`` in a loop over time. ``recurrent``
    maps the spikes' shape to itself, with the same fraction_bits as the neuron.

    Step: ``spk, mem = layer(cur, spk, mem)`` (the neuron's states in its own order; ``reset_mem()``
    starts a sample). Sequence: ``spk = layer(cur, sequence=True)`` from zero state.
    """

    temporal = True

    def __init__(self, neuron: Neuron, recurrent: Linear | Conv1d | Conv2d) -> None:
        super().__init__()
        if not isinstance(neuron, Neuron) or not neuron.spiking or neuron.init_hidden:
            raise LayerError(
                "layer 'Recurrent': its neuron must be a spiking one of toolchain.layers without "
                "init_hidden"
            )
        if getattr(recurrent, "fraction_bits", None) != neuron.fraction_bits:
            raise LayerError(
                f"layer 'Recurrent': its synapse has "
                f"fraction_bits={getattr(recurrent, 'fraction_bits', None)}, its neuron "
                f"{neuron.fraction_bits}; it must be a synapse of toolchain.layers with the same"
            )
        self.neuron, self.recurrent = neuron, recurrent

    def reset_mem(self) -> tuple[torch.Tensor, ...]:
        """(spk, *states) that start a sample."""
        states = self.neuron.reset_mem()
        return (torch.zeros(0), *(states if isinstance(states, tuple) else (states,)))

    def forward(
        self,
        input_: torch.Tensor,
        *state: torch.Tensor,
        sequence: bool = False,
        return_states: bool = False,
    ) -> States:
        """(spk, *states) of one step; or the spikes (with ``return_states`` (spk, *states)) of a
        sequence [time, batch, *shape]."""
        if not sequence:
            if len(state) != 1 + len(self.neuron.states) or return_states:
                raise LayerError(
                    f"layer 'Recurrent': a step takes the input and spk, "
                    f"{', '.join(self.neuron.states)}; start a sample with reset_mem()"
                )
            spk, *states = state
            # silence still goes through the synapse: its bias acts from the first step
            spk = spk if spk.numel() else torch.zeros_like(input_)
            after: States = self.neuron(input_ + self.recurrent(spk), *states)
            return after

        if state:
            raise LayerError(
                "layer 'Recurrent': a sequence starts from zero state; states go with single steps"
            )

        state = self.reset_mem()
        steps = []
        for cur in input_:
            state = self(cur, *state)
            steps.append(state)
        traces = tuple(torch.stack(parts) for parts in zip(*steps))
        return traces if return_states else traces[0]

    def nir_parts(self, input_shape: Sequence[int], dt: float = 1.0) -> dict[str, Any]:
        """Two nodes and the loop between them; see the package's docstring."""
        return {
            "nodes": {
                "neuron": self.neuron.nir_node(input_shape, dt),
                "recurrent": self.recurrent.nir_node(input_shape, dt),
            },
            "edges": [("neuron", "recurrent"), ("recurrent", "neuron")],
            "input": "neuron",
            "output": "neuron",
        }


class RLeaky(Recurrent):
    """snnTorch's RLeaky with all-to-all recurrence: ``spk, mem = rlif(cur, spk, mem)``.

    Either ``linear_features``, or ``conv2d_channels`` and ``kernel_size`` (odd, padded to the same
    size). Further keywords go to Leaky; ``weight_bits`` and ``granularity`` to the feedback
    synapse.
    """

    def __init__(
        self,
        beta: Factor,
        linear_features: int | None = None,
        conv2d_channels: int | None = None,
        kernel_size: int | Sequence[int] | None = None,
        *,
        fraction_bits: int = 10,
        weight_bits: int = 8,
        granularity: str = "layer",
        **leaky: Any,
    ) -> None:
        grid: WeightFormat = {
            "fraction_bits": fraction_bits,
            "weight_bits": weight_bits,
            "granularity": granularity,
        }

        if linear_features is not None and conv2d_channels is None and kernel_size is None:
            synapse: Linear | Conv2d = Linear(linear_features, linear_features, **grid)
        elif linear_features is None and conv2d_channels is not None and kernel_size is not None:
            kernel = (
                (kernel_size, kernel_size) if isinstance(kernel_size, int) else tuple(kernel_size)
            )
            if any(k % 2 == 0 for k in kernel):
                raise LayerError(
                    f"layer 'RLeaky': kernel_size is {kernel_size!r}; it must be odd, "
                    f"to keep the size of the map"
                )
            synapse = Conv2d(
                conv2d_channels,
                conv2d_channels,
                kernel,
                padding=tuple(k // 2 for k in kernel),
                **grid,
            )
        else:
            raise LayerError(
                "layer 'RLeaky': give either linear_features, or conv2d_channels and kernel_size"
            )

        super().__init__(Leaky(beta, fraction_bits=fraction_bits, **leaky), synapse)
