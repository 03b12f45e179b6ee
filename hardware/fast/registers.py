"""A 32-bit register as a numba type: arithmetic that wraps at 32 bits, for the rules of ``hardware.arithmetic``.

numba widens every integer operation to 64 bits, which halves the number of vector lanes and leaves most CPUs without a
vector multiplication: fifteen times slower for a leaky neuron. Between ``register(x)`` and ``integer(x)`` the operators
+ - * & << >> and the comparisons work on 32 bits instead, so the one source of every rule compiles to 32-bit lanes.
Wider operands (literals) are cut to their low 32 bits, which is what the rules mean: their int32 wraps become no operation.

``next_current`` and the other names at the end are the functions of ``hardware.arithmetic`` themselves, made callable from
compiled code.
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

_WORD = ir.IntType(32)


class _Register(types.Type):
    """Type of a 32-bit register."""

    def __init__(self):
        super().__init__(name="hardware.register32")


_register = _Register()


@register_model(_Register)
class _Model(models.PrimitiveModel):
    def __init__(self, manager, kind):
        super().__init__(manager, kind, _WORD)


def _low_word(builder, value, kind):
    """The low 32 bits of an operand of any integer type."""
    if value.type.width == 32:
        return value
    if value.type.width > 32:
        return builder.trunc(value, _WORD)
    return builder.sext(value, _WORD) if isinstance(kind, types.Integer) and kind.signed else builder.zext(value, _WORD)


@intrinsic
def register(typing_context, value):
    """The low 32 bits of an integer, as a register."""
    if not isinstance(value, types.Integer):
        return None

    def generate(context, builder, signature, arguments):
        return _low_word(builder, arguments[0], signature.args[0])

    return _register(types.unliteral(value)), generate


@intrinsic
def integer(typing_context, value):
    """A register as an int32."""
    if value != _register:
        return None
    return types.int32(_register), lambda context, builder, signature, arguments: arguments[0]


def _operator(function, emit, result):
    """Teach numba ``function`` for a register and a register, integer or bool, in either order."""

    @infer_global(function)
    class _Typing(AbstractTemplate):
        key = function

        def generic(self, args, kws):
            if len(args) != 2 or _register not in args:
                return None
            if not all(isinstance(kind, (_Register, types.Integer, types.Boolean)) for kind in args):
                return None
            return signature(result, *(types.unliteral(kind) for kind in args))

    def implementation(context, builder, signature, arguments):
        return emit(builder, *(_low_word(builder, value, kind) for value, kind in zip(arguments, signature.args)))

    for other in (_Register, types.Integer, types.Boolean):
        lower_builtin(function, _Register, other)(implementation)
        if other is not _Register:
            lower_builtin(function, other, _Register)(implementation)


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
for _function, _sign in ((operator.lt, "<"), (operator.le, "<="), (operator.gt, ">"), (operator.ge, ">=")):
    _operator(_function, _comparison(_sign), types.boolean)

_rules = dict(vars(arithmetic))
for _name in ("wrap_int32", "wrap_int24", "decay", "shift", "wrap_current", "saturate_potential", "next_current", "next_potential", "fires"):
    # The same code object in a namespace where the rules that it calls are compiled ones.
    _rules[_name] = njit(FunctionType(getattr(arithmetic, _name).__code__, _rules, _name))

fires = _rules["fires"]
next_current = _rules["next_current"]
next_potential = _rules["next_potential"]
saturate_potential = _rules["saturate_potential"]
shift = _rules["shift"]
wrap_int24 = _rules["wrap_int24"]
