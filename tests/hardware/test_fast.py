"""What random Programs are too small to reach in the fast executor: many words, long delays,
chunks, repeated frames, its errors."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import hardware
from hardware import arithmetic
from hardware.chunks import Options
from hardware.comparison import compare
from hardware.errors import TargetError
from hardware.program import Convolution, Dense, Input, Output, Population, Program, Sparse
from hardware.recording import Record
from hardware.targets import run

pytest.importorskip("numba", reason="the fast executor needs numba")

EVERYTHING = Record(spikes=True, potentials=True)


def weights(rng, *shape):
    return 2 * rng.integers(-128, 128, shape)


def assert_as_reference(program, inputs):
    fast, reference = (
        run(program, inputs, record=EVERYTHING),
        run(program, inputs, "reference", record=EVERYTHING),
    )
    comparison = compare(reference, fast)
    assert comparison.identical, comparison.first
    return fast


def test_parameters_of_each_neuron_across_words():
    rng = np.random.default_rng(0)
    shape = (5, 7, 9)  # 315 neurons: five words, the last one partly filled, channels inside
    population = Population(
        "p",
        shape,
        current_decay=rng.integers(0, 4097, shape),
        voltage_decay=rng.integers(0, 4097, shape),
        threshold=rng.integers(0, 300, shape),
        bias=rng.integers(-50, 50, shape),
        bias_exponent=5,
        reset="subtract",
        reset_amount=rng.integers(0, 30000, shape),
        refractory=2,
    )
    recurrent = Convolution(
        "r", "p", "p", weights(rng, 5, 5, 3, 3), exponent=rng.integers(0, 3, 5), padding=(1, 1)
    )
    projections = (
        Dense("d", "i", "p", weights(rng, 315, 130), exponent=rng.integers(-8, 1, 5)),
        recurrent,
    )
    program = Program((Input("i", (130,)),), (population,), projections, (Output("p"),))
    recording = assert_as_reference(program, (rng.random((3, 25, 130)) < 0.3).astype(np.uint8))
    assert 0.01 < recording.spikes["p"].mean() < 0.5


def test_sparse_rows_of_long_runs_short_runs_and_single_synapses():
    rng = np.random.default_rng(1)
    chosen = np.zeros((400, 300), bool)
    chosen[17:63, 5] = chosen[200:208, 5] = chosen[399, 5] = chosen[::2, 77] = chosen[
        10:12, 120
    ] = chosen[388:400, 299] = True
    rows, columns = (index.astype(np.int32) for index in np.nonzero(chosen))
    delays = rng.choice([0, 1, 62], rows.size)
    projection = Sparse(
        "s", "i", "p", weights(rng, rows.size), rows=rows, columns=columns, delay=delays
    )
    shifted = Sparse(
        "t", "i", "p", weights(rng, rows.size), exponent=-3, rows=rows, columns=columns
    )
    program = Program(
        (Input("i", (300,)),),
        (Population("p", (400,), threshold=20),),
        (projection, shifted),
        (Output("p"),),
    )
    recording = assert_as_reference(program, (rng.random((2, 70, 300)) < 0.5).astype(np.uint8))
    assert recording.spikes["p"][:, 62:].any()


@pytest.mark.parametrize("bits", [0, 8])
def test_frames_that_repeat(bits, monkeypatch):
    """What did not change is not added up again; frames that return, begin with silence, or change
    in one value only."""
    import numba

    monkeypatch.setattr(
        numba.config, "NUMBA_NUM_THREADS", 1
    )  # all samples in one block, so that one follows the other
    rng = np.random.default_rng(2)
    frames = rng.integers(0, 2 if bits == 0 else 100, (4, 70))
    frames[0] = 0
    frames[3] = frames[2]
    frames[3, 69] = frames[2, 69] ^ 1 | 2 * (bits > 0)
    order = [0, 0, 1, 1, 1, 2, 2, 3, 3, 1, 0, 0, 2, 2]
    delayed = Dense("b", "i", "p", weights(rng, 90, 70), exponent=-2, delay=3)
    projections = (
        Dense("a", "i", "p", weights(rng, 90, 70), delay=rng.integers(0, 3, (90, 70))),
        delayed,
    )
    program = Program(
        (Input("i", (70,), bits),),
        (Population("p", (90,), 1000, 100, threshold=3000),),
        projections,
        (Output("p"),),
    )
    recording = assert_as_reference(program, frames[[order, order, order[::-1]]].astype(np.int32))
    assert recording.spikes["p"].any()


def small_case(samples=7):
    rng = np.random.default_rng(3)
    populations = (
        Population("c", (4, 5, 5), threshold=300),
        Population("d", (10,), threshold=None),
    )
    projections = (
        Convolution("a", "i", "c", weights(rng, 4, 2, 3, 3), padding=(1, 1)),
        Dense("b", "c", "d", weights(rng, 10, 100)),
    )
    program = Program(
        (Input("i", (2, 5, 5)),), populations, projections, (Output("d", "max_potential"),)
    )
    return program, (rng.random((samples, 6, 2, 5, 5)) < 0.3).astype(np.uint8)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_chunks_blocks_and_threads_change_nothing(monkeypatch, threads):
    import numba

    from hardware.fast import executor

    program, inputs = small_case()
    whole = run(program, inputs, record=EVERYTHING)
    monkeypatch.setattr(numba.config, "NUMBA_NUM_THREADS", threads)
    for name, value in (
        ("CHUNK_BYTES", 1),
        ("CHUNK_WORK", 3 * 6 * 160),
        ("BLOCK_WORK", 2 * 6 * 160),
        ("BLOCK_WORK", 1),
    ):
        monkeypatch.setattr(executor, name, value)
        parts = run(program, inputs, record=EVERYTHING)
        assert compare(whole, parts).identical
        for counter, layers in whole.counts.items():
            for layer, values in layers.items():
                np.testing.assert_array_equal(parts.counts[counter][layer], values)


def test_chunks_are_as_large_as_their_results_allow(monkeypatch):
    from hardware.fast import executor, run_chunks

    program, inputs = small_case()
    monkeypatch.setattr(executor, "CHUNK_BYTES", 2 * (6 * 100 + 4 * 6 * 10) + 3)
    chunks = list(run_chunks(program, {"i": inputs}, Options(potentials=("d",), spikes=("i", "c"))))
    assert [len(chunk.totals["c"]) for chunk in chunks] == [2, 2, 2, 1]
    sizes = [sum(a.nbytes for a in (chunk.spikes["c"], chunk.potentials["d"])) for chunk in chunks]
    assert max(sizes) <= executor.CHUNK_BYTES


def test_only_what_is_wanted_is_unpacked():
    from hardware.fast import run_chunks

    program, inputs = small_case()
    (chunk,) = run_chunks(program, {"i": inputs}, Options(potentials=("d",), spikes=()))
    assert (set(chunk.spikes), set(chunk.potentials), set(chunk.totals)) == (
        set(),
        {"d"},
        {"i", "c", "d"},
    )
    np.testing.assert_array_equal(chunk.totals["i"], inputs.sum(axis=1))
    assert chunk.totals["c"].any()
    assert not chunk.totals["d"].any()


def test_inputs_that_cannot_be_written():
    program, inputs = small_case()
    locked = inputs.copy()
    locked.setflags(write=False)
    assert compare(
        run(program, inputs, record=EVERYTHING), run(program, locked, record=EVERYTHING)
    ).identical


@pytest.mark.parametrize(
    "rule", ["decay", "wrap_int24", "wrap_current", "saturate_potential", "shift"]
)
def test_rules_in_registers_at_the_ends_of_their_range(rule):
    """The same functions on Python integers and in vector registers, wrapped to 32 bits."""
    from numba import njit

    from hardware.fast import registers

    compiled = registers._rules[rule]

    @njit
    def apply(values, others, results):
        for i in range(0, values.shape[0], registers.LANES):
            value = registers.load(values, i)
            registers.store(results, i, compiled(value, registers.load(others, i)))

    @njit
    def apply_to_one(values, others, results):
        for i in range(0, values.shape[0], registers.LANES):
            registers.store(results, i, compiled(registers.load(values, i)))

    rng = np.random.default_rng(4)
    edges = [
        side * (1 << bit) + off
        for bit in (0, 11, 12, 22, 23, 24, 30)
        for side in (-1, 1)
        for off in (-1, 0, 1)
    ]
    values = np.array(
        [*edges, 2**31 - 1, 1 - 2**31, *rng.integers(1 - 2**31, 2**31, 468)], np.int32
    )
    values = values[: len(values) // registers.LANES * registers.LANES]
    binary = rule in ("decay", "shift")
    choices = {"decay": [0, 1, 2048, 4095, 4096], "shift": [-8, -1, 0, 3, 7]}.get(rule, [0])
    for other in choices:
        results, others = np.empty_like(values), np.full_like(values, other)
        (apply if binary else apply_to_one)(values, others, results)
        function = getattr(arithmetic, rule)
        expected = [
            arithmetic.wrap_int32(function(int(v), other) if binary else function(int(v)))
            for v in values
        ]
        np.testing.assert_array_equal(results, expected)


def test_errors_without_a_compiler(monkeypatch):
    import numba

    program, inputs = small_case()
    monkeypatch.setattr(numba.config, "DISABLE_JIT", 1)
    with pytest.raises(TargetError, match="NUMBA_DISABLE_JIT"):
        run(program, inputs)
    monkeypatch.setitem(sys.modules, "numba", None)
    with pytest.raises(TargetError, match="needs the package numba"):
        run(program, inputs)


def test_compiles_where_no_cache_can_be_written(monkeypatch):
    from hardware import jit
    from hardware.fast import kernels

    def without_cache(cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return real(**options)

    real = jit.njit
    monkeypatch.setattr(jit, "njit", without_cache)
    unpack = jit.cached(kernels._unpack_kernel("rules"))
    totals = np.zeros((1, 64), np.int32)
    unpack(
        np.array([[[5]]], np.uint64),
        0,
        1,
        np.arange(64, dtype=np.int32),
        totals,
        np.zeros((0, 0, 0), np.uint8),
    )
    assert totals[0, :4].tolist() == [1, 0, 1, 0]


def test_a_cache_of_a_version_whose_classes_had_other_names_is_not_read(tmp_path, monkeypatch):
    """numba unpickles the index of a cache before it compares its version."""
    monkeypatch.syspath_prepend(tmp_path)
    text = """
