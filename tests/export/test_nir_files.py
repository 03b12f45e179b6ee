"""NIR files: what nir and others wrote is read, what is damaged or malformed ends in one typed
error that says what and where."""

from __future__ import annotations

import os
import re
import tracemalloc
from itertools import pairwise

import h5py
import nir
import numpy as np
import pytest

import export
from export import metadata as graph_metadata
from export.check import checked
from export.errors import ExportError, GraphError, GraphFileError, UnsupportedError
from export.hdf5 import Limits, read_tree
from tests.export.grid_graphs import chain, graph_of


def every_node() -> nir.NIRGraph:
    """A graph with every kind of node that NIR has, one subgraph and two inputs."""
    n4, n2 = np.ones(4, np.float32), np.ones(2)
    nodes = {
        "image": nir.Input(np.array([2, 8, 8])),
        "conv": nir.Conv2d(
            None,
            np.ones((4, 2, 3, 3), np.float32),
            (1, 1),
            (1, 1),
            (1, 1),
            1,
            np.zeros(4, np.float32),
        ),
        "if": nir.IF(r=np.ones((4, 8, 8)), v_threshold=np.ones((4, 8, 8))),
        "sum": nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])),
        "avg": nir.AvgPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])),
        "flat": nir.Flatten(None, 0, -1),
        "affine": nir.Affine(np.ones((4, 16)), np.zeros(4)),
        "lif": nir.LIF(tau=n4, r=n4, v_leak=0 * n4, v_threshold=n4),
        "scale": nir.Scale(n4),
        "linear": nir.Linear(np.ones((2, 4))),
        "sub": nir.NIRGraph(
            {
                "in": nir.Input(np.array([2])),
                "cubalif": nir.CubaLIF(
                    tau_syn=n2, tau_mem=n2, r=n2, v_leak=0 * n2, v_threshold=n2, w_in=2 * n2
                ),
                "w_rec": nir.Linear(np.eye(2)),
                "out": nir.Output(np.array([2])),
            },
            [("in", "cubalif"), ("cubalif", "w_rec"), ("w_rec", "cubalif"), ("cubalif", "out")],
            type_check=False,
        ),
        "delay": nir.Delay(np.array([0.001, 0.002])),
        "threshold": nir.Threshold(n2),
        "out1": nir.Output(np.array([2])),
        "line": nir.Input(np.array([2, 9])),
        "conv1": nir.Conv1d(None, np.ones((2, 1, 3)), 2, "valid", 1, 2, np.zeros(2)),
        "li": nir.LI(tau=np.ones((2, 4)), r=np.ones((2, 4)), v_leak=np.zeros((2, 4))),
        "out2": nir.Output(np.array([2, 4])),
    }
    path = [
        "image",
        "conv",
        "if",
        "sum",
        "avg",
        "flat",
        "affine",
        "lif",
        "scale",
        "linear",
        "sub",
        "delay",
        "threshold",
        "out1",
    ]
    edges = [*pairwise(path), ("line", "conv1"), ("conv1", "li"), ("li", "out2")]
    return graph_of(
        nodes,
        edges,
        dt=1e-3,
        entries={"lif": {"reset": "subtract"}, "image": {"message_bits": 4}},
        origin={"framework": "x"},
    )


def same(a: nir.NIRGraph, b: nir.NIRGraph) -> None:
    assert list(a.nodes) == list(b.nodes)
    assert a.edges == b.edges
    assert graph_metadata.of(a) == graph_metadata.of(b)
    for name, node in a.nodes.items():
        other = b.nodes[name]
        assert type(node) is type(other)
        if isinstance(node, nir.NIRGraph):
            same(node, other)
            continue
        one, two = node.to_dict(), other.to_dict()
        assert one.keys() == two.keys()
        for key, value in one.items():
            assert np.array_equal(value, two[key]), (name, key)


