"""Compiles emitted Metal as C++ for this CPU, and runs it with the fibers of `runtime.cpp`.

What is checked besides: types and address spaces (`spaces`), bounds of arrays, overflow of signed integers, shifts and
divisions, alignment, the places where threads meet, and races (`races.cpp`). Threadgroup memory begins as 0xff.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

from tests.metal_shim.spaces import complaints
from tritloom.backends.cache import cache_folder

FOLDER = Path(__file__).parent
COMPILER = "clang++-19"
_FLAGS = ["-std=c++17", "-fPIC", "-march=native", "-ffp-contract=off", "-fno-exceptions", "-fno-rtti", "-w"]
_CHECKS = [
    "-O0",
    "-gline-tables-only",
    "-fsanitize=bounds,alignment,signed-integer-overflow,shift,integer-divide-by-zero,thread",
    "-fno-sanitize-recover=all",
]
_RUNTIME = ("runtime.cpp", "races.cpp")
_ARRAY = re.compile(r"alignas\(16\) threadgroup (\w+ \w+\[\d+\];)")
_CODE = re.compile(r"code (0x[0-9a-f]+)")
_SIGNATURE = re.compile(r"kernel void (\w+)\((.*?)\)\n\{", re.DOTALL)
_PARAMETER = re.compile(r"^(?P<type>.*?)(?P<name>\w+) \[\[(?P<attribute>\w+)(?:\((?P<number>\d+)\))?\]\]$")
_THREADS = re.compile(r"\[\[max_total_threads_per_threadgroup\((\d+)\)\]\]")
_BUILTINS = {
    "threadgroup_position_in_grid": "group",
    "thread_position_in_threadgroup": "number",
    "simdgroup_index_in_threadgroup": "simdgroup",
    "thread_index_in_simdgroup": "lane",
}
_lock = threading.Lock()


class ShimError(Exception):
    """A source that does not compile, or threads that do what Metal does not allow."""


class _Module(ctypes.Structure):
    _fields_ = (
        ("entry", ctypes.c_void_p),
        ("arrays", ctypes.c_void_p),
        ("arrays_end", ctypes.c_void_p),
    )


class Kernel:
    """A compiled source with its one kernel."""

    def __init__(self, name: str, threads: int, path: Path):
        self.name = name
        self.threads = threads
        """As its attribute says."""
        self._path = path
        self._library = ctypes.CDLL(str(path))
        self._module = _Module.in_dll(self._library, "shim_module")

    def run(self, buffers: Sequence[int], groups: int, threads: int) -> None:
        """Run all threadgroups on buffers at these addresses, in the order of their numbers. Raises ShimError."""
        pointers = (ctypes.c_void_p * max(len(buffers), 1))(*buffers)
        with _lock:
            told = _runtime().shim_run(ctypes.byref(self._module), pointers, groups, threads)
        if told:
            raise ShimError(f"{self.name}: {_CODE.sub(self._line, told.decode())}")

    def _line(self, code: re.Match[str]) -> str:
        """The line of the source that a place in its code comes from."""
        command = ["addr2line", "-e", str(self._path), f"{int(code[1], 16) - 1:#x}"]
        found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        return f"line {found.split()[0].rpartition(':')[2]}"


def missing_reason() -> str | None:
    """Why the shim cannot be used here, or None."""
    if importlib.util.find_spec("clang") is None:
        return "libclang is not installed (python -m pip install libclang)"
    return None if shutil.which(COMPILER) else f"no program {COMPILER} (apt-get install clang-19)"


@functools.lru_cache(256)
def load(source: str) -> Kernel:
    """The kernel of a source, compiled once a run of the tests. Raises ShimError with the compiler's log."""
    found = _SIGNATURE.search(source)
    if found is None:
        raise ShimError("the source has no kernel")
    threads = _THREADS.search(source)
    if threads is None:
        raise ShimError(f"{found[1]} does not say how many threads it has")
    text = _ARRAY.sub(r'alignas(16) static __attribute__((section("shim_arrays"))) \1', source)
    if re.search(r"\bthreadgroup \w+ \w+\[", text):
        raise ShimError(f"{found[1]} declares a threadgroup array in another way than alignas(16)")
    text += _entry(found[1], found[2])
    path = _folder() / f"{hashlib.sha256(text.encode()).hexdigest()}.so"
    if not path.exists():
        wrong = complaints(source)
        if wrong:
            raise ShimError("\n".join(wrong))
        prepared = _prepared()
        _compile(["-x", "c++", *_FLAGS, *_CHECKS, "-include-pch", str(prepared), "-shared", "-"], path, text)
    _runtime()
    return Kernel(found[1], int(threads[1]), path)


