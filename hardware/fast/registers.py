"""Vector registers of 32-bit lanes as numba types, for the rules of ``hardware.arithmetic``.

numba widens every integer operation to 64 bits and does not find the vector form of the neuron
rules by itself: fifteen times slower for a leaky neuron. Here a ``load`` takes LANES neighbouring
int32 values into one register; + - * & << >> and comparisons then work on 32-bit lanes that wrap,
so the one source of every rule runs on whole vectors. Numbers join as the same value in every lane,
cut to their low 32 bits, which is what the rules mean: their int32 wraps become no operation. A
comparison gives a mask, and a mask times a number is that number or zero, as in Python.

``next_current`` and the other names at the end are the functions of ``hardware.arithmetic``
themselves, made callable from compiled code. Indices are the caller's responsibility: no bounds are
checked here.
"""

from __future__ import annotations

import operator
from types import FunctionType

from llvmlite import ir
from numba import njit, types
from numba.core.imputils import lower_builtin
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, models, register_model

from hardware import arithmetic
from hardware.fast.vectors import is_vector_of, load_vector, splat_value, vector_pointer

LANES = 16

_LANES32 = ir.VectorType(ir.IntType(32), LANES)
_LANES1 = ir.VectorType(ir.IntType(1), LANES)


class _Register(types.Type):
    """LANES 32-bit integers."""

    def __init__(self) -> None:
        super().__init__(name=f"hardware.register32x{LANES}")


class _Mask(types.Type):
    """LANES truth values."""

    def __init__(self) -> None:
        super().__init__(name=f"hardware.mask{LANES}")


_register, _mask = _Register(), _Mask()


@register_model(_Register)
class _RegisterModel(models.PrimitiveModel):
    def __init__(self, manager, kind) -> None:
        super().__init__(manager, kind, _LANES32)


@register_model(_Mask)
class _MaskModel(models.PrimitiveModel):
    def __init__(self, manager, kind) -> None:
        super().__init__(manager, kind, _LANES1)


def _as_register(builder, value, kind):
    """An operand as a vector: numbers in every lane, cut to their low 32 bits; masks as 0 and 1."""
    if isinstance(kind, _Register):
        return value
    if isinstance(kind, _Mask):
        return builder.zext(value, _LANES32)
    if value.type.width > 32:
        value = builder.trunc(value, ir.IntType(32))
    elif value.type.width < 32:
        value = (
            builder.sext(value, ir.IntType(32))
            if kind.signed
            else builder.zext(value, ir.IntType(32))
        )
    return splat_value(builder, value, LANES)


@intrinsic
def load(typing_context, array, at):
    """Register of ``array[at : at + LANES]`` (int32)."""
    if not is_vector_of(array, types.int32):
        return None

    def generate(context, builder, signature, arguments):
        return load_vector(
            builder,
            vector_pointer(context, builder, signature.args[0], arguments[0], arguments[1], LANES),
            4,
        )

    return _register(array, types.int64), generate


@intrinsic
def store(typing_context, array, at, value):
    """Write a register to ``array[at : at + LANES]`` (int32)."""
    if not is_vector_of(array, types.int32) or value != _register:
        return None

    def generate(context, builder, signature, arguments):
        pointer = vector_pointer(
            context, builder, signature.args[0], arguments[0], arguments[1], LANES
        )
        builder.store(arguments[2], pointer).align = 4
        return context.get_dummy_value()

    return types.void(array, types.int64, value), generate


@intrinsic
def splat(typing_context, number):
    """Register with one integer in every lane."""
    if not isinstance(number, types.Integer):
        return None

    def generate(context, builder, signature, arguments):
        return _as_register(builder, arguments[0], signature.args[0])

    return _register(types.unliteral(number)), generate


@intrinsic
def select(typing_context, mask, chosen, other):
    """Lane by lane: ``chosen`` where the mask is true, else ``other``."""
    if (mask, chosen, other) != (_mask, _register, _register):
        return None
    return _register(
        mask, chosen, other
    ), lambda context, builder, signature, arguments: builder.select(*arguments)


@intrinsic
def both(typing_context, one, other):
    """Mask that is true where both are."""
    if (one, other) != (_mask, _mask):
        return None
    return _mask(one, other), lambda context, builder, signature, arguments: builder.and_(
        *arguments
    )


@intrinsic
def bits(typing_context, mask):
    """The mask as the low LANES bits of a uint64, lane 0 lowest."""
    if mask != _mask:
        return None

    def generate(context, builder, signature, arguments):
        return builder.zext(builder.bitcast(arguments[0], ir.IntType(LANES)), ir.IntType(64))

    return types.uint64(mask), generate


def _operator(function, emit, result) -> None:
    """Teach numba ``function`` for registers, in either order with registers, masks and
    integers."""

    @infer_global(function)
    class _Typing(AbstractTemplate):
        key = function

        def generic(self, args, kws):
            if len(args) != 2 or not any(isinstance(kind, (_Register, _Mask)) for kind in args):
                return None
            if not all(isinstance(kind, (_Register, _Mask, types.Integer)) for kind in args):
                return None
            return signature(result, *(types.unliteral(kind) for kind in args))

    def implementation(context, builder, signature, arguments):
        return emit(
            builder,
            *(_as_register(builder, value, kind) for value, kind in zip(arguments, signature.args)),
        )

    for one in (_Register, _Mask, types.Integer):
        for other in (_Register, _Mask, types.Integer):
            if (one, other) != (types.Integer, types.Integer):
                lower_builtin(function, one, other)(implementation)


def _comparison(sign):
    return lambda builder, a, b: builder.icmp_signed(sign, a, b)


for _function, _emit in (
    (operator.add, lambda builder, a, b: builder.add(a, b)),
    (operator.sub, lambda builder, a, b: builder.sub(a, b)),
    (operator.mul, lambda builder, a, b: builder.mul(a, b)),
    (operator.and_, lambda builder, a, b: builder.and_(a, b)),
    (operator.lshift, lambda builder, a, b: builder.shl(a, b)),
    (operator.rshift, lambda builder, a, b: builder.ashr(a, b)),
):
    _operator(_function, _emit, _register)
for _function, _sign in (
    (operator.lt, "<"),
    (operator.le, "<="),
    (operator.gt, ">"),
    (operator.ge, ">="),
):
    _operator(_function, _comparison(_sign), _mask)

_rules = dict(vars(arithmetic))
for _name, _rule in vars(arithmetic).items():
    if isinstance(_rule, FunctionType):
        # The same code object in a namespace where the rules that it calls are compiled ones.
        _rules[_name] = njit(FunctionType(_rule.__code__, _rules, _name))

fires = _rules["fires"]
next_current = _rules["next_current"]
next_potential = _rules["next_potential"]
saturate_potential = _rules["saturate_potential"]
shift = _rules["shift"]
wrap_int24 = _rules["wrap_int24"]
