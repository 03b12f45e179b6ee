"""What is left of a run on this machine: processes of its group, shared memory of its token, its
folder."""

from __future__ import annotations

import os
import time
from pathlib import Path


def members(group: int) -> list[int]:
    """Living processes of a process group, the leader first, then in the order in which they were
    started."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                state, _, process_group = (entry / "stat").read_text().rsplit(")", 1)[1].split()[:3]
            except OSError:
                continue
            if int(process_group) == group and state != "Z":
                found.append(int(entry.name))
    return sorted(found)


def segments(token: str) -> list[str]:
    """Shared memory and semaphores with this token in their names."""
    return [name for name in os.listdir("/dev/shm") if token in name]


def left(group: int, token: str, folder: str, patience_s: float = 0.0) -> dict:
    """Everything that is left after ``patience_s`` at most; empty when nothing is."""
    deadline = time.monotonic() + patience_s
    while True:
        found = {
            "processes": members(group),
            "segments": segments(token),
            "folder": [folder] if os.path.exists(folder) else [],
        }
        found = {what: items for what, items in found.items() if items}
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(0.05)
