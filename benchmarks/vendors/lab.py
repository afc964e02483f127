"""The lab: real drivers' compilers for GPUs that are not here, run in two small systems under a folder.

It is found by the environment variable TRITLOOM_LAB (the path of its lab.py), else beside the checkout, and is usable
once its `setup` was run.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml

VARIABLE = "TRITLOOM_LAB"
BESIDE = Path(__file__).resolve().parents[3] / "shared" / "vendorlab" / "lab.py"
PROBE = Path(__file__).with_name("probe.c")
SECONDS = 60
"""How long one kernel may take to compile."""


@dataclass(frozen=True, slots=True)
class Job:
    """One kernel for one GPU. `subgroup` is the size to require (0: the driver chooses); `full`: no subgroup of the
    workgroup may lack threads."""

    name: str
    code: bytes
    subgroup: int = 0
    full: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a compiler said: why it failed, or its statistics by its own names."""

    name: str
    error: str = ""
    statistics: dict[str, float] = field(default_factory=dict)


def lab_file() -> Path | None:
    """The lab's program, or None."""
    given = os.environ.get(VARIABLE)
    file = Path(given) if given else BESIDE
    return file if file.is_file() else None


def missing_reason() -> str | None:
    """Why the lab cannot be used and what to do, or None when it can."""
    file = lab_file()
    if file is None:
        return f"no lab.py: neither ${VARIABLE} nor ../shared/vendorlab/lab.py is there"
    lab = Lab(file)
    absent = [str(root) for root in (lab.x86, lab.arm) if not (root / ".done").is_file()]
    if absent:
        return f"the lab has no {' and no '.join(absent)} (as root: python3 {file} setup)"
    if os.geteuid():
        return "the lab's systems are entered by root alone"
    return None


