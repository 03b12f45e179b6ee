"""Samples that are shown, and PNG files read back by a reader of the test's own."""

import struct
import zlib

import numpy as np
import pytest

from tests.toolchain.report import synthetic
from toolchain.cells.store import Store
from toolchain.report import examples
from toolchain.report.examples import Example
from toolchain.report.run import ReportError, load


def read_png(data):
    """Pixels of a PNG whose rows are not filtered; checks every checksum."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    place, header, packed = 8, None, b""
    while place < len(data):
        size = struct.unpack(">I", data[place : place + 4])[0]
        kind, content = data[place + 4 : place + 8], data[place + 8 : place + 8 + size]
        assert struct.unpack(">I", data[place + 8 + size : place + 12 + size])[0] == zlib.crc32(
            kind + content
        )
        header = struct.unpack(">IIBBBBB", content) if kind == b"IHDR" else header
        packed += content if kind == b"IDAT" else b""
        place += 12 + size
    width, height, depth, colour, *rest = header
    assert (depth, rest) == (8, [0, 0, 0])
    rows = np.frombuffer(zlib.decompress(packed), np.uint8).reshape(height, -1)
    assert not rows[:, 0].any()
    return rows[:, 1:].reshape((height, width, 3) if colour == 2 else (height, width))


@pytest.mark.parametrize("shape", [(3, 5), (4, 2, 3)])
def test_png(shape):
    pixels = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    assert np.array_equal(read_png(examples.png(pixels)), pixels)


def example(clean, attacked):
    return Example("m", "pgd", 0.1, 0, 0, 1, 0.1, {}, np.asarray(clean), np.asarray(attacked))


def test_an_image_its_change_and_the_scale_of_it():
    clean, change, attacked, scale = examples.pictures(
        example(np.array([[[0.0, 0.5]]], np.float32), np.array([[[0.2, 0.4]]], np.float32))
    )
    assert scale == pytest.approx(0.2)
    assert clean.tolist() == [[0, 128]]
    assert attacked.tolist() == [[51, 102]]
    assert change.tolist() == [[255, 64]]


def test_no_change_is_middle_grey():
    _, change, _, scale = examples.pictures(
        example(np.zeros((1, 2, 2), np.float32), np.zeros((1, 2, 2), np.float32))
    )
    assert (scale, set(change.ravel().tolist())) == (0.0, {128})


def test_colour_stays_colour():
    clean, _, _, _ = examples.pictures(
        example(np.ones((3, 2, 4), np.float32), np.zeros((3, 2, 4), np.float32))
    )
    assert clean.shape == (2, 4, 3)


def test_events_are_summed_over_time_on_minus_off():
    clean = np.zeros((4, 2, 1, 3), np.uint8)
    clean[:3, 0, 0, 0] = 1  # three on
    clean[0, 1, 0, 2] = 1  # one off
    attacked = clean.copy()
    attacked[3, 0, 0, 1] = 1
    drawn = examples.pictures(example(clean, attacked))
    assert drawn[0].tolist() == [[255, 128, 85]]
    assert drawn[1].tolist() == [[128, 255, 128]]
    assert drawn[3] == 1.0


def test_vectors_are_one_row():
    drawn = examples.pictures(example(np.zeros(5, np.float32), np.ones(5, np.float32)))
    assert drawn[2].shape == (1, 5)


def test_the_first_samples_that_the_strongest_attack_fooled(run_folder):
    run = load(run_folder)
    name = synthetic.MODELS[0].name
    shown = examples.choose(run, [name])
    here = [
        r
        for r in run.records
        if r.description["model"] == name
        and r.description["target"] == "fast"
        and r.description["epsilon"] == 0.1
    ]
    record = min(
        (r for r in here if r.description["family"] in ("iterative", "single_step", "black_box")),
        key=lambda r: r.accuracy,
    )
    clean = next(
        r
        for r in run.records
        if r.description["model"] == name
        and r.description["family"] == "clean"
        and r.description["target"] == "fast"
    )
    fooled = np.flatnonzero(clean.correct & ~record.correct)[:3]
    assert [e.index for e in shown] == fooled.tolist()
    assert [e.attack for e in shown] == [record.description["name"]] * 3
    pictures = synthetic.images(120)
    for one in shown:
        assert np.array_equal(one.clean, pictures[one.index])
        assert np.abs(one.attacked - one.clean).max() <= 0.1 + 1e-6
        assert one.predictions["fast"][0] == one.label != one.predictions["fast"][1]
        assert set(one.predictions) == {"software", "fast"} | (
            {"lava"} if one.index < 20 else set()
        )


def test_a_store_without_the_samples_is_refused(tmp_path):
    folder = synthetic.write_run(
        tmp_path / "run", synthetic.MODELS[:1], targets={"fast": 30}, epsilons=(0.1,), seeds=(0,)
    )
    run = load(folder)
    with Store(folder) as store:
        for key, _ in list(store.cells("crafted")):
            store._db.execute("DELETE FROM cells WHERE key = ?", (key,))
            store.put(key, "crafted", {}, {"adversarial": np.zeros((1, 1, 8, 8), np.float32)})
    with pytest.raises(ReportError, match="holds no samples"):
        examples.choose(run, [synthetic.MODELS[0].name])
