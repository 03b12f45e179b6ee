"""Finds, makes and describes the interpreter in which Lava runs: lava-nc 0.10.0 needs exactly
Python 3.10 and numpy < 2.

In this order: the interpreter that SPIKEPORT_LAVA_PYTHON names; this one, where Lava is installed
in it; the environment that ``setup`` made in SPIKEPORT_LAVA_ENV, or by default in the user's data
folder. lava-dl has an environment of its own (the same folder's name + "-dl"), because it brings
PyTorch and several gigabytes.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

from hardware._text import shortened
from hardware.lava.errors import LavaEnvironmentError

PYTHON = (3, 10)
BEGUN = "spikeport-begun"
"""Stands in a folder from the beginning: what lies beside it may be removed to start anew."""

MARKER = "spikeport-complete.json"
HERE = Path(__file__).parent
WANTED = {False: "lava.proc.lif.process", True: "lava.lib.dl.netx"}
"""Module that must be importable; by whether the environment is lava-dl's."""

PACKAGES = ("lava-nc", "lava-dl", "numpy", "scipy", "h5py", "torch")

CLOSED_MODULES = (
    "lava.utils.loihi2_profiler",
    "lava.magma.compiler.subcompilers.nc.ncproc_compiler",
    "lava.proc.embedded_io",
)
"""What Intel's closed package lava-loihi adds and the chip target needs; the first is the one that
Lava's own ``loihi.is_installed`` looks for."""

NO_LAVA = (
    "there is no Lava here: run `spikeport lava setup`, or let SPIKEPORT_LAVA_PYTHON name a "
    "Python 3.10 with lava-nc 0.10.0"
)
NO_PYTHON = (
    "Lava needs Python 3.10, and none was found as python3.10, with pyenv, uv or conda. Any of "
    "these brings one: "
    "`uv python install 3.10`, `pyenv install 3.10`, `conda create -n lava python=3.10`, or your "
    "system's package python3.10 with venv"
)


def folder(lava_dl: bool = False) -> Path:
    """Where ``setup`` makes the environment."""
    named = os.environ.get("SPIKEPORT_LAVA_ENV")
    if named:
        base = Path(named).expanduser().absolute()
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support" / "spikeport" / "lava"
    else:
        base = (
            Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
            / "spikeport"
            / "lava"
        )
    return base.with_name(base.name + "-dl") if lava_dl else base


def interpreter(lava_dl: bool = False) -> Path:
    """The interpreter for the worker. Raises LavaEnvironmentError, which says how to get one."""
    python = _present(lava_dl)
    if python is None:
        raise LavaEnvironmentError(
            NO_LAVA + (" and lava-dl 0.6.0 (`spikeport lava setup --lava-dl`)" if lava_dl else "")
        )
    return python


def setup(progress: Callable[[str], None] = print, *, lava_dl: bool = False) -> Path:
    """Make the environment where there is none yet, or repair it, and return its interpreter;
    without network where it is complete.

    progress    called with a line of text whenever something happens

    Raises LavaEnvironmentError where no Python 3.10 is found, the folder is in other use, or the
    installation fails.
    """
    python = _present(lava_dl)
    if python == _python(folder(lava_dl)) and (fault := _fault(python, lava_dl)):
        progress(f"{folder(lava_dl)} is damaged ({fault}); it is made anew")
        (folder(lava_dl) / MARKER).unlink(missing_ok=True)
        (folder(lava_dl) / BEGUN).touch()
        python = None

    if python is not None:
        if "lava-nc" not in _versions(python):
            raise LavaEnvironmentError(
                f"SPIKEPORT_LAVA_PYTHON names {python}, which has no lava-nc; install lava-nc "
                f"0.10.0 there, or unset the variable"
            )
        progress(f"Lava runs in {python}")
        return python

    place = folder(lava_dl)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with _locked(place.with_name(place.name + ".lock")):
            if not _complete(lava_dl):
                _make(place, lava_dl, progress)
    except OSError as error:
        raise LavaEnvironmentError(
            f"the environment for Lava cannot be made in {place}: {error}"
        ) from None
    progress(f"Lava runs in {_python(place)}")
    return _python(place)


def status() -> dict[str, Any]:
    """What a doctor wants to know, as plain JSON values.

    lava, lava_dl: {"python": path or null, "versions": {package: version}, "missing": text or null}
    """
    return {key: _state(lava_dl) for key, lava_dl in (("lava", False), ("lava_dl", True))}


