"""A Recording as an HDF5 file.

Format "spikeport recording", version 2 (version 1 had no seal):

    /                     format, format_version, program (fingerprint), target, samples, steps,
                          wall_time_s
    /layers/NAME          order (place in ``Recording.layers``) and, where the layer is an output,
                          output (place among them); datasets, where recorded: spikes and potentials
                          [sample, step, *shape]; counts/COUNTER [sample]
    /outputs              one output:      spikes, potentials (where recorded) and scores [sample,
                          neuron] several outputs: the same inside a group NAME for each
    /details              JSON text as bytes: what the target says about itself
    /versions             JSON text as bytes: what wrote the file; for people, not read back

An output's spikes and potentials are one dataset with two names (HDF5 hard links), so they take
room once. Large arrays are deflated. Spikes are uint8 (int32 for graded spikes), potentials int32
(float32 from floating-point software), counts int64, scores float64. Behind the HDF5 data stands
the seal of ``hardware._hdf5``.
"""

from __future__ import annotations

import importlib.metadata
import platform
from pathlib import Path

import h5py
import numpy as np

from hardware._files import room
from hardware._hdf5 import Hdf5Node, put, put_json, reading, writing
from hardware.counters import COUNTERS
from hardware.errors import ProgramFileError
from hardware.recording import Recording

KIND = "spikeport recording"
VERSION = 2
MAX_BYTES = 4 << 30
"""Of a file, and of the data in it where the caller says nothing else."""

_DTYPES = {"spikes": ("uint8", "int32"), "potentials": ("int32", "float32")}
_CHUNK = 1 << 20


def save(recording: Recording, path: str | Path, *, force: bool = False) -> None:
    """Write a Recording.

    The file appears whole or not at all. Raises ProgramFileError where ``path`` exists (without
    ``force``) or cannot be written.
    """
    outputs = list(recording.scores)
    with writing(path, KIND, VERSION, force) as file:
        put(
            file,
            program=recording.program,
            target=recording.target,
            samples=recording.samples,
            steps=recording.steps,
        )
        put(file, wall_time_s=float(recording.wall_time_s))
        put_json(file, "details", dict(recording.details))
        put_json(file, "versions", _versions())

        layers, read = file.create_group("layers"), file.create_group("outputs")
        for order, name in enumerate(recording.layers):
            layer = layers.create_group(name)
            put(layer, order=order, **({"output": outputs.index(name)} if name in outputs else {}))
            for quantity, dtypes in _DTYPES.items():
                values = getattr(recording, quantity).get(name)
                if values is not None:
                    if values.dtype.name not in dtypes:
                        raise ProgramFileError(
                            f"{path}: {quantity} of {name!r} are {values.dtype}; they must be one "
                            f"of {', '.join(dtypes)}"
                        )
                    _put_array(layer, quantity, values)
            counts = layer.create_group("counts")
            for counter, by_layer in recording.counts.items():
                if name in by_layer:
                    counts.create_dataset(counter, data=by_layer[name].astype("<i8"))

        for name in outputs:
            group = read if len(outputs) == 1 else read.create_group(name)
            group.create_dataset("scores", data=recording.scores[name].astype("<f8"))
            for quantity in _DTYPES:
                if quantity in layers[name]:
                    group[quantity] = layers[name][quantity]


