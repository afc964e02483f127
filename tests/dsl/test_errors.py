"""Every mistake in a kernel is one class, one message and one hint, with the caret under the user's own token.

In the sources below, guillemets stand around what the caret must mark.
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
import pytest

from tritloom.codegen.errors import (
    AxisError,
    DTypeError,
    KernelSyntaxError,
    ShapeError,
    TritloomError,
)
from tritloom.codegen.ir.ternary import TernaryArray
from tritloom.dsl import language as tl
from tritloom.dsl.arguments import ArgumentError
from tritloom.dsl.kernel import Kernel, kernel

HEADER = """\
from __future__ import annotations

import math

import numpy as np

from tritloom.dsl import language as tl
from tritloom.dsl.inline import inline
from tritloom.dsl.kernel import kernel

TABLE = [1, 2]


@inline
def helper(a, b=2):
    return a * b


@inline
def endless(a):
    return endless(a)


def plain(a):
    return a


"""
SIGNATURE = """\
@kernel
def k(
    x: tl.f32["M", "K"],
    g: tl.f16["K"],
    q: tl.i8["M", "K"],
    w: tl.ternary["N", "K"],
    y: tl.out(tl.f32["M"]),
    z: tl.inout(tl.f32["M"]),
    alpha: tl.f32 = 1.0,
    B=tl.tunable(4),
):
    M, K = x.shape
    m = tl.programs(M, B)
