"""Does a Program fit a chip: the estimate of its neurocores and the design rules, in one report."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from hardware import _tabular
from hardware.chip import Chip, StaticPower
from hardware.neurocores import LayerPlacement, place
from hardware.program import Program
from hardware.rules import Violation, violations

if TYPE_CHECKING:
    import pandas

ESTIMATES = (
    "The chip's compiler is not public: cores, axons and synaptic memory are estimates after its "
    "printed reports "
    "(within a fifth of the cores in the published examples).",
    "Each population is given cores of its own; a compiler may pack small ones together.",
    "Cores for input and output adapters and embedded processors are not counted.",
    "The recorded chip shows a membrane potential of 128 instead of 0 in the step of a spike; "
    "spikes are not affected.",
)
"""What a reader of every report should know."""


@dataclass(frozen=True)
class Report:
    """Whether a Program fits a chip, and why not.

    program     fingerprint of the Program
    layers      every population on its cores, in the Program's order
    violations  what the design rules found, in their order
    allow_microcode  whether neuron programs of one's own count as fitting
    """

    program: str
    chip: Chip
    layers: tuple[LayerPlacement, ...]
    violations: tuple[Violation, ...]
    allow_microcode: bool = False

    @property
    def broken(self) -> tuple[Violation, ...]:
        """Violations that keep the Program off the chip."""
        counted = ("broken",) if self.allow_microcode else ("broken", "microcode")
        return tuple(v for v in self.violations if v.severity in counted)

    @property
    def fits(self) -> bool:
        """No rule keeps the Program off the chip."""
        return not self.broken

    @property
    def cores(self) -> int:
        """Neurocores of all populations."""
        return sum(layer.cores for layer in self.layers)

    @property
    def chips(self) -> int:
        """Chips that have so many neurocores."""
        return -(-self.cores // self.chip["cores_per_chip"])

    @property
    def static_power(self) -> StaticPower:
        """Of all its chips."""
        return self.chip.static_power.of(self.chips)

    def __repr__(self) -> str:
        verdict = "fits" if self.fits else f"does not fit, {len(self.broken)} broken rules"
        return f"Report({self.chip.title}: {verdict}, {self.cores} neurocores)"

    def _repr_html_(self) -> str:
        head = ("layer", "neurons", "neurocores", "limited by", "used", "maximum", "percent")
        rows = [[row[name.replace(" ", "_")] for name in head] for row in self._rows()]
        verdict = f"fits {self.chip.title}" if self.fits else f"DOES NOT FIT {self.chip.title}"
        broken = "; ".join(f"{v.rule}: {v.where}: {v.message}" for v in self.broken)
        title = f"{verdict}: {self.cores} of {self.chip['cores_per_chip']} neurocores"
        return _tabular.html(title, head, rows, broken)

    def _rows(self) -> list[dict[str, object]]:
        """A row for each layer, with the resource that limits it."""
        rows = []
        for layer in self.layers:
            use = layer.uses[layer.binding]
            rows.append(
                {
                    "layer": layer.population,
                    "neurons": layer.neurons,
                    "neurocores": layer.cores,
                    "limited_by": layer.binding.replace("_", " "),
                    "used": use.used,
                    "maximum": use.maximum,
                    "percent": use.percent,
                }
            )
        return rows

    def to_frame(self) -> pandas.DataFrame:
        """A data frame with a row for each layer: neurons, neurocores, and how much of the resource
        that limits it is used on its fullest core.

        Raises:
            MissingPackageError: where pandas is not installed.
        """
        return _tabular.frame(self._rows())

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values: verdict, layers with used, maximum and percent of every resource,
        violations, limits with sources."""
        return {
            "program": self.program,
            "chip": {
                "name": self.chip.name,
                "title": self.chip.title,
                "generation": self.chip.generation,
                "stepping": self.chip.stepping,
            },
            "fits": self.fits,
            "allow_microcode": self.allow_microcode,
            "cores": self.cores,
            "cores_per_chip": self.chip["cores_per_chip"],
            "chips": self.chips,
            "static_power_mw": asdict(self.static_power),
            "layers": [
                {
                    "population": layer.population,
                    "neurons": layer.neurons,
                    "cores": layer.cores,
                    "binding": layer.binding,
                    "fits": layer.fits,
                    "resources": {
                        name: asdict(use) | {"percent": use.percent}
                        for name, use in layer.uses.items()
                    },
                }
                for layer in self.layers
            ],
            "violations": [asdict(violation) for violation in self.violations],
            "estimates": list(ESTIMATES),
            "limits": {name: asdict(limit) for name, limit in self.chip.limits.items()},
        }


def check(program: Program, chip: Chip, *, allow_microcode: bool = False) -> Report:
    """Place a Program on a chip and run every design rule over it.

    allow_microcode: what needs a neuron program of one's own (reset by subtraction, a refractory
    period on Loihi 2) fits.
    """
    layers = place(program, chip)
    return Report(
        program.fingerprint, chip, layers, violations(program, chip, layers), allow_microcode
    )
