"""The Lava target: runs Programs in a watched worker process and hands back chunks that look like
everybody else's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from hardware import program_file
from hardware.chunks import Chunk, Options
from hardware.lava import environment
from hardware.lava.connection import Connection
from hardware.lava.errors import LavaError, LavaUnsupportedError, LavaWorkerError
from hardware.parameters import parameter
from hardware.program import Program

CHUNK_BYTES = 64 << 20
"""Aim for the results of one chunk where the caller names no batch."""


def run_chunks(
    program: Program, inputs: Mapping[str, np.ndarray], options: Options, backend: str = "simulator"
) -> Iterator[Chunk]:
    """Run a Program in Lava and yield its results chunk by chunk; the target function of
    ``hardware.targets``.

    Starts a worker process and ends it with the last chunk, with an error, or when the generator is
    closed. Raises LavaEnvironmentError, LavaUnsupportedError, LavaWorkerError or LavaTimeoutError,
    all of them TargetErrors.
    """
    with Session(backend=backend) as session:
        yield from session.run_chunks(program, inputs, options)


class Session:
    """One worker that runs one Program after the other.

    direct: call Lava's models one after the other in one process, without Lava's runtime; the same
    results, faster for small Programs, and what the tests use as the cheap oracle.
    """

    def __init__(self, *, direct: bool = False, backend: str = "simulator") -> None:
        self._mode = "direct" if direct else "runtime"
        self._backend = backend
        self._numbers = count()
        self.connection = Connection(environment.interpreter())

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def close(self) -> None:
        """End the worker."""
        self.connection.close()

    def run_chunks(
        self, program: Program, inputs: Mapping[str, np.ndarray], options: Options
    ) -> Iterator[Chunk]:
        """Run a Program; ``inputs`` as ``hardware.recording.check_inputs`` returns them."""
        self.connection.require_open()
        samples, steps = next(iter(inputs.values())).shape[:2]
        size = min(samples, options.batch or _chunk_size(program, steps, options))
        folder = self.connection.folder / f"run-{next(self._numbers)}"
        with _exchange(folder):
            folder.mkdir()
            program_file.save(program, folder / "program.h5")

        opened = self._ask(
            options,
            "open",
            program=str(folder / "program.h5"),
            folder=str(folder),
            steps=steps,
            samples=samples,
            chunk=size,
            potentials=list(options.potentials),
            mode=self._mode,
            backend=self._backend,
        )

        written, running_s = 0, 0.0
        for first in range(0, samples, size):
            end = min(first + size, samples)
            last_step = (end - 1) * opened["interval"] + steps + opened["lag"]
            while written < samples and written <= (last_step - 1) // opened["interval"]:
                with _exchange(folder):
                    _write_inputs(folder, program, inputs, written, size)
                written += size
            running_s += self._ask(options, "run", opened, first, samples=end)["seconds"]
            with _exchange(folder):
                chunk = _read_chunk(folder, program, inputs, options, first, end, size, steps)
            yield chunk

        self._ask(options, "close")
        options.details |= {
            "lava": self.connection.ready["lava"],
            "python": self.connection.ready["python"],
            "lava_processes": opened["processes"],
            "set_up_s": opened["seconds"],
            "ms_per_step": 1e3 * running_s / last_step,
        }

        for left in folder.iterdir():
            left.unlink()
        folder.rmdir()

    def _ask(
        self,
        options: Options,
        command: str,
        opened: Mapping[str, Any] = MappingProxyType({}),
        done: int = 0,
        **arguments: Any,
    ) -> dict[str, Any]:
        """Send a command and wait for its answer; progress on the way goes to ``options.tick``.

        After anything but a refusal the worker's state is unknown, so the session ends.
        """
        try:
            self.connection.send(command, **arguments)
            while True:
                message = self.connection.receive(options.timeout_s)
                if "answer" in message:
                    return message
                finished = (message["step"] - opened["lag"]) // opened["interval"]
                if done < finished < arguments["samples"]:
                    done = finished
                    options.tick(done)
        except LavaUnsupportedError:
            raise
        except BaseException:
            self.close()
            raise


@contextmanager
def _exchange(folder: Path) -> Iterator[None]:
    """What goes wrong with the files that pass between us and the worker, as a LavaError that says
    what to do."""
    try:
        yield
    except OSError as error:
        raise LavaError(
            f"the folder {folder}, through which Lava's worker is given its data, cannot be used: "
            f"{error.strerror or error}; free some space there, give {parameter('batch')} a "
            "smaller number, or let TMPDIR name another folder"
        ) from error


def _chunk_size(program: Program, steps: int, options: Options) -> int:
    """Samples whose inputs and results fit into CHUNK_BYTES, at least one."""
    values = sum(part.size * (4 if part.message_bits else 1) for part in program.inputs)
    values += sum(p.size for p in program.populations if p.spiking)
    values += sum(4 * program.nodes[name].size for name in options.potentials)
    return max(1, CHUNK_BYTES // (values * steps))


def _write_inputs(
    folder: Path, program: Program, inputs: Mapping[str, np.ndarray], first: int, size: int
) -> None:
    for number, part in enumerate(program.inputs):
        inputs[part.name][first : first + size].astype(
            "<i4" if part.message_bits else "|u1"
        ).tofile(folder / f"input-{number}.{first // size}")


def _read_chunk(
    folder: Path,
    program: Program,
    inputs: Mapping[str, np.ndarray],
    options: Options,
    first: int,
    end: int,
    size: int,
    steps: int,
) -> Chunk:
    """Read and delete the files of one chunk."""
    spikes = {part.name: inputs[part.name][first:end] for part in program.inputs}
    potentials = {}
    used = [folder / f"input-{number}.{first // size}" for number in range(len(program.inputs))]
    for number, name in enumerate(program.order):
        population = program.nodes[name]
        shape = (end - first, steps, *population.shape)
        if population.spiking:
            used.append(folder / f"spikes-{number}.{first // size}")
            spikes[name] = _read(used[-1], "|u1", shape)
        if name in options.potentials:
            used.append(folder / f"potentials-{number}.{first // size}")
            potentials[name] = _read(used[-1], "<i4", shape)
    for path in used:
        path.unlink()
    return Chunk(spikes, potentials)


def _read(path: Path, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    values = np.fromfile(path, dtype)
    if values.size != np.prod(shape):
        raise LavaWorkerError(
            f"Lava's worker wrote {values.size} values of {path.name}, {np.prod(shape)} were "
            f"expected: the disk is full, or it was killed"
        )
    return values.reshape(shape)
