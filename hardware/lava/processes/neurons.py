"""Leaky integrate-and-fire neurons for Lava whose membrane potential can be read, and what Lava has
no model of: resets, and noise."""

from typing import Any

import numpy as np
from lava.magma.core.model.py.ports import PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.process.ports.ports import OutPort
from lava.magma.core.process.variable import Var
from lava.proc.lif.models import PyLifResetModelBitAcc
from lava.proc.lif.process import LIFReset

from hardware.noise import draw_step


class ProbedLIFReset(LIFReset):
    """Lava's LIFReset with one more port, ``v_out``: the membrane potential after each step, its
    reset included."""

    def __init__(self, *, shape: tuple[int, ...], **parameters: Any) -> None:
        super().__init__(shape=shape, **parameters)
        self.v_out = OutPort(shape=shape)


class PyProbedLIFResetModel(PyLifResetModelBitAcc):
    """Lava's own bit-accurate model runs; this class only sends the potential afterwards.

    The decorator ``implements`` refuses a subclass of a model that implements another process,
    hence the assignment. Tags (``fixed_pt``, ``bit_accurate_loihi``), resources and protocol are
    inherited.
    """

    implements_process: Any = ProbedLIFReset
    v_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32, precision=24)

    def run_spk(self) -> None:
        super().run_spk()
        self.v_out.send(self.v)


class CustomResetLIF(ProbedLIFReset):
    """ProbedLIFReset with a reset by subtraction, without any reset, or with a refractory period.

    On the chip this needs custom microcode; Lava has no fixed-point model of it.

    Parameters
    ----------
    spike_reset : "zero", "subtract" or "none": what a spike does to the membrane potential in the
    same step. reset_amount : integer or array of ``shape``; what "subtract" takes off, in units of
    the potential; it saturates. refractory_period : steps after a spike in which the potential
    rests and no spike can occur; the current goes on.
    """

    def __init__(
        self,
        *,
        shape: tuple[int, ...],
        spike_reset: str,
        reset_amount,
        refractory_period: int,
        **parameters: Any,
    ) -> None:
        super().__init__(shape=shape, **parameters)
        self.proc_params["spike_reset"] = spike_reset
        self.proc_params["refractory_period"] = refractory_period
        self.reset_amount = Var(shape=shape, init=reset_amount)
        self.resting = Var(shape=shape, init=0)


class PyCustomResetLIFModel(PyProbedLIFResetModel):
    """Sub-threshold dynamics, threshold and their order are Lava's own; only what follows a spike
    is ours."""

    implements_process: Any = CustomResetLIF
    reset_amount: np.ndarray = LavaPyType(np.ndarray, np.int32, precision=24)
    resting: np.ndarray = LavaPyType(np.ndarray, np.int32, precision=16)

    def __init__(self, proc_params) -> None:
        super().__init__(proc_params)
        self.spike_reset = proc_params["spike_reset"]
        self.refractory_period = proc_params["refractory_period"]

    def subthr_dynamics(self, activation_in: np.ndarray) -> None:
        if self.time_step % self.reset_interval == self.reset_offset:
            self.resting[:] = 0
        before = self.v.copy()
        super().subthr_dynamics(activation_in)
        self.active = self.resting == 0
        self.v[~self.active] = before[~self.active]
        self.resting[~self.active] -= 1

    def spiking_activation(self):
        return super().spiking_activation() & self.active

    def reset_voltage(self, spike_vector: np.ndarray) -> None:
        self.resting[spike_vector] = self.refractory_period
        if self.spike_reset == "zero":
            super().reset_voltage(spike_vector)
        elif self.spike_reset == "subtract":
            limit = self.max_uv_val - 1
            self.v[spike_vector] = np.clip(
                self.v[spike_vector] - self.reset_amount[spike_vector], -limit, limit
            )


class NoisyLIF(CustomResetLIF):
    """CustomResetLIF that fires when potential + noise exceeds the threshold; the noise does not
    stay in the potential.

    On the chip this needs custom microcode; Lava has no fixed-point model of it.

    Parameters
    ----------
    noise_seed, noise_sigma : of ``hardware.noise``, whose numbers these are; a reset of the neurons
    starts the generator anew. neuron_order : position of each neuron, in C order of ``shape``,
    among those that the generator counts.
    """

    def __init__(
        self,
        *,
        shape: tuple[int, ...],
        noise_seed: int,
        noise_sigma: int,
        neuron_order: np.ndarray,
        **parameters: Any,
    ) -> None:
        super().__init__(shape=shape, **parameters)
        self.proc_params["noise_seed"] = noise_seed
        self.proc_params["noise_sigma"] = noise_sigma
        self.proc_params["neuron_order"] = neuron_order


class PyNoisyLIFModel(PyCustomResetLIFModel):
    """Draws the noise of one step at a time."""

    implements_process: Any = NoisyLIF

    def __init__(self, proc_params) -> None:
        super().__init__(proc_params)
        self.noise_seed = proc_params["noise_seed"]
        self.noise_sigma = proc_params["noise_sigma"]
        self.neuron_order = proc_params["neuron_order"]

    def spiking_activation(self):
        step = (self.time_step - self.reset_offset) % self.reset_interval
        noise = draw_step(self.noise_seed, self.noise_sigma, step, self.neuron_order.size)
        return (
            self.v + noise[self.neuron_order].reshape(self.v.shape) > self.effective_vth
        ) & self.active
