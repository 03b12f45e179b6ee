"""Every kind of file that is read: sound ones to begin with, how they are damaged, what reads
them."""

from __future__ import annotations

import dataclasses
import functools
import lzma
import random
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

import export
from export import netx
from hardware import Record, program_file, recording_file, run
from hardware.program import Program
from tests.end_to_end.models import tiny_graph, tiny_program
from tests.fuzz import mutations
from tests.fuzz.mutations import Mutation
from toolchain.data import nmnist
from toolchain.deploy import inputs
from toolchain.robustness import sweep
from toolchain.training import checkpoint, state
from toolchain.training.config import Config, read_config

EXAMPLES = Path(__file__).parents[2] / "examples"


@dataclass(frozen=True)
class Kind:
    """ending: of its files. sound: makes their contents. read: a path → nothing; raises what it
    must."""

    ending: str
    sound: Callable[[], list[bytes]]
    damage: tuple[Mutation, ...]
    read: Callable[[Path], None]

    def case(self, seed: int) -> bytes:
        """The damaged file of this seed."""
        draw = random.Random(seed)
        content = draw.choice(self.contents)
        for _ in range(draw.choice((1, 1, 1, 2, 3))):
            try:
                content = draw.choice(self.damage)(content, draw) or b"\0"
            except Exception:  # a mutation of structure met what an earlier one had damaged
                content = mutations.flipped(content, draw)
        return content

    @functools.cached_property
    def contents(self) -> list[bytes]:
        """Sound files; made once."""
        return self.sound()


def _written(write: Callable[[Path], None]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder) / "x")
        return (Path(folder) / "x").read_bytes()


def _program() -> Program:
    described = {"data": {"name": "digits", "encoding": "direct", "steps": 8}}
    return dataclasses.replace(tiny_program(), metadata=described)


def _programs() -> list[bytes]:
    return [_written(lambda path: program_file.save(_program(), path))]


def _read_program(path: Path) -> None:
    """A Program that is read has the fingerprint that it had: damage gives no other network."""
    assert program_file.load(path).fingerprint == _program().fingerprint


def _recordings() -> list[bytes]:
    drawn = np.random.default_rng(0).integers(0, 2, (2, 4, 1, 4, 4)).astype(np.uint8)
    found = run(tiny_program(), drawn, "reference", record=Record(spikes=True, potentials=True))
    return [_written(lambda path: recording_file.save(found, path))]


def _graphs() -> list[bytes]:
    return [_written(lambda path: export.write(tiny_graph(), path))]


def _networks() -> list[bytes]:
    """A .net of a dense and a recurrent layer."""

    def write(path: Path) -> None:
        with h5py.File(path, "w") as file:
            for number, kind in enumerate(("dense", "dense_rec")):
                layer = file.create_group(f"layer/{number}")
                layer["type"], layer["shape"] = np.array([kind], "S10"), np.array([4])
                layer["weight"] = np.full((4, 4), 2.0 * number - 6)
                if kind == "dense_rec":
                    layer["weight_rec"] = np.eye(4)
                neuron = {"iDecay": 1024, "vDecay": 128, "vThMant": 64, "refDelay": 1}
                layer["neuron/type"] = np.array(["CUBA"], "S10")
                for name, value in neuron.items():
                    layer[f"neuron/{name}"] = value

    return [_written(write)]


def _arrays() -> list[bytes]:
    drawn = np.random.default_rng(0).integers(0, 2, (3, 4, 1, 4, 4)).astype(np.uint8)
    labels = np.arange(3)
    events = {name: np.arange(20) % 4 for name in ("t", "x", "y", "p")}
    contents = [{"inputs": drawn, "labels": labels}, {"inputs": drawn}, events]
    writers = (np.savez, np.savez_compressed)
    return [
        _written(functools.partial(_save, write, arrays))
        for arrays in contents
        for write in writers
    ]


def _save(write: Callable, arrays: dict, path: Path) -> None:
    with path.open("wb") as file:
        write(file, **arrays)


def _read_samples(path: Path) -> None:
    inputs.load(str(path), tiny_program(), steps=None)


def _checkpoints() -> list[bytes]:
    import torch

    from toolchain.models import Layer, Model, build

    layers = (
        Layer("conv", channels=2, kernel=3),
        Layer("sum_pool", kernel=2),
        Layer("dense", features=10),
    )
    config = Config(model=Model(layers=layers))
    torch.manual_seed(0)
    network = build(
        config.model,
        config.neuron,
        config.grid,
        None,
        dataset="digits",
        encoding=config.data.encoder,
    )
    return [_written(lambda path: checkpoint.save_checkpoint(path, network, config))]


