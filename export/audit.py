"""The audit: what became of every parameter on its way into integers, and of everything the graph
leaves open.

Verdicts of a layer:
    faithful      every integer represents its value exactly (to single precision) and nothing was
                  assumed
    approximate   some value was rounded, or something was assumed; the reasons say what
    refused       no integer counterpart; the reasons say why
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from hardware import _tabular

if TYPE_CHECKING:
    import pandas

FAITHFUL, APPROXIMATE, REFUSED = "faithful", "approximate", "refused"
VERDICTS = (FAITHFUL, APPROXIMATE, REFUSED)

AUDITED = (
    "layer",
    "kind",
    "verdict",
    "parameter",
    "count",
    "max_error",
    "rms_error",
    "clipped",
)
"""Columns of the data frame."""

EXACT = 2.0**-22
"""Relative error up to which a value counts as represented exactly: graphs hold single precision,
24 bits."""


@dataclass(frozen=True, eq=False)
class Parameter:
    """One parameter of one layer: what was wanted and what the chip will use.

    values      what the model asks for, float64
    integers    what was chosen, same shape (or broadcastable)
    scale       value of one integer step, broadcastable; represented = integers * scale
    unit        of ``values``: "V", "1/step", "step"
    clipped     number of values that did not fit and were brought to the end of the range (0 unless
                that was allowed)
    """

    name: str
    unit: str
    values: np.ndarray
    integers: np.ndarray
    scale: np.ndarray | float = 1.0
    clipped: int = 0

    @property
    def represented(self) -> np.ndarray:
        """What the integers stand for, float64, in ``unit``."""
        return self.integers * np.asarray(self.scale, np.float64)

    @property
    def relative_error(self) -> np.ndarray:
        """|represented - value| / |value| of each element; 0 where both are zero, infinite where
        only the value is."""
        error = np.abs(self.represented - self.values)
        size = np.abs(self.values) + np.zeros_like(error)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(error == 0, 0.0, error / size)

    @property
    def max_error(self) -> float:
        """Largest |represented - value|, relative to the largest |value|."""
        error = float(np.abs(self.represented - self.values).max(initial=0.0))
        return error / (float(np.abs(self.values).max(initial=0.0)) or 1.0) if error else 0.0

    @property
    def rms_error(self) -> float:
        """Root of the summed squared errors, relative to that of the values."""
        error = float(np.sqrt(np.sum((self.represented - self.values) ** 2)))
        spread = np.broadcast_to(
            self.values, np.broadcast_shapes(self.represented.shape, np.shape(self.values))
        )
        return error / (float(np.sqrt(np.sum(spread**2))) or 1.0) if error else 0.0

    @property
    def exact(self) -> bool:
        """Represented to single precision, nothing clipped."""
        return not self.clipped and self.max_error <= EXACT

    def to_dict(self) -> dict[str, Any]:
        """Summary as plain JSON values; the arrays themselves are attributes."""

        def span(array: np.ndarray | float) -> list[float]:
            array = np.asarray(array)
            return [array.min().item(), array.max().item()] if array.size else []

        worst = float(self.relative_error.max(initial=0.0))
        return {
            "name": self.name,
            "unit": self.unit,
            "count": int(np.asarray(self.integers).size),
            "values": span(self.values),
            "integers": span(self.integers),
            "scale": span(np.asarray(self.scale, np.float64)),
            "max_error": self.max_error,
            "rms_error": self.rms_error,
            "max_relative_error": worst if math.isfinite(worst) else None,
            "clipped": self.clipped,
        }


@dataclass(frozen=True, eq=False)
class LayerAudit:
    """One input, population, projection or output.

    kind         "input", "population", "projection", "output", or the kind of a refused node
    statements   what must be known and where it is known from: "reset" → ("zero", "stated in the
                 graph")
    nodes        the nodes of the graph that went into it
    """

    name: str
    kind: str
    verdict: str
    reasons: tuple[str, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    statements: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    nodes: tuple[str, ...] = ()

    def parameter(self, name: str) -> Parameter:
        """One parameter by name; KeyError names those there are."""
        for parameter in self.parameters:
            if parameter.name == name:
                return parameter
        raise KeyError(
            f"{self.kind} {self.name!r} has no parameter {name!r}; it has "
            f"{', '.join(p.name for p in self.parameters)}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "name": self.name,
            "kind": self.kind,
            "verdict": self.verdict,
            "reasons": list(self.reasons),
            "statements": {
                key: {"value": value, "source": source}
                for key, (value, source) in self.statements.items()
            },
            "nodes": list(self.nodes),
            "parameters": [p.to_dict() for p in self.parameters],
        }


@dataclass(frozen=True, eq=False)
class Audit:
    """The whole way from a graph to a Program.

    source      where the model came from
    dt_s        time step in seconds; None where nothing depends on it
    dt_source   "stated in the graph", "given by the caller", "not needed" ...
    notes       what concerns no single layer
    reading     how what the model leaves open was read, what else it could mean, and who said so
    warnings    what looks like a mistake in the model or in how it is read; commands print them
    """

    source: str
    dt_s: float | None
    dt_source: str
    layers: tuple[LayerAudit, ...]
    notes: tuple[str, ...] = ()
    reading: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def verdict(self) -> str:
        """The worst of the layers' verdicts."""
        return max((layer.verdict for layer in self.layers), key=VERDICTS.index, default=FAITHFUL)

    def layer(self, name: str, kind: str | None = None) -> LayerAudit:
        """One layer by name (and kind, where a projection and a population share the name);
        KeyError where there is none."""
        for layer in self.layers:
            if layer.name == name and kind in (None, layer.kind):
                return layer
        raise KeyError(
            f"no {kind or 'layer'} {name!r}; there are "
            f"{', '.join(layer.name for layer in self.layers)}"
        )

    def __repr__(self) -> str:
        parts = (
            f"{len(self.layers)} parts, {sum(len(x.parameters) for x in self.layers)} parameters"
        )
        return f"Audit({self.verdict}: {parts}, from {self.source})"

    def _repr_html_(self) -> str:
        rows = [list(row.values()) for row in self._rows()]
        head = [name.replace("_", " ") for name in AUDITED]
        reasons = "; ".join(f"{x.name}: {reason}" for x in self.layers for reason in x.reasons)
        return _tabular.html(f"Audit of {self.source}: {self.verdict}", head, rows, reasons)

    def _rows(self) -> list[dict[str, object]]:
        """A row for every parameter, and for a layer without any."""
        return [
            {
                "layer": layer.name,
                "kind": layer.kind,
                "verdict": layer.verdict,
                "parameter": None if parameter is None else parameter.name,
                "count": None if parameter is None else int(np.asarray(parameter.integers).size),
                "max_error": None if parameter is None else parameter.max_error,
                "rms_error": None if parameter is None else parameter.rms_error,
                "clipped": None if parameter is None else parameter.clipped,
            }
            for layer in self.layers
            for parameter in layer.parameters or (None,)
        ]

    def to_frame(self) -> pandas.DataFrame:
        """A data frame with a row for every parameter: its layer, verdict, number of values and
        errors (relative to the largest value, and to the root mean square), and how many were
        clipped.

        Raises:
            MissingPackageError: where pandas is not installed.
        """
        return _tabular.frame(self._rows(), AUDITED)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values: every layer with a summary of every parameter."""
        return {
            "source": self.source,
            "dt_s": self.dt_s,
            "dt_source": self.dt_source,
            "verdict": self.verdict,
            "notes": list(self.notes),
            "reading": list(self.reading),
            "warnings": list(self.warnings),
            "layers": [layer.to_dict() for layer in self.layers],
        }

    def table(self) -> str:
        """The audit as plain text: a line for every parameter, then the reasons and notes."""
        head = (
            "layer",
            "kind",
            "verdict",
            "parameter",
            "values",
            "integers",
            "step",
            "max error",
            "rms error",
            "clipped",
        )

        rows: list[tuple[str, ...]] = []
        for layer in self.layers:
            lead = (layer.name, layer.kind, layer.verdict)
            for parameter in layer.parameters:
                entry = parameter.to_dict()
                rows.append(
                    (
                        *lead,
                        parameter.name,
                        _span(entry["values"], parameter.unit),
                        _span(entry["integers"], ""),
                        _span(entry["scale"], ""),
                        _percent(parameter.max_error),
                        _percent(parameter.rms_error),
                        str(parameter.clipped),
                    )
                )
                lead = ("", "", "")
            if not layer.parameters:
                rows.append((*lead, *[""] * 7))

        widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip()
            for row in [head, tuple("-" * w for w in widths), *rows]
        ]

        lines.append("")
        lines.append(
            f"time step: {'none' if self.dt_s is None else f'{self.dt_s:g} s'} ({self.dt_source})"
        )
        lines += [f"reading: {text}" for text in self.reading]
        for layer in self.layers:
            lines += [
                f"{layer.name}: {key} {value} ({source})"
                for key, (value, source) in layer.statements.items()
            ]
            lines += [f"{layer.name}: {reason}" for reason in layer.reasons]
        lines += list(self.notes)
        lines += [f"warning: {text}" for text in self.warnings]
        lines.append(f"verdict: {self.verdict}")
        return "\n".join(lines)


def _span(pair: list[Any], unit: str) -> str:
    if not pair:
        return "none"
    low, high = (f"{x:.6g}" for x in pair)
    return (low if low == high else f"{low} .. {high}") + (f" {unit}" if unit else "")


def _percent(fraction: float) -> str:
    return "0" if fraction == 0 else f"{100 * fraction:.2g} %"
