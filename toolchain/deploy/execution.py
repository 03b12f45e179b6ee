"""Runs a model on any target: the integer ones run its Program, "software" its PyTorch model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

import hardware
from hardware.chunks import Progress
from hardware.program import Program
from hardware.recording import Record, Recording
from hardware.targets import check_kinds
from toolchain.deploy.stage import Stage
from toolchain.targets import SOFTWARE, TARGETS

__all__ = ["TARGETS", "check_targets", "execute"]


def check_targets(stage: Stage, targets: Sequence[str]) -> None:
    """Refuse before any work what cannot run: unknown targets, and software without a PyTorch
    model. Raises TargetError, PluginError, ModelError."""
    for target in targets:
        _ = TARGETS[target]
    if "software" in targets:
        stage.require_module("target software")


def execute(
    stage: Stage,
    program: Program,
    inputs: Mapping[str, np.ndarray],
    target: str,
    *,
    record: Record = Record(),
    call: str | None = None,
    batch: int | None = None,
    progress: Progress | None = None,
) -> Recording:
    """Run ``program``, or for "software" the PyTorch model that it was made from; the same type of
    Recording either way.

    call   how a PyTorch model that does not say it is called; one of
           ``toolchain.deploy.stages.CALLS``
    """
    check_targets(stage, [target])
    if target != "software":
        return hardware.run(program, inputs, target, record=record, batch=batch, progress=progress)
    from toolchain.deploy import software

    check_kinds(program, SOFTWARE)
    return software.record(
        stage.require_module("a run in software"),
        program,
        inputs,
        call=call,
        record=record,
        batch=batch,
        progress=progress,
    )
