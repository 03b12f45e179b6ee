"""Populations of a Program: inputs, and neurons with integer parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType, SimpleNamespace
from typing import Any, ClassVar, TypeAlias

import numpy as np

from hardware._parts import (
    ZERO,
    ProgramPart,
    check_integer,
    check_name,
    check_parameter,
    check_shape,
    fail,
)
from hardware.errors import KindError
from hardware.kinds import KINDS
from hardware.lif import LIF, Constants
from hardware.neurons import NeuronKind
from hardware.noise import Noise

RESETS = ("zero", "subtract", "none")

_FORGETS: Any = 4096
_ONE: Any = 1
"""Defaults of fields that are declared as what they are once their part is made: arrays."""


@dataclass(frozen=True, eq=False)
class Input(ProgramPart):
    """A population whose spikes come from outside.

    ``message_bits`` 0: binary spikes, values 0 and 1. 1 to 24: graded spikes, signed integers in
    [-2**(message_bits - 1), 2**(message_bits - 1) - 1] (1 bit: [-1, 0]).
    """

    name: str
    shape: tuple[int, ...]
    message_bits: int = 0

    spiking: ClassVar[bool] = True

    def __post_init__(self) -> None:
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
class Population(ProgramPart):
    """Neurons of the kind "lif" with integer parameters; each is one number or one per neuron.

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
    current_decay: np.ndarray = _FORGETS
    voltage_decay: np.ndarray = ZERO
    threshold: np.ndarray | None = _ONE
    bias: np.ndarray = ZERO
    bias_exponent: int = 0
    reset: str = "zero"
    reset_amount: np.ndarray | None = None
    refractory: int = 0
    noise: Noise | None = None

    kind: ClassVar[str] = "lif"
    message_bits: ClassVar[int] = 0

    def __post_init__(self) -> None:
        where = f"population {check_name('population', self.name)!r}"
        shape = check_shape(where, self.shape)

        def number(name: str) -> Any:
            return _checked(where, LIF, name, getattr(self, name), shape)

        if self.reset not in RESETS:
            fail(where, f"reset is {self.reset!r}; it must be one of {', '.join(RESETS)}")
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
                f"noise is a {type(self.noise).__name__}; it must be None or a "
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
            current_decay=number("current_decay"),
            voltage_decay=number("voltage_decay"),
            threshold=None if self.threshold is None else number("threshold"),
            bias=number("bias"),
            bias_exponent=number("bias_exponent"),
            reset_amount=None if self.reset_amount is None else number("reset_amount"),
            refractory=number("refractory"),
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

        state: np.ndarray = shift(self.bias.astype(np.int64), np.int64(self.bias_exponent))
        return state

    @property
    def subtracted(self) -> np.ndarray | None:
        """What a reset by subtraction takes off, in units of the membrane potential, int64; None
        for other resets."""
        if self.reset != "subtract" or self.threshold is None:
            return None
        if self.reset_amount is not None:
            return self.reset_amount.astype(np.int64)
        return self.threshold.astype(np.int64) << 6

    @property
    def description(self) -> NeuronKind:
        """The neuron kind."""
        return LIF

    @property
    def constants(self) -> SimpleNamespace:
        """What the kind's step takes."""
        threshold = None if self.threshold is None else self.threshold.astype(np.int64)
        constants = Constants(
            self.current_decay.astype(np.int64),
            self.voltage_decay.astype(np.int64),
            self.bias_state,
            threshold,
            self.reset,
            self.subtracted,
            self.refractory,
        )
        return SimpleNamespace(constants=constants, noise=self.noise)


@dataclass(frozen=True, eq=False)
class CustomPopulation(ProgramPart):
    """Neurons of a kind that another distribution describes.

    Every target that knows the kind runs them, and ``reference`` always does.

    Attributes:
        kind: Its name (``hardware.neurons``).
        parameters: Name → integer, or integers for each neuron; those that are not given have the
            kind's default.

    Raises:
        ProgramError: The kind is unknown, or a parameter is unknown, absent or out of its range.
    """

    name: str
    shape: tuple[int, ...]
    kind: str
    parameters: Mapping[str, Any] = field(default_factory=dict)

    message_bits: ClassVar[int] = 0

    def __post_init__(self) -> None:
        where = f"population {check_name('population', self.name)!r}"
        shape = check_shape(where, self.shape)
        if not isinstance(self.kind, str) or self.kind not in KINDS:
            fail(where, f"there is no neuron kind {self.kind!r}; there are {', '.join(KINDS)}")
        kind = KINDS[self.kind]
        if kind is LIF:
            fail(where, "neurons of the kind 'lif' are a hardware.Population")
        known = [parameter.name for parameter in kind.parameters]
        for name in self.parameters:
            if name not in known:
                fail(
                    where,
                    f"neuron kind {kind.name!r} has no parameter {name!r}; it has "
                    f"{', '.join(known) or 'none'}",
                )

        values = {p.name: self.parameters.get(p.name, p.default) for p in kind.parameters}
        absent = [name for name, value in values.items() if value is None]
        if absent:
            fail(where, f"neuron kind {kind.name!r} needs the parameter {absent[0]!r}")
        checked = {
            name: np.asarray(_checked(where, kind, name, value, shape), np.int32)
            for name, value in values.items()
        }
        for array in checked.values():
            array.setflags(write=False)
        self._set(shape=shape, parameters=MappingProxyType(checked))

    def __getattr__(self, name: str) -> Any:
        """What other kinds have, and this one has not, is a typed error."""
        if name.startswith("__") or "kind" not in self.__dict__:
            raise AttributeError(name)
        raise KindError(
            f"population {self.name!r} is of the neuron kind {self.kind!r}, which has no {name!r}"
        )

    @property
    def spiking(self) -> bool:
        """False for a kind that never fires."""
        return self.description.spiking

    @property
    def description(self) -> NeuronKind:
        """The neuron kind."""
        return KINDS[self.kind]

    @property
    def constants(self) -> SimpleNamespace:
        """What the kind's step takes: the parameters as attributes, int64."""
        return SimpleNamespace(**{n: v.astype(np.int64) for n, v in self.parameters.items()})


def _checked(where: str, kind: NeuronKind, name: str, value: Any, shape: tuple[int, ...]) -> Any:
    """A parameter within the range of its kind: an array, or where it belongs to the whole
    population one integer."""
    parameter = kind[name]
    if not parameter.each:
        return check_integer(where, name, value, parameter.low, parameter.high)
    return check_parameter(where, name, value, parameter.low, parameter.high, shape)


Node: TypeAlias = Input | Population | CustomPopulation
"""What stands at an end of a projection."""
