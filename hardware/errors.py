"""Every error that the hardware package raises on purpose, and the base of those of all three
packages, so that a caller can catch them all."""


class Error(Exception):
    """Base of every error that spikeport raises on purpose, in ``hardware``, ``export`` and
    ``toolchain``. Its text names what is wrong, where, and what must be given."""


class HardwareError(Error):
    """Base of all errors of the hardware package."""


class ProgramError(HardwareError):
    """A Program breaks a rule of its own format: the text names the population or projection and
    the limit."""


class KindError(ProgramError, AttributeError):
    """A population is asked for something that its neuron kind does not have."""


class ProgramFileError(HardwareError):
    """A file is not a Program or Recording file, is damaged, or cannot be written."""


class InputError(HardwareError):
    """Input data has the wrong shape, type or range for the Program."""


class ChipError(HardwareError):
    """A chip is unknown, or its table is malformed."""


class TargetError(HardwareError):
    """A target is unknown, cannot run here, or failed while it ran."""


class UnsupportedError(TargetError):
    """A target does not know something that a Program holds: the text names both."""


class PluginError(HardwareError):
    """A distribution adds an entry by an entry point, and the entry cannot be used: the text names
    the distribution."""


class DeviceError(HardwareError):
    """An energy table is unknown or malformed, or does not go with what is asked of it."""


class MissingPackageError(HardwareError):
    """Something needs a package that is optional and not installed; the text says how to get it."""