class Lab:
    """Compilers for the GPUs of `vulkan` (SPIR-V) and `intel` (OpenCL C)."""

    def __init__(self, file: Path):
        spec = importlib.util.spec_from_file_location("vendorlab", file)
        assert spec is not None
        assert spec.loader is not None
        self._module: ModuleType = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self._module)
        self.x86, self.arm = Path(self._module.X86), Path(self._module.ARM)
        self.vulkan: tuple[str, ...] = tuple(self._module.GPUS)
        self.intel: tuple[str, ...] = tuple(self._module.INTEL)

    # Vulkan

    @cached_property
    def _probes(self) -> dict[str, Path]:
        """The prober by the system that it runs in."""
        module = self._module
        made = {"amd64": self.x86 / "tritloom-probe", "arm64": self.arm / "tritloom-probe"}
        compilers = {
            "amd64": ("gcc", self.x86, module.XL),
            "arm64": ("aarch64-linux-gnu-gcc", self.arm, module.AL),
        }
        for system, (compiler, root, libraries) in compilers.items():
            done = made[system]
            if done.is_file() and done.stat().st_mtime >= PROBE.stat().st_mtime:
                continue
            with tempfile.TemporaryDirectory() as folder:
                fresh = Path(folder) / "probe"
                command = [compiler, "-O1", f"-I{module.BASE}/include", str(PROBE), "-o", str(fresh)]
                command += [
                    f"-L{root}{libraries}",
                    "-l:libvulkan.so.1",
                    "-Wl,--unresolved-symbols=ignore-all",
                ]
                subprocess.run(command, check=True)
                beside = done.with_name(f"{done.name}.{os.getpid()}")
                shutil.move(fresh, beside)
                beside.rename(done)  # at once: other processes may be running it
        return made

    def _run_probe(self, gpu: str, verb: str, jobs: Path | None, seconds: float) -> tuple[str, str]:
        """The prober's output, and how it ended where not well."""
        module = self._module
        _, icd, shim, extra, system = module.GPUS[gpu]
        probe = self._probes[system]
        root, libraries = (self.x86, module.XL) if system == "amd64" else (self.arm, module.AL)
        inside = "" if system == "amd64" else str(root)
        environment = {"XDG_RUNTIME_DIR": "/tmp", "MESA_SHADER_CACHE_DISABLE": "true", **extra}
        environment["VK_DRIVER_FILES"] = f"{inside}{module.ICD}/{icd}_icd.json"
        if shim:
            environment["LD_PRELOAD"] = f"{inside}{libraries}/lib{shim}_noop_drm_shim.so"
        try:
            if system == "amd64":
                given = f" < {_inside(jobs, root)}" if jobs else ""
                shell = f"{_inside(probe, root)} {verb}{given}"
                result = module.chroot(environment, "sh", "-c", f"exec {shell}", timeout=seconds)
            else:
                words = [word for pair in environment.items() for word in ("-E", "=".join(pair))]
                command = ["qemu-aarch64", "-L", str(root), *words, str(probe), verb]
                with (jobs or Path(os.devnull)).open() as given_jobs:
                    result = subprocess.run(
                        command,
                        stdin=given_jobs,
                        capture_output=True,
                        text=True,
                        errors="replace",
                        timeout=seconds,
                        check=False,
                    )
        except subprocess.TimeoutExpired as error:
            return _text(error.output), f"it took more than {seconds:.0f} s"
        except OSError as error:
            return "", str(error)
        end = "" if result.returncode == 0 else f"status {result.returncode}: {result.stderr[-300:].strip()}"
        return result.stdout, end

    def describe(self, gpu: str) -> dict[str, list[str]]:
        """The driver's answers: the values of each key, in order."""
        output, end = self._run_probe(gpu, "describe", None, SECONDS)
        if end or "error" in output.split():
            raise RuntimeError(f"{gpu}: {end or output}")
        answers: dict[str, list[str]] = {}
        for line in output.splitlines():
            key, _, value = line.partition(" ")
            answers.setdefault(key, []).append(value.strip())
        return answers

    def compile_spirv(self, gpu: str, jobs: Sequence[Job]) -> list[Outcome]:
        """Compile modules with a GPU's driver. A compiler that crashes fails its kernel alone."""
        system = self._module.GPUS[gpu][4]
        root = self.x86 if system == "amd64" else self.arm
        inside = root if system == "amd64" else Path("/")
        found: dict[str, Outcome] = {}
        with _folder(root) as folder:
            for job in jobs:
                (folder / f"{job.name}.spv").write_bytes(job.code)
            waiting = list(jobs)
            while waiting:
                lines = [
                    f"{job.subgroup} {int(job.full)} {_inside(folder / f'{job.name}.spv', inside)}\n"
                    for job in waiting
                ]
                (folder / "jobs").write_text("".join(lines))
                output, end = self._run_probe(gpu, "compile", folder / "jobs", SECONDS + 2 * len(waiting))
                outcomes = list(_outcomes(output, end))
                if not outcomes:  # it did not come as far as the first kernel
                    outcomes = [Outcome(job.name, end or output.strip()) for job in waiting]
                found |= {outcome.name: outcome for outcome in outcomes}
                waiting = [job for job in waiting if job.name not in found]
        return [found[job.name] for job in jobs]

    # Intel

    def compile_opencl(self, gpu: str, jobs: Sequence[Job]) -> list[Outcome]:
        """Compile OpenCL C with Intel's offline compiler."""
        found = []
        with _folder(self.x86) as folder:
            for job in jobs:
                source = folder / f"{job.name}.cl"
                source.write_bytes(job.code)
                shell = (
                    f"cd {_inside(folder, self.x86)} && ocloc compile -file {source.name} -device {gpu} -q "
                    f"-options -cl-std=CL3.0 -output {job.name} -output_no_suffix"
                )
                try:
                    result = self._module.chroot({}, "sh", "-c", shell, timeout=SECONDS)
                except subprocess.TimeoutExpired:
                    found.append(Outcome(job.name, f"it took more than {SECONDS} s"))
                    continue
                binary = folder / f"{job.name}.bin"
                if result.returncode or not binary.is_file():
                    text = (result.stdout + result.stderr)[-600:].strip()
                    found.append(Outcome(job.name, f"status {result.returncode}: {text}"))
                else:
                    found.append(Outcome(job.name, statistics=zebin_statistics(binary.read_bytes())))
        return found

    def compile(self, gpu: str, jobs: Sequence[Job]) -> list[Outcome]:
        """Compile kernels for one of the GPUs, in its language."""
        return self.compile_opencl(gpu, jobs) if gpu in self.intel else self.compile_spirv(gpu, jobs)

    def versions(self) -> dict[str, str]:
        """The versions of Mesa and of Intel's compiler, as Debian calls them."""
        query = [
            "dpkg-query",
            "-W",
            "-f",
            "${Package} ${Version}\\n",
            "mesa-vulkan-drivers",
            "libigc2",
            "intel-ocloc",
        ]
        result = self._module.chroot({}, *query)
        return dict(line.split(" ", 1) for line in result.stdout.splitlines())


