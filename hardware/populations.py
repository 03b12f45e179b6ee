"""Populations of a Program: inputs, and neurons with integer parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hardware._parts import Part, check_integer, check_name, check_parameter, check_shape, fail
from hardware.noise import Noise

RESETS = ("zero", "subtract", "none")


@dataclass(frozen=True, eq=False)
class Input(Part):
    """A population whose spikes come from outside.

    ``message_bits`` 0: binary spikes, values 0 and 1. 1 to 24: graded spikes, signed integers in
    [-2**(message_bits - 1), 2**(message_bits - 1) - 1] (1 bit: [-1, 0]).
    """

    name: str
    shape: tuple[int, ...]
    message_bits: int = 0

    def __post_init__(self):
        where = f"input {check_name('input', self.name)!r}"
        bits = check_integer(where, "message_bits", self.message_bits, 0, 24)
        self._set(shape=check_shape(where, self.shape), message_bits=bits)

    @property
    def value_range(self) -> tuple[int, int]:
        """Smallest and largest value that one element may have."""
        if self.message_bits == 0:
            return 0, 1
        return -(1 << (self.message_bits - 1)), (1 << (self.message_bits - 1)) - 1


@dataclass(frozen=True, eq=False)
class Population(Part):
    """Neurons of one kind with integer parameters; each is one number or one per neuron.

    shape             features; (channels, length); or (channels, height, width)
    current_decay     0 to 4096, share of the synaptic current lost each step; 4096: no synaptic
                      current (Lava: du + 1)
    voltage_decay     0 to 4096, share of the membrane potential lost each step; 0: integrate and
                      fire (Lava: dv)
    threshold         mantissa, shifted left by 6; a neuron fires when its potential is strictly
                      greater. None: a non-spiking leaky integrator, whose potential is read
    bias              13-bit signed mantissa, added to the potential (not to the current) in every
                      step
    bias_exponent     -7 to 7, shift of the bias mantissa
    reset             "zero" (hard, the chip's own), "subtract", or "none"
    reset_amount      what "subtract" takes off, in units of the state; default threshold << 6
    refractory        steps after a spike in which the potential rests and no spike can occur; the
                      current goes on
    noise             None, or Noise: a neuron fires when potential + noise exceeds the threshold.
                      Noise does not stay in the potential, and is the same in every sample (see
                      hardware.noise)

    ``message_bits`` is 0: neurons send binary spikes.
    """

    name: str
    shape: tuple[int, ...]
    current_decay: np.ndarray | int = 4096
    voltage_decay: np.ndarray | int = 0
    threshold: np.ndarray | int | None = 1
    bias: np.ndarray | int = 0
    bias_exponent: int = 0
    reset: str = "zero"
    reset_amount: np.ndarray | int | None = None
    refractory: int = 0
    noise: Noise | None = None

    kind: ClassVar[str] = "lif"
    message_bits: ClassVar[int] = 0

    def __post_init__(self):
        where = f"population {check_name('population', self.name)!r}"
        shape = check_shape(where, self.shape)

        def number(name, low, high):
            return check_parameter(where, name, getattr(self, name), low, high, shape)

        if self.reset not in RESETS:
            fail(where, f"reset is {self.reset!r}; accepted are {', '.join(RESETS)}")
        if self.threshold is None and (
            self.reset != "zero" or self.refractory or self.reset_amount is not None
        ):
            fail(
                where,
                "a non-spiking integrator (threshold None) has no reset, no reset_amount and no "
                "refractory period",
            )
        if self.reset_amount is not None and self.reset != "subtract":
            fail(where, f"reset_amount goes with reset 'subtract', not {self.reset!r}")
        if self.noise is not None and not isinstance(self.noise, Noise):
            fail(
                where,
                f"noise is a {type(self.noise).__name__}; accepted are None and "
                f"hardware.noise.Noise",
            )
        if self.noise is not None and self.threshold is None:
            fail(
                where,
                "a non-spiking integrator (threshold None) compares nothing with a threshold, so "
                "it has no noise",
            )
        self._set(
            shape=shape,
            current_decay=number("current_decay", 0, 4096),
            voltage_decay=number("voltage_decay", 0, 4096),
            threshold=None if self.threshold is None else number("threshold", 0, (1 << 17) - 1),
            bias=number("bias", -4096, 4095),
            bias_exponent=check_integer(where, "bias_exponent", self.bias_exponent, -7, 7),
            reset_amount=None
            if self.reset_amount is None
            else number("reset_amount", 0, (1 << 23) - 1),
            refractory=check_integer(where, "refractory", self.refractory, 0, 1 << 15),
        )

    @property
    def spiking(self) -> bool:
        """False for a non-spiking integrator."""
        return self.threshold is not None

    @property
    def bias_state(self) -> np.ndarray:
        """The bias in units of the membrane potential, int64: mantissa shifted by its exponent
        (right shifts round down)."""
        from hardware.arithmetic import shift

        return shift(self.bias.astype(np.int64), np.int64(self.bias_exponent))

    @property
    def subtracted(self) -> np.ndarray | None:
        """What a reset by subtraction takes off, in units of the membrane potential, int64; None
        for other resets."""
        if self.reset != "subtract":
            return None
        if self.reset_amount is not None:
            return self.reset_amount.astype(np.int64)
        return self.threshold.astype(np.int64) << 6
