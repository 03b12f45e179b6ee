"""Program files: complete, atomic, and refused for anything that is not exactly one."""

from __future__ import annotations

import errno
import io
import os
import pickle
import zipfile
from dataclasses import replace

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from hardware import _hdf5, limits, program_file
from hardware.errors import ProgramFileError
from hardware.noise import MAX_SEED, Noise
from hardware.program import Convolution, Dense, Input, Output, Population, Program, Sparse
from tests.examples import many
from tests.sealed import edited, sealed_anew
from tests.strategies import programs


def noisy(seed=MAX_SEED, sigma=640) -> Program:
    """The example with noise in one population."""
    base = example()
    populations = (
        base.populations[0],
        replace(base.populations[1], noise=Noise(seed, sigma)),
        base.populations[2],
    )
    return Program(base.inputs, populations, base.projections, base.outputs, base.metadata)


def example() -> Program:
    """Every kind of part, every optional field but noise (see ``noisy``) at least once."""
    return Program(
        inputs=(Input("picture", (2, 4, 4)), Input("graded", (3,), message_bits=8)),
        populations=(
            Population(
                "conv",
                (3, 4, 4),
                current_decay=np.arange(48).reshape(3, 4, 4),
                threshold=50,
                bias=-3,
                bias_exponent=6,
            ),
            Population(
                "soft", (5,), threshold=70000, reset="subtract", reset_amount=1234, refractory=2
            ),
            Population("potential", (4,), threshold=None),
        ),
        projections=(
            Convolution(
                "kernel",
                "picture",
                "conv",
                np.arange(-27, 27).reshape(3, 2, 3, 3) * 2,
                padding=(1, 1),
                exponent=np.arange(3),
            ),
            Dense(
                "matrix",
                "graded",
                "soft",
                np.full((5, 3), -7),
                exponent=-8,
                weight_bits=8,
                delay=np.arange(15).reshape(5, 3),
            ),
            Sparse(
                "single",
                "conv",
                "soft",
                np.array([255, 1]),
                rows=np.array([4, 0]),
                columns=np.array([0, 47]),
            ),
            Dense("read", "soft", "potential", np.zeros((4, 5), int), delay=62),
        ),
        outputs=(Output("potential", "last_potential"), Output("soft")),
        metadata={"dt_s": 1e-3, "name": "ü", "nested": {"list": [1, None, True]}},
    )


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "program.h5"
    program_file.save(example(), path)
    return path


@settings(
    max_examples=many(60),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(program=programs())
def test_round_trip_of_random_programs(tmp_path, program):
    path = tmp_path / "program.h5"
    program_file.save(program, path, force=True)
    assert program_file.load(path).fingerprint == program.fingerprint


def test_round_trip_keeps_every_field_and_the_metadata(saved):
    loaded, program = program_file.load(saved), example()
    assert loaded.fingerprint == program.fingerprint
    assert dict(loaded.metadata) == dict(program.metadata)
    for section in ("inputs", "populations", "projections", "outputs"):
        for one, other in zip(getattr(loaded, section), getattr(program, section)):
            assert type(one) is type(other)
            for name in vars(other):
                a, b = getattr(one, name), getattr(other, name)
                assert type(a) is type(b), name
                assert np.array_equal(a, b), name
                if isinstance(b, np.ndarray):
                    assert (a.dtype, a.flags.writeable) == (b.dtype, False), name


def test_noise_is_kept(tmp_path):
    program_file.save(noisy(), tmp_path / "noisy.h5")
    loaded = program_file.load(tmp_path / "noisy.h5")
    assert [p.noise for p in loaded.populations] == [None, Noise(MAX_SEED, 640), None]
    assert loaded.fingerprint == noisy().fingerprint != example().fingerprint


def test_files_from_before_there_was_noise_stay_valid(saved):
    """A Program without noise is stored, and has the fingerprint, as in the first version."""
    assert (
        example().fingerprint == "3c4d493b12a5e8f77f5da8b9889acb39274ffdc3ebdb9caa99960a42a4483bda"
    )
    with h5py.File(saved) as file:
        assert not [name for name in file["populations/1"].attrs if "noise" in name]


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        (
            {"noise_seed": -1, "noise_sigma": 5},
            "/populations/1: noise: seed is -1; it must be a whole number from 0",
        ),
        (
            {"noise_seed": 1, "noise_sigma": 0},
            "/populations/1: noise: sigma is 0; it must be a whole number from 1 to 1048576",
        ),
        (
            {"noise_seed": np.uint64(1 << 63), "noise_sigma": 5},
            "noise: seed is 9223372036854775808",
        ),
        ({"noise_seed": 1, "noise_sigma": 1 << 40}, "noise: sigma is 1099511627776"),
        ({"noise_seed": 1.5, "noise_sigma": 5}, "the attribute 'noise_seed' is float64"),
        (
            {"noise_sigma": 5},
            "has 'noise_sigma' alone; there must be both of noise_seed, noise_sigma, or none",
        ),
        ({"noise_seed": 1, "noise_sigma": 7}, "damaged: the content's fingerprint"),
    ],
)
def test_noise_of_hostile_files_is_refused(tmp_path, attributes, message):
    program_file.save(noisy(seed=1), tmp_path / "noisy.h5")
    with edited(tmp_path / "noisy.h5") as file:
        group = file["populations/1"]
        del group.attrs["noise_seed"], group.attrs["noise_sigma"]
        for name, value in attributes.items():
            group.attrs[name] = value
    with pytest.raises(ProgramFileError) as error:
        program_file.load(tmp_path / "noisy.h5")
    assert message in str(error.value)


