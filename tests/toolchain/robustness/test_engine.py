"""The engine on a small trained network: whole, resumed, with failing cells, with a killed worker,
with a killed client."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from toolchain import training
from toolchain.cells import remote
from toolchain.cells.engine import EngineReport
from toolchain.cells.errors import EngineError
from toolchain.cells.store import Store
from toolchain.robustness import bench, planning, samples, sources, sweep
from toolchain.robustness.cells import CraftJob
from toolchain.robustness.parts import ListedAttack
from toolchain.robustness.plan import Plan, keys

ROOT = Path(__file__).parents[3]
# none of the Adversarial Robustness Toolbox, which every worker would take seconds to import
ATTACKS = [
    {"attack": "noise", "params": {"kind": "uniform", "tries": 2}},
    {
        "attack": "momentum",
        "params": {"steps": 1},
        "estimator": {"name": "training", "params": {}},
    },
    {
        "attack": "apgd_ce",
        "params": {"steps": 5},
        "estimator": {"name": "atan", "params": {"steepness": 2.0}},
    },
    {"attack": "square", "params": {"queries": 10}},
]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A checkpoint of a small network after one short epoch."""
    layers = [{"kind": "dense", "features": 24}, {"kind": "dense", "features": 10}]
    table = {
        "data": {"name": "digits", "steps": 4},
        "model": {"layers": layers},
        "training": {"epochs": 2, "samples": 600},
    }
    config = training.Config.from_table(table)
    path = tmp_path_factory.mktemp("model") / "small.safetensors"
    training.save_checkpoint(path, training.train(config).model, config)
    return path


def described(model, **attacks):
    values = {
        "data": {"samples": 20},
        "models": [{"name": "small", "source": str(model)}],
        "attacks": {"list": ATTACKS, "epsilons": [0.1, 0.3], **attacks},
        "targets": {"names": ["software", "fast"]},
        "run": {"batch": 8},
    }
    return sweep.parse(values, "sweep")


def rows(folder):
    with Store(folder, read_only=True) as store:
        return list(
            store._db.execute("SELECT key, kind, description, arrays FROM cells ORDER BY key")
        )


@pytest.fixture(scope="module")
def undisturbed(model, tmp_path_factory):
    """A finished run."""
    folder = tmp_path_factory.mktemp("undisturbed")
    bench.run(described(model), folder, workers=2)
    return folder


def test_a_run_holds_every_cell_and_software_equals_fast(undisturbed):
    records = bench.records(undisturbed)
    assert len(records) == 2 * (1 + len(ATTACKS) * 2)
    pairs = {}
    for record in records:
        pairs.setdefault((record.description["name"], record.description["epsilon"]), []).append(
            record
        )
    for one, other in pairs.values():
        assert np.array_equal(one.correct, other.correct)
        assert np.array_equal(one.activity["syn_ops"], other.activity["syn_ops"])
        assert np.array_equal(
            one.energy["loihi-davies2018"]["dynamic_j"],
            other.energy["loihi-davies2018"]["dynamic_j"],
        )
    clean = pairs[("clean", 0.0)][0].accuracy
    attacked = next(
        v for (name, epsilon), v in pairs.items() if name.startswith("apgd") and epsilon == 0.3
    )[0].accuracy
    assert attacked < clean


def test_a_finished_run_computes_nothing_again(model, undisturbed, monkeypatch):
    monkeypatch.setattr(bench, "Pool", lambda *a: pytest.fail("a finished run started a cluster"))
    before = rows(undisturbed)
    bench.run(described(model), undisturbed)
    assert rows(undisturbed) == before


