"""Says that kernels are being compiled, which takes long on a machine that has never run them."""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager

from numba.core import event

ABOUT_S = 25
"""Seconds of one free core that the kernels of ``hardware.fast`` take to compile (measured: 22)."""

_LOG = logging.getLogger(__name__)


class _Listener(event.Listener):
    """Logs one line at the first function that is compiled in this process."""

    said = False

    def on_start(self, event: event.Event) -> None:
        if not self.said:
            self.said = True
            _LOG.info(
                "compiling the executor, once for this machine (about %d s, longer where it is "
                "busy)",
                ABOUT_S,
            )

    def on_end(self, event: event.Event) -> None:
        """What is compiled inside another function ends before it; nothing to say."""


_listener = _Listener()


def announced() -> AbstractContextManager[None]:
    """While in it, the first compilation of the process is logged.

    numba raises its event "numba:compile" only where a kernel is not in its cache on disk, so
    nothing is logged where kernels are merely loaded.
    """
    listening: AbstractContextManager[None] = event.install_listener("numba:compile", _listener)
    return listening