from typing import NamedTuple
from hardware.jit import cached

class Before(NamedTuple):
    number: int

def twice(given):
    return 2 * given.number

twice = cached(twice)
answer = twice(Before(21))
"""
    for name in ("Before", "Afterwards"):
        (tmp_path / "own_kernel.py").write_text(text.replace("Before", name))
        monkeypatch.delitem(sys.modules, "own_kernel", raising=False)
        importlib.invalidate_caches()
        assert importlib.import_module("own_kernel").answer == 42
    monkeypatch.delitem(sys.modules, "own_kernel")
    assert len(list((tmp_path / "__pycache__").glob("*.nbi"))) == 2


@pytest.mark.slow
def test_no_compiled_kernel_outlives_the_rules_it_was_made_from(tmp_path):
    """numba's disk cache alone would not see that another file has changed."""
    shutil.copytree(
        Path(hardware.__file__).parent,
        tmp_path / "hardware",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    script = """
import numpy as np
from hardware.program import *
from hardware.targets import run
from hardware.fast import kernels
population, synapse = Population("p", (1,), threshold=None), Dense("d", "i", "p", np.array([[3]]))
program = Program((Input("i", (1,)),), (population,), (synapse,), (Output("p", "last_potential"),))
score = int(run(program, np.ones((1, 1, 1))).scores["p"].item())
print(score, sum(kernels.run_population.stats.cache_hits.values()))
"""

    def result():
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        command = [sys.executable, "-c", script]
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
        ).stdout.split()

    assert result() == ["192", "0"]
    assert result() == ["192", "1"]
    rules = tmp_path / "hardware" / "arithmetic.py"
    changed = rules.read_text().replace(
        "wrap_int32(synaptic_input << 6)", "wrap_int32(synaptic_input << 5)"
    )
    assert changed != rules.read_text()
    rules.write_text(changed)
    assert result() == ["96", "0"]


def test_a_compilation_is_logged_once(caplog):
    from numba import njit
    from numba.core import event

    from hardware.fast import compilation

    add, double = njit(lambda x: x + 1), njit(lambda x: 2 * x)
    listener = compilation._Listener()
    with caplog.at_level("INFO", "hardware"), event.install_listener("numba:compile", listener):
        add(1)
        double(1)
    (message,) = caplog.messages
    assert message.startswith("compiling the executor, once for this machine (about ")
    caplog.clear()
    with caplog.at_level("INFO", "hardware"), compilation.announced():
        add(1)
    assert not caplog.messages