def _states() -> list[bytes]:
    """Of a training that is over."""
    from toolchain.data import load
    from toolchain.models import Layer, Model, build
    from toolchain.training import Training
    from toolchain.training.run import TrainingRun

    config = Config(
        model=Model(layers=(Layer("dense", features=10),)),
        training=Training(epochs=1, batch=2, validation=0.5),
    )
    parts = {"dataset": "digits", "encoding": config.data.encoder}
    network = build(config.model, config.neuron, config.grid, None, **parts)
    data = load("digits", "train", samples=4)
    run = TrainingRun(network, config, data, data)
    run.go()
    return [_written(lambda path: state.write(path, run, {"recipe": config.to_table()}, {}, 1.0))]


def _weights() -> list[bytes]:
    """Other people's: safetensors, and both formats of PyTorch."""
    import torch
    from safetensors.torch import save

    state = {"fc.weight": torch.arange(12.0).reshape(3, 4), "fc.bias": torch.zeros(3)}
    forms = ({}, {"_use_new_zipfile_serialization": False})
    checkpoint = {"state_dict": state, "epoch": 3}
    return [
        save(state),
        *[_written(functools.partial(torch.save, checkpoint, **form)) for form in forms],
    ]


def _read_weights(path: Path) -> None:
    from export.frameworks import weight_files

    weight_files.read_weights(path)


def _examples(folder: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted((EXAMPLES / folder).glob("digits*.toml"))]


def _events() -> list[bytes]:
    return [np.random.default_rng(0).integers(0, 34, 5 * 40).astype(np.uint8).tobytes()]


def _read_events(path: Path) -> None:
    nmnist._events(path.name, path.read_bytes())


def _archives() -> list[bytes]:
    import io
    import tarfile

    def tar(entries: dict[str, bytes]) -> bytes:
        memory = io.BytesIO()
        with tarfile.open(fileobj=memory, mode="w") as made:
            for name, content in entries.items():
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                made.addfile(entry, io.BytesIO(content))
        return memory.getvalue()

    inner = tar({"a/test100.txt": b"1 3\n2 4\n", "a/1.bs2": _events()[0], "a/2.bs2": _events()[0]})
    return [tar({"x/inner.tar": inner})]


def _read_archive(path: Path) -> None:
    """Damage inside, packed soundly: damage of the packing itself is told by its checksum."""
    with tempfile.TemporaryDirectory() as folder:
        packed = lzma.compress(path.read_bytes(), preset=0)
        (Path(folder) / nmnist.ARCHIVE).write_bytes(packed)
        nmnist.read("test", Path(folder))


HDF5 = (*mutations.BYTES, mutations.hdf5_object, mutations.hdf5_object, mutations.hdf5_object)
SEALED = (*mutations.BYTES[:2], *[mutations.resealed] * 6)
TOML = (mutations.text_value,)

KINDS = {
    "program": Kind(".h5", _programs, SEALED, _read_program),
    "recording": Kind(".h5", _recordings, SEALED, lambda path: recording_file.load(path) and None),
    "nir": Kind(".nir", _graphs, HDF5, lambda path: export.read(path) and None),
    "net": Kind(".net", _networks, HDF5, lambda path: netx.load(path) and None),
    "arrays": Kind(".npz", _arrays, mutations.BYTES, _read_samples),
    "checkpoint": Kind(
        ".safetensors",
        _checkpoints,
        (*mutations.BYTES[:4], *[mutations.json_header] * 5),
        lambda path: checkpoint.load_checkpoint(path) and None,
    ),
    "state": Kind(
        ".state",
        _states,
        (*mutations.BYTES[:4], *[mutations.json_header] * 5),
        lambda path: state.read(path) and None,
    ),
    "weights": Kind(".weights", _weights, mutations.BYTES, _read_weights),
    "recipe": Kind(
        ".toml", lambda: _examples("recipes"), TOML, lambda path: read_config(path) and None
    ),
    "sweep": Kind(
        ".toml", lambda: _examples("robustness"), TOML, lambda path: sweep.load(path) and None
    ),
    "events": Kind(".bs2", _events, mutations.BYTES, _read_events),
    "archive": Kind(".tar", _archives, mutations.BYTES, _read_archive),
}
