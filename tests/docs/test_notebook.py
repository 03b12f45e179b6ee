"""The tutorial notebook runs from its first cell to its last."""

from __future__ import annotations

import contextlib
import io
import json
import warnings
from pathlib import Path

NOTEBOOK = (
    Path(__file__).resolve().parents[2] / "examples" / "notebooks" / "snntorch_to_loihi2.ipynb"
)


def test_the_notebook_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "__main__"}
    printed = io.StringIO()
    with warnings.catch_warnings(), contextlib.redirect_stdout(printed):
        warnings.simplefilter("ignore", UserWarning)  # of snnTorch
        for number, cell in enumerate(json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]):
            if cell["cell_type"] == "code":
                exec(compile("".join(cell["source"]), f"cell {number}", "exec"), names)

    accuracies = names["assessment"].accuracies
    assert accuracies["software"]["share"] > 0.9
    assert accuracies["fast"]["share"] > 0.85
    assert names["report"].fits
    assert printed.getvalue().rstrip().endswith("identical")


def test_it_was_saved_with_what_it_prints():
    """The site shows the outputs that the file holds."""
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    (last,) = [cell for cell in cells if "identical" in "".join(cell["source"])]
    assert "".join(last["outputs"][0]["text"]) == "identical\n"
