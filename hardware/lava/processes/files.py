"""Source and sink that read and write files: setting and getting a Lava Var costs 15 microseconds
for each element."""

from typing import Any, BinaryIO

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol


class _FileProcess(AbstractProcess):
    """Parameters shared by both ends; file of chunk c: ``path`` + ".c".

    Parameters
    ----------
    shape : shape of the port.
    axes : how the axes of a stored frame are permuted to give those of the port, and back.
    path : beginning of the names of the files; one file holds ``chunk`` samples.
    dtype : of the files, C order, [sample, step, *frame], without a header.
    first_step : Lava time step in which the first sample begins at this port.
    interval : steps from the beginning of one sample to that of the next.
    steps, samples, chunk : steps of a sample that are stored, samples in all, samples in one file.
    """

    def __init__(
        self,
        *,
        shape: tuple[int, ...],
        frame: tuple[int, ...],
        axes: tuple[int, ...],
        path: str,
        dtype: str,
        first_step: int,
        interval: int,
        steps: int,
        samples: int,
        chunk: int,
        name: str | None = None,
    ) -> None:
        super().__init__(
            shape=shape,
            frame=frame,
            axes=axes,
            path=path,
            dtype=dtype,
            first_step=first_step,
            interval=interval,
            steps=steps,
            samples=samples,
            chunk=chunk,
            name=name,
        )


class FileSource(_FileProcess):
    """Sends the frames of its files, and zeros between and after the samples."""

    def __init__(self, *, shape: tuple[int, ...], **parameters: Any) -> None:
        super().__init__(shape=shape, **parameters)
        self.s_out = OutPort(shape=shape)


class FileSink(_FileProcess):
    """Appends what it receives within samples to its files.

    bits : the lowest bits of a value that count, the highest of them its sign: 24 for what comes
    from the chip.
    """

    def __init__(self, *, shape: tuple[int, ...], bits: int = 32, **parameters: Any) -> None:
        super().__init__(shape=shape, **parameters)
        self.proc_params["bits"] = bits
        self.a_in = InPort(shape=shape)


class _PyFileModel(PyLoihiProcessModel):
    def __init__(self, proc_params) -> None:
        super().__init__(proc_params)
        for key in (
            "shape",
            "frame",
            "axes",
            "path",
            "dtype",
            "first_step",
            "interval",
            "steps",
            "samples",
            "chunk",
        ):
            setattr(self, key, proc_params[key])
        self.back = tuple(int(i) for i in np.argsort(self.axes))

    def _position(self) -> tuple[int, int]:
        """(sample, step in the sample) of this Lava time step; negative before the first sample."""
        position: tuple[int, int] = divmod(self.time_step - self.first_step, self.interval)
        return position


@implements(proc=FileSource, protocol=LoihiProtocol)
@requires(CPU)
@tag("bit_accurate_loihi", "fixed_pt")
class PyFileSourceModel(_PyFileModel):
    """Maps one file at a time."""

    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32, precision=24)

    def __init__(self, proc_params) -> None:
        super().__init__(proc_params)
        self.opened = -1
        self.silence = np.zeros(self.shape, np.int32)

    def run_spk(self) -> None:
        sample, step = self._position()
        if not 0 <= sample < self.samples or step >= self.steps:
            self.s_out.send(self.silence)
            return
        number, sample = divmod(sample, self.chunk)
        if number != self.opened:
            size = min(self.chunk, self.samples - number * self.chunk)
            self.frames = np.memmap(
                f"{self.path}.{number}", self.dtype, "r", shape=(size, self.steps, *self.frame)
            )
            self.opened = number
        self.s_out.send(self.frames[sample, step].transpose(self.axes).astype(np.int32))


@implements(proc=FileSink, protocol=LoihiProtocol)
@requires(CPU)
@tag("bit_accurate_loihi", "fixed_pt")
class PyFileSinkModel(_PyFileModel):
    """Appends one frame a step; a file is complete and closed with the last step of its last
    sample."""

    a_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32, precision=24)

    def __init__(self, proc_params) -> None:
        super().__init__(proc_params)
        self.spare_bits = 32 - proc_params["bits"]
        self.file: BinaryIO | None = None

    def run_spk(self) -> None:
        values = self.a_in.recv()
        sample, step = self._position()
        if not 0 <= sample < self.samples or step >= self.steps:
            return
        number, position = divmod(sample, self.chunk)
        if self.file is None:
            self.file = open(f"{self.path}.{number}", "wb")  # noqa: SIM115  over many steps
        values = (values.astype(np.int32) << self.spare_bits) >> self.spare_bits
        self.file.write(np.ascontiguousarray(values.transpose(self.back), dtype=self.dtype).data)
        if step == self.steps - 1 and (position == self.chunk - 1 or sample == self.samples - 1):
            self.file.close()
            self.file = None
