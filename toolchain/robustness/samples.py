"""The samples of a sweep: of a data set, or from a file of one's own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from toolchain import data as datasets
from toolchain.data import Dataset
from toolchain.deploy.inputs import read_npz
from toolchain.errors import DataError, ToolchainError
from toolchain.robustness import answers
from toolchain.robustness.cells import SweepData
from toolchain.robustness.models import ModelFile, Opened, open_model
from toolchain.robustness.parts import SAMPLES, Sweep
from toolchain.whole import whole

Said = Mapping[str, dict[str, Any]]
"""Name of a model → what it says of its data, and the shape of a sample (of events: of a step)."""


class BenchError(ToolchainError):
    """The models of a sweep cannot be measured together: different data, or nothing said about
    it."""


def load(sweep: Sweep, files: list[ModelFile]) -> tuple[SweepData, str]:
    """The attacked samples, and the name of their data set or file.

    Raises:
        BenchError: the models do not share their data, or say nothing of it.
        ModelError: one cannot answer (``answers.check``).
        DataError: the data is absent, or does not fit the models.
    """
    opened = {file.name: open_model(file) for file in files}
    descriptions = {name: _said(model) for name, model in opened.items()}
    chosen = _shared(sweep, descriptions)

    if sweep.data.source is not None:
        dataset = _own(Path(sweep.path(sweep.data.source)), next(iter(opened.values())))
        dataset = dataset.first(sweep.data.samples)
    else:
        dataset = datasets.load(chosen, "test", samples=sweep.data.samples or SAMPLES)

    for name, model in opened.items():
        answers.check(name, model, dataset)

    index = np.arange(len(dataset), dtype=np.int64)
    if sweep.data.source is not None:
        _check_steps(descriptions)
        return SweepData(np.ascontiguousarray(dataset.values), dataset.labels, index), chosen
    if not dataset.is_events:
        return SweepData(dataset.images(), dataset.labels, index), chosen

    _check_bins(descriptions)
    encoding = datasets.Encoding.from_description(next(iter(descriptions.values())))
    frames = np.ascontiguousarray(encoding.encode(dataset, slice(None)), np.uint8)
    return SweepData(frames, dataset.labels, index, encoding.notes(dataset)), chosen


def _said(opened: Opened) -> dict[str, Any]:
    shape = opened.sample_shape[1:] if opened.events else opened.sample_shape
    return {**opened.data, "shape": list(shape)}


def _shared(sweep: Sweep, said: Said) -> str:
    """Name of the data that all models share."""
    first, own = next(iter(said.values())), sweep.data.name or sweep.data.source
    named = first.get("name")
    for name, entry in said.items():
        if entry["shape"] != first["shape"] or (own is None and entry.get("name") != named):
            raise BenchError(
                f"model {name!r} is for {entry.get('name')} {entry['shape']}, another for "
                f"{named} {first['shape']}; a sweep has one data set"
            )
    if sweep.data.source is not None:
        return Path(sweep.data.source).name
    chosen = sweep.data.name or named
    if not chosen:
        raise BenchError("the models do not say what data they are for; name it in [data]")
    return chosen


def _check_bins(said: Said) -> None:
    """Events are binned once, for all models."""
    entries = ("encoding", "steps", "bin_us")
    described = {
        json.dumps({name: e[name] for name in entries if name in e}, sort_keys=True)
        for e in said.values()
    }
    if len(described) > 1:
        raise BenchError(
            f"the models bin events differently: {', '.join(sorted(described))}; a sweep has one "
            f"encoding"
        )


def _check_steps(said: Said) -> None:
    """Frames of events have one number of steps, whoever reads them."""
    steps = {entry.get("steps") for entry in said.values() if entry.get("encoding") == "events"}
    if len(steps) > 1:
        raise BenchError(
            f"the models read events of {', '.join(sorted(map(str, steps)))} steps; a file of "
            f"one's own has one number of steps"
        )


def _own(path: Path, opened: Opened) -> Dataset:
    """Samples of a .npz file with ``inputs`` and ``labels`` (docs/running.md), as an attack changes
    them: images float32 in [0, 1], or binary events uint8. Raises DataError."""
    if not path.is_file():
        raise DataError(f"{path}: there is no such file; [data] source must be a .npz file")
    inputs, labels = read_npz(path)
    if isinstance(inputs, Mapping):
        raise DataError(f"{path}: has inputs {', '.join(inputs)}; a sweep attacks one, 'inputs'")
    if labels is None or labels.ndim != 1 or len(labels) != len(inputs) or not len(labels):
        held = "no labels" if labels is None else f"labels {list(labels.shape)}"
        raise DataError(
            f"{path}: inputs {list(inputs.shape)} and {held}; there must be a label for each "
            f"sample, and a sample at least"
        )
    labels = whole(labels, np.int64, f"{path}: labels", 0)
    values = _events(path, inputs, opened) if opened.events else _images(path, inputs, opened)
    shape, maximum = values.shape[2 if opened.events else 1 :], 0 if opened.events else 1
    return Dataset(path.name, "own", values, labels, shape, maximum, int(labels.max()) + 1)


def _events(path: Path, inputs: np.ndarray, opened: Opened) -> np.ndarray:
    wanted = tuple(opened.sample_shape)
    if inputs.shape[1:] != wanted:
        raise DataError(
            f"{path}: inputs {list(inputs.shape)}; the model reads events, which must be "
            f"[sample, {', '.join(map(str, wanted))}] (sample, step, channel, row, column)"
        )
    return whole(inputs, np.uint8, f"{path}: inputs", 0, 1)


def _images(path: Path, inputs: np.ndarray, opened: Opened) -> np.ndarray:
    if inputs.dtype.kind != "f":
        inputs = _levels(path, inputs, opened)
    wanted = tuple(opened.sample_shape)
    if inputs.shape[1:] != wanted:
        raise DataError(
            f"{path}: inputs {list(inputs.shape)}; images must be "
            f"[sample, {', '.join(map(str, wanted))}]"
        )
    wrong = ~((inputs >= 0) & (inputs <= 1))  # NaN, too
    if wrong.any():
        place = np.unravel_index(int(wrong.argmax()), wrong.shape)
        raise DataError(
            f"{path}: inputs has {inputs[place]:g} at {list(map(int, place))}, and "
            f"{int(wrong.sum()):,} such values in all; images must lie in [0, 1]"
        )
    return inputs.astype(np.float32)


def _levels(path: Path, inputs: np.ndarray, opened: Opened) -> np.ndarray:
    """Images of the integers [sample, step, *shape] that ``spikeport run`` reads: the same in every
    step, in units of the input's fraction bits."""
    how, bits = opened.data.get("encoding"), int(opened.io["input"]["fraction_bits"])
    if how != "direct":
        raise DataError(
            f"{path}: inputs are integers, and the model's encoding is {how!r}, which does not "
            f"keep the image; inputs must be images in [0, 1], floating point"
        )
    shape = tuple(opened.io["input"]["shape"])
    if inputs.ndim < 2 or inputs.shape[2:] != shape or (inputs != inputs[:, :1]).any():
        raise DataError(
            f"{path}: inputs {inputs.dtype} {list(inputs.shape)}; integers must be "
            f"[sample, step, {', '.join(map(str, shape))}], the same in every step; or give images "
            f"in [0, 1], floating point [sample, {', '.join(map(str, opened.sample_shape))}]"
        )
    images = inputs[:, 0].astype(np.float64) / (1 << bits)
    return images.reshape(len(inputs), *opened.sample_shape)
