"""Delay nodes: seconds become steps, and a delay that is the same for all elements moves out of the
chain into the projection."""

from __future__ import annotations

import nir
import numpy as np

from export.errors import MissingInformationError, UnsupportedError
from export.operators import Operator, Wait
from export.shapes import Shape
from hardware.parameters import parameter
from hardware.program import Projection


def of_node(name: str, node: nir.Delay, shape: Shape, dt_s: float | None) -> Wait:
    """The delay in whole steps. Raises where dt is unknown, a delay is no whole number of steps, or
    longer than the chip's."""
    delay = np.broadcast_to(np.asarray(node.delay, np.float64), shape)
    if not delay.any():
        return Wait(shape, shape, np.zeros(shape, np.int64))
    if dt_s is None:
        raise MissingInformationError(
            f"node {name!r} (Delay) is in seconds and the graph does not state the time step: say "
            f"it with {parameter('dt')}"
        )

    steps = np.round(delay / dt_s)
    # graphs hold single precision; a delay that is whole to within that is meant to be whole
    off = np.abs(delay / dt_s - steps) > 1e-4 + 1e-6 * steps
    if np.any(off):
        worst = float(delay[off].ravel()[0])
        raise UnsupportedError(
            f"node {name!r} (Delay): {worst:g} s is {worst / dt_s:g} steps of {dt_s:g} s; it must "
            f"be whole steps"
        )
    if steps.max() > Projection.MAX_DELAY:
        raise UnsupportedError(
            f"node {name!r} (Delay): {int(steps.max())} steps; it must be at most "
            f"{Projection.MAX_DELAY}"
        )
    return Wait(shape, shape, steps.astype(np.int64))


def take_out(chain: list[Operator]) -> tuple[list[Operator], int]:
    """The chain without the delays that are the same for all elements, and their sum in steps.

    Delays that differ between elements stay in the chain. Raises UnsupportedError where the sum is
    longer than the chip's.
    """
    uniform = [o for o in chain if isinstance(o, Wait) and o.steps.min() == o.steps.max()]
    steps = sum(int(o.steps.flat[0]) for o in uniform)
    if steps > Projection.MAX_DELAY:
        raise UnsupportedError(
            f"delays in a row add up to {steps} steps; they must be at most {Projection.MAX_DELAY}"
        )
    return [o for o in chain if o not in uniform], steps