def test_a_larger_sweep_computes_only_what_is_new(model, undisturbed, tmp_path):
    import shutil

    shutil.copytree(undisturbed, tmp_path / "run")
    computed = []
    larger = replace(
        described(model), attacks=replace(described(model).attacks, epsilons=(0.1, 0.3, 0.5))
    )
    bench.run(
        larger,
        tmp_path / "run",
        workers=1,
        report=EngineReport(cell=lambda name, done, total, left: computed.append(name)),
    )
    assert len([name for name in computed if name]) == len(ATTACKS) * 3
    assert all("0.5" in name for name in computed if name)


def test_a_failing_cell_is_named_and_costs_no_other(model, tmp_path, monkeypatch):
    # what is wrong in an attack is found when it is read; here it is let through
    monkeypatch.setattr(ListedAttack, "check", lambda self: None)
    values = described(model)
    bad = replace(
        values.attacks,
        list=(
            *values.attacks.list[:1],
            replace(values.attacks.list[2], params={"steps": 5, "nonsense": 1}),
        ),
    )
    with pytest.raises(EngineError, match=r"nonsense.*"):
        bench.run(replace(values, attacks=bad), tmp_path / "run", workers=1)
    names = {r.description["name"] for r in bench.records(tmp_path / "run")}
    assert "clean" in names
    assert any(name.startswith("noise") for name in names)


def test_a_killed_worker_has_its_cells_run_again(model, undisturbed, tmp_path):
    killed = []

    def kill_once(name, done, total, left):
        if done == 3 and not killed:
            # of this process, those that were started last: a worker at work
            killed.append(
                max(
                    int(p)
                    for p in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
                )
            )
            os.kill(killed[0], signal.SIGKILL)

    bench.run(described(model), tmp_path / "run", workers=2, report=EngineReport(cell=kill_once))
    assert killed
    assert rows(tmp_path / "run") == rows(undisturbed)


def test_a_scheduler_that_is_not_there_is_one_clear_error(model, tmp_path, monkeypatch):
    monkeypatch.setattr(remote, "GIVE_UP_S", 0.5)
    nowhere = remote.Scheduler("tcp://127.0.0.1:9", trusted_network=True)
    with pytest.raises(EngineError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9"):
        bench.run(described(model), tmp_path, scheduler=nowhere)


CLIENT = """
import sys
sys.path.insert(0, {root!r})
from toolchain.robustness import bench, sweep
from toolchain.cells.engine import EngineReport
if __name__ == "__main__":
    values = sweep.parse({values!r}, "sweep")
    report = EngineReport(cell=lambda name, done, total, left: print(done, flush=True))
    bench.run(values, {folder!r}, workers=1, report=report)
"""


def test_kill_9_of_the_whole_run_loses_no_finished_cell(model, undisturbed, tmp_path):
    values = {
        "data": {"samples": 20},
        "models": [{"name": "small", "source": str(model)}],
        "attacks": {"list": ATTACKS, "epsilons": [0.1, 0.3]},
        "targets": {"names": ["software", "fast"]},
        "run": {"batch": 8},
    }
    folder = tmp_path / "run"
    script = tmp_path / "client.py"
    script.write_text(CLIENT.format(root=str(ROOT), values=values, folder=str(folder)))
    finished = 0
    for stop_at in (2, 9):
        process = subprocess.Popen(
            [sys.executable, str(script)], stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        for line in process.stdout:
            if int(line) >= stop_at:
                break
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        time.sleep(0.5)
        if _alive(process.pid):
            os.killpg(process.pid, signal.SIGKILL)
        now = len(rows(folder))
        assert now >= max(finished, stop_at)
        finished = now
    bench.run(sweep.parse(values, "sweep"), folder, workers=1)
    assert rows(folder) == rows(undisturbed)


def _alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_plan_names_each_cell_once(model):
    values = described(model)
    files = sources.models(values, Path("."))
    data, _ = samples.load(values, files)
    plan = planning.plan(values, files, data)
    assert isinstance(plan, Plan)
    assert len(set(keys(plan))) == len(list(keys(plan)))
    assert all(isinstance(job, CraftJob) for job in plan.jobs)
