"""What a scan over time is given besides tensors, and what it leaves for the backward pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import torch

from hardware.arithmetic import POTENTIAL_LIMIT, STATE_SHIFT
from toolchain.layers.surrogate import SpikeFunction

BIAS_SAFE_CURRENT = (1 << 17) - (1 << 13) - 1
"""Largest input current, in units of 2**-F, at which it makes no difference whether a bias (at most
2**13 units) is part of the current, as in these layers, or is added to the potential, as on the
chip: neither sum can wrap."""


@dataclass(frozen=True)
class Trace:
    """What a forward pass leaves for a backward rule: traces [time, batch, neuron], parameters
    [neuron], in volts.

    potential   before the reset
    active      uint8, 0 in refractory steps; None where the neuron has no refractory period
    alpha, beta what remains of synaptic current and potential in each step (alpha 0: no synaptic
    current)
    """

    current: torch.Tensor
    potential: torch.Tensor
    spikes: torch.Tensor
    active: torch.Tensor | None
    alpha: torch.Tensor
    beta: torch.Tensor
    threshold: torch.Tensor


BackwardRule: TypeAlias = Callable[[torch.Tensor, Trace], torch.Tensor]
"""(gradient of the spikes [time, batch, neuron], Trace) → gradient of the input current [time,
batch, neuron]. For whole sequences from zero state; parameters get no gradient through it. Used by
toolchain.attacks.estimators."""


@dataclass(frozen=True)
class Rules:
    """What a scan needs besides tensors. ``where`` names the layer in errors."""

    where: str
    fraction_bits: int
    has_current: bool
    spiking: bool
    reset: str
    refractory: int
    check_range: bool
    spike_grad: SpikeFunction
    traces: bool
    """True: syn and mem of every step are returned; False: of the last step."""
    rule: BackwardRule | None = None
    """Replaces the backward pass of the spikes; None: backpropagation through time with
    ``spike_grad``."""
    observe: bool = False
    """True: the potential before the reset of every step is returned as well, with its gradient."""

    def limit(self, dtype: torch.dtype) -> int:
        """Largest accepted magnitude of the input current in units of 2**-F; float32 holds no more
        than 24 bits of a sum."""
        if self.check_range:
            return BIAS_SAFE_CURRENT
        return (1 << 24) - 1 if dtype == torch.float32 else (1 << 31) - 1

    @property
    def saturated(self) -> float:
        """Magnitude of a saturated potential in volts."""
        return POTENTIAL_LIMIT * 2.0 ** -(self.fraction_bits + STATE_SHIFT)


@dataclass(frozen=True)
class Parameters:
    """Integer parameters for each neuron, int64 [neuron], on the device of the tensors."""

    current_decay: torch.Tensor
    voltage_decay: torch.Tensor
    threshold: torch.Tensor


class Scanned(NamedTuple):
    """What a forward pass returns; None for what the neuron does not have or nobody wants.

    flags   of ``toolchain.layers.kernels``
    spikes, before, active   traces [time, batch, neuron]; before: the potential before the reset
    syn, mem                 of every step, or of the last one, with time first
    rest                     after the last step, [batch, neuron]
    """

    flags: int
    spikes: torch.Tensor | None
    before: torch.Tensor | None
    active: torch.Tensor | None
    syn: torch.Tensor | None
    mem: torch.Tensor
    rest: torch.Tensor | None


Gradients: TypeAlias = tuple[torch.Tensor | None, ...]
"""Of (current, syn0, mem0, alpha, beta, threshold), None where not needed."""


@dataclass(frozen=True)
class Saved:
    """What the backward pass needs: traces [time, batch, neuron], first states [batch, neuron],
    parameters [neuron], in volts.

    before   potential before the reset; active: uint8, None without refractory period; syn: only
             where alpha is learned
    """

    before: torch.Tensor
    spikes: torch.Tensor | None
    active: torch.Tensor | None
    syn: torch.Tensor | None
    syn0: torch.Tensor | None
    mem0: torch.Tensor | None
    alpha: torch.Tensor
    beta: torch.Tensor
    threshold: torch.Tensor
