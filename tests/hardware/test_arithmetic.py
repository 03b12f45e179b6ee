"""Each integer rule against a second, naive definition, on every kind of number that the product
computes with."""

from __future__ import annotations

import ctypes
import inspect
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hardware import arithmetic
from tests.examples import many

LIMIT = 2**23


def naive_wrap_int32(x):
    return ctypes.c_int32(x).value


def naive_wrap_int24(x):
    return int.from_bytes((x & 0xFFFFFF).to_bytes(3, "little"), "little", signed=False) - (
        1 << 24 if x & LIMIT else 0
    )


def naive_decay(x, amount):
    return math.trunc(Fraction(x * (4096 - amount), 4096))


def naive_shift(x, exponent):
    return math.floor(x * Fraction(2) ** exponent)


def naive_wrap_current(x):
    if x > LIMIT:
        return x - 2 * LIMIT
    if x <= -LIMIT:
        return x + 2 * LIMIT
    return x


def naive_saturate_potential(x):
    return max(-LIMIT + 1, min(LIMIT - 1, x))


def naive_next_current(current, synaptic_input, current_decay):
    shifted = naive_wrap_int32(synaptic_input * 64)
    return naive_wrap_current(naive_wrap_int32(naive_decay(current, current_decay) + shifted))


def naive_next_potential(potential, current, bias, voltage_decay):
    return naive_saturate_potential(
        naive_wrap_int32(naive_decay(potential, voltage_decay) + current + bias)
    )


def naive_choose(mask, chosen, other):
    return chosen if mask else other


def naive_fires(potential, threshold):
    return potential > threshold * 64


def naive_high_part(weight):
    return math.floor(Fraction(weight, 256))


def naive_low_part(weight):
    return weight - 256 * math.floor(Fraction(weight, 256))


def around(*centres):
    """Numbers at and beside what matters."""
    return st.sampled_from([c + d for c in centres for d in (-1, 0, 1)])


word = st.one_of(
    st.integers(-(2**31), 2**31 - 1),
    around(0, LIMIT, -LIMIT, 4096, -4096),
    st.sampled_from([-(2**31), 2**31 - 1]),
)
wide = st.one_of(
    st.integers(-(2**40), 2**40),
    around(0, 2**31, -(2**31), 2**32, -(2**32), 3 * LIMIT, -3 * LIMIT, LIMIT, -LIMIT),
)
decays = st.one_of(st.integers(0, 4096), st.sampled_from([0, 1, 4095, 4096]))
potentials = st.one_of(st.integers(-LIMIT + 1, LIMIT - 1), around(0, 64, -64, 131071 * 64))

RULES = {
    "wrap_int32": (wide,),
    "wrap_int24": (wide,),
    "decay": (word, decays),
    "shift": (st.integers(-(2**40), 2**40), st.integers(-8, 7)),
    "wrap_current": (word,),
    "saturate_potential": (wide,),
    "next_current": (word, word, decays),
    "next_potential": (potentials, word, st.integers(-(2**19), 2**19), decays),
    "choose": (st.integers(0, 1), word, word),
    "high_part": (st.integers(-(2**15), 2**15 - 1),),
    "low_part": (st.integers(-(2**15), 2**15 - 1),),
    "fires": (potentials, st.one_of(st.integers(0, 131071), st.sampled_from([0, 1, 131071]))),
}


def on_python(function, columns):
    return [function(*row) for row in zip(*columns)]


def on_numpy(function, columns):
    return function(*(np.array(c, np.int64) for c in columns)).tolist()


def on_torch(function, columns):
    torch = pytest.importorskip("torch")
    return function(*(torch.tensor(c, dtype=torch.int64) for c in columns)).tolist()


COMPILED = {}


def on_numba(function, columns):
    numba = pytest.importorskip("numba")
    if function not in COMPILED:
        compiled = {}
        for name, rule in vars(arithmetic).items():
            if inspect.isfunction(rule):
                compiled[name] = numba.njit(_rebound(rule, compiled))
        COMPILED.update(
            {
                rule: compiled[name]
                for name, rule in vars(arithmetic).items()
                if inspect.isfunction(rule)
            }
        )
    return [COMPILED[function](*(np.int64(value) for value in row)) for row in zip(*columns)]


def _rebound(function, namespace):
    """The same code, whose calls of other rules find their compiled form (numba compiles no plain
    Python global)."""
    return type(function)(
        function.__code__,
        vars(arithmetic) | namespace | {"__builtins__": __builtins__},
        function.__name__,
    )


BACKENDS = {"python": on_python, "numpy": on_numpy, "torch": on_torch, "numba": on_numba}


def test_every_rule_is_in_the_table():
    rules = {name for name, rule in vars(arithmetic).items() if inspect.isfunction(rule)}
    assert rules == set(RULES)
    assert rules == {name[6:] for name in globals() if name.startswith("naive_")}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("rule", RULES)
def test_rule_equals_its_naive_definition(rule, backend):
    naive, function = globals()[f"naive_{rule}"], getattr(arithmetic, rule)

    @settings(max_examples=many(60), deadline=None)
    @given(st.lists(st.tuples(*RULES[rule]), min_size=1, max_size=40))
    def check(rows):
        columns = list(zip(*rows))
        assert [int(value) for value in BACKENDS[backend](function, columns)] == [
            int(naive(*row)) for row in rows
        ]

    check()


class Register(int):
    """An integer that fails the test when a result leaves 32 bits."""


def _checked(operation):
    def method(self, other):
        result = getattr(int, operation)(self, int(other))
        assert -(2**31) <= result < 2**31, (operation, int(self), int(other))
        return Register(result)

    return method


for _operation in (
    "__add__",
    "__radd__",
    "__sub__",
    "__rsub__",
    "__mul__",
    "__rmul__",
    "__and__",
    "__rshift__",
):
    setattr(Register, _operation, _checked(_operation))


@settings(max_examples=many(300), deadline=None)
@given(word, decays)
@example(2**31 - 1, 0)
@example(-(2**31), 0)
@example(-(2**31), 4096)
@example(-1, 4095)
def test_decay_stays_within_32_bits(x, amount):
    """The fast executor runs this line in 32-bit lanes: nothing inside may need more."""
    found = arithmetic.decay(Register(x), Register(amount))
    assert isinstance(found, Register)
    assert found == naive_decay(x, amount)


@given(
    st.lists(
        st.tuples(st.integers(-(2**31), 2**31 - 1), st.integers(-8, 7)), min_size=1, max_size=20
    )
)
def test_shift_takes_an_exponent_for_each_element(rows):
    x, exponent = np.array(rows, np.int64).T
    assert arithmetic.shift(x, exponent).tolist() == [naive_shift(a, b) for a, b in rows]


def test_oddities_of_lava_by_name():
    """Pinned, because they are what Lava computes, not what one would write."""
    assert (
        arithmetic.next_current(0, 131072, 4096)
        == arithmetic.next_current(0, -131072, 4096)
        == 2**23
    )  # not a 24-bit number
    assert (
        arithmetic.next_current(0, 2**23, 4096) == 2**29 - 2**24
    )  # one wrap only: far out of range
    assert arithmetic.next_potential(0, 2**29, 0, 0) == 2**23 - 1  # which then saturates
    assert arithmetic.decay(-100, 1) == -99  # toward zero: any decay drains to zero
    assert not arithmetic.fires(64, 1)  # strictly greater
    assert arithmetic.fires(
        arithmetic.POTENTIAL_LIMIT, 131071
    )  # the highest threshold can be reached
