"""The few vector instructions that numba does not find by itself, as intrinsics on C-contiguous arrays.

numba cannot prove that two arrays do not overlap, and leaves the short additions of one spike's weights scalar: eight
times slower. Indices are the caller's responsibility: no bounds are checked here.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

RUN = 8
"""Weights of a run are stored in whole blocks of this many."""

ROW = 16
"""Rows of a dense matrix are padded to whole blocks of this many."""


def _is_vector_of(kind, *dtypes) -> bool:
    return isinstance(kind, types.Array) and kind.layout == "C" and kind.ndim == 1 and kind.dtype in dtypes


def _pointer(context, builder, kind, array, index, lanes):
    """Pointer to ``lanes`` elements of an array, from ``index``."""
    data = context.make_array(kind)(context, builder, array).data
    element = context.get_data_type(kind.dtype)
    return builder.bitcast(builder.gep(data, [index]), ir.VectorType(element, lanes).as_pointer())


def _load(builder, pointer, bytes_per_element):
    value = builder.load(pointer)
    value.align = bytes_per_element
    return value


def _adder(lanes: int, rows: int, graded: bool):
    """Intrinsic: accumulator[at : at + lanes] += sum over rows of weights[offset : offset + lanes] (* value)."""

    @intrinsic
    def add(typing_context, accumulator, at, weights, offsets, values):
        if not _is_vector_of(accumulator, types.int32) or not _is_vector_of(weights, types.int16):
            return None
        resolved = types.void(accumulator, types.int64, weights, types.UniTuple(types.int64, rows), types.UniTuple(types.int32, rows))

        def generate(context, builder, signature, arguments):
            wide = ir.VectorType(ir.IntType(32), lanes)
            target = _pointer(context, builder, signature.args[0], arguments[0], arguments[1], lanes)
            total = _load(builder, target, 4)
            for row in range(rows):
                offset = builder.extract_value(arguments[3], row)
                part = builder.sext(_load(builder, _pointer(context, builder, signature.args[2], arguments[2], offset, lanes), 2), wide)
                if graded:
                    value = builder.insert_element(ir.Constant(wide, ir.Undefined), builder.extract_value(arguments[4], row), ir.Constant(_INDEX, 0))
                    zeros = ir.Constant(ir.VectorType(_INDEX, lanes), [0] * lanes)
                    part = builder.mul(part, builder.shuffle_vector(value, ir.Constant(wide, ir.Undefined), zeros))
                total = builder.add(total, part)
            store = builder.store(total, target)
            store.align = 4
            return context.get_dummy_value()

        return resolved, generate

    return add


_INDEX = ir.IntType(32)

add_run = _adder(RUN, 1, graded=False)
add_run_graded = _adder(RUN, 1, graded=True)
add_row = _adder(ROW, 1, graded=False)
add_row_graded = _adder(ROW, 1, graded=True)
add_four_rows = _adder(ROW, 4, graded=False)
add_four_rows_graded = _adder(ROW, 4, graded=True)


@intrinsic
def mask_of_64(typing_context, array, at):
    """Bit i of the uint64 result is set where ``array[at + i]`` (uint8 or int32) is not zero, i from 0 to 63."""
    if not _is_vector_of(array, types.uint8, types.int32):
        return None

    def generate(context, builder, signature, arguments):
        kind = signature.args[0]
        values = _load(builder, _pointer(context, builder, kind, arguments[0], arguments[1], 64), kind.dtype.bitwidth // 8)
        return builder.bitcast(builder.icmp_unsigned("!=", values, ir.Constant(values.type, [0] * 64)), ir.IntType(64))

    return types.uint64(array, types.int64), generate


@intrinsic
def lowest_bit(typing_context, word):
    """Position of the lowest set bit of a uint64 that is not zero, int64."""
    if word != types.uint64:
        return None

    def generate(context, builder, signature, arguments):
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.uint64), generate
