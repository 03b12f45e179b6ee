"""Every error that the export package raises on purpose, with one base."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hardware.errors import Error

if TYPE_CHECKING:
    from export.audit import Audit


class ExportError(Error):
    """Base of all errors of the export package."""


class GraphFileError(ExportError):
    """A file is not a NIR or .net file, is damaged or unreasonably large, or cannot be written."""


class GraphError(ExportError):
    """A NIR graph contradicts itself: unknown names in edges, shapes that do not fit, NaN or
    infinite values."""


class UnsupportedError(ExportError):
    """Something is well-formed but has no integer counterpart here; the text names the node and
    what it must be."""


class MissingInformationError(ExportError):
    """The graph leaves open what must be known (the time step, for one); the text names the option
    that states it."""


class QuantizationError(ExportError):
    """A number does not fit into its integer format, or is not on the grid that the graph
    states."""


class RefusedError(ExportError):
    """A graph as a whole was refused. ``audit`` tells for every layer whether, and why; ``causes``
    holds the single errors."""

    def __init__(self, message: str, audit: Audit, causes: tuple[ExportError, ...] = ()) -> None:
        super().__init__(message)
        self.audit = audit
        self.causes = causes


class CalibrationError(ExportError):
    """Calibration data has the wrong shape, type or range for the graph's inputs."""


class ModelError(ExportError):
    """A model cannot be made, or its weights cannot be read or do not fit it."""