"""


class Mistake(NamedTuple):
    """What is wrong, and what the user is told."""

    name: str
    source: str
    error: type[TritloomError]
    message: str
    hint: str


def bodies(*mistakes: tuple[str, str, type[TritloomError], str, str]) -> list[Mistake]:
    return [Mistake(*mistake) for mistake in mistakes]


SYNTAX = bodies(
    ("while", "«while» K > 1:\n    pass", KernelSyntaxError, "a `while` loop", "tl.blocks"),
    ("with", "«with» x:\n    pass", KernelSyntaxError, "`with`", "assignments"),
    ("try", "«try»:\n    pass\nfinally:\n    pass", KernelSyntaxError, "`try`", "where="),
    ("raise", "«raise ValueError»", KernelSyntaxError, "`raise`", "before the call"),
    ("assert", "«assert K > 1»", KernelSyntaxError, "`assert`", "before the call"),
    ("break", "for k in tl.blocks(K, 4):\n    «break»", KernelSyntaxError, "`break`", "stop="),
    ("continue", "for k in tl.blocks(K, 4):\n    «continue»", KernelSyntaxError, "`continue`", "tl.where"),
    ("import", "«import os»", KernelSyntaxError, "`import`", "top of the file"),
    ("nested def", "«def» f():\n    pass", KernelSyntaxError, "a nested function", "@tl.inline"),
    ("class", "«class» C:\n    pass", KernelSyntaxError, "a class", "tiles alone"),
    ("global", "«global TABLE»", KernelSyntaxError, "`global`", "outputs"),
    ("del", "«del m»", KernelSyntaxError, "`del`", "ends with its kernel"),
    ("annotated", "«a: int = 1»", KernelSyntaxError, "an annotation", "alone"),
    ("match", "«match» K:\n    case _:\n        pass", KernelSyntaxError, "`match`", "`if`"),
    ("return", "«return x[m, 0]»", KernelSyntaxError, "a kernel returns nothing", "tl.out"),
    ("lambda", "f = «lambda a: a»", KernelSyntaxError, "a lambda", "@tl.inline"),
    ("list", "f = «[1, 2]»", KernelSyntaxError, "a list", "whole tiles"),
    ("comprehension", "f = «[a for a in range(3)]»", KernelSyntaxError, "a list", "whole tiles"),
    ("dictionary", "f = «{1: 2}»", KernelSyntaxError, "a dictionary", "whole tiles"),
    ("f-string", "f = «f'{m}'»", KernelSyntaxError, "a string", "numbers and tiles"),
    ("string", "f = «'text'»", KernelSyntaxError, "a kernel has no str", "numbers and tiles"),
    ("walrus", "f = («a := 1») + 1", KernelSyntaxError, "`:=`", "line of its own"),
    ("slice", "f = x[m, «0:4»]", KernelSyntaxError, "a slice", "index with an axis"),
    ("two targets", "a = «b» = 1", KernelSyntaxError, "two targets", "a line each"),
    ("attribute target", "«x.shape» = 1", KernelSyntaxError, "cannot be assigned", "y[m, n] = tile"),
    ("loop else", "for k in tl.blocks(K, 4):\n    pass\nelse:\n    «a = 1»", KernelSyntaxError, "`else`", "after"),
    ("loop of two names", "for «a, b» in tl.blocks(K, 4):\n    pass", KernelSyntaxError, "one name", "for k in"),
    ("loop over tensor", "for k in «x»:\n    pass", KernelSyntaxError, "a loop over a tensor", "tl.blocks"),
    ("long range", "for i in «range(5000)»:\n    pass", KernelSyntaxError, "unrolls 5000 times", "tl.blocks"),
    ("range of a size", "for i in range(«tl.max(m, m)»):\n    pass", KernelSyntaxError, "`range` takes", "unrolls"),
    ("unused value", "«x[m, 0]»", KernelSyntaxError, "not used", "assign it"),
    ("unused call", "«tl.exp(x[m, 0])»", KernelSyntaxError, "not used", "assign it"),
    ("undefined", "a = «nothing» + 1", KernelSyntaxError, "`nothing` is not defined", "spelling"),
    ("outside list", "a = «TABLE»", KernelSyntaxError, "`TABLE` is a list", "parameters"),
    ("print", "«print»(m)", KernelSyntaxError, "`print` cannot be called", "interpret"),
    ("plain helper", "a = «plain»(m)", KernelSyntaxError, "`plain` cannot be called", "put @tl.inline above"),
    ("numpy function", "a = «np.exp»(x[m, 0])", KernelSyntaxError, "`np.exp` cannot be called", "NumPy"),
    ("python sum", "a = «sum»(x[m, 0])", KernelSyntaxError, "`sum` cannot be called", "tl.sum"),
    ("python max", "a = max(«x[m, 0]», 1)", KernelSyntaxError, "`max` takes numbers", "tl.max"),
    ("math of a tile", "a = math.sqrt(«x[m, 0]»)", KernelSyntaxError, "`math.sqrt` takes numbers", "tl.sqrt"),
    ("float of a tile", "a = float(«x[m, 0]»)", KernelSyntaxError, "`float` takes numbers", "tl.cast"),
    ("no such name", "a = «tl.convolve»(m)", KernelSyntaxError, "`tl` has no `convolve`", "names under tl"),
    ("starred", "a = tl.max(«*x»)", KernelSyntaxError, "`*`", "one by one"),
    ("chain", "a = «0 < m < 3»", KernelSyntaxError, "a chain of comparisons", "(a < b) & (b < c)"),
    ("in", "a = «m in m»", KernelSyntaxError, "`is` and `in`", "=="),
    ("and", "a = «(m > 1) and (m < 3)»", KernelSyntaxError, "`and` of tiles", "use &"),
    ("not", "a = «not (m > 1)»", KernelSyntaxError, "`not` of a tile", "use ~"),
    ("matmul", "a = «x[m, 0] @ x[m, 0]»", KernelSyntaxError, "`@`", "tl.dot"),
    ("power", "a = «x[m, 0] ** 2»", KernelSyntaxError, "`**`", "x * x"),
    ("conditional", "a = 1 if «z[m] > 1» else 2", KernelSyntaxError, "not known when", "tl.where"),
    ("tensor as tile", "a = «x» + 1", KernelSyntaxError, "`x` is a tensor of f32", "x[m, n]"),
    ("shape as tile", "a = «x.shape» + 1", KernelSyntaxError, "a tuple of 2", "M, K = x.shape"),
    ("no attribute", "a = «x.stride»", KernelSyntaxError, "has no `stride`", ".shape"),
    ("index a tile", "a = x[m, 0]\nb = «a»[m]", KernelSyntaxError, "`a` is a tile of f32 [m]", "matched by name"),
    ("float index", "a = x[m, «1.5»]", KernelSyntaxError, "1.5 is no index", "from 0 on"),
    ("negative index", "a = x[m, «-1»]", KernelSyntaxError, "-1 is no index", "from 0 on"),
    ("block of a tile", "n = tl.programs(M, «K»)", KernelSyntaxError, "the block is a size", "tl.tunable"),
    ("unpack a tile", "a, b = «x[m, 0]»", KernelSyntaxError, "cannot be taken apart", "x.shape"),
    ("unpack too few", "«a, b, c» = x.shape", KernelSyntaxError, "3 names for 2 values", "with _"),
    ("blocks outside of for", "k = «tl.blocks(K, 4)»", KernelSyntaxError, "outside of a `for`", "for k in"),
    ("too many arguments", "a = «tl.exp(m, m)»", KernelSyntaxError, "tl.exp: too many", "tl.exp(value)"),
    ("unknown keyword", "a = «tl.zeros(m, kind=1)»",
     KernelSyntaxError, "tl.zeros: got an unexpected", "tl.zeros(*axes"),
    ("zeros of a size", "a = tl.zeros(«M»)", KernelSyntaxError, "`M` is a size, not an axis", "tl.programs"),
    ("dtype", "a = tl.cast(m, «3»)", KernelSyntaxError, "not a dtype", "tl.f32"),
    ("max of one", "a = «tl.max(x[m, 0])»", KernelSyntaxError, "tl.max of one value", "over an axis"),
    ("sum of no axis", "a = «tl.sum(x[m, 0])»", KernelSyntaxError, "no axis", "tl.sum(x, k)"),
    ("store arity", "«tl.store(y, m)»", KernelSyntaxError, "1 indices and a value", "tl.store(y, m, n"),
    ("store as a value", "a = «tl.store(y, m, 1.0)»", KernelSyntaxError, "returns nothing", "line of its own"),
    ("log of 0", "a = «tl.log(0)»", KernelSyntaxError, "tl.log of 0", "check the number"),
    ("zero division", "a = «1 // 0»", KernelSyntaxError, "`//` of 1 and 0", "check"),
    ("program size", "n = tl.programs(«tl.max(m, m)», 4)", KernelSyntaxError, "before the launch", "dimension"),
    ("helper arguments", "a = «helper()»", KernelSyntaxError, "`helper`: missing", "the helper's def"),
    ("helper recursion", "a = endless(m)", KernelSyntaxError, "calls itself without end", "recursive"),
    ("loop local", "for k in tl.blocks(K, 4):\n    a = x[m, k]\ny[m] = «a»",
     KernelSyntaxError, "only inside", "before"),
    ("loop axis", "for k in tl.blocks(K, 4):\n    pass\ny[m] = x[m, «k»]", KernelSyntaxError, "ends with it", "own"),
    ("one branch", "if alpha > 0:\n    a = 1.0\ny[m] = «a» + x[m, 0]",
     KernelSyntaxError, "only one branch", "before"),
    ("condition on tensor", "if «x»:\n    pass", KernelSyntaxError, "the condition is a tensor", "scalars"),
    ("axis rebound", "«for» k in tl.blocks(K, 4):\n    m = m + 1\ny[m] = 1.0",
     KernelSyntaxError, "an axis before", "name"),
)  # fmt: skip

TYPES = bodies(
    ("mixed dtypes", "a = «x[m, 0] * g[0]»", DTypeError, "`mul` of f32 and f16", "cast one"),
    ("i32 with f32", "a = «m * x[m, 0]»", DTypeError, "`mul` of i32 and f32", "tl.cast(x, tl.f32)"),
    ("stored dtype", "«y[m]» = m", DTypeError, "a tile of i32 is stored to `y`", "tl.cast(..., tl.f32)"),
    ("division of integers", "a = «m / m»", DTypeError, "`/` of i32", "//"),
    ("exp of integers", "a = «tl.exp(m)»", DTypeError, "`exp` takes a float", ""),
    ("constant too large", "a = «q[m, 0] + 300»", DTypeError, "300 does not fit in i8", ""),
    ("fraction with integers", "a = «m + 0.5»", DTypeError, "0.5 is no i32", "cast"),
    ("size with i8", "a = «q[m, 0] + K»", DTypeError, "a size is i32 and meets i8", "tl.cast"),
    ("float index tile", "a = «x[m, tl.round(x[m, 0])]»", DTypeError, "index 1 of `x` is f32", "i32"),
    ("dot dtypes", "k = tl.whole(8)\na = «tl.dot(x[m, k], g[k], k)»", DTypeError, "`dot` of f32 and f16", "i8 x i8"),
    ("sum of i8", "k = tl.whole(8)\na = «tl.sum(q[m, k], k)»", DTypeError, "`sum` of i8", "cast"),
    ("ternary arithmetic", "n = tl.whole(2)\na = «w[n, 0] + 1»", DTypeError, "ternary", "tl.dot"),
    ("invert a float", "a = «-(x[m, 0] > 0)»", DTypeError, "`neg` takes", ""),
    ("guard dtype", "a = «tl.load(x, m, 0, where=m)»", DTypeError, "a guard is bool", ""),
    ("carried dtype", "a = 0\nfor k in tl.blocks(K, 4):\n    a = «tl.sum(x[m, k], k)»\ny[m] = tl.cast(a, tl.f32)",
     DTypeError, "`a` is i32 before the loop over `k` and f32", "start it with the dtype"),
    ("number of indices", "a = «x[m]»", ShapeError, "2 dimension(s) and is indexed with 1", ""),
    ("read an output", "a = «y[m]»", AxisError, "`y` is an output and is read", "tl.inout"),
    ("write an input", "«x[m, 0]» = 1.0", AxisError, "`x` is an input and is written", "tl.out"),
    ("lost axis", "k = tl.whole(8)\n«y[m]» = x[m, k]", AxisError, "`k` would be lost", "reduce over `k`"),
    ("sum over another axis", "k = tl.whole(8)\na = «tl.sum(z[m], k)»", AxisError, "`sum` over `k`", "own axes"),
    ("dot axis", "k = tl.whole(8)\na = «tl.dot(x[m, k], z[m], k)»", AxisError, "`dot` over `k`", "both tiles"),
    ("condition on a tile", "if «z[m] > 0»:\n    pass", AxisError, "an `if` needs a bool scalar", "tl.where"),
    ("program axis in a loop", "for k in tl.blocks(K, 4):\n    n = «tl.programs(K, 2)»",
     AxisError, "inside a loop", "top"),
    ("loop axis kept", "a = tl.zeros(m)\nfor k in tl.blocks(K, 4):\n    a = «x[m, k]»\ny[m] = a",
     AxisError, "still has the axis `k`", "tl.sum(a, k)"),
    ("carried axes", "a = 0.0\nfor k in tl.blocks(K, 4):\n    «a += tl.sum(x[m, k], k)»\ny[m] = a",
     AxisError, "has the axes [] before the loop over `k` and [m]", "tl.zeros(m)"),
    ("loop bounds", "«for» k in tl.blocks(K, 4, start=m):\n    pass", AxisError, "bounds are i32 scalars", ""),
    ("helper's own line", "a = helper(x[m, 0], g[0])", DTypeError, "(in `helper`, called at ", "cast one"),
)  # fmt: skip

SIGNATURES = [
    mistake._replace(source=f"@kernel\ndef k({mistake.source}):\n    pass")
    for mistake in bodies(
        ("no annotation", "«x»", KernelSyntaxError, "`x` has no annotation", "tl.tunable"),
        ("other annotation", "«x: int»", KernelSyntaxError, "`x` is annotated", "tl.out"),
        ("broken annotation", "x: «tl.f99['M']»", KernelSyntaxError, "fails: AttributeError", "names"),
        ("bad dimension", "«x: tl.f32['M + 1']»", KernelSyntaxError, "dimension 'M + 1'", "name"),
        ("zero dimension", "«x: tl.f32[0]»", KernelSyntaxError, "dimension 0", "from 1 on"),
        ("scalar dtype", "«a: tl.i8»", KernelSyntaxError, "the scalar `a` is i8", "tl.i32"),
        ("scalar default", "«a: tl.i32» = 0.5", KernelSyntaxError, "default of `a` is 0.5", "dtype"),
        ("tensor default", "«x: tl.f32['M']» = 1", KernelSyntaxError, "has a default", "leave"),
        ("star arguments", "*«rest»", KernelSyntaxError, "`*rest`", "one by one"),
        ("ternary output", "«w: tl.out(tl.ternary['N', 'K'])»", KernelSyntaxError, "only read", "tl.ternary"),
        ("free output size", "x: tl.f32['M'], «y: tl.out(tl.f32['N'])»", KernelSyntaxError, "`N`", "inputs"),
        ("size and scalar", "«x: tl.f32['n']», n: tl.i32", KernelSyntaxError, "both a dimension", "name"),
        ("never stored", "x: tl.f32['M'], «y: tl.out(tl.f32['M'])»", KernelSyntaxError, "never stored", "y[m]"),
        ("tunable value", "x: tl.f32['M'], B=«tl.tunable(0)»", ShapeError, "positive integers, not 0", ""),
    )
]  # fmt: skip


def unmarked(marked: str) -> tuple[str, int | None, int, int]:
    """The source without its guillemets, and the line, first and last column of what they stand around."""
    for number, line in enumerate(marked.split("\n"), start=1):
        if "«" in line:
            start, end = line.index("«"), line.index("»") - 1
            return marked.replace("«", "").replace("»", ""), number, start, end
    return marked, None, 0, 0


def define(source: str, folder: Path) -> dict[str, Any]:
    """The names of a module with that source."""
    path = folder / "user.py"
    path.write_text(source)
    names: dict[str, Any] = {"__name__": "user"}
    exec(compile(source, str(path), "exec"), names)
    return names


def compile_all(names: dict[str, Any]) -> None:
    for value in list(names.values()):
        if isinstance(value, Kernel):
            value.configure().build(dict.fromkeys(value.static, 8))


@pytest.mark.parametrize("mistake", [*SYNTAX, *TYPES, *SIGNATURES], ids=lambda mistake: mistake.name)
def test_mistake(mistake: Mistake, tmp_path: Path) -> None:
    marked = HEADER + (
        mistake.source
        if mistake in SIGNATURES
        else SIGNATURE + textwrap.indent(mistake.source, "    ") + "\n    y[m] = 0.0\n"
    )
    source, line, start, end = unmarked(marked)
    with pytest.raises(TritloomError) as caught:
        compile_all(define(source, tmp_path))
    error = caught.value
    assert type(error) is mistake.error
    assert mistake.message in error.message
    assert error.hint
    assert mistake.hint in error.hint
    assert error.location is not None
    assert error.location.file == str(tmp_path / "user.py")
    if line is not None:
        assert (error.location.line, error.location.column, error.location.end_column) == (line, start, end)


def test_the_caret_is_under_the_token(tmp_path: Path) -> None:
    """Also behind characters of more than a byte, and in an indented definition."""
    source = HEADER + (
        "def make():\n"
        "    @kernel\n"
        '    def k(x: tl.f32["M"], y: tl.out(tl.f32["M"])):\n'
        "        größe = 1; m = tl.programs(x.shape[0], breite)\n"
        "    return k\n"
        "k = make()\n"
    )
    with pytest.raises(KernelSyntaxError) as caught:
        compile_all(define(source, tmp_path))
    excerpt = str(caught.value).split("\n")
    assert excerpt[1].index("breite") == excerpt[2].index("^")
    assert excerpt[2].count("^") == len("breite")


@pytest.mark.parametrize("name", tl.BY_NAME)
def test_outside_of_a_kernel(name: str) -> None:
    function = tl.BY_NAME[name]
    needed = [p for p in inspect.signature(function).parameters.values() if p.default is p.empty]
    arguments = [None for p in needed if p.kind is p.POSITIONAL_OR_KEYWORD]
    keywords = {p.name: None for p in needed if p.kind is p.KEYWORD_ONLY}
    with pytest.raises(KernelSyntaxError, match=f"tl.{name} was called outside of a kernel"):
        function(*arguments, **keywords)
    assert function.__doc__


# calls


@kernel
def scaled(
    x: tl.f32["M", "K"],
    g: tl.f32["K"],
    w: tl.ternary["N", "K"],
    y: tl.out(tl.f32["M", "K"]),
    alpha: tl.f32 = 2.0,
    steps: tl.i32 = 1,
    B: int = tl.tunable(4, 8),
) -> None:
    M, K = x.shape
    m = tl.programs(M, B)
    for k in tl.blocks(K, 16):
        y[m, k] = x[m, k] * g[k] * alpha


X = np.ones((3, 8), np.float32)
G = np.ones(8, np.float32)
W = TernaryArray.pack(np.zeros((2, 8), np.int8))
CALLS: list[tuple[str, Callable[[], Any], type[TritloomError], str, str]] = [
    ("missing", lambda: scaled(X, G), ArgumentError, "was not given `w`", "scaled(x, g, w, alpha, steps)"),
    (
        "too many",
        lambda: scaled(X, G, W, 1.0, 1, 4),
        ArgumentError,
        "takes 5 argument(s) and was given 6",
        "by name",
    ),
    ("twice", lambda: scaled(X, G, W, x=X), ArgumentError, "was given `x` twice", "scaled("),
    ("unknown", lambda: scaled(X, G, W, beta=1), ArgumentError, "no argument `beta`", "scaled("),
    ("output", lambda: scaled(X, G, W, y=X), ArgumentError, "`y`: it is an output", "returned"),
    ("list", lambda: scaled([[1.0]], G, W), ArgumentError, "`x` of `scaled` is a Python list", "np.asarray"),
    (
        "dtype",
        lambda: scaled(X.astype(np.float64), G, W),
        DTypeError,
        "`x` of `scaled` is float64",
        "x.astype(np.float32)",
    ),
    (
        "bf16",
        lambda: scaled(X, G.astype(ml_dtypes.bfloat16), W),
        DTypeError,
        "`g` of `scaled` is bfloat16",
        "g.astype",
    ),
    (
        "ternary wanted",
        lambda: scaled(X, G, X),
        DTypeError,
        "`w` of `scaled` is float32",
        "TernaryArray.pack",
    ),
    ("ternary given", lambda: scaled(W, G, W), DTypeError, "`x` of `scaled` is ternary", "unpack"),
    ("rank", lambda: scaled(X[0], G, W), ShapeError, "shape (8,), it should be f32[M, K]", "1 dimension(s)"),
    (
        "size",
        lambda: scaled(X, G[:5], W),
        ShapeError,
        "where K is 8 as `x` has it",
        "dimension 0 is 5 and should be 8",
    ),
    ("empty", lambda: scaled(X[:0], G, W), ShapeError, "no elements", "at least 1"),
    ("scalar kind", lambda: scaled(X, G, W, "much"), ArgumentError, "`alpha` of `scaled` is a str", "number"),
    ("scalar dtype", lambda: scaled(X, G, W, 1.0, 2.5), DTypeError, "`steps` of `scaled` is 2.5", "integer"),
    ("tunable", lambda: scaled.configure(C=2), ArgumentError, "no tunable parameter `C`", "it has: B"),
    ("tunable value", lambda: scaled(X, G, W, B=0), ArgumentError, "`B` of `scaled` is 0", "B=8"),
]


@pytest.mark.parametrize(
    ("call", "error", "message", "hint"), [c[1:] for c in CALLS], ids=[c[0] for c in CALLS]
)
def test_call(call: Callable[[], Any], error: type[TritloomError], message: str, hint: str) -> None:
    with pytest.raises(TritloomError) as caught:
        call()
    assert type(caught.value) is error
    assert message in caught.value.message
    assert hint in caught.value.hint
    assert caught.value.location is not None
    assert caught.value.location.file == __file__