def missing() -> str | None:
    """Why Lava cannot run here, and what to do about it; None where it can."""
    text: str | None = _state(False)["missing"]
    return text


def _state(lava_dl: bool) -> dict[str, Any]:
    """One entry of ``status``."""
    try:
        python = interpreter(lava_dl)
    except LavaEnvironmentError as error:
        # where another interpreter is named, the fault is in that name
        named = bool(os.environ.get("SPIKEPORT_LAVA_PYTHON"))
        began = not named and (folder(lava_dl) / BEGUN).exists()
        repair = _repair(_python(folder(lava_dl)), lava_dl)
        half = f"{folder(lava_dl)} was not installed to its end or for this version{repair}"
        return {"python": None, "versions": {}, "missing": half if began else str(error)}

    versions = _versions(python)
    fault = _fault(python, lava_dl) or (None if versions.get("lava-nc") else "it has no lava-nc")
    missing = fault and f"{python} does not work ({fault}){_repair(python, lava_dl)}"
    return {"python": str(python), "versions": versions, "missing": missing}


def _repair(python: Path, lava_dl: bool) -> str:
    """What to do about an interpreter that does not work."""
    if python != _python(folder(lava_dl)):
        return "; install lava-nc 0.10.0 there"
    return f": `spikeport lava setup{' --lava-dl' if lava_dl else ''}` makes it anew"


def _fault(python: Path, lava_dl: bool) -> str | None:
    """Why what the worker imports cannot be imported there, in a line; None where it can."""
    wanted = f"import {WANTED[lava_dl]}, h5py"
    try:
        result = subprocess.run(
            [python, "-E", "-c", wanted], capture_output=True, text=True, timeout=120
        )
    except OSError as error:
        return shortened(str(error), 200)
    except subprocess.TimeoutExpired:
        return None  # a machine that is very busy is no reason to make it anew
    last = result.stderr.strip().splitlines()[-1:] or [f"exit code {result.returncode}"]
    return shortened(last[0], 200) if result.returncode else None


