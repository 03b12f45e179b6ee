"""Errors of cells."""

from __future__ import annotations

from toolchain.errors import ToolchainError


class EngineError(ToolchainError):
    """Cells failed, or nobody is there to compute them; every finished cell is in the store."""


class CodeError(ToolchainError):
    """Who computes a cell has other sources or packages than the process that planned it: its
    result would have a wrong key."""


class StoreError(ToolchainError):
    """A store is damaged, foreign, full, at work for another run, or holds something else under a
    key."""
