"""A delay line with a gate: brings spikes later, and keeps them out of the next sample."""

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol


class DelayLine(AbstractProcess):
    """Sends what it received ``delay`` steps ago, where the gate was open.

    Parameters
    ----------
    shape : shape of the port.
    delay : steps, 0 or more. 0: what comes in goes out in the same step.
    first_step : Lava time step in which the source's first sample begins.
    interval : steps from the beginning of one sample to that of the next.
    open_steps : the gate lets pass what the source sends in the first ``open_steps`` steps of each
    sample.
    """

    def __init__(
        self,
        *,
        shape: tuple[int, ...],
        delay: int,
        first_step: int,
        interval: int,
        open_steps: int,
        name: str | None = None,
    ) -> None:
        super().__init__(
            delay=delay,
            first_step=first_step,
            interval=interval,
            open_steps=open_steps,
            shape=shape,
            name=name,
        )
        self.s_in = InPort(shape=shape)
        self.s_out = OutPort(shape=shape)


@implements(proc=DelayLine, protocol=LoihiProtocol)
@requires(CPU)
@tag("bit_accurate_loihi", "fixed_pt")
class PyDelayLineModel(PyLoihiProcessModel):
    """Ring buffer. With a delay it sends before it receives, as Lava's synapses do, so that loops
    cannot block."""

    s_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32, precision=24)
    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32, precision=24)

    def __init__(self, proc_params) -> None:
        super().__init__(proc_params)
        self.delay = proc_params["delay"]
        self.first_step = proc_params["first_step"]
        self.interval = proc_params["interval"]
        self.open_steps = proc_params["open_steps"]
        self.slots = [np.zeros(proc_params["shape"], np.int32) for _ in range(self.delay)]

    def run_spk(self) -> None:
        if self.delay:
            slot = self.time_step % self.delay
            self.s_out.send(self.slots[slot])
            self.slots[slot] = self._gated(self.s_in.recv())
        else:
            self.s_out.send(self._gated(self.s_in.recv()))

    def _gated(self, spikes: np.ndarray) -> np.ndarray:
        phase = (self.time_step - self.first_step) % self.interval
        return spikes if phase < self.open_steps else np.zeros_like(spikes)
