"""Reading a run's folder: what is refused, by name."""

import numpy as np
import pytest

from hardware import program_file
from hardware.errors import ProgramFileError
from tests.toolchain.report import synthetic
from toolchain.cells.errors import StoreError
from toolchain.cells.store import Store, program_path
from toolchain.report.gather import gather
from toolchain.report.run import ReportError, load

FEW = {
    "models": synthetic.MODELS[:1],
    "targets": {"software": 6, "fast": 6},
    "epsilons": (0.1,),
    "seeds": (0,),
}


@pytest.fixture
def folder(tmp_path):
    return synthetic.write_run(tmp_path / "run", **FEW)


def test_a_run_is_read_whole(folder):
    run = load(folder)
    assert len(run.records) == 2 * (1 + len(synthetic.ATTACKS))
    assert set(run.programs) == {synthetic.MODELS[0].program.fingerprint}
    assert run.about["cells"] == {"planned": 21, "stored": 21}
    assert run.about["command"] == "spikeport bench digits-quick.toml -o run"


def test_cells_of_an_older_sweep_are_left_out(folder):
    with Store(folder) as store:
        keys = store.recall("keys")
        names = {key: said["name"] for key, said in store.cells("scored")}
        store.remember("keys", [key for key in keys if names.get(key) != "square 200"])
    assert "square 200" not in {r.description["name"] for r in load(folder).records}


def test_an_unfinished_run_says_how_much_is_missing(tmp_path):
    facts, _ = gather(load(synthetic.write_run(tmp_path / "run", **FEW, unfinished=3)))
    assert facts.unfinished == 3


def test_nothing_there_and_nothing_finished(tmp_path):
    with pytest.raises(StoreError, match="there is no run here"):
        load(tmp_path)
    with Store(tmp_path) as store:
        store.remember("keys", ["a"])
    with pytest.raises(ReportError, match="has not finished one yet"):
        load(tmp_path)


def test_a_program_that_is_missing_other_or_damaged(folder):
    path = program_path(folder, synthetic.MODELS[0].program.fingerprint)
    program_file.save(synthetic.program(3), path, force=True)
    with pytest.raises(ReportError, match="holds Program"):
        load(folder)
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(ProgramFileError):
        load(folder)
    path.unlink()
    with pytest.raises(ReportError, match="is missing"):
        load(folder)


def _change(folder, change):
    """Alters the description or the arrays of one scored cell, as another version could have
    written it."""
    with Store(folder) as store:
        key, _ = next(store.cells("scored"))
        said, arrays = store.get(key)
        change(said, arrays)
        store.put(key, "scored", said, arrays, replace=True)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda said, arrays: said.pop("crafted"), "crafted"),
        (lambda said, arrays: said.update(steps="8"), "steps"),
        (lambda said, arrays: said.update(seed=True), "seed"),
        (lambda said, arrays: said.update(epsilon=None), "epsilon"),
        (
            lambda said, arrays: said.update(spikes_per_inference={"other": 1}),
            "spikes_per_inference",
        ),
        (lambda said, arrays: arrays.pop("prediction"), "prediction"),
        (lambda said, arrays: arrays.pop("index"), "index"),
        (lambda said, arrays: arrays.update(margin=np.zeros(3)), "margin"),
        (lambda said, arrays: arrays.update({"activity.syn_ops": np.zeros((6, 1))}), "syn_ops"),
        (
            lambda said, arrays: arrays.update({"energy.loihi-sanafe.dynamic_j": np.zeros(2)}),
            "loihi-sanafe",
        ),
        (lambda said, arrays: arrays.update(detector=np.zeros(3)), "detector"),
        (
            lambda said, arrays: said.update(time_limit={"loihi-davies2018": {"term": "links"}}),
            "step_s",
        ),
        (lambda said, arrays: said["time_limit"]["loihi-sanafe"].update(layer=3), "time_limit"),
        (
            lambda said, arrays: said.update(
                near_threshold={"within": 0.3, "share": "most", "layers": {}}
            ),
            "near_threshold",
        ),
        (lambda said, arrays: said.update(near_threshold={"within": 0.3}), "share"),
        (
            lambda said, arrays: [arrays.pop(n) for n in list(arrays) if n.endswith("time_s")],
            "spiking device",
        ),
    ],
)
def test_a_record_of_another_form_is_refused_by_name(folder, change, words):
    _change(folder, change)
    with pytest.raises(ReportError, match=rf"no record of this version.*{words}"):
        load(folder)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sweep", [1]),
        ("sweep", {"data": 3}),
        ("models", [5]),
        ("models", [{"source": "x"}]),
        ("command", {}),
        ("energy", {"not_covered": [1]}),
        ("energy", {"measured_text": 1}),
        ("energy", {"measured": [{"task": "t"}]}),
        ("energy", {"tasks": [synthetic.energy_tables()["tasks"][0] | {"total_mj": "1.66"}]}),
        ("energy", {"tasks": [synthetic.energy_tables()["tasks"][0] | {"source": None}]}),
        ("energy", {"tasks": [synthetic.energy_tables()["tasks"][0] | {"static_share": "most"}]}),
        ("energy", {"devices": [{"title": "t", "constants": {"a": {"value": 1.0}}}]}),
    ],
)
def test_what_a_run_says_about_itself_is_checked(folder, name, value):
    with Store(folder) as store:
        store.remember(name, value)
    with pytest.raises(ReportError, match=f"about its {name}"):
        load(folder)
