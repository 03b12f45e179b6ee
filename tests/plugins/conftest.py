"""A folder on the path into which distributions are installed."""

from __future__ import annotations

import sys

import pytest

from tests.plugins.distribution import install_examples


@pytest.fixture
def site(tmp_path, monkeypatch):
    """An empty folder on the path; what is imported from it is forgotten afterwards."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    before = set(sys.modules)
    yield folder
    for name in set(sys.modules) - before:
        if str(folder) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.fixture
def examples(site):
    """The same with the package of docs/extending.md."""
    install_examples(site)
    return site