def missing_back_end() -> tuple[str, ...]:
    """The modules of CLOSED_MODULES that the worker's interpreter lacks. Raises
    LavaEnvironmentError where there is no such interpreter."""
    code = (
        "import importlib.util\n"
        "def found(name):\n    try: return importlib.util.find_spec(name)\n    except "
        "ModuleNotFoundError: return None\n"
        f"print(*(name for name in {CLOSED_MODULES!r} if not found(name)))"
    )
    try:
        answer = subprocess.run(
            [interpreter(), "-E", "-c", code],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        return tuple(answer.stdout.split())
    except (OSError, subprocess.SubprocessError):
        return CLOSED_MODULES


def _present(lava_dl: bool) -> Path | None:
    named = os.environ.get("SPIKEPORT_LAVA_PYTHON")
    if named:
        path = Path(shutil.which(named) or named)
        if not path.is_file() or not os.access(path, os.X_OK):
            raise LavaEnvironmentError(
                f"SPIKEPORT_LAVA_PYTHON names {named!r}, which is no program; it must be a Python "
                f"3.10 with lava-nc"
            )
        if not lava_dl or "lava-dl" in _versions(path):
            return path
    elif (
        sys.version_info[:2] == PYTHON
        and _installed("lava-nc")
        and (not lava_dl or _installed("lava-dl"))
    ):
        return Path(sys.executable)
    return _python(folder(lava_dl)) if _complete(lava_dl) else None


def _installed(package: str) -> bool:
    try:
        return bool(metadata.version(package))
    except metadata.PackageNotFoundError:
        return False


def _python(place: Path) -> Path:
    return place / "bin" / "python"


def _requirements(lava_dl: bool) -> Path:
    return HERE / ("requirements-lava-dl.txt" if lava_dl else "requirements-lava.txt")


def _digest(lava_dl: bool) -> str:
    return hashlib.sha256(_requirements(lava_dl).read_bytes()).hexdigest()


def _complete(lava_dl: bool) -> bool:
    """Made to the end, from the requirements of this version."""
    try:
        marker = json.loads((folder(lava_dl) / MARKER).read_text())
    except (OSError, ValueError):
        return False
    return (
        marker.get("requirements_sha256") == _digest(lava_dl) and _python(folder(lava_dl)).exists()
    )


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One set-up at a time; the second waits and finds the first one's work."""
    import fcntl  # not on Windows, where this module must still be importable

    with open(path, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make(place: Path, lava_dl: bool, progress: Callable[[str], None]) -> None:
    base = find_python()
    if place.exists():
        if any(place.iterdir()) and not any((place / name).exists() for name in (BEGUN, MARKER)):
            raise LavaEnvironmentError(
                f"{place} is not empty and was not made by this program; name another folder in "
                f"SPIKEPORT_LAVA_ENV, or empty it"
            )
        shutil.rmtree(place)

    place.mkdir()
    (place / BEGUN).touch()
    progress(f"making an environment with {base} in {place}")
    _run([base, "-m", "venv", place], "the environment cannot be made")

    size = "several gigabytes, with PyTorch" if lava_dl else "about 300 MB"
    progress(f"installing {'lava-dl 0.6.0' if lava_dl else 'lava-nc 0.10.0'} ({size})")
    pip = [
        _python(place),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--requirement",
        _requirements(lava_dl),
    ]
    _run(pip, "the installation failed")
    _run(
        [_python(place), "-E", "-c", f"import {WANTED[lava_dl]}, h5py"],
        "what was installed does not work",
    )

    (place / MARKER).write_text(
        json.dumps(
            {"requirements_sha256": _digest(lava_dl), "versions": _versions(_python(place))},
            indent=1,
        )
    )


def find_python() -> Path:
    """A Python 3.10 that can make environments. Raises LavaEnvironmentError, which says how to get
    one."""
    for candidate in _candidates():
        check = f"import sys, venv, ensurepip; sys.exit(sys.version_info[:2] != {PYTHON})"
        try:
            if (
                subprocess.run(
                    [candidate, "-I", "-c", check], capture_output=True, timeout=60
                ).returncode
                == 0
            ):
                return Path(candidate)
        except (OSError, subprocess.TimeoutExpired):
            continue
    raise LavaEnvironmentError(NO_PYTHON)


def _candidates() -> Iterator[str]:
    if sys.version_info[:2] == PYTHON:
        yield sys.executable

    name = f"python{PYTHON[0]}.{PYTHON[1]}"
    on_path = shutil.which(name)
    if on_path:
        yield on_path

    roots = [os.environ.get("PYENV_ROOT"), _output("pyenv", "root"), os.path.expanduser("~/.pyenv")]
    for root in dict.fromkeys(filter(None, roots)):
        yield from sorted(
            (str(p) for p in Path(root, "versions").glob("3.10*/bin/python")), reverse=True
        )

    from_uv = _output("uv", "python", "find", "3.10")
    if from_uv:
        yield from_uv

    try:
        environments = json.loads(_output("conda", "env", "list", "--json") or "{}").get("envs", [])
    except ValueError:
        environments = []
    for place in environments:
        if Path(place, "bin", name).exists():
            yield str(Path(place, "bin", name))


def _output(*command: str) -> str | None:
    """What a program prints, or None where it is not there or fails."""
    if not shutil.which(command[0]):
        return None
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.strip() if result.returncode == 0 else None


def _versions(python: Path) -> dict[str, str]:
    """Versions of Python and of the packages that matter in another interpreter; empty where it
    does not run."""
    code = (
        "import json, sys\nfrom importlib import metadata\nfound = {'python': "
        "sys.version.split()[0]}\n"
        f"for name in {PACKAGES!r}:\n    try: found[name] = metadata.version(name)\n    except "
        f"metadata.PackageNotFoundError: pass\n"
        "print(json.dumps(found))"
    )
    try:
        versions: dict[str, str] = json.loads(
            subprocess.run(
                [python, "-E", "-c", code], capture_output=True, text=True, timeout=60
            ).stdout
        )
        return versions
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return {}


def _run(command: list[Any], failure: str) -> None:
    """Run a step of the set-up; its output is shown only when it fails."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    result = subprocess.run(
        list(map(str, command)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
    )
    if result.returncode:
        last = "\n".join(f"  | {shortened(line, 300)}" for line in result.stdout.splitlines()[-15:])
        raise LavaEnvironmentError(
            f"{failure} (exit code {result.returncode}): {' '.join(map(str, command))}\n{last}"
        )
