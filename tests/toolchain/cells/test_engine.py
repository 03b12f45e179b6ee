"""The engine with cells that take no time: order, what is kept, what fails, what cannot be."""

from __future__ import annotations

import pytest

from tests.toolchain.cells.conftest import job
from toolchain.cells.engine import everything
from toolchain.cells.errors import EngineError
from toolchain.cells.store import Store


def calls(folder, value):
    path = folder / "run" / f"called-{value}"
    return len(path.read_text()) if path.exists() else 0


def test_a_finished_cell_is_never_computed_again_and_says_what_made_it(tmp_path, compute):
    cells = [job("double", value=1), job("double", value=2)]
    compute(cells)
    seen = []
    found = compute(
        [*cells, job("double", "three", (cells[0],), value=3)],
        cell=lambda name, done, total, left: seen.append((name, done, total)),
    )
    assert [calls(tmp_path, n) for n in (1, 2, 3)] == [1, 1, 1]
    assert seen == [("", 2, 3), ("three", 3, 3)]
    assert sorted(said["result"]["value"] for said in found.values()) == [2, 4, 6]
    with Store(tmp_path / "run", read_only=True) as store:
        made = store.made(cells[0].key)
    assert made["code"] == cells[0].maker.code.digest
    assert {"python", "spikeport", "numpy"} <= set(made["versions"])
    assert made["seconds"] >= 0
    assert made["when"].endswith("+00:00")


def test_keys_are_of_contents():
    same = job("double", "another label", value=1)
    assert same.key == job("double", value=1).key
    others = [
        job("double", value=2),
        job("fail", value=1),
        job("double", after=(job("double", value=2),), value=1),
    ]
    assert len({same.key, *(other.key for other in others)}) == 4


def test_cells_stand_in_the_order_in_which_they_need_each_other_each_once():
    first = job("double", value=1)
    second = job("double", after=(first,), value=2)
    third = job("double", after=(second, first), value=3)
    assert [
        cell.job["job"]["value"]
        for cell in everything([third, second, first, job("double", value=1)])
    ] == [1, 2, 3]


def test_failures_are_named_and_what_rests_on_them_is_not_run(tmp_path, compute):
    first = job("fail", "the first")
    after = job("double", "behind", (first,), value=5)
    last = job("double", "far behind", (after,), value=6)
    with pytest.raises(
        EngineError,
        match=r"3 cells failed.*the first: ValueError: no such number; behind: what it needs "
        r"failed; far behind: what it",
    ):
        compute([last, after, job("double", value=1)])
    assert [calls(tmp_path, n) for n in (1, 5, 6)] == [1, 0, 0]


def test_what_waits_for_a_cell_that_failed_and_for_one_that_did_not(tmp_path, compute):
    first, second = job("fail", "the first"), job("double", value=1)
    for order in ((first, second), (second, first)):
        with pytest.raises(EngineError, match=r"2 cells failed.*the first: ValueError"):
            compute([job("double", "behind", order, value=9)])
    assert (calls(tmp_path, 1), calls(tmp_path, 9)) == (1, 0)


def test_what_cannot_be_is_kept_with_its_reason_and_so_is_what_rests_on_it(tmp_path, compute):
    first = job("cannot", "colours")
    cells = [job("double", after=(first,), value=5), job("double", value=1)]
    ends = []
    found = compute(
        cells, cell=lambda name, done, total, left: ends.append((done, total, left.unknown))
    )
    assert found[first.key]["reason"] == found[cells[0].key]["reason"] == "numbers have no colour"
    assert ends[-1] == (3, 3, 0)
    compute(cells, cell=lambda name, done, total, left: ends.append(name))
    assert ends[-1] == "", "nothing was computed again"
    # a run that ended before it said so of the second
    with Store(tmp_path / "run") as store:
        store._db.execute("DELETE FROM cells WHERE key = ?", (cells[0].key,))
    assert compute(cells)[cells[0].key]["reason"] == "numbers have no colour"
    assert calls(tmp_path, 5) == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_an_edit_in_the_middle_of_a_run_is_an_error_not_a_result(
    tmp_path, compute, monkeypatch, workers
):
    from toolchain.cells import maker
    from toolchain.cells.plain import cell

    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_cell_of_a_test.py").write_text(
        "from tests.toolchain.cells.jobs import spoils_its_own_source\n"
    )
    maker.of.cache_clear()
    one = cell("own_cell_of_a_test:spoils_its_own_source", {}, "one")
    maker.closure.of.cache_clear()
    with pytest.raises(
        EngineError,
        match=r"one: CodeError: own_cell_of_a_test \(.*\) is not what it was when the cell was "
        r"planned",
    ):
        compute([one], workers=workers)
    monkeypatch.delitem(__import__("sys").modules, "own_cell_of_a_test", raising=False)
