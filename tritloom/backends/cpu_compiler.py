"""LLVM IR to machine code in memory, for the processor that this runs on, and to object code for any CPU target."""

from __future__ import annotations

import ctypes
import hashlib
import itertools
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import llvmlite
import llvmlite.binding as llvm

from tritloom.backends.cache import Cache
from tritloom.codegen.errors import CompileError
from tritloom.codegen.target import Target

_lock = threading.RLock()
"""LLVM's context and its JIT are used by one thread at a time."""
_names = itertools.count()


@dataclass(frozen=True, slots=True)
class NativeFunction:
    """Machine code that is loaded, for as long as this lives."""

    address: int
    _code: Any


class Compiler:
    """Compiles for one target, through a cache of object code."""

    def __init__(self, target: Target, cache: Cache):
        self.target = target
        self.cache = cache
        self._machine: Any = None
        self._jit: Any = None

    def _target_machine(self) -> Any:
        if self._machine is None:
            llvm.initialize_all_targets()
            llvm.initialize_all_asmprinters()
            target = self.target
            found = llvm.Target.from_triple(target.llvm_triple)
            self._machine = found.create_target_machine(
                cpu=target.llvm_cpu, features=target.llvm_features, opt=3, reloc="pic", codemodel="default"
            )
        return self._machine

    def object_code(self, name: str, ir: str | Callable[[], str], key: str = "") -> bytes:
        """The object file of a module in LLVM IR, or of what a function returns, called if it is not in the cache.

        `key` stands for all that the module depends on; by default it is its text. Raises CompileError with LLVM's
        words if the module is malformed.
        """
        target = self.target
        if not key:
            key = ir = ir if isinstance(ir, str) else ir()
        versions = (llvmlite.__version__, *llvm.llvm_version_info)
        parts = (*map(str, versions), target.llvm_triple, target.llvm_cpu, target.llvm_features, key)
        entry = hashlib.sha256("\0".join(parts).encode()).hexdigest()
        cached = self.cache.get(entry)
        if cached is None:
            text = ir if isinstance(ir, str) else ir()
            with _lock:
                cached = self._compile(name, text)
            self.cache.put(entry, cached)
        return cached

    def _compile(self, name: str, ir: str) -> bytes:
        machine = self._target_machine()
        module = self._optimised(name, ir)
        code: bytes = machine.emit_object(module)
        return code

    def _optimised(self, name: str, ir: str) -> Any:
        machine = self._target_machine()
        try:
            module = llvm.parse_assembly(ir)
            module.data_layout = str(machine.target_data)
            module.verify()
        except RuntimeError as error:
            raise CompileError(
                f"LLVM refuses the code of `{name}` for {self.target.name}: {error}",
                hint="this is a defect of Tritloom; please report it with the kernel",
            ) from error
        options = llvm.create_pipeline_tuning_options(speed_level=3)
        # Machine form is vector code already: LLVM's own vectorisers would only add time and code.
        options.loop_vectorization = False
        options.slp_vectorization = False
        passes = llvm.create_pass_builder(machine, options)
        passes.getModulePassManager().run(module, passes)
        return module

    def assembly(self, name: str, ir: str) -> str:
        """The target's assembly language, for people."""
        with _lock:
            text: str = self._target_machine().emit_assembly(self._optimised(name, ir))
        return text

    def load(self, name: str, ir: str | Callable[[], str], key: str = "") -> NativeFunction:
        """The function `name` of a module (see :meth:`object_code`), compiled and loaded into this process."""
        code = self.object_code(name, ir, key)
        with _lock:
            if self._jit is None:
                self._target_machine()
                # The other linker maps code and constants apart, and ends the process if that is too far for the code.
                # JITLink reads Windows' object files only in part.
                self._jit = llvm.create_lljit_compiler(use_jit_link=sys.platform != "win32")
            library = llvm.JITLibraryBuilder().add_object_img(code).add_current_process().export_symbol(name)
            tracker = library.link(self._jit, f"tritloom{next(_names)}")
            return NativeFunction(tracker[name], tracker)


def callable_of(function: NativeFunction, *arguments: Any) -> Any:
    """A Python callable of a native function without a result. Calls release the interpreter's lock."""
    made: Any = ctypes.CFUNCTYPE(None, *arguments)(function.address)
    made.native = function  # the code lives as long as what calls it
    return made
