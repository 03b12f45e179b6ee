"""A kept kernel that cannot be read is compiled anew."""

from __future__ import annotations

import os
import subprocess
import sys

CODE = """
import sys
sys.path.insert(0, {folder!r})
import kept
print(kept.kernel(kept.{name}(3)))
"""
SOURCE = """
from typing import NamedTuple
from hardware.jit import cached

class {name}(NamedTuple):
    value: int

def double(given):
    return given.value * 2

kernel = cached(double)
"""


def run(folder, name):
    return subprocess.run(
        [sys.executable, "-c", CODE.format(folder=str(folder), name=name)],
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_kernel_that_was_kept_with_a_class_of_another_name_is_compiled_anew(tmp_path):
    source = tmp_path / "kept.py"
    source.write_text(SOURCE.format(name="Before"))
    stat = source.stat()
    assert run(tmp_path, "Before").stdout == "6\n"
    assert list(tmp_path.rglob("*.nbi"))
    source.write_text(SOURCE.format(name="Behind"))  # of the same length, at the same time
    os.utime(source, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    after = run(tmp_path, "Behind")
    assert after.stdout == "6\n", after.stderr
