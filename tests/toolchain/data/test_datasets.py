"""Datasets: what the bundled and the shared ones hold, and files that are absent, damaged or
hostile."""

from __future__ import annotations

import gzip
import lzma
import pickle
import struct
import tarfile
from io import BytesIO

import numpy as np
import pytest

from toolchain.data import load
from toolchain.errors import DataError


def test_digits_splits_are_stratified_and_disjoint():
    train, test = load("digits", "train"), load("digits", "test")
    assert len(train) + len(test) == 1797
    assert len(test) == 364
    assert train.shape == (1, 8, 8)
    assert (train.values.min(), train.values.max()) == (0, 16)
    shares = np.bincount(test.labels) / np.bincount(np.concatenate([train.labels, test.labels]))
    assert np.abs(shares - 0.2).max() < 0.01
    from sklearn.datasets import load_digits

    whole = load_digits().data.astype(int).tolist()
    both = sorted(train.values.reshape(-1, 64).tolist() + test.values.reshape(-1, 64).tolist())
    assert both == sorted(whole)


def test_the_first_samples_only():
    few = load("digits", "test", samples=7)
    assert len(few) == 7
    assert np.array_equal(few.values, load("digits", "test").values[:7])
    for samples in (0, 365):
        with pytest.raises(DataError, match="there are 364"):
            load("digits", "test", samples=samples)


def test_unknown_names_and_absent_folders(tmp_path, monkeypatch):
    monkeypatch.delenv("SPIKEPORT_DATA", raising=False)
    with pytest.raises(DataError, match="digits, mnist, cifar10, nmnist"):
        load("imagenet")
    with pytest.raises(DataError, match="train, test"):
        load("digits", "validation")
    with pytest.raises(DataError, match="SPIKEPORT_DATA"):
        load("mnist")
    with pytest.raises(DataError, match="does not exist"):
        load("mnist", root=tmp_path / "nowhere")
    for name in ("mnist", "cifar10", "nmnist"):
        with pytest.raises(DataError, match=f"{name}: n"):
            load(name, root=tmp_path)
    monkeypatch.setenv("SPIKEPORT_DATA", str(tmp_path))
    with pytest.raises(DataError, match="is in the data folder"):
        load("mnist")


def idx(shape, content=None):
    content = bytes(int(np.prod(shape))) if content is None else content
    return struct.pack(f">{1 + len(shape)}I", 0x800 + len(shape), *shape) + content


def write_mnist(folder, images, labels):
    folder.mkdir(parents=True, exist_ok=True)
    with gzip.open(folder / "t10k-images-idx3-ubyte.gz", "wb", compresslevel=1) as file:
        file.write(images)
    (folder / "t10k-labels-idx1-ubyte").write_bytes(labels)


@pytest.mark.parametrize("place", ["", "mnist", "MNIST/raw"])
def test_mnist_is_found_packed_or_not(tmp_path, place):
    write_mnist(tmp_path / place, idx((10_000, 28, 28)), idx((10_000,), bytes([3]) * 10_000))
    data = load("mnist", "test", root=tmp_path)
    assert data.values.shape == (10_000, 1, 28, 28)
    assert set(data.labels) == {3}


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (idx((10_000, 28, 28))[:-1], idx((10_000,)), "no idx file"),
        (idx((10_000, 28, 28)) + b"\0", idx((10_000,)), "unpacks to more than the 7,840,016 bytes"),
        (idx((10_000, 14, 56)), idx((10_000,)), "no idx file"),
        (idx((10_000, 28, 28)), idx((10_000,), bytes([10]) * 10_000), "a label is 10"),
        (idx((10_000, 28, 28)), b"", "no idx file"),
    ],
)
def test_damaged_mnist_files_are_refused(tmp_path, images, labels, message):
    write_mnist(tmp_path, images, labels)
    with pytest.raises(DataError, match=message):
        load("mnist", root=tmp_path)


def test_a_truncated_packed_file_is_refused(tmp_path):
    write_mnist(tmp_path, idx((10_000, 28, 28)), idx((10_000,)))
    path = tmp_path / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match="cannot be unpacked"):
        load("mnist", root=tmp_path)
    path.write_bytes(b"no gzip at all")
    with pytest.raises(DataError, match="cannot be unpacked"):
        load("mnist", root=tmp_path)