def test_every_node_goes_to_disk_and_back(tmp_path):
    graph = every_node()
    export.write(graph, tmp_path / "a.nir")
    once = export.read(tmp_path / "a.nir")
    export.write(once, tmp_path / "b.nir")
    same(once, export.read(tmp_path / "b.nir"))
    assert once.nodes["conv"].input_shape == (8, 8)
    assert once.nodes["conv1"].output_type["output"].tolist() == [2, 4]
    assert once.nodes["flat"].input_type["input"].tolist() == [4, 2, 2]
    np.testing.assert_array_equal(once.nodes["sub"].nodes["cubalif"].w_in, [2, 2])


def test_nir_reads_what_we_write(tmp_path):
    graph = chain(
        ("in", nir.Input(np.array([2, 8, 8]))),
        ("conv", nir.Conv2d(None, np.ones((3, 2, 3, 3)), 1, 1, 1, 1, np.zeros(3))),
        ("pool", nir.AvgPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0]))),
        (
            "lif",
            nir.LIF(
                tau=np.ones((3, 4, 4)),
                r=np.ones((3, 4, 4)),
                v_leak=np.zeros((3, 4, 4)),
                v_threshold=np.ones((3, 4, 4)),
            ),
        ),
        ("flat", nir.Flatten(None, 0, -1)),
        ("w", nir.Linear(np.ones((2, 48)))),
        ("li", nir.LI(tau=np.ones(2), r=np.ones(2), v_leak=np.zeros(2))),
        ("out", nir.Output(np.array([2]))),
        entries={"lif": {"reset": "subtract"}},
    )
    export.write(graph, tmp_path / "a.nir")
    theirs = nir.read(tmp_path / "a.nir")
    assert set(theirs.nodes) == set(graph.nodes)
    assert graph_metadata.of(theirs)["nodes"]["lif"] == {"reset": "subtract"}
    np.testing.assert_array_equal(theirs.nodes["conv"].output_type["output"], [3, 8, 8])


def test_nir_itself_infers_wrong_shapes_for_oblong_kernels(tmp_path):
    """Pins the fault of nir 1.0.8 for which our own shape inference exists; when this fails,
    export.write's docstring can be shortened."""
    graph = chain(
        ("in", nir.Input(np.array([1, 8, 8]))),
        ("conv", nir.Conv2d(None, np.ones((1, 1, 3, 5)), 1, (1, 2), 1, 1, np.zeros(1))),
        ("if", nir.IF(r=np.ones((1, 8, 8)), v_threshold=np.ones((1, 8, 8)))),
        ("out", nir.Output(np.array([1, 8, 8]))),
    )
    export.write(graph, tmp_path / "a.nir")
    with pytest.raises(ValueError, match="mismatch"):
        nir.read(tmp_path / "a.nir")
    assert set(nir.read(tmp_path / "a.nir", type_check=False).nodes) == {"in", "conv", "if", "out"}
    assert export.read(tmp_path / "a.nir").nodes["conv"].output_type["output"].tolist() == [1, 8, 8]


def test_order_is_canonical_whatever_the_file_says(tmp_path):
    names = ["input", *(str(i) for i in range(12)), "output"]
    nodes = {"input": nir.Input(np.array([1])), "output": nir.Output(np.array([1]))}
    nodes |= {str(i): nir.Linear(np.ones((1, 1))) for i in range(11, -1, -1)}
    graph = nir.NIRGraph(nodes, list(pairwise(names))[::-1], type_check=False)
    export.write(graph, tmp_path / "a.nir")
    assert list(export.read(tmp_path / "a.nir").nodes) == names


# files made by others


