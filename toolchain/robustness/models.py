"""Opening a model as a sweep measures it.

A model needs no more than a PyTorch module. Where it becomes a Program it is scored on every
target; where it does not (an ANN), on software alone. A module that does not say what it reads (a
plain snnTorch network) is told so by the sweep: ``Options``.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from toolchain import data
from toolchain.cells import closure
from toolchain.cells.keys import key_of
from toolchain.deploy.stage import Stage
from toolchain.deploy.ways import Ways
from toolchain.errors import ModelError
from toolchain.robustness import content
from toolchain.robustness.model_file import ModelFile
from toolchain.robustness.opened import Opened, noisy
from toolchain.robustness.options import Options
from toolchain.whole import whole

__all__ = ["ModelFile", "Opened", "Options", "noisy", "open_model", "read", "sealed"]

CALIBRATION_SAMPLES = 200


def open_model(model: ModelFile) -> Opened:
    """Open a model, once for each process. Raises ToolchainError or ExportError."""
    network = _opened(replace(model, opened="").key, replace(model, name="", modules=(), opened=""))
    if model.opened and model.opened != network.content:
        raise ModelError(
            f"{model.source}: is another network here than where the run was planned "
            f"({network.content[:12]}, not {model.opened[:12]}); a "
            "factory must make the same one every time: give it weights, or a seed"
        )
    return network


def sealed(model: ModelFile) -> ModelFile:
    """A model's file with the modules of the user that it is made by, and what it is once it is
    open. Raises as ``open_model``."""
    network = open_model(model)
    return replace(model, modules=network.modules, opened=network.content)


@lru_cache(maxsize=8)
def _opened(key: str, model: ModelFile) -> Opened:
    from toolchain.deploy import stages

    before = set(closure.loaded())
    with tempfile.TemporaryDirectory(prefix="spikeport-model-") as folder:
        path, side = model.source, None
        if model.content:
            path = str(Path(folder) / model.source)
            Path(path).write_bytes(model.content)
        if model.weights:
            side = Path(folder) / "weights.safetensors"
            side.write_bytes(model.weights)
        stage = replace(
            stages.load(path, side), source=model.source
        )  # not the name of this folder, which would enter the Program
        module = stage.require_module("an attack")
    built = content.of_module(module)
    network = _read(stage, module, model)
    modules = () if model.content else _users(model, module, before)
    return replace(
        network, content=key_of(built, content.of_program(network.program)), modules=modules
    )


def _users(model: ModelFile, module: nn.Module, before: set[str]) -> tuple[str, ...]:
    """Modules of the user that a factory's network is made by: the factory's, those of its classes,
    and those that were loaded on the way, however that was done."""
    there = closure.loaded()
    classes = {type(part).__module__ for part in module.modules()}
    # a module is loaded once in a process, and counts as often as the model is opened
    loaded = _loaded_by.setdefault(model.source, set())
    loaded |= set(there) - before
    return tuple(
        sorted({model.source.partition(":")[0], *(classes & set(there)), *(loaded & set(there))})
    )


_loaded_by: dict[str, set[str]] = {}
"""Factory → modules of the user that were loaded while it was called."""


def _read(stage: Stage, module: nn.Module, model: ModelFile) -> Opened:
    options, source = model.options, model.source
    if not callable(getattr(module, "spikeport_io", None)):
        missing = [name for name in NEEDED if getattr(options, name) is None]
        if missing:
            raise ModelError(
                f"{source}: the model does not say what it reads, and the sweep does not say "
                f"{', '.join(missing)}; [[models]] must say it, with some of "
                f"{', '.join(Options.DESCRIBING)}"
            )
        return read(stage, options.ways(), options.calibration)

    if stated := options.given(Options.DESCRIBING):
        raise ModelError(
            f"{source}: {', '.join(stated)} changes nothing in a model that states this itself; "
            f"leave it out"
        )
    return read(stage, options.ways(), options.calibration)


NEEDED = ("input_shape", "call", "dataset", "encoding", "steps")
"""What must be said of a model that does not say what it reads."""


def read(stage: Stage, ways: Ways, calibration: str | None = None) -> Opened:
    """A model at hand, ready to be attacked and scored.

    Args:
        stage: with a PyTorch model.
        ways: how it becomes a Program; of a model that does not say what it reads also
            ``input_shape``, ``call`` and ``data``.
        calibration: data set whose training part scales are chosen for, where ``ways`` hold none.

    Raises:
        ModelError: for a model that lacks one of these, or contradicts them.
        ExportError: where it cannot become a Program.
    """
    from toolchain.deploy import stages

    module = stage.require_module("an attack")
    describe = getattr(module, "spikeport_io", None)
    if not callable(describe):
        return _described(stage, module, ways, calibration)
    io: dict[str, Any] = describe()
    shape = tuple(io["input"]["shape"])
    if io.get("program") is False:
        stated = [*ways.given(), *([] if calibration is None else ["calibration"])]
        if stated:
            raise ModelError(
                f"{stage.source}: {', '.join(stated)} changes nothing in a model that becomes no "
                f"Program; leave it out"
            )
        why = str(io.get("no_program") or "the model is no spiking network")
        return Opened(stage, module, None, io, shape, why)
    ways = _calibrated(ways, calibration, io.get("data", {}))
    return Opened(stage, module, stages.to_program(stage, ways)[0], io, shape)


def _calibrated(
    ways: Ways, name: str | None, told: Mapping[str, Any], shape: tuple[int, ...] | None = None
) -> Ways:
    if name is None:
        return ways
    from toolchain.deploy import inputs

    values = inputs.calibration(name, told, CALIBRATION_SAMPLES, shape=shape)
    return replace(ways, calibration=values)


def _described(
    stage: Stage, module: nn.Module, ways: Ways, calibration: str | None = None
) -> Opened:
    """A module that says nothing of itself, with what the user says of it."""
    from toolchain.deploy import contract, stages

    needed = {"input_shape": ways.input_shape, "call": ways.call, "data": ways.data}
    if missing := [name for name, value in needed.items() if value is None]:
        raise ModelError(
            f"{stage.source}: the model does not say what it reads: give {', '.join(missing)} "
            "(data: the data set whose shape and grey levels the samples have, with encoding and "
            "steps)"
        )
    encoding, declared = dict(ways.data or {}), tuple(ways.input_shape or ())
    events, shape = encoding["encoding"] == "events", data.DATASETS[encoding["name"]][1]
    if np.prod(shape) != np.prod(declared) or (events and shape != declared):
        raise ModelError(
            f"{stage.source}: input_shape is {declared}; samples of {encoding['name']} have {shape}"
        )
    bits, fraction = data.Encoding.from_description(encoding).input_format(encoding["name"])
    scale = contract.scale(encoding, ways, stage.source)

    program, _ = stages.to_program(stage, _calibrated(ways, calibration, encoding, declared))
    if len(program.outputs) != 1:
        names = ", ".join(o.population for o in program.outputs)
        raise ModelError(
            f"{stage.source}: the model has {len(program.outputs)} outputs ({names}); there must "
            "be one, the classes"
        )
    io: dict[str, Any] = {
        "input": {"shape": list(declared), "message_bits": bits, "fraction_bits": fraction},
        "output": {"decode": program.outputs[0].decode},
        "call": ways.call,
        "data": encoding,
    }
    if scale != 1:
        io["input"]["scale"] = scale
    opened = Opened(stage, module, program, io, declared if events else shape)
    _check_reading(opened)
    return opened


def _check_reading(opened: Opened) -> None:
    """What the model returns must be what its layer that the Program reads computes. Raises
    ModelError."""
    from toolchain.attacks.encoding import integers
    from toolchain.deploy import software

    victim, program = opened.classifier(), opened.required()
    drawn = np.random.default_rng(0).random((3, *victim.sample_shape)).astype(np.float32)
    samples = (drawn < 0.3).astype(np.float32) if opened.events else drawn
    inputs = (
        whole(samples, np.uint8, "events", 0, 1)
        if opened.events
        else integers(opened.encoder(), samples, 0)
    )
    recording = software.record(
        opened.module, program, {program.inputs[0].name: inputs}, call=opened.io["call"]
    )
    name, read = next(iter(recording.scores.items()))
    own = victim.predict(samples).astype(np.float64)
    if opened.io["output"]["decode"] != "spike_count":
        own *= 2.0 ** (float(program.metadata["fraction_bits"][name]) + 6)
    if own.shape != read.shape or not np.allclose(
        own, read, rtol=1e-4, atol=1e-4 * max(1.0, np.abs(read).max())
    ):
        raise ModelError(
            f"{opened.stage.source}: what the model returns is not what its output layer {name!r} "
            f"computes; it must be a model that "
            "returns the spikes of its last neurons, or (spikes, ..., potentials)"
        )
