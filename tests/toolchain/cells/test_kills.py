"""kill -9 of the whole command at random moments, again and again: nothing finished is lost or
computed twice, and what comes out is what an undisturbed run gives. The long form: make
test-kill."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from toolchain.cells.store import NAME

ROOT = Path(__file__).parents[3]

KILLS = int(os.environ.get("SPIKEPORT_KILLS", "6"))
"""Of the whole command, all forms together."""

RECIPE = """
[data]
encoding = "poisson_signed"
steps = 2
[model]
layers = [{ kind = "dense", features = 8 }, { kind = "dense", features = 10 }]
[training]
epochs = 1
samples = 64
"""

SWEEP = """
[data]
samples = 6
[[models]]
name = "small"
recipe = "recipe.toml"
seeds = [0, 1]
[attacks]
epsilons = [0.1]
list = [
    { attack = "fgsm", estimator = { name = "training", params = {} } },
    { attack = "square", params = { queries = 3 } },
]
[targets]
names = ["software", "fast"]
"""

STUDY = """
values = [1.0, 0.5]
seeds = [0]
[[networks]]
name = "a"
recipe = "recipe.toml"
[attack]
samples = 4
naive_steps = 1
steps = 1
eot = 1
queries = 2
draws = 1
"""

FORMS = {"bench": ["bench", "sweep.toml"], "study": ["study", "leak", "study.toml"]}

ENGINE = """
import sys
sys.path.insert(0, {root!r})
from tests.toolchain.cells.conftest import job
from tests.toolchain.cells.watched import watch
from toolchain.cells import engine
from toolchain.cells.pool import Pool
from toolchain.cells.store import Store
watch(sys.argv[1])
first = [job("double", value=n) for n in range(20)]
with Store(sys.argv[2]) as store:
    later = [job("double", after=(c,), value=100 + n) for n, c in enumerate(first)]
    engine.run(later, store, lambda n, *given: Pool(2, *given))
"""


@pytest.fixture
def files(tmp_path):
    for name, text in (("recipe", RECIPE), ("sweep", SWEEP), ("study", STUDY)):
        (tmp_path / f"{name}.toml").write_text(text)
    return tmp_path


def start(files: Path, folder: Path, form: str) -> subprocess.Popen:
    """The command in a folder."""
    log = str(folder) + ".log"
    if form == "engine":
        command = ["-c", ENGINE.format(root=str(ROOT)), log, str(folder)]
    else:
        command = [
            "-m",
            "tests.toolchain.cells.watched",
            log,
            *FORMS[form],
            "-o",
            str(folder),
            "--workers",
            "2",
        ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, *command],
        cwd=files,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def ended(process: subprocess.Popen) -> None:
    _, said = process.communicate()
    assert process.returncode == 0, said.decode()


def content(folder: Path) -> dict:
    """All that a run leaves, but for when and by whom it was made."""
    with sqlite3.connect(f"file:{folder / NAME}?mode=ro", uri=True) as db:
        rows = list(db.execute("SELECT key, kind, description, arrays FROM cells ORDER BY key"))
    tables = {
        path.name: path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.suffix in (".csv", ".safetensors")
    }
    return {"rows": rows, "tables": tables}


def check(folder: Path, undisturbed: dict) -> None:
    lines = [line.split() for line in Path(f"{folder}.log").read_text().splitlines()]
    assert {word for _, word in lines} == {"once"}
    assert content(folder) == undisturbed


def kill_often(files: Path, form: str, kills: int, seed: int = 0) -> None:
    """So many kills, in as many runs as that takes; the last is let finish."""
    started = time.monotonic()
    ended(start(files, files / "undisturbed", form))
    took = time.monotonic() - started
    expected = content(files / "undisturbed")
    assert expected["rows"]
    rng, run = random.Random(seed), 0
    while kills:
        folder = files / f"run-{run}"
        process = start(files, folder, form)
        try:
            process.wait(rng.uniform(0.1, 1.1) * took)
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            process.communicate()
            kills -= 1
            continue
        ended(process)
        check(folder, expected)
        run += 1
    ended(start(files, files / f"run-{run}", form))
    check(files / f"run-{run}", expected)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["engine", *FORMS])
def test_kills(files, form):
    kill_often(files, form, -(-KILLS // 3))