def test_noise_of_an_input_is_unknown(saved):
    with edited(saved) as file:
        file["inputs/0"].attrs["noise_seed"] = 1
    with pytest.raises(ProgramFileError, match="unknown attribute 'noise_seed'"):
        program_file.load(saved)


def test_same_program_gives_the_same_bytes(tmp_path, saved):
    program_file.save(example(), tmp_path / "again.h5")
    assert (tmp_path / "again.h5").read_bytes() == saved.read_bytes()


def test_stores_no_more_than_the_numbers_need(tmp_path):
    program = Program(
        (Input("i", (500,)),),
        (Population("p", (400,)),),
        (Dense("d", "i", "p", np.full((400, 500), -100)),),
        (Output("p"),),
    )
    program_file.save(program, tmp_path / "p.h5")
    assert 200_000 < (tmp_path / "p.h5").stat().st_size < 210_000


def test_file_that_others_compressed_is_read(tmp_path, saved):
    with edited(saved) as file:
        group = file["projections/0"]
        values = group["weights"][()]
        del group["weights"]
        group.create_dataset(
            "weights", data=values, chunks=values.shape, compression="gzip", shuffle=True
        )
    assert program_file.load(saved).fingerprint == example().fingerprint


def test_existing_output_is_refused_without_force(saved):
    before = saved.read_bytes()
    with pytest.raises(
        ProgramFileError, match=r"program\.h5: exists already; force=True replaces it"
    ):
        program_file.save(example(), saved)
    assert saved.read_bytes() == before
    program_file.save(example(), saved, force=True)


@pytest.mark.parametrize(
    "interruption", [KeyboardInterrupt, OSError(errno.ENOSPC, "No space left on device")]
)
def test_interrupted_write_leaves_the_old_file_and_nothing_beside_it(
    saved, monkeypatch, interruption
):
    before = saved.read_bytes()

    def interrupted(number):
        raise interruption

    monkeypatch.setattr(os, "fsync", interrupted)
    expected = KeyboardInterrupt if interruption is KeyboardInterrupt else ProgramFileError
    with pytest.raises(
        expected,
        match=None if interruption is KeyboardInterrupt else "cannot be written: No space left",
    ):
        program_file.save(example(), saved, force=True)
    assert saved.read_bytes() == before
    assert os.listdir(saved.parent) == [saved.name]


def test_link_is_written_through(tmp_path, saved):
    link = tmp_path / "link.h5"
    link.symlink_to(saved)
    program_file.save(example(), link, force=True)
    assert link.is_symlink()
    assert program_file.load(saved)


