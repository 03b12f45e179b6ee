"""The tests that need no Lava on every Python that spikeport is for, as far as it is here:
`make matrix`, or `python tests/matrix.py 3.10 3.12` for some of them.

A Python is found as python3.X on the path, or among pyenv's versions. Each has an environment of
its own, .venv-3.X, from the same pins as `make test`. Exit code 1 where tests fail or an
environment cannot be made, 2 where no Python was found.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VERSIONS = ("3.10", "3.11", "3.12", "3.13")
WITHOUT_LAVA = "not slow and not lava and not lava_dl"


def candidates(version: str) -> Iterator[Path]:
    """Files that may be a Python of this version."""
    if on_path := shutil.which(f"python{version}"):
        yield Path(on_path)
    pyenv = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser()
    yield from sorted(pyenv.glob(f"versions/{version}.*/bin/python"), reverse=True)


def interpreter(version: str) -> Path | None:
    """The first of them that runs, and is of this version; a shim of pyenv may do neither."""
    ask = "import sys; print('%d.%d' % sys.version_info[:2])"
    for path in candidates(version):
        answer = subprocess.run([path, "-c", ask], capture_output=True, text=True)
        if answer.returncode == 0 and answer.stdout.strip() == version:
            return path
    return None


def tested(version: str, python: Path, workers: str) -> str:
    """How the tests went; what they print goes to the terminal."""
    environment = ROOT / f".venv-{version}"
    told = [f"PYTHON={python}", f"VENV={environment}", str(environment / "ready")]
    if subprocess.run(["make", "--no-print-directory", *told], cwd=ROOT).returncode:
        return "no environment could be made"

    pytest = [environment / "bin" / "python", "-m", "pytest", "-q", "-n", workers]
    return (
        "failed" if subprocess.run([*pytest, "-m", WITHOUT_LAVA], cwd=ROOT).returncode else "passed"
    )


def main(versions: list[str]) -> int:
    """Test on each of these versions, and say how it went; the exit code."""
    workers, results = os.environ.get("WORKERS", "2"), {}
    for version in versions or VERSIONS:
        python = interpreter(version)
        print(f"Python {version}: {python or 'not found'}", flush=True)
        results[version] = tested(version, python, workers) if python else "not found"

    print("\n".join(f"Python {version}: {result}" for version, result in results.items()))
    ran = set(results.values()) - {"not found"}
    return 2 if not ran else int(ran != {"passed"})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
