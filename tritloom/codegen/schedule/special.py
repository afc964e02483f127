"""Kernels that are no walk over elements: packing of ternary matrices, scattered sums, copies."""

from __future__ import annotations

from functools import cache

from tritloom.codegen.ir.dtypes import TensorSpec, f32, i32, u32
from tritloom.codegen.ir.tensor import Node
from tritloom.codegen.ir.ternary import WEIGHTS_PER_WORD, TernaryLayout
from tritloom.codegen.ir.tile import BinaryOp, Kernel, Mode, ReduceOp
from tritloom.codegen.ir.tile_builder import Builder
from tritloom.codegen.schedule.elements import Elements
from tritloom.codegen.schedule.expressions import Element, Range, number, of
from tritloom.codegen.schedule.groups import Group, Write


def pack_group(node: Node, elements: Elements, layout: TernaryLayout) -> Group:
    """Packs a matrix of -1, 0, 1 into words: each word is a sum of shifted codes (see the ternary layout)."""
    (matrix,) = node.inputs
    height, width = node.shape
    blocks, words, interleave = layout.words_shape(height, width)
    block = elements.dimension("block", blocks, "outer")
    word = elements.dimension("word", words, "outer" if interleave > 1 else "lane")
    row = elements.dimension("row", interleave, "lane")
    place = elements.dimension("place", WEIGHTS_PER_WORD, "loop")
    n = block * interleave + row
    k = word * WEIGHTS_PER_WORD + place
    inside: Element | None = None
    for index, extent in ((n, height), (k, width)):
        test = elements.within(index, 0, extent)
        inside = inside if test is None else elements.both(inside, test)
    weight = elements.cast(elements.value(matrix, (n, k), inside), i32, node.location)
    code = elements.binary(BinaryOp.ADD, weight, elements.constant(1, i32))
    if inside is not None:
        code = elements.select(inside, code, elements.constant(1, i32))
    here = elements.index(place)
    low = elements.binary(BinaryOp.AND, here, elements.constant(3, i32))
    high = elements.binary(BinaryOp.SHR, here, elements.constant(2, i32))
    bit = elements.binary(
        BinaryOp.ADD,
        elements.binary(BinaryOp.MUL, low, elements.constant(8, i32)),
        elements.binary(BinaryOp.MUL, high, elements.constant(2, i32)),
    )
    shifted = elements.binary(BinaryOp.SHL, elements.cast(code, u32), elements.cast(bit, u32))
    bound = tuple(sorted(place.ranges(), key=lambda one: one.place))
    value = elements.reduction(ReduceOp.SUM, shifted, bound, node.location)
    program = tuple(r for index in (block, word, row) for r in sorted(index.ranges(), key=lambda r: r.place))
    write = Write(node, (blocks, words, interleave), (block, word, row), value)
    return Group("map", program, [write])


def copy_group(source: Node, result: Node, elements: Elements) -> Group:
    """Copies a tensor, whatever its shape."""
    length = Range(result.size, "lane", "copy")
    index = of(length) if result.size > 1 else number(0)
    value = elements.load(source, (result.size,), (index,), None)
    program = (length,) if result.size > 1 else ()
    return Group("map", program, [Write(result, (result.size,), (index,), value)])


@cache
def scatter_add_kernel(columns: int) -> Kernel:
    """`out[ids[i], c] += rows[i, c]` from zero, in the order of i: each program has its own columns, so sums are
    the same in every run. Buffers ids i32 [I], rows f32 [I, C], out f32 [V, C]."""
    builder = Builder("scatter_add")
    ids = builder.buffer("ids", TensorSpec(i32, ("I",)))
    rows = builder.buffer("rows", TensorSpec(f32, ("I", "C")))
    out = builder.buffer("out", TensorSpec(f32, ("V", "C")), Mode.INOUT)
    count, width = rows.shape
    c = builder.program_axis("c", width, columns)
    with builder.loop("v", out.shape[0], 1) as loop:
        builder.store(out, [loop.axis, c], builder.const(0.0, f32))
    with builder.loop("i", count, 1) as loop:
        row = builder.load(ids, [loop.axis])
        inside = builder.binary(
            BinaryOp.AND, builder.binary(BinaryOp.GE, row, 0), builder.binary(BinaryOp.LT, row, out.shape[0])
        )
        before = builder.load(out, [row, c], inside)
        after = builder.binary(BinaryOp.ADD, before, builder.load(rows, [loop.axis, c]))
        builder.store(out, [row, c], after, inside)
    return builder.finish()
