"""Progress is for people at a terminal; a redirected log stays readable."""

from __future__ import annotations

import sys

import pytest
from tqdm import tqdm

from toolchain.cells.estimate import Left
from toolchain.cli import bench, printing


class Eager(tqdm):
    """Draws at once."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **{**options, "delay": 0, "mininterval": 0})


def _work() -> None:
    with printing.progress("running") as update:
        update(1, 2)
        update(2, 2)
    with bench.Bars() as bars:
        bars.cell("", 0, 2, Left(unknown=2))
        bars.inside("digits: pgd", 1, 2)
        bars.cell("digits: pgd", 1, 2, Left(3.0))


@pytest.mark.parametrize("terminal", [False, True])
def test_bars_are_drawn_in_a_terminal_alone(terminal, monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
    for module in (printing, bench):
        monkeypatch.setattr(module, "tqdm", Eager)
    _work()

    drawn = capsys.readouterr().err
    assert ("running" in drawn) is terminal
    assert ("all cells" in drawn) is terminal
    assert terminal or not drawn
