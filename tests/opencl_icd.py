"""Lets the OpenCL loader see every runtime at once: the system's, and Intel's CPU runtime from PyPI.

The wheel `intel-opencl-rt` registers itself under a path that does not exist, and the loader reads one folder only.
So a folder of our own gets a copy of the system's entries and one for Intel's library, and `OCL_ICD_VENDORS` points
to it.
"""

from __future__ import annotations

import atexit
import importlib.metadata
import os
import shutil
import tempfile
from pathlib import Path

_VARIABLE = "OCL_ICD_VENDORS"
_SYSTEM_FOLDER = Path("/etc/OpenCL/vendors")


def ensure_icds() -> dict[str, Path]:
    """Make all OpenCL runtimes visible to a loader that starts after this call: call it before importing pyopencl.

    Returns the libraries by the name of their entry, such as `{"pocl": Path("libpocl.so.2"), "intel": Path(...)}`.
    A folder that `OCL_ICD_VENDORS` names already (the user's, or ours in a child process) is left as it is.
    """
    given = os.environ.get(_VARIABLE)
    if given:
        return _read_entries(Path(given))
    entries = _read_entries(_SYSTEM_FOLDER)
    intel = _intel_library()
    if intel is None:
        return entries
    entries["intel"] = intel
    folder = Path(tempfile.mkdtemp(prefix="tritloom-icd-"))
    atexit.register(_remove, folder, os.getpid())
    for name, library in entries.items():
        (folder / f"{name}.icd").write_text(f"{library}\n")
    os.environ[_VARIABLE] = str(folder)
    return entries


def _read_entries(place: Path) -> dict[str, Path]:
    """Entry name to library for a folder of .icd files, or for one .icd file."""
    files = sorted(place.glob("*.icd")) if place.is_dir() else [place] if place.suffix == ".icd" else []
    return {file.stem: Path(file.read_text().strip()) for file in files}


def _intel_library() -> Path | None:
    """Intel's OpenCL CPU library from the wheel in this environment, or None where it is not installed."""
    try:
        files = importlib.metadata.files("intel-opencl-rt") or []
    except importlib.metadata.PackageNotFoundError:
        return None
    return next((Path(str(file.locate())).resolve() for file in files if file.name == "libintelocl.so"), None)


def _remove(folder: Path, owner: int) -> None:
    """Remove the folder when the process that made it ends; a forked child must leave it."""
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)
