"""The site's own parts: docstrings in columns become lists, notebooks and commands become pages."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest

SITE = Path(__file__).resolve().parents[2] / "docs" / "site"


def part(name: str, needs: str):
    """A module of docs/site; the test is skipped where the extra ``docs`` is not installed."""
    pytest.importorskip(needs)
    spec = importlib.util.spec_from_file_location(name, SITE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(SITE))  # as mkdocs does
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(SITE))
    return module


@pytest.fixture(scope="module")
def markdown():
    return part("aligned", "griffe").markdown


def test_columns_become_a_definition_list(markdown):
    columns = "samples    how many\ncounts     counter, summed over\n           the steps"
    docstring = f"What it holds.\n\n{columns}"
    assert markdown(docstring) == (
        "What it holds.\n\n`samples`\n:   how many\n\n`counts`\n:   counter, summed over the steps"
    )


def test_a_list_may_follow_a_sentence_and_hold_one_item(markdown):
    assert markdown("Run it.\ninputs      whole numbers\nRaises it.") == (
        "Run it.\n\n`inputs`\n:   whole numbers\n\nRaises it."
    )


def test_several_names_share_a_line(markdown):
    assert markdown("encoding, steps   how data is encoded").startswith("`encoding`, `steps`\n:   ")


def test_what_markdown_takes_for_markup_is_shown_as_written(markdown):
    assert markdown("x * 2**-k, [step, *shape] and <name>") == (
        "x \\* 2\\*\\*-k, [step, \\*shape] and &lt;name>"
    )
    assert markdown("as ``2**-k`` says") == "as ``2**-k`` says"


def test_code_stays_as_it_is(markdown):
    code = "It runs.\n\n    a  = b * c\n    dd = e ** f"
    assert markdown(code) == code
    prompt = "Example:\n    >>> 2 ** 3\n    8"
    assert markdown(prompt) == prompt.replace("Example:", "Examples:")


def test_sections_keep_their_form(markdown):
    text = "Do it.\n\nArgs:\n    x: int [sample, *shape], times 2**k\n    y: more"
    assert markdown(text) == text.replace("*", "\\*")


def test_arguments_that_share_a_line_are_listed_one_by_one(markdown):
    assert markdown("Args:\n    x, y: where it\n        lies\n    z: more") == (
        "Args:\n    x: where it\n        lies\n    y: where it\n        lies\n    z: more"
    )


def test_a_notebook_becomes_a_page_with_its_outputs(tmp_path):
    hooks = part("hooks", "mkdocs")
    cells = [
        {"cell_type": "markdown", "source": ["# Title\n", "text"]},
        {
            "cell_type": "code",
            "source": ["print(1)"],
            "outputs": [{"output_type": "stream", "name": "stdout", "text": ["1\n"]}],
        },
        {
            "cell_type": "code",
            "source": ["x"],
            "outputs": [{"output_type": "execute_result", "data": {"text/plain": ["2"]}}],
        },
    ]
    (tmp_path / "n.ipynb").write_text(json.dumps({"cells": cells}))
    assert hooks.notebook_page(tmp_path / "n.ipynb") == (
        "# Title\ntext\n\n```python\nprint(1)\n```\n\n```text\n1\n```\n\n```python\nx\n```\n\n"
        "```text\n2\n```\n"
    )


def test_every_command_has_its_section():
    from toolchain.cli import COMMANDS

    page = "\n".join(part("hooks", "mkdocs").command_pages())
    for name in COMMANDS:
        assert f"\n## spikeport {name}\n" in page
    assert "### spikeport lava setup" in page
    assert "| `--force` | Replace output files that exist. |" in page


def test_every_key_of_every_file_says_what_it_means():
    page = "\n\n".join(part("keys", "msgspec").page())
    rows = [line.split(" | ") for line in page.split("\n") if line.startswith("| `")]
    assert len(rows) > 150
    assert [row[0] for row in rows if not row[1].strip() or not row[2].strip()] == []
    for heading in ("## A recipe", "### `[[models]]`", "### `[attacks.list.estimator]`"):
        assert f"\n{heading}\n" in page
    assert "| `lava_samples` |" in page
    assert "| a whole number from 1 | `20` |" in page
