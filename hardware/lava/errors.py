"""What can go wrong on the Lava target; every one is a TargetError."""

from hardware.errors import TargetError, UnsupportedError


class LavaError(TargetError):
    """Base of the errors of the Lava target."""


class LavaEnvironmentError(LavaError):
    """There is no interpreter with Lava, or it cannot be made; the text says how to get one."""


class LavaUnsupportedError(LavaError, UnsupportedError):
    """Lava (or the chip's back-end) cannot hold this Program; the text names the part and the
    limit."""


class LavaWorkerError(LavaError):
    """The worker failed, died or did not answer in time; the text ends with the last lines that it
    wrote."""


class LavaTimeoutError(LavaWorkerError):
    """The worker made no progress within ``timeout_s``."""