class Bomb:
    """Writes a file if it is ever unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_cifar_batches_are_read_but_never_unpickled(tmp_path):
    data, labels = (
        np.arange(10_000 * 3072, dtype=np.uint32).astype(np.uint8).tobytes(),
        [n % 10 for n in range(10_000)],
    )
    bomb = tmp_path / "exploded"
    # protocol 3 writes bytes as such; a batch of CIFAR-10 has them as a Python 2 string
    content = pickle.dumps({"data": data, "labels": labels, "other": Bomb(bomb)}, protocol=3)
    with lzma.open(tmp_path / "test_batch.xz", "wb", preset=0) as file:
        file.write(content)
    found = load("cifar10", "test", root=tmp_path)
    assert found.values.shape == (10_000, 3, 32, 32)
    assert found.values.tobytes() == data
    assert found.labels.tolist() == labels
    assert not bomb.exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x80\x02garbage",
        pickle.dumps({"data": b"1", "labels": [1]}, protocol=2),
        pickle.dumps([1, 2, 3], protocol=2),
    ],
)
def test_other_pickles_are_no_cifar_batch(tmp_path, content):
    (tmp_path / "test_batch").write_bytes(content)
    with pytest.raises(DataError, match="no CIFAR-10 batch"):
        load("cifar10", "test", root=tmp_path)


def event(time, polarity, y, x):
    return bytes([x, y, polarity << 7 | time >> 16, time >> 8 & 255, time & 255])


def test_nmnist_recordings_from_a_folder(tmp_path):
    folder = tmp_path / "NMNIST_small"
    folder.mkdir()
    (folder / "test100.txt").write_text("#sample #class\r\n60001\t7\r\n60002\t2\r\n")
    (folder / "60001.bs2").write_bytes(event(1500, 1, 33, 2) + event(300_000, 0, 0, 1))
    (folder / "60002.bs2").write_bytes(b"")
    data = load("nmnist", "test", root=tmp_path)
    assert data.labels.tolist() == [7, 2]
    assert data.values[0].tolist() == [[1500, 1, 33, 2], [300_000, 0, 0, 1]]
    assert data.values[1].shape == (0, 4)
    (folder / "60002.bs2").write_bytes(b"1234")
    with pytest.raises(DataError, match="events of 5 bytes"):
        load("nmnist", "test", root=tmp_path)
    (folder / "60002.bs2").write_bytes(event(1, 0, 34, 0))
    with pytest.raises(DataError, match="an event at 34"):
        load("nmnist", "test", root=tmp_path)
    (folder / "test100.txt").write_text("one two three\n")
    with pytest.raises(DataError, match="number class"):
        load("nmnist", "test", root=tmp_path)


def test_nmnist_in_its_original_folders(tmp_path):
    for label in (0, 3):
        (tmp_path / "NMNIST" / "Train" / str(label)).mkdir(parents=True)
        (tmp_path / "NMNIST" / "Train" / str(label) / "00001.bin").write_bytes(event(5, 1, 1, 1))
    assert load("nmnist", "train", root=tmp_path).labels.tolist() == [0, 3]
    (tmp_path / "NMNIST" / "Test").mkdir()
    with pytest.raises(DataError, match="holds no"):
        load("nmnist", "test", root=tmp_path)


def test_a_broken_archive_of_recordings_is_refused(tmp_path):
    archive = tmp_path / "nmnist_small.tar.xz"
    archive.write_bytes(b"no archive")
    with pytest.raises(DataError, match="cannot be unpacked"):
        load("nmnist", root=tmp_path)
    inner = BytesIO()
    with tarfile.open(fileobj=inner, mode="w"):
        pass
    with tarfile.open(archive, "w:xz") as outer:
        info = tarfile.TarInfo("x/inner.tar")
        info.size = len(inner.getvalue())
        outer.addfile(info, BytesIO(inner.getvalue()))
    with pytest.raises(DataError, match=r"holds no test100.txt"):
        load("nmnist", root=tmp_path)


def test_the_shared_datasets(shared_data):
    expected = {
        "mnist": ([7, 2, 1, 0, 4], 10_000),
        "cifar10": ([3, 8, 8, 0, 6], 10_000),
        "nmnist": ([7, 2, 1, 0, 4], 100),
    }
    for name, (labels, size) in expected.items():
        data = load(name, "test", root=shared_data)
        assert len(data) == size
        assert data.labels[:5].tolist() == labels
        if not data.is_events:
            assert data.values.max() == data.maximum
