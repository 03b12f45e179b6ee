"""Every code block of the tutorials runs, and prints what its page says."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from tests.docs import pages

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    "index.md",
    "tutorials/nir-from-elsewhere.md",
    pytest.param("tutorials/attack-and-defend.md", marks=pytest.mark.slow),  # a minute of one core
]


@pytest.mark.parametrize("name", PAGES)
def test_a_page_does_what_it_says(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of the packages that a page shows
        pages.execute(ROOT / "docs" / name)


def test_a_page_that_lies_is_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = tmp_path / "page.md"
    page.write_text("```console\n$ spikeport --version\nspikeport 99\n```\n")
    with pytest.raises(AssertionError, match="does not print"):
        pages.execute(page)
    page.write_text("```console\n$ spikeport bogus\n```\n")
    with pytest.raises(AssertionError, match="bogus"):
        pages.execute(page)
    page.write_text("```python\nprint(1 + 1)\n```\n\n```text\n3\n```\n")
    with pytest.raises(AssertionError, match="does not print\n3"):
        pages.execute(page)
