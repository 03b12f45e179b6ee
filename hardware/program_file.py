"""A Program as an HDF5 file, complete and read without trust; and telling model files apart by
their content.

Format "spikeport program", version 2:

    /                     format, format_version, fingerprint
    /metadata             JSON text as bytes
    /inputs/N             name, shape, message_bits
    /populations/N        name, shape, reset, bias_exponent, refractory; datasets current_decay,
                          voltage_decay, bias, and threshold and reset_amount where the population
                          has them; noise_seed and noise_sigma where it has noise. Of another
                          neuron kind than "lif": name, shape, kind; a dataset for each of the
                          kind's parameters
    /projections/N        kind (dense, sparse, convolution), name, source, target, weight_bits;
                          datasets weights, exponent, delay; sparse also rows and columns;
                          convolution also stride, padding, dilation, groups
    /outputs/N            population, decode

N counts from 0. Numbers are stored in the smallest of int8, int16 and int32 that holds them,
uncompressed, so a file never holds more data than its own size. Two hashes protect a file.
``fingerprint`` is that of the Program: it covers what decides a result, the description of the data
among it. The seal behind the HDF5 data covers every byte (``hardware._hdf5``).

Version 1 had no seal, and a fingerprint that left out the description of the data; it is refused.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from hardware import limits
from hardware._files import opened
from hardware._hdf5 import SIGNATURE, Hdf5Node, put, put_json, reading, writing
from hardware.errors import ProgramError, ProgramFileError
from hardware.kinds import KINDS
from hardware.lif import LIF
from hardware.noise import Noise
from hardware.program import (
    Convolution,
    CustomPopulation,
    Dense,
    Input,
    Output,
    Population,
    Program,
    Sparse,
)

KIND = "spikeport program"
VERSION = 2

_INTEGERS = ("int8", "int16", "int32")
_PROJECTION = {"name": "text", "source": "text", "target": "text", "weight_bits": "integer"}
_WINDOW = {"stride": "integers", "padding": "integers", "dilation": "integers", "groups": "integer"}

_ABSENT = ("threshold", "reset_amount")
"""What not every population of the chip's own kind has."""

_ATTRIBUTES: dict[type, dict[str, str]] = {
    Input: {"name": "text", "shape": "integers", "message_bits": "integer"},
    Population: {"name": "text", "shape": "integers", "reset": "text"}
    | {parameter.name: "integer" for parameter in LIF.parameters if not parameter.each},
    Dense: _PROJECTION,
    Sparse: _PROJECTION,
    Convolution: _PROJECTION | _WINDOW,
    Output: {"population": "text", "decode": "text"},
}
_ARRAYS: dict[type, tuple[str, ...]] = {
    Input: (),
    Population: tuple(p.name for p in LIF.parameters if p.each and p.name not in _ABSENT),
    Dense: ("weights", "exponent", "delay"),
    Sparse: ("weights", "exponent", "delay", "rows", "columns"),
    Convolution: ("weights", "exponent", "delay"),
    Output: (),
}
_NOISE = {"noise_seed": "integer", "noise_sigma": "integer"}
_OPTIONAL: dict[type, tuple[str, ...]] = {Population: _ABSENT}
_KINDS = {"dense": Dense, "sparse": Sparse, "convolution": Convolution}


def save(program: Program, path: str | Path, *, force: bool = False) -> None:
    """Write a Program; the same Program always gives the same bytes.

    The file appears whole or not at all. Raises ProgramFileError where ``path`` exists (without
    ``force``) or cannot be written.
    """
    with writing(path, KIND, VERSION, force) as file:
        put(file, fingerprint=program.fingerprint)
        put_json(file, "metadata", dict(program.metadata))
        for section in ("inputs", "populations", "projections", "outputs"):
            group = file.create_group(section)
            for number, part in enumerate(getattr(program, section)):
                _put_part(group.create_group(str(number)), part)


def _put_part(group: h5py.Group, part: Any) -> None:
    kind = type(part)
    if kind is CustomPopulation:
        put(group, name=part.name, shape=part.shape, kind=part.kind)
        for name, value in part.parameters.items():
            _put_array(group, name, value)
        return
    if kind in _KINDS.values():
        put(group, kind=kind.__name__.lower())
    put(group, **{name: getattr(part, name) for name in _ATTRIBUTES[kind]})
    if kind is Population and part.noise is not None:
        put(group, noise_seed=part.noise.seed, noise_sigma=part.noise.sigma)
    for name in (*_ARRAYS[kind], *_OPTIONAL.get(kind, ())):
        value = getattr(part, name)
        if value is not None:
            _put_array(group, name, value)


def _put_array(group: h5py.Group, name: str, value: np.ndarray) -> None:
    low, high = (int(value.min()), int(value.max())) if value.size else (0, 0)
    narrow = next(t for t in _INTEGERS if np.iinfo(t).min <= low and high <= np.iinfo(t).max)
    group.create_dataset(name, data=value.astype(f"<i{np.dtype(narrow).itemsize}"))


