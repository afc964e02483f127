"""The dot products and table lookups of machine form, by the instructions that a CPU has for them.

All integer forms are exact. Where there is no instruction for four 8-bit products, bytes are split into even and odd
16-bit lanes, whose pairwise products x86 sums in one instruction and others widen.
"""

from __future__ import annotations

from collections.abc import Callable

from tritloom.codegen.emit.llvm_text import Text
from tritloom.codegen.emit.llvm_types import number, scalar, vector
from tritloom.codegen.ir.dtypes import DType, u32

Isa = frozenset[str]
Chunk = Callable[[Text, str, str, str, int], str]
"""A product of operands that fill one register: (text, acc, a, b, lanes of acc) -> result."""


def dot4(text: Text, isa: Isa, acc: str, a: str, b: str, lanes: int, *, signed: bool, small: bool) -> str:
    """acc + sums of four products: u8 (or, if signed, i8) by i8. `small`: the u8 are at most 127."""
    widths, chunk = _dot4_form(isa, signed=signed, small=small)
    return _in_chunks(text, (acc, a, b), lanes, widths, chunk, "i32", "i8", 4)


def _in_chunks(
    text: Text,
    operands: tuple[str, str, str],
    lanes: int,
    widths: tuple[int, ...],
    chunk: Chunk,
    result: str,
    element: str,
    group: int,
) -> str:
    """Cut the operands into registers, apply `chunk` to each and join; a short rest is padded to the least width."""
    acc, a, b = operands
    parts: list[tuple[str, int]] = []
    first = 0
    while first < lanes:
        width = next((w for w in widths if w <= lanes - first), widths[-1])
        count = min(width, lanes - first)
        cut = [text.padded(result, text.part(result, acc, lanes, first, count), count, width)]
        for operand in (a, b):
            piece = text.part(element, operand, lanes * group, first * group, count * group)
            cut.append(text.padded(element, piece, count * group, width * group))
        parts.append((text.part(result, chunk(text, cut[0], cut[1], cut[2], width), width, 0, count), count))
        first += count
    return text.join(result, parts)


def _dot4_form(isa: Isa, *, signed: bool, small: bool) -> tuple[tuple[int, ...], Chunk]:
    if "avx512vnni" in isa or "avxvnni" in isa:
        narrow = (8, 4) if "avx512vl" in isa or "avxvnni" in isa else ()
        widths = (16, *narrow) if "avx512vnni" in isa else narrow
        return widths, _vnni_signed if signed else _vnni
    if "dotprod" in isa:
        if signed or small:
            return (4,), _sdot
        return (4,), _usdot if "i8mm" in isa else _sdot_biased
    if "avx2" in isa:
        widths = (16, 8, 4) if "avx512bw" in isa else (8, 4)
        return widths, _maddubs if small and not signed else _madd_signed if signed else _madd
    if "sse2" in isa:
        small_form = small and not signed and "ssse3" in isa
        return (4,), _maddubs if small_form else _madd_signed if signed else _madd
    return (4,), _widened_signed if signed else _widened


def _vnni(text: Text, acc: str, a: str, b: str, lanes: int) -> str:
    i32, i8 = vector("i32", lanes), vector("i8", 4 * lanes)
    name = f"llvm.x86.avx512.vpdpbusd.{32 * lanes}"
    return text.call(i32, name, (i32, i8, i8), (acc, a, b))


def _vnni_signed(text: Text, acc: str, a: str, b: str, lanes: int) -> str:
    """a = (a + 128) - 128, and a + 128 as a byte is a with its top bit flipped."""
    i32, i8 = vector("i32", lanes), vector("i8", 4 * lanes)
    flipped = text.binary("xor", i8, a, "splat (i8 -128)")
    surplus = _vnni(text, "zeroinitializer", "splat (i8 -128)", b, lanes)
    return text.binary("sub", i32, _vnni(text, acc, flipped, b, lanes), surplus)


def _sdot(text: Text, acc: str, a: str, b: str, lanes: int) -> str:
    types = ("<4 x i32>", "<16 x i8>", "<16 x i8>")
    return text.call("<4 x i32>", "llvm.aarch64.neon.sdot.v4i32.v16i8", types, (acc, a, b))


def _usdot(text: Text, acc: str, a: str, b: str, lanes: int) -> str:
    types = ("<4 x i32>", "<16 x i8>", "<16 x i8>")
    return text.call("<4 x i32>", "llvm.aarch64.neon.usdot.v4i32.v16i8", types, (acc, a, b))


def _sdot_biased(text: Text, acc: str, a: str, b: str, lanes: int) -> str:
    """a = (a - 128) + 128, and a - 128 as a signed byte is a with its top bit flipped."""
    flipped = text.binary("xor", "<16 x i8>", a, "splat (i8 -128)")
    sums = _sdot(text, "zeroinitializer", "splat (i8 1)", b, lanes)
    missing = text.binary("shl", "<4 x i32>", sums, "splat (i32 7)")
    return text.binary("add", "<4 x i32>", _sdot(text, acc, flipped, b, lanes), missing)


