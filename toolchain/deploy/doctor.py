"""What is installed, what each target needs, and what is missing."""

from __future__ import annotations

import platform
import sys
from importlib import metadata

from hardware.lava import environment

NEEDED = {
    "numpy": "everything",
    "h5py": "Program, Recording and NIR files",
    "nir": "NIR graphs",
    "numba": "target fast",
    "torch": "training, export from PyTorch, target software",
    "snntorch": "snnTorch models",
    "safetensors": "checkpoints",
    "scikit-learn": "the digits data set, demo",
}
"""Package → what it is for."""

FIX = "pip install --upgrade spikeport"
CHIP = (
    "Intel's closed package lava-loihi (for members of the Intel Neuromorphic Research Community) "
    "and a Loihi 2 system"
)


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def examine() -> dict:
    """``{"python", "platform", "packages", "lava", "targets"}`` as plain JSON values.

    packages   [{"name", "version" (None: missing), "for"}]
    lava       what ``hardware.lava.environment.status`` says
    targets    [{"name", "ready", "needs", "missing" (None where ready)}]
    """
    packages = [
        {"name": name, "version": _version(name), "for": purpose}
        for name, purpose in NEEDED.items()
    ]
    present = {p["name"] for p in packages if p["version"]}
    lava = environment.status()

    def target(name: str, needs: str, missing: str | None) -> dict:
        return {"name": name, "ready": missing is None, "needs": needs, "missing": missing}

    def wants(*names: str) -> str | None:
        absent = [n for n in names if n not in present]
        return f"{', '.join(absent)}: {FIX}" if absent else None

    no_lava = lava["lava"]["missing"]
    absent = () if no_lava else environment.missing_back_end()
    no_chip = no_lava or (
        f"{CHIP}; the Lava environment lacks {', '.join(absent)}" if absent else None
    )
    return {
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "packages": packages,
        "lava": lava,
        "targets": [
            target("software", "PyTorch and a model in it", wants("torch")),
            target("reference", "numpy", wants("numpy")),
            target("fast", "numpy, numba", wants("numpy", "numba")),
            target(
                "lava", "Python 3.10 with lava-nc 0.10.0, in an environment of its own", no_lava
            ),
            target("loihi2", "the same with lava-loihi, and a chip", no_chip),
            target(
                "lava-dl cross-checks",
                "Python 3.10 with lava-dl 0.6.0, in an environment of its own",
                lava["lava_dl"]["missing"],
            ),
        ],
    }
