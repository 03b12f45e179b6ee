"""The studies by name; apart from the package itself, which everything that a study computes leads
to."""

from __future__ import annotations

STUDIES: dict[str, str] = {
    "leak": "toolchain.studies.leak:LEAK",
    "steps": "toolchain.studies.steps:STEPS",
    "quantisation": "toolchain.studies.quantisation:QUANTISATION",
    "margin": "toolchain.studies.margin",
    "networks": "toolchain.studies.networks",
}
"""Name of a study -> its module, or module:object."""
