"""A run of a target that is not installed here: a report says so, in one line."""

from __future__ import annotations

import pytest

from hardware.errors import TargetError
from tests.toolchain.report import synthetic
from toolchain.cli import run
from toolchain.pages import formats, marks


def test_a_report_of_an_unknown_target_is_refused_by_name(tmp_path, capsys):
    few = {"models": synthetic.MODELS[:1], "epsilons": (0.1,), "seeds": (0,)}
    folder = synthetic.write_run(tmp_path / "run", **few, targets={"software": 8, "abacus": 8})
    assert run(["report", str(folder), "-o", str(tmp_path / "report.html")]) == 2
    said = capsys.readouterr().err
    assert "there is no target 'abacus'; there are software, reference, fast, lava, loihi2" in said
    assert said.count("\n") == 1
    assert not (tmp_path / "report.html").exists()


def test_names_and_marks_of_an_unknown_target_are_typed_errors():
    for look_up in (lambda: formats.TARGET_NAMES["abacus"], lambda: marks.shape("abacus", 1, 2)):
        with pytest.raises(TargetError, match="no target 'abacus'"):
            look_up()
    assert formats.TARGET_NAMES["lava"] == "Lava"
    assert marks.shape("lava", 1, 2).startswith('<path d="M1 2m0-10.5')
