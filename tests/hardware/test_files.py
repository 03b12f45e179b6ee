"""Plain files: regular ones within a bound, and nothing else. Full disks:
tests/end_to_end/test_disk.py."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path

import pytest

from hardware import _files
from hardware.errors import HardwareError

posix = pytest.mark.skipif(os.name != "posix", reason="POSIX files")


class WrongFileError(HardwareError):
    """Of these tests alone."""


@posix
def test_a_folder_without_permission_is_a_typed_error(tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    tmp_path.chmod(0o500)
    with pytest.raises(WrongFileError, match="cannot be written: Permission denied"):
        _files.write_bytes(tmp_path / "x", b"1", WrongFileError)


@posix
def test_a_device_is_not_replaced_by_a_file():
    """With --force, and as root, /dev/null would become a file."""
    with pytest.raises(
        WrongFileError, match="/dev/null: is a device; the name of a regular file must be given"
    ):
        _files.write_bytes("/dev/null", b"1", WrongFileError)
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


@posix
@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("fifo", "is a FIFO"),
        ("device", "is a device"),
        ("folder", "is a folder"),
        ("none", "no such file"),
    ],
)
def test_what_is_no_regular_file_is_refused_at_once(tmp_path, kind, words):
    path = {
        "fifo": tmp_path / "fifo",
        "device": Path("/dev/zero"),
        "folder": tmp_path,
        "none": tmp_path / "none",
    }[kind]
    if kind == "fifo":
        os.mkfifo(path)
    started = time.monotonic()
    with pytest.raises(WrongFileError, match=words):
        _files.read_bytes(path, WrongFileError, 100)
    assert time.monotonic() - started < 1


def test_the_bound_is_checked_before_anything_is_read(tmp_path):
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(
        WrongFileError, match=r"has 1,099,511,627,776 bytes; a file must have at most 1,000"
    ):
        _files.read_bytes(path, WrongFileError, 1000)


def test_exactly_the_bound_may_be_read(tmp_path):
    (tmp_path / "x").write_bytes(b"12345")
    assert _files.read_bytes(tmp_path / "x", WrongFileError, 5) == b"12345"
    with pytest.raises(WrongFileError):
        _files.read_bytes(tmp_path / "x", WrongFileError, 4)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="files that state no size")
def test_files_that_state_no_size_are_bounded_too():
    assert _files.read_bytes("/proc/self/stat", WrongFileError, 10_000).startswith(
        str(os.getpid()).encode()
    )
    with pytest.raises(WrongFileError, match="has more than 10 bytes"):
        _files.read_bytes("/proc/self/stat", WrongFileError, 10)


def test_text_that_is_not_utf8(tmp_path):
    (tmp_path / "x").write_bytes(b"ab\xff")
    with pytest.raises(WrongFileError, match="is not UTF-8 text: invalid start byte at byte 2"):
        _files.read_text(tmp_path / "x", WrongFileError, 100)
