"""What is installed, what each target needs, and what is missing."""

from __future__ import annotations

import platform
import sys
from importlib import metadata
from typing import Any

from hardware.errors import PluginError
from hardware.lava import environment
from toolchain.targets import TARGETS

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


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def examine() -> dict[str, Any]:
    """``{"python", "platform", "packages", "lava", "targets"}`` as plain JSON values.

    packages   [{"name", "version" (None: missing), "for"}]
    lava       what ``hardware.lava.environment.status`` says
    targets    [{"name", "ready", "needs", "missing" (None where ready)}]
    """
    packages = [
        {"name": name, "version": _version(name), "for": purpose}
        for name, purpose in NEEDED.items()
    ]
    lava = environment.status()
    return {
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "packages": packages,
        "lava": lava,
        "targets": [
            *(_registered(name) for name in TARGETS),
            _target(
                "lava-dl cross-checks",
                "Python 3.10 with lava-dl 0.6.0, in an environment of its own",
                lava["lava_dl"]["missing"],
            ),
        ],
    }


def _registered(name: str) -> dict[str, Any]:
    """A target of the registry; one whose plug-in is broken is not ready."""
    try:
        target = TARGETS[name]
    except PluginError as error:
        return _target(name, "another distribution", str(error))
    return _target(name, target.needs, target.missing())


def _target(name: str, needs: str, missing: str | None) -> dict[str, Any]:
    return {"name": name, "ready": missing is None, "needs": needs, "missing": missing}