def test_files_in_the_wild(shared_data):
    """All but one are read, with a line for what was understood in them; the last contradicts
    itself, and says how."""
    folder = shared_data / "golden" / "nir" / "wild"
    wanted = {
        "232ebad8_scnn_mnist.nir": (15, ""),
        "nirtorch_lif_norse.nir": (4, ""),
        "2b0feb3d_lif_norse.nir": (
            4,
            r"node '1' \(LIF\): r, v_leak given once, used for all of shape \(1,\)",
        ),
        "50b2fc28_braille_v2.nir": (
            6,
            r"subgraph 'lif1': old form;.*|.*\(256, 12\) read as \(12,\), without time steps",
        ),
        "a7c67c3a_braille.nir": (6, "subgraph 'lif1': old form"),
        "9122dac0_scnn_mnist_batches.nir": (
            15,
            r"'input' .*\(1, 2, 34, 34\) read as \(2, 34, 34\), without a batch of 1",
        ),
    }
    contradiction = "77b4a802_braille_subgraph.nir"
    assert {p.name for p in folder.glob("*.nir")} == {*wanted, contradiction}
    for name, (size, note) in wanted.items():
        graph = export.read(folder / name)
        assert len(graph.nodes) == size
        origin = graph_metadata.of(graph)["origin"]
        assert origin["nir_version"] in ("0.1.1", "0.2.0")
        assert re.search(note, "\n".join(origin.get("notes", [])))
    fits = (
        r"'hidden.input' → 'hidden.lif' joins shape \(12,\) \(Input\) to shape \(38,\) \(CubaLIF\)"
    )
    with pytest.raises(GraphError, match=fits):
        export.read(folder / contradiction)


# damaged and foreign files


@pytest.fixture
def small(tmp_path):
    path = tmp_path / "small.nir"
    export.write(
        chain(
            ("in", nir.Input(np.array([3]))),
            ("w", nir.Affine(np.ones((2, 3)), np.zeros(2))),
            ("n", nir.IF(r=np.ones(2), v_threshold=np.ones(2))),
            ("out", nir.Output(np.array([2]))),
        ),
        path,
    )
    return path


