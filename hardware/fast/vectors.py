"""Vector instructions on C-contiguous arrays, as numba intrinsics: adding weight rows, and spikes
as bits.

numba cannot prove that two arrays do not overlap, and leaves the short additions of one spike's
weights scalar: eight times slower. Indices are the caller's responsibility: no bounds are checked
here.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

RUN = 8
"""Weights of a run are stored in whole blocks of this many."""

ROW = 16
"""Rows of a dense matrix are padded to whole blocks of this many."""


def is_vector_of(kind, *dtypes: Any) -> bool:
    """Whether a numba type is a C-contiguous array of one dimension of one of these types."""
    return (
        isinstance(kind, types.Array)
        and kind.layout == "C"
        and kind.ndim == 1
        and kind.dtype in dtypes
    )


def vector_pointer(context, builder, kind, array, index, lanes):
    """LLVM pointer to ``lanes`` elements of an array, from ``index``."""
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(
        builder.gep(data, [index]),
        ir.VectorType(context.get_data_type(kind.dtype), lanes).as_pointer(),
    )


def load_vector(builder, pointer, bytes_per_element):
    """LLVM vector at a pointer that is aligned to its elements only."""
    value = builder.load(pointer)
    value.align = bytes_per_element
    return value


def splat_value(builder, value, lanes):
    """LLVM vector with one value in every lane."""
    kind = ir.VectorType(value.type, lanes)
    first = builder.insert_element(
        ir.Constant(kind, ir.Undefined), value, ir.Constant(ir.IntType(32), 0)
    )
    return builder.shuffle_vector(
        first,
        ir.Constant(kind, ir.Undefined),
        ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes),
    )


def _adder(lanes: int, rows: int, graded: bool):
    """Intrinsic: accumulator[at : at + lanes] += sum over rows of weights[offset : offset + lanes]
    (* value)."""

    @intrinsic
    def add(typing_context, accumulator, at, weights, offsets, values):
        if not is_vector_of(accumulator, types.int32) or not is_vector_of(weights, types.int16):
            return None
        resolved = types.void(
            accumulator,
            types.int64,
            weights,
            types.UniTuple(types.int64, rows),
            types.UniTuple(types.int32, rows),
        )

        def generate(context, builder, signature, arguments):
            target = vector_pointer(
                context, builder, signature.args[0], arguments[0], arguments[1], lanes
            )
            total = load_vector(builder, target, 4)

            for row in range(rows):
                offset = builder.extract_value(arguments[3], row)
                part = load_vector(
                    builder,
                    vector_pointer(
                        context, builder, signature.args[2], arguments[2], offset, lanes
                    ),
                    2,
                )
                part = builder.sext(part, total.type)
                if graded:
                    part = builder.mul(
                        part, splat_value(builder, builder.extract_value(arguments[4], row), lanes)
                    )
                total = builder.add(total, part)

            builder.store(total, target).align = 4
            return context.get_dummy_value()

        return resolved, generate

    return add


add_run = _adder(RUN, 1, graded=False)
add_run_graded = _adder(RUN, 1, graded=True)
add_row = _adder(ROW, 1, graded=False)
add_row_graded = _adder(ROW, 1, graded=True)
add_four_rows = _adder(ROW, 4, graded=False)
add_four_rows_graded = _adder(ROW, 4, graded=True)


@intrinsic
def mask_of_64(typing_context, array, at):
    """Bit i of the uint64 result is set where ``array[at + i]`` (uint8 or int32) is not zero, i
    from 0 to 63."""
    if not is_vector_of(array, types.uint8, types.int32):
        return None

    def generate(context, builder, signature, arguments):
        kind = signature.args[0]
        values = load_vector(
            builder,
            vector_pointer(context, builder, kind, arguments[0], arguments[1], 64),
            kind.dtype.bitwidth // 8,
        )
        return builder.bitcast(
            builder.icmp_unsigned("!=", values, ir.Constant(values.type, [0] * 64)), ir.IntType(64)
        )

    return types.uint64(array, types.int64), generate


@intrinsic
def lowest_bit(typing_context, word):
    """Position of the lowest set bit of a uint64 that is not zero, int64."""
    if word != types.uint64:
        return None

    def generate(context, builder, signature, arguments):
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.uint64), generate