_PMADDUBSW = {
    4: "llvm.x86.ssse3.pmadd.ub.sw.128",
    8: "llvm.x86.avx2.pmadd.ub.sw",
    16: "llvm.x86.avx512.pmaddubs.w.512",
}
_PMADDWD = {4: "llvm.x86.sse2.pmadd.wd", 8: "llvm.x86.avx2.pmadd.wd", 16: "llvm.x86.avx512.pmaddw.d.512"}


def _pmaddwd(text: Text, a: str, b: str, lanes: int) -> str:
    """Sums of two signed 16-bit products."""
    i16 = vector("i16", 2 * lanes)
    return text.call(vector("i32", lanes), _PMADDWD[lanes], (i16, i16), (a, b))


def _maddubs(text: Text, acc: str, a: str, b: str, lanes: int) -> str:
    """Exact for a <= 127: the sum of two products is at most 2 * 127 * 128, within 16 bits."""
    i8, i16 = vector("i8", 4 * lanes), vector("i16", 2 * lanes)
    pairs = text.call(i16, _PMADDUBSW[lanes], (i8, i8), (a, b))
    return text.binary("add", vector("i32", lanes), acc, _pmaddwd(text, pairs, "splat (i16 1)", lanes))


def _even_odd(text: Text, value: str, lanes: int, *, signed: bool) -> tuple[str, str]:
    """The even and the odd bytes of a vector of 4 * lanes, as 16-bit lanes."""
    i16 = vector("i16", 2 * lanes)
    words = text.convert("bitcast", vector("i8", 4 * lanes), value, i16)
    if not signed:
        return text.binary("and", i16, words, "splat (i16 255)"), text.binary(
            "lshr", i16, words, "splat (i16 8)"
        )
    high = text.binary("shl", i16, words, "splat (i16 8)")
    return text.binary("ashr", i16, high, "splat (i16 8)"), text.binary("ashr", i16, words, "splat (i16 8)")


def _madd_of(text: Text, acc: str, a: str, b: str, lanes: int, *, signed: bool) -> str:
    i32 = vector("i32", lanes)
    for x, y in zip(
        _even_odd(text, a, lanes, signed=signed), _even_odd(text, b, lanes, signed=True), strict=True
    ):
        acc = text.binary("add", i32, acc, _pmaddwd(text, x, y, lanes))
    return acc


def _madd(text: Text, acc: str, a: str, b: str, lanes: int) -> str:
    return _madd_of(text, acc, a, b, lanes, signed=False)


def _madd_signed(text: Text, acc: str, a: str, b: str, lanes: int) -> str:
    return _madd_of(text, acc, a, b, lanes, signed=True)


def _widened_of(text: Text, acc: str, a: str, b: str, lanes: int, *, signed: bool) -> str:
    """Products of all lanes in 32 bits, summed by fours."""
    wide, i8 = vector("i32", 4 * lanes), vector("i8", 4 * lanes)
    left = text.convert("sext" if signed else "zext", i8, a, wide)
    products = text.binary("mul", wide, left, text.convert("sext", i8, b, wide))
    for k in range(4):
        quarter = text.shuffle(wide, products, "poison", range(k, 4 * lanes, 4))
        acc = text.binary("add", vector("i32", lanes), acc, quarter)
    return acc


def _widened(text: Text, acc: str, a: str, b: str, lanes: int) -> str:
    return _widened_of(text, acc, a, b, lanes, signed=False)


def _widened_signed(text: Text, acc: str, a: str, b: str, lanes: int) -> str:
    return _widened_of(text, acc, a, b, lanes, signed=True)


def dot2_bf16(text: Text, isa: Isa, acc: str, a: str, b: str, lanes: int) -> str:
    """acc + sums of two bf16 products in f32. The instruction takes denormal operands as 0."""
    if "avx512bf16" in isa:
        widths = (16, 8, 4) if "avx512vl" in isa else (16,)
        return _in_chunks(text, (acc, a, b), lanes, widths, _dpbf16ps, "float", "i16", 2)
    return _bf16_by_shifts(text, acc, a, b, lanes, fma=has_fma(isa))


def _dpbf16ps(text: Text, acc: str, a: str, b: str, lanes: int) -> str:
    f32, bits, bf16 = vector("float", lanes), vector("i16", 2 * lanes), vector("bfloat", 2 * lanes)
    x, y = text.convert("bitcast", bits, a, bf16), text.convert("bitcast", bits, b, bf16)
    return text.call(f32, f"llvm.x86.avx512bf16.dpbf16ps.{32 * lanes}", (f32, bf16, bf16), (acc, x, y))