def _outcomes(output: str, end: str) -> Iterator[Outcome]:
    """The prober's lines as outcomes; a kernel that was begun and neither done nor failed took the process with it."""
    name, statistics = "", dict[str, float]()
    for line in output.splitlines():
        word, _, rest = line.partition(" ")
        if word == "begin":
            name, statistics = Path(rest).stem, {}
        elif word == "stat":
            key, _, value = rest.rpartition(" = ")
            # A pipeline may have several parts: the costs add up.
            statistics[key] = statistics.get(key, 0) + float(value)
        elif word in ("done", "failed") and name:
            yield Outcome(name, rest, statistics)
            name = ""
    if name:
        yield Outcome(name, f"the compiler crashed: {end}")


def zebin_statistics(binary: bytes) -> dict[str, float]:
    """What Intel's binary format says of its one kernel: the section .ze_info (YAML) and the size of its code."""
    sections = _sections(binary)
    start, size = sections[".ze_info"]
    info = yaml.load(binary[start : start + size].rstrip(b"\0").decode(), yaml.CSafeLoader)
    (kernel,) = info["kernels"]
    environment: dict[str, Any] = kernel["execution_env"]
    buffers = kernel.get("per_thread_memory_buffers", [])
    return {
        "simd_size": environment["simd_size"],
        "grf_count": environment["grf_count"],
        "eu_thread_count": environment.get("eu_thread_count", 0),
        "spill_size": environment.get("spill_size", 0),
        "private_size": environment.get("private_size", 0),
        "scratch_size": sum(buffer.get("size", 0) for buffer in buffers if buffer.get("type") == "scratch"),
        "code_size": sections[f".text.{kernel['name']}"][1],
    }


def _sections(binary: bytes) -> dict[str, tuple[int, int]]:
    """The sections of a 64-bit ELF file: offset and size of each."""

    def number(at: int, size: int) -> int:
        return int.from_bytes(binary[at : at + size], "little")

    table, entry, count, names = number(0x28, 8), number(0x3A, 2), number(0x3C, 2), number(0x3E, 2)
    strings = number(table + names * entry + 0x18, 8)
    found = {}
    for section in range(table, table + count * entry, entry):
        at = strings + number(section, 4)
        name = binary[at : binary.find(b"\0", at)].decode()
        found[name] = number(section + 0x18, 8), number(section + 0x20, 8)
    return found


@contextmanager
def _folder(root: Path) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="tritloom-", dir=root / "tmp"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _inside(path: Path, root: Path) -> str:
    """A path as the system under `root` sees it."""
    return f"/{path.relative_to(root)}"


def _text(output: str | bytes | None) -> str:
    return output.decode(errors="replace") if isinstance(output, bytes) else output or ""
