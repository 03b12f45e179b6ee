"""Outputs are claimed before the work, and written whole or not at all."""

from __future__ import annotations

import os

import pytest

from toolchain import files
from toolchain.errors import OutputError


def test_claim_refuses_what_exists_and_leaves_it_alone(tmp_path):
    old = tmp_path / "old.json"
    old.write_text("kept")
    with pytest.raises(OutputError, match="exists already"):
        files.claim([tmp_path / "new.json", old])
    files.claim([old, None], force=True)
    assert old.read_text() == "kept"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["old.json"]


def test_claim_refuses_a_dangling_link(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(OutputError, match="exists already"):
        files.claim([tmp_path / "link"])


def test_claim_refuses_folders_missing_folders_and_twins(tmp_path):
    with pytest.raises(OutputError, match="is a folder"):
        files.claim([tmp_path], force=True)
    with pytest.raises(OutputError, match="does not exist"):
        files.claim([tmp_path / "absent" / "x"])
    with pytest.raises(OutputError, match="same name"):
        files.claim([tmp_path / "x", tmp_path / "." / "x"])


@pytest.mark.skipif(os.name != "posix", reason="POSIX device file")
def test_claim_refuses_a_folder_that_cannot_be_written():
    with pytest.raises(OutputError, match=r"cannot be written|does not exist"):
        files.claim(["/proc/spikeport.json"])


def test_failed_write_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "x.json"
    path.write_text("old")

    def broken(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", broken)
    with pytest.raises(OutputError, match="No space left"):
        files.write_json(path, {"a": 1}, force=True)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]


def test_json_refuses_nan(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        files.write_json(tmp_path / "x.json", {"a": float("nan")})
    assert not list(tmp_path.iterdir())


def test_folder_is_made_and_its_files_are_claimed(tmp_path):
    folder = files.claim_folder(tmp_path / "a" / "b", ["index.html"])
    (folder / "index.html").write_text("old")
    with pytest.raises(OutputError, match="exists already"):
        files.claim_folder(folder, ["index.html"])
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be made"):
        files.claim_folder(tmp_path / "file" / "sub", [])
