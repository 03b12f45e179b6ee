"""The same graph for a Loihi 2 chip, by way of Intel's closed back-end lava-loihi. Worker only.

NEVER RUN ON A CHIP. Written from public facts alone: Lava's run configuration ``Loihi2HwCfg``, and
how lava-dl's tutorials and other public code call ``lava.proc.embedded_io``
(``spike.PyToNxAdapter``, ``spike.PyToN3ConvAdapter``, ``spike.NxToPyAdapter``, ``state.Read``:
ports ``inp``, ``out``, ``connect_var``). What is known to differ from the simulator:

- the reset interval must be a power of two, so samples are followed by silence up to the next one;
- a potential that is read in the step of a spike is 128, not 0; from the next step on it is the
  same;
- graded values arrive as 24 bits that must be sign-extended.

Not known, and so not claimed: whether the adapters add time steps (none is assumed), and their
bandwidth.
"""

from __future__ import annotations

import importlib.util
import sys
from typing import Any, NoReturn

from lava.proc.lif.process import LIFReset

from hardware import program as ir
from hardware.lava.environment import CLOSED_MODULES
from hardware.lava.errors import LavaEnvironmentError, LavaUnsupportedError
from hardware.lava.graph import LavaGraph, needs_custom_neuron
from hardware.lava.processes.files import FileSink, FileSource
from hardware.populations import Node

POTENTIAL_BITS = 24


def require_back_end() -> None:
    """Raise LavaEnvironmentError, which says exactly what is missing, unless the closed back-end is
    installed."""
    missing = [name for name in CLOSED_MODULES if not _found(name)]
    if missing:
        raise LavaEnvironmentError(
            "target 'loihi2' needs Intel's closed package lava-loihi, which members of the Intel "
            "Neuromorphic Research Community "
            f"(INRC) get from Intel, in the interpreter {sys.executable} (Python 3.10); missing: "
            f"{', '.join(missing)}. Install it "
            "there, or let SPIKEPORT_LAVA_PYTHON name an interpreter that has it. The board is "
            "chosen with Lava's own variables: "
            "SLURM=1 with PARTITION or BOARD, or NXSDKHOST with HOST_BINARY; and LOIHI_GEN. Then "
            "the same call runs on the chip. "
            "Target 'lava' computes the same in the simulator"
        )


def _found(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def run_config() -> Any:
    """Prefers the chip's models to those in Python."""
    from lava.magma.core.run_configs import Loihi2HwCfg

    return Loihi2HwCfg()


class ChipGraph(LavaGraph):
    """A LavaGraph whose neurons and synapses lie on the chip and whose files lie on the host."""

    def _interval(self) -> int:
        return 1 << (super()._interval() - 1).bit_length()

    def _input(self, part: ir.Input, file: dict[str, Any]) -> Any:
        from lava.proc import embedded_io as eio

        source = self._add(FileSource(**file))
        adapter = eio.spike.PyToN3ConvAdapter if len(part.shape) > 1 else eio.spike.PyToNxAdapter
        adapter = self._add(adapter(shape=file["shape"], num_message_bits=part.message_bits))
        source.s_out.connect(adapter.inp)
        return adapter.out

    def _neurons(self, population: ir.Population) -> LIFReset:
        if needs_custom_neuron(population):
            raise LavaUnsupportedError(
                f"population {population.name!r}: reset {population.reset!r} with a refractory "
                f"period of {population.refractory} "
                f"and {'no' if population.noise is None else 'with'} noise needs custom microcode "
                f"on the chip; it must be reset 'zero' "
                "without refractory period and noise"
            )
        return LIFReset(**self._lif_parameters(population))

    def _write_spikes(self, neurons: Any, file: dict[str, Any]) -> None:
        from lava.proc import embedded_io as eio

        adapter = self._add(eio.spike.NxToPyAdapter(shape=file["shape"]))
        neurons.s_out.connect(adapter.inp)
        adapter.out.connect(self._add(FileSink(**file)).a_in)

    def _write_potentials(self, neurons: Any, file: dict[str, Any]) -> None:
        from lava.proc import embedded_io as eio

        reader = self._add(eio.state.Read(shape=file["shape"]))
        reader.connect_var(neurons.v)
        reader.out.connect(self._add(FileSink(**file, bits=POTENTIAL_BITS)).a_in)

    def _held(
        self, projection: ir.Projection, source: Node, spikes: Any, hold: int, open_steps: int
    ) -> NoReturn:
        raise LavaUnsupportedError(
            f"projection {projection.name!r}: spikes that wait (delays, recurrence, branches of "
            f"unequal depth) are held and gated in "
            "Python in the simulator; a Program for the chip must be "
            "feed-forward, without them"
        )