def load(path: str | Path) -> Program:
    """Read a Program that ``save`` wrote, here or elsewhere; nothing in the file is trusted.

    Raises ProgramFileError, naming the file, the place in it and what it must be, where the file
    is anything else, truncated, damaged, newer, or describes a Program that breaks a rule.
    """
    # ours are not packed; what somebody else packed may unpack to four times its size
    with reading(path, KIND, VERSION, limits.MODEL_BYTES, lambda size: 4 * size) as root:
        root.only(("metadata", "inputs", "populations", "projections", "outputs"))
        stated = root.attributes(
            {"format": "text", "format_version": "integer", "fingerprint": "text"}
        )["fingerprint"]
        metadata = root.json("metadata")
        if not isinstance(metadata, dict):
            root.fail(f"holds a JSON {type(metadata).__name__}; it must be an object", "metadata")

        try:
            program = Program(
                tuple(_part(node, Input) for node in root.group("inputs").numbered()),
                tuple(_part(node, Population) for node in root.group("populations").numbered()),
                tuple(_part(node, None) for node in root.group("projections").numbered()),
                tuple(_part(node, Output) for node in root.group("outputs").numbered()),
                metadata,
            )
        except ProgramError as error:
            raise ProgramFileError(f"{path}: {error}") from error

        if program.fingerprint != stated:
            root.fail(
                f"damaged: the content's fingerprint is {program.fingerprint}, the file states "
                f"{stated[:64]!r}"
            )
    return program


def _part(node: Hdf5Node, kind: type | None) -> Any:
    """One part of a Program; a projection (``kind`` None) says itself which it is."""
    if kind is Population and node.has_attribute("kind"):
        return _custom(node)
    if kind is None:
        stated = node.attribute("kind", "text")
        if stated not in _KINDS:
            node.fail(f"kind {stated[:40]!r}; it must be one of {', '.join(_KINDS)}")
        kind = _KINDS[stated]
        values = node.attributes({"kind": "text"} | _ATTRIBUTES[kind])
        del values["kind"]
    else:
        noise = _NOISE if kind is Population else {}
        values = node.attributes(_ATTRIBUTES[kind] | noise, optional=noise)

    present = node.only(_ARRAYS[kind], _OPTIONAL.get(kind, ()))
    values |= {name: node.array(name, _INTEGERS) for name in present}
    if kind is Population and "threshold" not in present:
        values["threshold"] = None

    stated = {name: values.pop(name) for name in _NOISE if name in values}
    if len(stated) == 1:
        node.fail(
            f"has {next(iter(stated))!r} alone; there must be both of {', '.join(_NOISE)}, or none"
        )

    try:
        if stated:
            values["noise"] = Noise(stated["noise_seed"], stated["noise_sigma"])
        return kind(**values)
    except ProgramError as error:
        node.fail(str(error))


def _custom(node: Hdf5Node) -> CustomPopulation:
    """A population of a kind that another distribution describes."""
    values = node.attributes({"name": "text", "shape": "integers", "kind": "text"})
    stated = values["kind"]
    if stated not in KINDS or stated == LIF.name:
        others = ", ".join(name for name in KINDS if name != LIF.name) or "none"
        node.fail(
            f"needs the neuron kind {stated[:40]!r}, which must be installed (an entry point of "
            f"the group {KINDS.group!r}); of other distributions there are {others}"
        )
    names = [parameter.name for parameter in KINDS[stated].parameters]
    node.only(names)
    try:
        return CustomPopulation(
            **values, parameters={name: node.array(name, _INTEGERS) for name in names}
        )
    except ProgramError as error:
        node.fail(str(error))


def sniff(path: str | Path) -> str:
    """What kind of file this is, by its content alone; nothing in it is executed or loaded.

    "program", "recording", "nir", "netx" (lava-dl's .net), "hdf5" (another HDF5 file),
    "safetensors", "torch" (a zip archive with a pickle inside, as ``torch.save`` writes), "npy",
    "npz", "zip", "pickle", "empty", or "unknown". Raises ProgramFileError where there is no such
    file, or it cannot be read.
    """
    path = Path(path)
    with opened(path, ProgramFileError, 1 << 62) as file:
        head = file.read(4096)
        size = os.fstat(file.fileno()).st_size

    if not head:
        return "empty"
    if head.startswith(SIGNATURE):
        return _sniff_hdf5(path)
    if head.startswith(b"PK\x03\x04"):
        return _sniff_zip(head)
    if head.startswith(b"\x93NUMPY"):
        return "npy"
    if (
        len(head) > 9
        and head[8:9] == b"{"
        and 2 <= struct.unpack("<Q", head[:8])[0] <= min(size - 8, 100 << 20)
    ):
        return "safetensors"
    if len(head) > 2 and head[0] == 0x80 and 2 <= head[1] <= 5:
        return "pickle"
    return "unknown"


def _sniff_hdf5(path: Path) -> str:
    try:
        with h5py.File(path, "r") as file:
            stated = file.attrs.get_id("format") if "format" in file.attrs else None
            if (
                stated is not None
                and stated.dtype.kind == "S"
                and stated.shape == ()
                and stated.dtype.itemsize < 100
            ):
                known = {KIND.encode(): "program", b"spikeport recording": "recording"}
                return known.get(bytes(file.attrs["format"]), "hdf5")

            groups = {
                name
                for name in ("node", "layer")
                if file.get(name, getclass=True, getlink=True) is h5py.HardLink
            }
            if (
                "node" in groups
                and isinstance(file["node"], h5py.Group)
                and "nodes" in file["node"]
            ):
                return "nir"
            if "layer" in groups and isinstance(file["layer"], h5py.Group):
                return "netx"
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        raise ProgramFileError(f"{path}: damaged HDF5 file: {error}") from error
    return "hdf5"


def _sniff_zip(head: bytes) -> str:
    """By the name of the archive's first member, which both writers choose (zip specification,
    local file header)."""
    length = struct.unpack("<H", head[26:28])[0] if len(head) >= 30 else 0
    name = head[30 : 30 + length]
    if name.endswith(b".pkl"):
        return "torch"
    return "npz" if name.endswith(b".npy") else "zip"
