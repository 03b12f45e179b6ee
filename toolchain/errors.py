"""Errors that the toolchain package raises on purpose, with one base; those of one room stand in
that room."""

from hardware.errors import Error


class ToolchainError(Error):
    """Base of all errors of the toolchain package."""


class LayerError(ToolchainError):
    """A quantisation-aware layer cannot be what it is asked to be: a parameter that the chip's
    number formats cannot hold, a state of the wrong shape, a call in the wrong order."""


class GridError(LayerError):
    """Values that reach a layer are not whole multiples of its grid, so that no integer network
    could compute the same."""


class CurrentRangeError(LayerError):
    """An input current is beyond what the synaptic current of the chip can hold."""


class DataError(ToolchainError):
    """A data set is absent, damaged, or holds values, shapes or types that cannot be used."""


class ConfigError(ToolchainError):
    """A training configuration has an unknown key, or a value that cannot be."""


class CheckpointError(ToolchainError):
    """A file is no checkpoint, is damaged, does not fit its model, or cannot be written."""


class OutputError(ToolchainError):
    """An output exists already and nobody said to replace it, or it cannot be written."""


class ModelError(ToolchainError):
    """What was given as a model is none, or lacks what is asked of it (a PyTorch model, labels, a
    data set)."""