def _put_array(group: h5py.Group, name: str, values: np.ndarray) -> None:
    """An array [sample, step, ...], in the byte order of the format; deflated where that is worth a
    chunk."""
    values = values.astype(values.dtype.newbyteorder("<"), copy=False)
    if values.nbytes < 4096:
        group.create_dataset(name, data=values)
        return
    per_step = max(1, values[0, 0].nbytes)
    chunks = (
        True
        if per_step > _CHUNK
        else (1, min(values.shape[1], max(1, _CHUNK // per_step)), *values.shape[2:])
    )
    group.create_dataset(
        name,
        data=values,
        chunks=chunks,
        compression="gzip",
        compression_opts=1,
        shuffle=values.itemsize > 1,
    )


def _versions() -> dict[str, str]:
    try:
        spikeport = importlib.metadata.version("spikeport")
    except importlib.metadata.PackageNotFoundError:
        spikeport = "not installed"
    return {
        "spikeport": spikeport,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "h5py": h5py.__version__,
    }


def load(path: str | Path, *, max_bytes: int | None = None) -> Recording:
    """Read a Recording that ``save`` wrote; nothing in the file is trusted.

    max_bytes: a file that holds more data than this is refused before it is read, since deflated
    data may be 1,000 times larger than the file. None: 128 MiB, or 64 times the size of the file
    where that is more.

    Raises ProgramFileError, naming the file, the place in it and what it must be, where the file
    is anything else, truncated, damaged or newer.
    """
    kinds = {"format": "text", "format_version": "integer", "program": "text", "target": "text"}
    kinds |= {"samples": "integer", "steps": "integer", "wall_time_s": "real"}
    most = (lambda size: room(size, MAX_BYTES)) if max_bytes is None else (lambda size: max_bytes)

    with reading(path, KIND, VERSION, max(MAX_BYTES, max_bytes or 0), most) as root:
        root.only(("layers", "outputs", "details", "versions"))
        stated = root.attributes(kinds)
        samples, steps = stated["samples"], stated["steps"]
        if samples < 1 or steps < 1:
            root.fail(f"{samples} samples of {steps} steps; both must be positive")
        details = root.json("details")
        if not isinstance(details, dict):
            root.fail(f"holds a JSON {type(details).__name__}; it must be an object", "details")

        layers, outputs = _order(root.group("layers"))
        arrays: dict[str, dict[str, np.ndarray]] = {quantity: {} for quantity in _DTYPES}
        counts: dict[str, dict[str, np.ndarray]] = {counter: {} for counter in COUNTERS}
        for name, node in layers.items():
            present = node.only(("counts",), _DTYPES)
            for quantity in present - {"counts"}:
                arrays[quantity][name] = _steps(node, quantity, samples, steps)
            counted = node.group("counts")
            for counter in counted.only((), COUNTERS):
                counts[counter][name] = counted.array(counter, ["int64"], (samples,))
        scores = _scores(root.group("outputs"), outputs, layers, samples)

    return Recording(
        program=stated["program"],
        target=stated["target"],
        samples=samples,
        steps=steps,
        layers=tuple(layers),
        spikes=arrays["spikes"],
        potentials=arrays["potentials"],
        counts={counter: by_layer for counter, by_layer in counts.items() if by_layer},
        scores=scores,
        wall_time_s=stated["wall_time_s"],
        details=details,
    )


def _order(group: Hdf5Node) -> tuple[dict[str, Hdf5Node], list[str]]:
    """Layers by name in their order, and the names of the outputs in theirs."""
    layers = []
    for name in group.members():
        node = group.group(name)
        layers.append(
            (
                node.attributes({"order": "integer", "output": "integer"}, optional=("output",)),
                name,
                node,
            )
        )

    layers.sort(key=lambda entry: entry[0]["order"])
    outputs = sorted((places["output"], name) for places, name, _ in layers if "output" in places)
    for attribute, numbers in (
        ("order", [places["order"] for places, _, _ in layers]),
        ("output", [number for number, _ in outputs]),
    ):
        if numbers != list(range(len(numbers))):
            group.fail(
                f"the attributes {attribute!r} are {numbers[:10]}; they must be 0, 1, 2 and so on"
            )

    return {name: node for _, name, node in layers}, [name for _, name in outputs]


def _steps(node: Hdf5Node, quantity: str, samples: int, steps: int) -> np.ndarray:
    array = node.array(quantity, _DTYPES[quantity])
    if array.ndim < 3 or array.shape[:2] != (samples, steps):
        node.fail(
            f"shape {array.shape}; it must be [{samples}, {steps}, *shape of the layer]", quantity
        )
    return array


def _scores(
    group: Hdf5Node, outputs: list[str], layers: dict[str, Hdf5Node], samples: int
) -> dict[str, np.ndarray]:
    """Scores of every output; the other names in its group must mean the layer's own datasets."""
    scores = {}
    if len(outputs) != 1:
        group.only(outputs)
    for name in outputs:
        node = group if len(outputs) == 1 else group.group(name)
        recorded = set(layers[name].members()) - {"counts"}
        node.only({"scores"} | recorded)
        for quantity in recorded:
            node.same(quantity, layers[name], quantity)
        scores[name] = node.array("scores", ["float64"], (samples, None))
    return scores