def test_truncated_files_are_refused_at_every_length(small):
    raw = small.read_bytes()
    for length in [0, 1, 7, 100, *range(200, len(raw), len(raw) // 20)]:
        small.write_bytes(raw[:length])
        with pytest.raises(GraphFileError, match=r"small\.nir"):
            export.read(small)


def test_flipped_bytes_end_in_our_errors_or_in_a_checked_graph(small):
    raw = small.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(60):
        damaged = bytearray(raw)
        for place in rng.integers(0, len(raw), 3):
            damaged[place] ^= int(rng.integers(1, 256))
        small.write_bytes(damaged)
        try:
            graph = export.read(small)
        except ExportError:
            continue
        same(graph, checked(graph))


def edit(path, change) -> None:
    with h5py.File(path, "r+") as file:
        change(file)


def replaced(place, value):
    def change(file):
        del file[place]
        file[place] = value

    return change


@pytest.mark.parametrize(
    ("change", "kind", "text"),
    [
        (lambda f: f.move("node", "other"), GraphFileError, "not NIR: there is no group 'node'"),
        (
            replaced("node/nodes/n/type", "Izhikevich"),
            UnsupportedError,
            "/node/nodes/n: unknown kind of node 'Izhikevich'; known are",
        ),
        (replaced("node/nodes/n/type", 3), GraphFileError, "a node is a group with a text 'type'"),
        (
            lambda f: f.__delitem__("node/nodes/w/weight"),
            GraphFileError,
            r"/node/nodes/w \(Affine\): weight is missing",
        ),
        (replaced("node/nodes/w/weight", "heavy"), GraphFileError, "weight is text"),
        (lambda f: f.create_group("node/nodes/w/gain"), UnsupportedError, "unknown field 'gain'"),
        (
            replaced("node/nodes/w/weight", np.full((2, 3), np.nan)),
            GraphError,
            r"'w' \(Affine\): weight holds NaN or infinite values, the first at \[0, 0\]",
        ),
        (
            replaced("node/nodes/w/bias", np.array([0, np.inf])),
            GraphError,
            r"bias holds NaN or infinite values, the first at \[1\]",
        ),
        (
            replaced("node/nodes/w/weight", np.ones((2, 4))),
            GraphError,
            r"the edge 'in' → 'w' joins shape \(3,\) \(Input\) to shape \(4,\) \(Affine\)",
        ),
        (
            replaced("node/nodes/w/weight", np.ones((2, 3), complex)),
            GraphFileError,
            "type complex128; it must be numbers",
        ),
        (
            replaced("node/nodes/n/r", np.ones(3)),
            GraphError,
            r"parameters of different shapes: r \(3,\), v_threshold \(2,\)",
        ),
        (
            replaced("node/nodes/in/shape", np.array([0])),
            GraphError,
            "it must be positive whole numbers",
        ),
        (
            replaced("node/nodes/in/shape", np.array([2.5])),
            GraphError,
            "it must be positive whole numbers",
        ),
        (replaced("node/edges", np.array([1, 2])), GraphFileError, "edges must be pairs of names"),
        (
            lambda f: f.__delitem__("node/nodes/out"),
            GraphError,
            "the edge 'n' → 'out' names 'out', which is no node",
        ),
        (
            replaced("node/nodes/w/type", np.void(b"\x00")),
            GraphFileError,
            "type .*it must be numbers",
        ),
        (
            lambda f: f["node/nodes"].__setitem__("again", h5py.SoftLink("/node/nodes/n")),
            GraphFileError,
            "a soft or external link",
        ),
        (
            lambda f: f["node/nodes"].__setitem__("away", h5py.ExternalLink("other.h5", "/x")),
            GraphFileError,
            "a soft or external link",
        ),
        (
            lambda f: f["node/nodes"].__setitem__("loop", f["node"]),
            GraphFileError,
            "/node/nodes/loop: a second name of an object",
        ),
        (replaced("node/metadata/spikeport", "{"), GraphError, "is not JSON"),
        (
            replaced("node/metadata/spikeport", '{"format": 9}'),
            GraphError,
            "format is 9; this version reads format 1",
        ),
        (
            replaced("node/metadata/spikeport", '{"nodes": {"ghost": {}}}'),
            GraphError,
            "speaks of node 'ghost'",
        ),
        (
            replaced("node/metadata/spikeport", '{"nodes": {"w": {"reset": "zero"}}}'),
            GraphError,
            r"'w' \(Affine\) cannot have the entry 'reset'",
        ),
    ],
)
def test_malformed_files_name_the_fault(small, change, kind, text):
    edit(small, change)
    with pytest.raises(kind, match=text) as caught:
        export.read(small)
    assert str(small) in str(caught.value)


def test_external_and_virtual_data_are_never_followed(small, tmp_path):
    secret = tmp_path / "secret.bin"
    secret.write_bytes(np.ones(6).tobytes())

    def external(file):
        del file["node/nodes/w/weight"]
        file["node/nodes/w"].create_dataset("weight", (2, 3), "f8", external=[(str(secret), 0, 48)])

    def virtual(file):
        del file["node/nodes/w/weight"]
        layout = h5py.VirtualLayout((2, 3), "f8")
        layout[:] = h5py.VirtualSource(str(secret), "x", (2, 3))
        file["node/nodes/w"].create_virtual_dataset("weight", layout)

    raw = small.read_bytes()
    for change in (external, virtual):
        small.write_bytes(raw)
        edit(small, change)
        with pytest.raises(GraphFileError, match="data stored in other files"):
            export.read(small)


def test_small_files_that_claim_to_be_huge_are_refused_before_loading(small):
    def huge(file):
        del file["node/nodes/w/weight"]
        file["node/nodes/w"].create_dataset(
            "weight", (1 << 20, 1 << 20), "f8", chunks=(1024, 1024), compression="gzip"
        )

    edit(small, huge)
    assert small.stat().st_size < 1 << 20
    with pytest.raises(
        GraphFileError, match="declares 8796093022208 bytes of data, but 0 bytes are stored"
    ):
        export.read(small)


def test_arrays_and_texts_that_were_never_stored_are_refused(small):
    """Within every limit, and still a million times larger than the file that claims to hold
    them."""
    raw = small.read_bytes()
    for dtype, options in (
        ("f4", {}),
        ("f4", {"compression": "gzip"}),
        ("S1000", {"chunks": (10, 10)}),
    ):
        small.write_bytes(raw)

        def claim(file, dtype=dtype, options=options):
            del file["node/nodes/w/weight"]
            file["node/nodes/w"].create_dataset("weight", (400, 400), dtype, **options)

        edit(small, claim)
        with pytest.raises(
            GraphFileError,
            match=r"/node/nodes/w/weight: declares [0-9]+ bytes of data, but 0 bytes are stored",
        ):
            export.read(small)


def test_one_text_that_stands_everywhere_is_counted_every_time(small):
    """Variable-length texts lie on a heap, where many entries can share one: each is loaded by
    itself."""

    def share(file):
        del file["node/edges"]
        edges = file["node"].create_dataset("edges", (500, 2), h5py.string_dtype())
        edges[0, 0] = "x" * 200_000
        place.append(edges.id.get_offset())

    place: list[int] = []
    edit(small, share)
    raw = bytearray(small.read_bytes())
    first = raw[place[0] : place[0] + 16]  # length, heap, number in the heap
    raw[place[0] : place[0] + 16_000] = first * 1000
    small.write_bytes(raw)
    tracemalloc.start()
    try:
        with pytest.raises(GraphFileError, match="must hold at most 1,000,000 bytes of data"):
            read_tree(small, Limits(bytes=1_000_000))
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()


def test_compressed_files_are_read(small):
    def pack(file):
        del file["node/nodes/w/weight"]
        file["node/nodes/w"].create_dataset(
            "weight", data=np.zeros((2, 3)), chunks=(2, 3), compression="gzip", shuffle=True
        )

    edit(small, pack)
    assert not export.read(small).nodes["w"].weight.any()


def test_limits_are_counted_over_the_whole_file(small):
    for limits, text in (
        (Limits(objects=5), "objects|members"),
        (Limits(depth=1), "deeper than 1"),
        (Limits(bytes=40_000, text=4), "a text of"),
        (Limits(texts=2), "there must be at most 2"),
        (Limits(bytes=100), "must have at most 100"),
    ):
        with pytest.raises(GraphFileError, match=text):
            read_tree(small, limits)


def test_other_files_are_refused(tmp_path):
    with pytest.raises(GraphFileError, match="no such file"):
        export.read(tmp_path / "absent.nir")
    with pytest.raises(GraphFileError, match="is a folder"):
        export.read(tmp_path)
    path = tmp_path / "text.nir"
    path.write_text("hello")
    with pytest.raises(GraphFileError, match="not an HDF5 file"):
        export.read(path)


# writing


def test_existing_files_are_kept_without_force(small):
    graph, raw = export.read(small), small.read_bytes()
    with pytest.raises(GraphFileError, match="exists already"):
        export.write(graph, small)
    assert small.read_bytes() == raw
    export.write(graph, small, force=True)
    same(export.read(small), graph)


def test_a_graph_that_cannot_be_written_leaves_nothing(tmp_path, small):
    graph = export.read(small)
    for path in (tmp_path / "absent" / "a.nir", tmp_path):
        with pytest.raises(GraphFileError):
            export.write(graph, path, force=True)
    graph.nodes["n"].r = np.array([np.nan, 1])
    with pytest.raises(GraphError):
        export.write(graph, tmp_path / "b.nir")
    assert {p.name for p in tmp_path.iterdir()} == {"small.nir"}


def test_a_full_disk_is_an_error_and_keeps_the_old_file(tmp_path, small, monkeypatch):
    graph, raw = export.read(small), small.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(GraphFileError, match="cannot be written: No space left on device"):
        export.write(graph, small, force=True)
    assert small.read_bytes() == raw
    assert list(tmp_path.iterdir()) == [small]


def test_the_argument_is_left_alone():
    node = nir.IF(r=np.float32(1), v_threshold=np.float32(1), v_reset=np.float32(0))
    graph = nir.NIRGraph(
        {"out": nir.Output(np.array([3])), "n": node, "in": nir.Input(np.array([3]))},
        [("n", "out"), ("in", "n")],
        type_check=False,
    )
    copy = checked(graph)
    assert list(graph.nodes) == ["out", "n", "in"]
    assert np.shape(node.r) == ()
    assert copy.nodes["n"].r.shape == (3,)
    assert "parameters given once" in graph_metadata.of(copy)["origin"]["notes"][0]


# texts, which are read without the HDF5 library (export.text_heap)


def test_damaged_heaps_of_texts_end_at_once(small):
    """With such bytes libhdf5 allocates gigabytes, or never returns."""
    raw = small.read_bytes()
    heap = raw.index(b"GCOL")
    names = raw.index(b"Affine", heap)
    cases = {
        "a damaged heap of texts": [(heap, b"XCOL"), (heap + 4, b"\x09"), (heap + 8, bytes(8))],
        "points behind its end": [
            (heap + 8, b"\xff" * 8),
            (heap + 8, (1 << 40).to_bytes(8, "little")),
        ],
        "that the file does not hold": [
            (names - 8, (2).to_bytes(8, "little")),
            (names - 16, bytes(2)),
            (names - 16, b"\x77\x77"),
        ],
    }
    for text, damages in cases.items():
        for place, damage in damages:
            small.write_bytes(raw[:place] + damage + raw[place + len(damage) :])
            with pytest.raises(GraphFileError, match=text):
                export.read(small)
    small.write_bytes(raw[:names] + b"\xff" + raw[names + 1 :])
    with pytest.raises(GraphFileError, match="not UTF-8"):
        export.read(small)


def test_lengths_that_a_file_claims_are_not_believed(small):
    raw = small.read_bytes()
    with h5py.File(small) as file:
        place = file["node/nodes/w/type"].id.get_offset()
    small.write_bytes(raw[:place] + (0xFFFFFFF0).to_bytes(4, "little") + raw[place + 4 :])
    with pytest.raises(
        GraphFileError, match="a text of 4294967280 bytes that the file does not hold"
    ):
        export.read(small)
    small.write_bytes(raw[: place + 4] + (1 << 50).to_bytes(8, "little") + raw[place + 12 :])
    with pytest.raises(GraphFileError, match="points behind its end"):
        export.read(small)
    small.write_bytes(raw[:place] + bytes(4) + raw[place + 4 :])
    with pytest.raises(UnsupportedError, match="unknown kind of node ''"):
        export.read(small)


def test_texts_of_every_form_are_read(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["scalar"] = "größer"
        file["empty"] = ""
        file["pairs"] = [("a", "bc"), ("", "d" * 5000)]
        file["fixed"] = np.array([b"dense", b"x"], "S8")
        file["unicode"] = np.array("ü".encode(), "S4")
        file.create_dataset("never", (2,), h5py.string_dtype())
    tree = read_tree(path)
    assert (tree["scalar"], tree["empty"], tree["unicode"]) == ("größer", "", "ü")
    assert tree["pairs"].tolist() == [["a", "bc"], ["", "d" * 5000]]
    assert tree["fixed"].tolist() == ["dense", "x"]
    assert tree["never"].tolist() == ["", ""]
    with h5py.File(path, "w") as file:
        file.create_dataset("packed", data=["a"] * 3, dtype=h5py.string_dtype(), compression="gzip")
    with pytest.raises(GraphFileError, match="compressed, in chunks"):
        read_tree(path)
    with h5py.File(path, "w", userblock_size=512) as file:
        file["a"] = "b"
    with pytest.raises(GraphFileError, match=r"unusual layout|not an HDF5 file"):
        read_tree(path)