def _bf16_by_shifts(text: Text, acc: str, a: str, b: str, lanes: int, *, fma: bool) -> str:
    """A pair of bf16 in 32 bits: the low one shifted up and the high one masked are f32 as they stand."""
    f32, i32 = vector("float", lanes), vector("i32", lanes)
    pairs = [text.convert("bitcast", vector("i16", 2 * lanes), x, i32) for x in (a, b)]
    shift, mask = text.splat("i32", "16", lanes), text.splat("i32", "-65536", lanes)
    for operation, operand in (("shl", shift), ("and", mask)):
        x, y = (text.convert("bitcast", i32, text.binary(operation, i32, p, operand), f32) for p in pairs)
        acc = fused(text, f32, x, y, acc, fma=fma)
    return acc


def has_fma(isa: Isa) -> bool:
    """Whether there is an instruction for a * b + c of f32."""
    return "fma" in isa or "neon" in isa


def fused(text: Text, type_: str, a: str, b: str, c: str, *, fma: bool) -> str:
    """a * b + c, rounded once if the target has the instruction."""
    if fma:
        suffix = type_.replace("<", "v").replace(" x ", "").replace(">", "").replace("float", "f32")
        return text.call(type_, f"llvm.fma.{suffix}", (type_,) * 3, (a, b, c))
    return text.binary("fadd contract", type_, text.binary("fmul contract", type_, a, b), c)


def lookup(text: Text, isa: Isa, lanes_of: str, lanes: int, table: tuple[float, ...], dtype: DType) -> str:
    """For each i32 lane, the number of a table of 4 or 16 that its low bits name."""
    if dtype.bits < 32:
        bits = tuple(int(number(value, dtype)) for value in table)
        wide = lookup(text, isa, lanes_of, lanes, bits, u32)
        return text.convert("trunc", vector("i32", lanes), wide, vector(scalar(dtype), lanes))
    element = scalar(dtype)
    values = [number(value, dtype) for value in table]
    if "avx" not in isa or element not in ("i32", "float"):
        return _select_lookup(text, element, lanes_of, lanes, values)
    widths = (16, 8, 4) if "avx512f" in isa else (8, 4)
    parts: list[tuple[str, int]] = []
    first = 0
    while first < lanes:
        width = next((w for w in widths if w <= lanes - first), 4)
        count = min(width, lanes - first)
        piece = text.padded("i32", text.part("i32", lanes_of, lanes, first, count), count, width)
        made = _permuted(text, isa, element, piece, width, values)
        parts.append((text.part(element, made, width, 0, count), count))
        first += count
    return text.join(element, parts)


def _permuted(text: Text, isa: Isa, element: str, piece: str, width: int, values: list[str]) -> str:
    """One register of a lookup by permutations: within 128 bits for 4 entries, across the register for 16."""
    if len(values) == 4:
        return _by_vpermilps(text, element, piece, width, values)
    i32, type_ = vector("i32", width), vector(element, width)
    if "avx512f" in isa:
        full = text.padded("i32", piece, width, 16)
        table = f"<{', '.join(f'{element} {value}' for value in values)}>"
        name = "llvm.x86.avx512.permvar." + ("sf.512" if element == "float" else "si.512")
        wide = vector(element, 16)
        made = text.call(wide, name, (wide, "<16 x i32>"), (table, full))
        return text.part(element, made, 16, 0, width)
    quarters = [_by_vpermilps(text, element, piece, width, values[q : q + 4]) for q in range(0, 16, 4)]
    return _choose(text, type_, i32, piece, width, quarters, 2)


def _by_vpermilps(text: Text, element: str, piece: str, width: int, values: list[str]) -> str:
    name = {
        4: "llvm.x86.avx.vpermilvar.ps",
        8: "llvm.x86.avx.vpermilvar.ps.256",
        16: "llvm.x86.avx512.vpermilvar.ps.512",
    }
    i32, f32, type_ = vector("i32", width), vector("float", width), vector(element, width)
    table = f"<{', '.join(f'{element} {values[lane % 4]}' for lane in range(width))}>"
    floats = table if element == "float" else text.convert("bitcast", type_, table, f32)
    made = text.call(f32, name[width], (f32, i32), (floats, piece))
    return text.convert("bitcast", f32, made, type_)


def _choose(text: Text, type_: str, i32: str, of: str, lanes: int, values: list[str], bit: int) -> str:
    """values[(of >> bit) & ...] by selects, one bit of `of` after the other from `bit` on."""
    while len(values) > 1:
        masked = text.binary("and", i32, of, text.splat("i32", str(1 << bit), lanes))
        zero = text.splat("i32", "0", lanes)
        odd = text.binary("icmp ne", i32, masked, zero)
        i1 = vector("i1", lanes)
        values = [
            text.value(f"select {i1} {odd}, {type_} {values[k + 1]}, {type_} {values[k]}")
            for k in range(0, len(values), 2)
        ]
        bit += 1
    return values[0]


def _select_lookup(text: Text, element: str, of: str, lanes: int, values: list[str]) -> str:
    splats = [text.splat(element, value, lanes) for value in values]
    return _choose(text, vector(element, lanes), vector("i32", lanes), of, lanes, splats, 0)