def test_unwritable_places(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ProgramFileError, match="cannot be written"):
        program_file.save(example(), tmp_path / "file" / "program.h5")
    with pytest.raises(ProgramFileError, match=r"cannot be written: .*[Nn]o such file"):
        program_file.save(example(), tmp_path / "nowhere" / "p.h5")
    with pytest.raises(ProgramFileError, match="is a folder"):
        program_file.save(example(), tmp_path)


def test_absent_foreign_and_truncated_files(tmp_path, saved):
    with pytest.raises(ProgramFileError, match="no such file"):
        program_file.load(tmp_path / "absent.h5")
    with pytest.raises(ProgramFileError, match="is a folder"):
        program_file.load(tmp_path)
    (tmp_path / "text").write_text("not this")
    with pytest.raises(
        ProgramFileError, match="not an HDF5 file; it must be a spikeport program file"
    ):
        program_file.load(tmp_path / "text")
    (tmp_path / "pickle").write_bytes(pickle.dumps(_Trap()))
    with pytest.raises(ProgramFileError, match="not an HDF5 file"):
        program_file.load(tmp_path / "pickle")
    whole = saved.read_bytes()
    for length in (9, 100, len(whole) // 2, len(whole) - 1):
        saved.write_bytes(whole[:length])
        with pytest.raises(ProgramFileError, match=r"program\.h5: "):
            program_file.load(saved)


class _Trap:
    """Reading a pickle of this fails the test."""

    def __reduce__(self):
        return (pytest.fail, ("the pickle was executed",))


@pytest.mark.parametrize("resealed", [False, True])
def test_damaged_bytes_never_give_a_different_program(saved, resealed):
    """One flipped byte anywhere is refused by the seal; with a seal that is right again, by the
    fingerprint, or it changes nothing."""
    whole, fingerprint = saved.read_bytes(), example().fingerprint
    refused = 0
    for position in np.random.default_rng(0).choice(len(whole), 150, replace=False):
        damaged = bytearray(whole)
        damaged[position] ^= 0xFF
        saved.write_bytes(damaged)
        if resealed:
            sealed_anew(saved)
        try:
            assert program_file.load(saved).fingerprint == fingerprint
        except ProgramFileError:
            refused += 1
    assert 30 < refused < 150 if resealed else refused == 150


def attribute(group, name, value):
    return lambda file: file[group].attrs.__setitem__(name, value)


def dataset(name, **arguments):
    def change(file):
        if name in file:
            del file[name]
        file.create_dataset(name, **arguments)

    return change


def without(name):
    return lambda file: file.__delitem__(name)


def soft_link(file):
    del file["inputs/0"]
    file["inputs/0"] = h5py.SoftLink("/inputs/1")


def external_link(file):
    del file["metadata"]
    file["metadata"] = h5py.ExternalLink("/etc/passwd", "/")


def external_data(file):
    del file["projections/0/weights"]
    file["projections/0"].create_dataset("weights", (8,), "i1", external=[("/etc/passwd", 0, 8)])


def virtual_data(file):
    layout = h5py.VirtualLayout((8,), "i1")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", (8,))
    del file["projections/0/weights"]
    file["projections/0"].create_virtual_dataset("weights", layout)


def rename(file):
    file.move("inputs/0", "inputs/zero")


def group_as_weights(file):
    del file["projections/0/weights"]
    file.create_group("projections/0/weights")


def many_members(file):
    for n in range(9):
        file.create_group(f"populations/x{n}")


HOSTILE = {
    "newer format": (
        attribute("/", "format_version", 3),
        "newer version of this program: format version 3; it must be 2",
    ),
    "older format": (
        attribute("/", "format_version", 1),
        "format version 1; it must be 2. Older files have no hash",
    ),
    "other format": (
        attribute("/", "format", np.bytes_("other")),
        "a 'other' file; it must be a 'spikeport program' file",
    ),
    "no format": (lambda file: file.attrs.__delitem__("format"), "HDF5 without the attributes"),
    "format of variable length": (
        attribute("/", "format", "spikeport program"),
        "'format' is object",
    ),
    "version is a vector": (
        attribute("/", "format_version", [1, 1]),
        "'format_version' is int64 of shape",
    ),
    "unknown root member": (
        dataset("extra", data=1),
        "/extra: unknown; the members must be inputs, metadata",
    ),
    "unknown root attribute": (
        attribute("/", "extra", 1),
        "unknown attribute 'extra'; it must be one of format",
    ),
    "unknown part attribute": (
        attribute("inputs/0", "colour", 1),
        "/inputs/0: unknown attribute 'colour'",
    ),
    "unknown dataset": (
        dataset("populations/0/mask", data=1),
        "/populations/0/mask: unknown; the members must be bias, current_decay",
    ),
    "missing group": (without("outputs"), "/outputs: missing"),
    "missing dataset": (without("projections/1/weights"), "/projections/1/weights: missing"),
    "missing attribute": (
        lambda file: file["inputs/0"].attrs.__delitem__("name"),
        "the attribute 'name' is missing",
    ),
    "no kind": (
        lambda file: file["projections/0"].attrs.__delitem__("kind"),
        "the attribute 'kind' is missing",
    ),
    "unknown kind": (
        attribute("projections/0", "kind", np.bytes_("magic")),
        "kind 'magic'; it must be one of dense, sparse, convolution",
    ),
    "group as dataset": (dataset("inputs/0", data=1), "/inputs/0: a dataset; it must be a group"),
    "dataset as group": (
        group_as_weights,
        "/projections/0/weights: a group; it must be a dataset",
    ),
    "misnumbered": (rename, "/inputs: members 1, zero; they must be groups named 0, 1, 2"),
    "many members": (many_members, "they must be groups named 0, 1, 2"),
    "soft link": (soft_link, "/inputs/0: a soft or external link"),
    "external link": (external_link, "/metadata: a soft or external link"),
    "external data": (external_data, "stored in other files"),
    "virtual data": (virtual_data, "stored in other files"),
    "real weights": (
        dataset("projections/0/weights", data=np.zeros((3, 2, 3, 3))),
        "type float64; it must be int8 or int16 or int32",
    ),
    "unsigned weights": (
        dataset("projections/0/weights", data=np.zeros((3, 2, 3, 3), np.uint8)),
        "type uint8; it must be",
    ),
    "object weights": (
        dataset("projections/0/weights", data=["a"], dtype=h5py.string_dtype()),
        "type object; it must be",
    ),
    "references": (
        dataset("projections/0/weights", shape=(2,), dtype=h5py.ref_dtype),
        "type object; it must be",
    ),
    "compound": (
        dataset("projections/0/weights", shape=(2,), dtype=[("a", "i1")]),
        "it must be int8",
    ),
    "no shape": (dataset("projections/0/weights", data=h5py.Empty("i1")), "no shape"),
    "never stored": (
        dataset("projections/1/weights", shape=(1 << 24, 1 << 10), dtype="i1"),
        "declares 17179869184 bytes of data, but 0",
    ),
    "filter": (
        dataset("projections/1/weights", data=np.zeros((5, 3), np.int8), scaleoffset=0),
        "a filter other than deflate",
    ),
    "no JSON": (
        dataset("metadata", data=np.frombuffer(b"{nope", np.uint8)),
        "/metadata: not JSON text",
    ),
    "NaN in JSON": (
        dataset("metadata", data=np.frombuffer(b'{"a": NaN}', np.uint8)),
        "/metadata: holds NaN",
    ),
    "JSON list": (
        dataset("metadata", data=np.frombuffer(b"[1]", np.uint8)),
        "holds a JSON list; it must be an object",
    ),
    "deep JSON": (
        dataset("metadata", data=np.full(200_000, ord("["), np.uint8)),
        "/metadata: not JSON text",
    ),
    "text is not UTF-8": (
        attribute("inputs/0", "name", np.bytes_(b"\xff\xfe")),
        "is not UTF-8 text",
    ),
    "long text": (attribute("inputs/0", "name", np.bytes_(b"x" * 5000)), "it must be one text"),
    "long vector": (attribute("inputs/0", "shape", np.ones(17, int)), "there must be at most 16"),
    "broken rule": (
        attribute("inputs/0", "message_bits", 99),
        "/inputs/0: input 'picture': message_bits is 99; it must be from 0 to 24",
    ),
    "broken rule of the whole": (
        attribute("projections/3", "source", np.bytes_("nobody")),
        "there is no population 'nobody'",
    ),
    "changed number": (
        attribute("populations/1", "refractory", 3),
        "damaged: the content's fingerprint",
    ),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_files_are_refused_by_name_and_place(saved, case):
    change, message = HOSTILE[case]
    with edited(saved) as file:
        change(file)
    with pytest.raises(ProgramFileError) as error:
        program_file.load(saved)
    assert str(error.value).startswith(str(saved))
    assert message in str(error.value)


def test_compressed_bomb_is_refused_before_it_is_read(saved):
    """64 MiB of zeros in 64 KiB: within the ratio of deflate, but more than the file may hold."""
    with edited(saved) as file:
        group = file["projections/1"]
        del group["weights"]
        group.create_dataset(
            "weights",
            data=np.zeros((1 << 13, 1 << 13), np.int8),
            compression="gzip",
            chunks=(1 << 13, 1 << 10),
        )
    assert saved.stat().st_size < 1 << 18
    with pytest.raises(
        ProgramFileError, match="declares 67108864 bytes; with it the file holds more than"
    ):
        program_file.load(saved)


def test_too_many_members_are_not_listed(saved, monkeypatch):
    monkeypatch.setattr(limits, "PARTS", 3)
    with pytest.raises(ProgramFileError, match="members; there must be at most 3"):
        program_file.load(saved)


def test_sniff_files_made_by_others(shared_data):
    assert program_file.sniff(shared_data / "golden/nir/cnn_sinabs.nir") == "nir"
    assert program_file.sniff(shared_data / "golden/lava_dl/tinynet/tiny.net") == "netx"


def test_sniff_files_made_here(tmp_path, saved):
    assert program_file.sniff(saved) == "program"

    def write(name, data):
        (tmp_path / name).write_bytes(data)
        return program_file.sniff(tmp_path / name)

    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["node"] = 1
    assert program_file.sniff(tmp_path / "other.h5") == "hdf5"
    np.savez(tmp_path / "a.npz", inputs=np.zeros(3))
    assert program_file.sniff(tmp_path / "a.npz") == "npz"
    assert write("a.pkl", pickle.dumps(_Trap())) == "pickle"
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.writestr("model/data.pkl", pickle.dumps(_Trap()))
    assert write("a.pt", archive.getvalue()) == "torch"
    assert write("a.safetensors", (2).to_bytes(8, "little") + b"{}") == "safetensors"
    assert write("text.toml", b"[model]\nname = 'x'\n") == "unknown"
    assert write("empty", b"") == "empty"
    with pytest.raises(ProgramFileError, match="no such file"):
        program_file.sniff(tmp_path / "absent")
    with pytest.raises(ProgramFileError, match="damaged HDF5 file"):
        write("cut.h5", _hdf5.SIGNATURE + b"rest")


def test_sniff_what_the_libraries_write(tmp_path):
    torch = pytest.importorskip("torch")
    safetensors = pytest.importorskip("safetensors.numpy")
    torch.save({"w": torch.ones(2)}, tmp_path / "a.pt")
    safetensors.save_file({"w": np.ones(2, np.float32)}, tmp_path / "a.safetensors")
    assert program_file.sniff(tmp_path / "a.pt") == "torch"
    assert program_file.sniff(tmp_path / "a.safetensors") == "safetensors"


def test_a_changed_description_of_the_data_is_refused(tmp_path):
    """8 steps changed to 1 in the metadata: the same network, and another result."""
    path = tmp_path / "program.h5"
    data = {"name": "digits", "encoding": "direct", "steps": 8}
    program_file.save(replace(example(), metadata={"data": data}), path)

    content = path.read_bytes()
    path.write_bytes(content.replace(b'"steps": 8', b'"steps": 1'))
    with pytest.raises(ProgramFileError, match="changed since it was written: the SHA-256"):
        program_file.load(path)
    sealed_anew(path)
    with pytest.raises(ProgramFileError, match="the content's fingerprint is"):
        program_file.load(path)


def test_a_second_name_of_an_object_is_refused(saved):
    with edited(saved) as file:
        file["populations/3"] = file["populations/2"]
    with pytest.raises(ProgramFileError, match="/populations/3: a second name of an object"):
        program_file.load(saved)
