"""A reset to another potential than zero: the potential is counted from the reset potential, where
that is exact."""

from __future__ import annotations

import numpy as np

from export.errors import UnsupportedError


def shifted(
    where: str, v_reset: np.ndarray, v_leak: np.ndarray | None, threshold: np.ndarray, reset: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(threshold, v_leak, offset) of the same neuron with its potential counted from ``v_reset``;
    volts.

    The chip starts every sample at zero, which then stands for ``v_reset``: the same neuron where
    its sample starts there, as one at rest (v_leak = v_reset) does. Raises UnsupportedError
    otherwise.
    """
    leak = np.zeros_like(threshold) if v_leak is None else v_leak
    if not np.any(v_reset):
        return threshold, leak, np.zeros(())
    if reset != "zero":
        raise UnsupportedError(
            f"{where}: v_reset is {_span(v_reset)} with reset {reset!r}; it must be 0, because "
            f"that reset does not use it"
        )
    if v_leak is None or not np.array_equal(v_leak, v_reset):
        has = "there is no leak" if v_leak is None else f"v_leak is {_span(v_leak)}"
        raise UnsupportedError(
            f"{where}: v_reset is {_span(v_reset)} and {has}; v_reset must be 0, or "
            f"equal to v_leak, because a sample "
            "starts at the potential to which the chip resets"
        )
    return threshold - v_reset, leak - v_reset, v_reset


def _span(values: np.ndarray) -> str:
    low, high = float(values.min()), float(values.max())
    return f"{low:g} V" if low == high else f"{low:g} to {high:g} V"
