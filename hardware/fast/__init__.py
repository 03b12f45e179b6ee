"""The fast batched executor: bit-identical to ``hardware.reference``, and hundreds of times faster
than Lava's simulator.

How it works: a block of samples goes through the network population by population, each over all
its steps, so that the state of one population stays in the first caches. Spikes travel as bit
masks; only spikes cost work, as on the chip (their weights are added to an int32 accumulator, whole
vectors at a time). Blocks run on threads of their own; compiled code holds no interpreter lock.

    registers   32-bit registers for numba: the rules of ``hardware.arithmetic`` compile to 32-bit
                vector lanes
    vectors     the few vector instructions that numba does not find by itself
    synapses    Program → weight tables
    kernels     the compiled loops
    executor    samples → blocks → chunks

Memory: the tables, one chunk of results, one bit per neuron and step of the blocks in flight, and
four bytes per step of each neuron with noise, which is drawn once for all samples.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from hardware.errors import TargetError
from hardware.program import Program

if TYPE_CHECKING:
    from hardware.chunks import Chunk, Options


def run_chunks(
    program: Program, inputs: dict[str, np.ndarray], options: Options
) -> Iterator[Chunk]:
    """The target "fast" of ``hardware.targets``.

    ``inputs`` are checked arrays [sample, step, *shape], uint8 or int32, as
    ``hardware.recording.check_inputs`` gives them. The number of threads is numba's
    (``NUMBA_NUM_THREADS``; default: the processors this process may use). Raises TargetError where
    numba is missing or switched off.
    """
    try:
        import numba
    except ImportError as error:
        raise TargetError(
            f"target 'fast' needs the package numba, which cannot be imported: {error}; "
            f"'reference' does without"
        ) from error
    if numba.config.DISABLE_JIT:
        raise TargetError(
            "target 'fast' needs numba's compiler, which NUMBA_DISABLE_JIT switches off; "
            "'reference' does without"
        )
    from hardware.fast.executor import chunks

    return chunks(program, inputs, options)
