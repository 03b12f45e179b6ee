"""Every file that we write, on a full disk, on a read-only one, and twice: a typed error and the
old file, or the same bytes."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

import export
from hardware import Record, program_file, recording_file, run
from hardware.program import Dense, Input, Output, Population, Program
from tests.end_to_end.models import tiny_graph
from toolchain import files


def big_program():
    """About 200 kB as a file."""
    weights = np.random.default_rng(0).integers(-50, 50, (400, 500)) * 2
    return Program(
        (Input("i", (500,)),),
        (Population("p", (400,)),),
        (Dense("d", "i", "p", weights),),
        (Output("p"),),
    )


def save_program(path: Path) -> None:
    program_file.save(big_program(), path, force=True)


def save_recording(path: Path) -> None:
    drawn = np.random.default_rng(1).integers(0, 2, (4, 8, 500)).astype(np.uint8)
    recording = run(big_program(), drawn, "reference", record=Record(spikes=True, potentials=True))
    recording_file.save(dataclasses.replace(recording, wall_time_s=1.0), path, force=True)


def save_graph(path: Path) -> None:
    export.write(
        tiny_graph(np.random.default_rng(0).normal(size=(3, 16)).repeat(3000, 0)[:3]),
        path,
        force=True,
    )


def save_checkpoint(path: Path) -> None:
    torch = pytest.importorskip("torch")
    from toolchain import training
    from toolchain.models import build
    from toolchain.training.config import Config, Training

    torch.manual_seed(0)
    config = Config(training=Training(epochs=1))
    model = build(
        config.model,
        config.neuron,
        config.grid,
        None,
        dataset="digits",
        encoding=config.data.encoder,
    )
    training.save_checkpoint(path, model, config, force=True)


WRITERS: dict[str, Callable[[Path], None]] = {
    "program.h5": save_program,
    "recording.h5": save_recording,
    "graph.nir": save_graph,
    "checkpoint.safetensors": save_checkpoint,
    "facts.json": lambda path: files.write_json(path, {"numbers": list(range(30_000))}, force=True),
    "page.html": lambda path: files.write_text(path, "<p>" * 70_000, force=True),
}
"""Every kind of file that is written, most of them larger than 64 kB."""


@contextmanager
def mounted(place: Path, options: str) -> Iterator[Path]:
    """A file system of its own in memory; the test is skipped where none may be mounted."""
    place.mkdir()
    allowed = sys.platform == "linux" and os.geteuid() == 0
    if (
        not allowed
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], capture_output=True
        ).returncode
    ):
        pytest.skip("no small file system may be mounted here (needs root on Linux)")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 64 kB, of which 4 kB are free."""
    with mounted(tmp_path / "disk", "size=64k") as place:
        (place / "filler").write_bytes(bytes(61_440))
        yield place


@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_is_a_typed_error_and_keeps_the_old_file(small_disk, name):
    path = small_disk / name
    path.write_bytes(b"old")
    with pytest.raises(
        Exception, match=rf"{name}: cannot be written: No space left on device"
    ) as raised:
        WRITERS[name](path)
    assert type(raised.value).__name__ in ("ProgramFileError", "GraphFileError", "OutputError")
    assert path.read_bytes() == b"old"
    assert sorted(os.listdir(small_disk)) == sorted(["filler", name])


@pytest.mark.skipif(os.name != "posix", reason="POSIX limits")
@pytest.mark.parametrize("name", WRITERS)
def test_a_limit_on_file_sizes_is_a_typed_error_too(tmp_path, name):
    import resource

    path = tmp_path / name
    path.write_bytes(b"old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, before[1]))
    try:
        with pytest.raises(Exception, match=rf"{name}: cannot be written: File too large"):
            WRITERS[name](path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize("name", ["program.h5", "graph.nir", "facts.json"])
def test_a_read_only_file_system_is_a_typed_error(tmp_path, name):
    with (
        mounted(tmp_path / "disk", "size=64k,ro") as place,
        pytest.raises(Exception, match=rf"{name}: cannot be written: Read-only file system"),
    ):
        WRITERS[name](place / name)


@pytest.mark.parametrize("name", WRITERS)
def test_the_same_content_gives_the_same_bytes_wherever_it_is_written(tmp_path, name):
    for folder in ("one", "a much longer name of another folder"):
        (tmp_path / folder).mkdir()
        WRITERS[name](tmp_path / folder / name)
    one, other = (path.read_bytes() for path in tmp_path.rglob(name))
    assert one == other
    assert str(tmp_path).encode() not in one


PLAIN = Path(__file__).parents[2] / "examples" / "checkpoints" / "digits-plain-0.safetensors"


def test_a_checkpoint_exported_from_two_folders_gives_the_same_program(tmp_path, spikeport):
    for folder in ("one", "a much longer name"):
        (tmp_path / folder).mkdir()
        shutil.copy(PLAIN, tmp_path / folder / "net.safetensors")
        for out in ("net.h5", "net.nir"):
            given = (
                tmp_path / folder / "net.safetensors",
                "--dt",
                "1e-3",
                "-o",
                tmp_path / folder / out,
            )
            code, _, err = spikeport("export", *given)
            assert code == 0, err
    for out in ("net.h5", "net.nir"):
        one, other = (path.read_bytes() for path in tmp_path.rglob(out))
        assert one == other
    assert program_file.load(tmp_path / "one" / "net.h5").metadata["source"] == "net.safetensors"


def test_a_model_opened_by_a_worker_keeps_no_name_of_a_temporary_folder(tmp_path):
    from toolchain.robustness import models

    model = models.ModelFile.read("plain", str(PLAIN))
    for name in ("one", "other"):
        program_file.save(models._opened.__wrapped__(model.key, model).program, tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()
    assert program_file.load(tmp_path / "one").metadata["source"] == PLAIN.name
