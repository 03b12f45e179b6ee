"""Damage to files, drawn from a seed: the same seed gives the same file."""

from __future__ import annotations

import io
import json
import random
import re
import struct
import zlib
from collections.abc import Callable

import h5py
import numpy as np

from hardware._hdf5 import SEAL, seal

SIZES = (
    0,
    1,
    127,
    255,
    0x7FFF,
    0xFFFF,
    0x7FFFFFFF,
    0xFFFFFFFF,
    1 << 40,
    (1 << 63) - 1,
    (1 << 64) - 1,
)
"""Numbers at the edges of what fields hold."""

Mutation = Callable[[bytes, random.Random], bytes]


def flipped(content: bytes, draw: random.Random) -> bytes:
    """A few bytes with other values."""
    damaged = bytearray(content)
    for _ in range(draw.choice((1, 1, 2, 8, 64))):
        damaged[draw.randrange(len(damaged))] = draw.randrange(256)
    return bytes(damaged)


def cut(content: bytes, draw: random.Random) -> bytes:
    """The beginning alone."""
    return content[: draw.randrange(len(content))]


def extended(content: bytes, draw: random.Random) -> bytes:
    """More behind the end."""
    return content + draw.randbytes(draw.choice((1, 100, 10_000)))


def sized(content: bytes, draw: random.Random) -> bytes:
    """A number at an edge in some place: a length or an address, with luck."""
    damaged, width = bytearray(content), draw.choice((1, 2, 4, 8))
    place = draw.randrange(max(1, len(damaged) - 8))
    order = draw.choice(("<", ">"))
    value = draw.choice(SIZES) % (1 << (8 * width))
    damaged[place : place + width] = struct.pack(order + " BH I   Q"[width], value)
    return bytes(damaged)


def moved(content: bytes, draw: random.Random) -> bytes:
    """A piece of the file, copied to another place of it."""
    damaged, length = bytearray(content), draw.choice((8, 64, 512))
    source, target = draw.randrange(len(content)), draw.randrange(len(content))
    piece = content[source : source + length]
    damaged[target : target + len(piece)] = piece
    return bytes(damaged)


def without_piece(content: bytes, draw: random.Random) -> bytes:
    """A piece left out."""
    place = draw.randrange(len(content))
    return content[:place] + content[place + draw.choice((1, 8, 100)) :]


BYTES: tuple[Mutation, ...] = (flipped, flipped, cut, extended, sized, sized, moved, without_piece)


def hdf5_object(content: bytes, draw: random.Random) -> bytes:
    """An HDF5 file whose structure is sound, with one object or attribute that is not."""
    memory = io.BytesIO(content)
    with h5py.File(memory, "r+") as file:
        names: list[str] = []
        file.visit(names.append)
        _change_object(file, draw.choice(names), draw)
    return memory.getvalue()


def _change_object(file: h5py.File, name: str, draw: random.Random) -> None:
    item, kind = file[name], draw.randrange(7)
    if kind == 0 and len(item.attrs):
        item.attrs[draw.choice(list(item.attrs))] = draw.choice((-1, 1 << 40, 2.5, b"x", [1, 2, 3]))
    elif kind == 1:
        item.attrs["more"] = 1
    elif kind == 2:
        del file[name]
    elif kind == 3:  # any number of names for one object
        for number in range(draw.choice((1, 20, 200))):
            file[f"{draw.choice((name, 'x'))}-{number}"] = item
    elif kind == 4:
        del file[name]
        file[name] = draw.choice((h5py.SoftLink("/"), h5py.ExternalLink("/etc/passwd", "/")))
    else:
        del file[name]
        _put_dataset(file, name, draw)


def _put_dataset(file: h5py.File, name: str, draw: random.Random) -> None:
    """A dataset in place of what stood there: of another type or shape, or declared too large."""
    shape = draw.choice(((), (0,), (1,), (3, 5), (1 << 13, 1 << 13), (1 << 20, 1 << 20)))
    kind = draw.choice(("i1", "<i4", "<i8", "<f8", "?", "S5", "<c16"))
    if shape == (1 << 13, 1 << 13):
        _put_bomb(file, name, shape, np.dtype(kind))
        return
    made = file.create_dataset(name, shape, kind)
    if len(shape) < 2 or max(shape) < 10:
        made[...] = np.array(draw.choice((0, 1)), kind)


def _put_bomb(file: h5py.File, name: str, shape: tuple[int, int], kind: np.dtype) -> None:
    """Zeros, really stored in a thousandth of their size; packed once and written many times."""
    chunk = (64, shape[1])
    made = file.create_dataset(name, shape, kind, chunks=chunk, compression="gzip")
    packed = zlib.compress(bytes(chunk[0] * chunk[1] * kind.itemsize), 9)
    for row in range(0, shape[0], chunk[0]):
        made.id.write_direct_chunk((row, 0), packed)


def resealed(content: bytes, draw: random.Random) -> bytes:
    """A Program or Recording with damage and the right seal, as somebody would make who knows
    it."""
    length = len(seal(b""))
    inside = content[:-length] if content[-length:].startswith(SEAL) else content
    damaged = draw.choice((*BYTES, hdf5_object, hdf5_object, hdf5_object))(inside, draw)
    return damaged + seal(damaged)


def json_header(content: bytes, draw: random.Random) -> bytes:
    """A safetensors file with another value in its header, of the recipe among others."""
    length = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + length])
    described = json.loads(header["__metadata__"]["spikeport"])
    _change_value(draw.choice((header, described, described)), draw)
    if "__metadata__" in header and draw.random() < 0.9:
        header["__metadata__"] = {"spikeport": json.dumps(described)}
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + content[8 + length :]


def _change_value(value: dict | list, draw: random.Random) -> None:
    """Another value somewhere in plain JSON values."""
    while value:
        key = draw.choice(list(value)) if isinstance(value, dict) else draw.randrange(len(value))
        if not isinstance(value[key], (dict, list)) or draw.random() < 0.15:
            value[key] = draw.choice((*SIZES, -1, 0.5, 1e308, "", "x", None, True, [], {}, [[1]]))
            return
        value = value[key]


def text_value(content: bytes, draw: random.Random) -> bytes:
    """A TOML file with another value, key or line."""
    lines = content.decode().split("\n")
    number = draw.randrange(len(lines))
    values = (
        "1",
        "-1",
        "1e308",
        "nan",
        "true",
        '"x"',
        '""',
        "[]",
        "[[1]]",
        "{}",
        "2026-01-01",
        str(1 << 70),
    )
    kind = draw.randrange(5)
    if kind == 0:
        lines[number] = re.sub(r"=.*", lambda _: "= " + draw.choice(values), lines[number])
    elif kind == 1:
        lines.insert(number, draw.choice(("[x]", "[[x]]", "x = 1", "[model]", "[[models]]", "=")))
    elif kind == 2:
        lines.insert(number, lines[draw.randrange(len(lines))])
    elif kind == 3:
        del lines[number]
    else:
        return flipped(content, draw)
    return "\n".join(lines).encode()