def _entry(name: str, parameters: str) -> str:
    """A function that calls the kernel as the thread that runs now."""
    arguments = []
    for parameter in filter(None, (part.strip() for part in parameters.split(",\n"))):
        found = _PARAMETER.match(parameter)
        if found is None:
            raise ShimError(f"{name} has a parameter {parameter!r} without an attribute")
        kind = found["type"].strip()
        if found["attribute"] == "buffer":
            place = f"buffers[{found['number']}]"
            dereferenced = kind.endswith("&")
            pointer = f"({kind.rstrip('&*').strip()} *){place}"
            arguments.append(f"*{pointer}" if dereferenced else pointer)
        elif found["attribute"] in _BUILTINS and kind == "uint":
            arguments.append(f"shim_self->{_BUILTINS[found['attribute']]}")
        else:
            raise ShimError(f"{name} has a parameter {parameter!r}, which the shim does not know")
    return f"""
extern "C" {{
extern char __start_shim_arrays[] __attribute__((weak, visibility("hidden")));
extern char __stop_shim_arrays[] __attribute__((weak, visibility("hidden")));
static void shim_entry(void *const *buffers) {{ {name}({", ".join(arguments)}); }}
struct {{ void (*entry)(void *const *); char *arrays, *arrays_end; }} shim_module = {{
  shim_entry, __start_shim_arrays, __stop_shim_arrays}};
}}
"""


def _compile(arguments: list[str], path: Path, text: str = "") -> None:
    """Run the compiler; the result appears at `path` whole or not at all."""
    handle, made = tempfile.mkstemp(dir=path.parent)
    os.close(handle)
    command = [COMPILER, f"-I{FOLDER / 'include'}", *arguments, "-o", made]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        Path(made).unlink()
        raise ShimError(done.stderr.strip())
    Path(made).replace(path)


@functools.cache
def _folder() -> Path:
    """Of what this state of the shim compiles."""
    state = hashlib.sha256(repr((_FLAGS, _CHECKS)).encode())
    for path in sorted(FOLDER.rglob("*")):
        if path.suffix in ("", ".h", ".cpp") and path.is_file():
            state.update(path.read_bytes())
    folder = cache_folder() / "metal-shim" / state.hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@functools.cache
def _prepared() -> Path:
    """The header, compiled."""
    path = _folder() / "shim.pch"
    if not path.exists():
        _compile(["-x", "c++-header", *_FLAGS, *_CHECKS, str(FOLDER / "include" / "shim.h")], path)
    return path


@functools.cache
def _runtime() -> ctypes.CDLL:
    """The fibers, where kernels find them by name."""
    path = _folder() / "runtime.so"
    if not path.exists():
        _compile(["-x", "c++", *_FLAGS, "-O2", "-shared", *(str(FOLDER / name) for name in _RUNTIME)], path)
    library = ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)
    library.shim_run.restype = ctypes.c_char_p
    library.shim_run.argtypes = [
        ctypes.POINTER(_Module),
        ctypes.POINTER(ctypes.c_void_p),
        ctypes.c_uint,
        ctypes.c_uint,
    ]
    return library
