"""Saving several files as one: after a kill or a full disk, the folder holds all the new files or all the old ones.

Where the folder does not exist or is empty, the files are written to a temporary folder beside it, which is then
renamed. Where it holds files, they are written to a temporary folder inside it, which is renamed to
:data:`PENDING` (from here on the save is done) and then emptied file by file into place. A reader that goes through
:func:`locate` sees the new files even if the process died between two of those moves; the next save finishes them.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from safetensors import SafetensorError

from tritloom.models.errors import SaveError

PENDING = ".tritloom-pending"
_TEMPORARY = ".tritloom-tmp-"

Content = bytes | Callable[[Path], None]
"""A file's bytes, or a function that writes the file at the path that it is given."""


def locate(folder: Path, name: str) -> Path:
    """Where to read `folder/name`: in place, or where a save that was interrupted after it was done left it."""
    pending = folder / PENDING / name
    return pending if pending.exists() else folder / name


def save_files(folder: str | Path, files: Mapping[str, Content], *, rehearse: bool = False) -> None:
    """Write every file of `files` (name -> content) into `folder`, all or none; other files there stay.

    With `rehearse` the files are written aside and removed again: what was there stays. Raises SaveError where the
    disk is full, the folder cannot be written, or a file stands where it should be.
    """
    folder = Path(folder)
    try:
        if folder.exists() and not folder.is_dir():
            raise SaveError(
                f"cannot save to {folder}: it is a file, not a folder", hint="name another folder"
            )
        folder.parent.mkdir(parents=True, exist_ok=True)
        for name in files:
            if (folder / name).is_dir():
                raise SaveError(
                    f"cannot save to {folder / name}: it is a folder",
                    hint="remove it, or name another folder",
                )
        if rehearse:
            _rehearse(folder, files)
        elif not folder.exists():
            _save_beside(folder, files)
        elif any(folder.iterdir()):
            _save_inside(folder, files)
        else:
            _save_into_empty(folder, files)
    except (OSError, SafetensorError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise SaveError(
            f"cannot save {', '.join(files)} to {folder}: {reason}; what was there before is untouched",
            hint="free some space or name another folder, then save again",
        ) from None


def _rehearse(folder: Path, files: Mapping[str, Content]) -> None:
    """Write the files inside the folder, or beside it where it does not exist, and remove them."""
    place = folder if folder.exists() else folder.parent
    prefix = _TEMPORARY if folder.exists() else f"{_TEMPORARY}{folder.resolve().name}-"
    _remove_abandoned(place, prefix)
    temporary = place / f"{prefix}{_process_name()}"
    _write_all(temporary, files)
    shutil.rmtree(temporary)


def _save_into_empty(folder: Path, files: Mapping[str, Content]) -> None:
    """Rename over the empty folder; where it cannot be renamed over (a mount, a closed parent), save inside it."""
    try:
        _save_beside(folder, files)
    except OSError as error:
        if error.errno not in (errno.EBUSY, errno.EXDEV, errno.EACCES, errno.EPERM, errno.EROFS):
            raise
        _save_inside(folder, files)


def _save_beside(folder: Path, files: Mapping[str, Content]) -> None:
    target = folder.resolve()
    prefix = f"{_TEMPORARY}{target.name}-"
    _remove_abandoned(target.parent, prefix)
    temporary = target.parent / f"{prefix}{_process_name()}"
    _write_all(temporary, files)
    try:
        if os.name == "nt" and target.exists():
            target.rmdir()
        temporary.rename(target)
    except OSError:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    _sync_folder(target.parent)


def _save_inside(folder: Path, files: Mapping[str, Content]) -> None:
    _remove_abandoned(folder, _TEMPORARY)
    temporary = folder / f"{_TEMPORARY}{_process_name()}"
    _write_all(temporary, files)
    try:
        _finish_pending(folder)
        temporary.rename(folder / PENDING)
    except OSError:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    _sync_folder(folder)
    _finish_pending(folder)


def _finish_pending(folder: Path) -> None:
    """Move the files of a save that is done into place."""
    pending = folder / PENDING
    if not pending.is_dir():
        return
    for path in sorted(pending.iterdir()):
        path.replace(folder / path.name)
    _sync_folder(folder)
    pending.rmdir()


def _write_all(temporary: Path, files: Mapping[str, Content]) -> None:
    try:
        temporary.mkdir()
        for name, content in files.items():
            path = temporary / name
            if isinstance(content, bytes):
                path.write_bytes(content)
            else:
                content(path)
                # The safetensors library closes its files to others; like all else, they follow the user's umask.
                path.chmod(temporary.stat().st_mode & 0o666)
            with path.open("rb+") as file:
                os.fsync(file.fileno())
        _sync_folder(temporary)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _process_name() -> str:
    return f"{os.getpid()}-{secrets.token_hex(4)}"


def _remove_abandoned(parent: Path, prefix: str) -> None:
    """Remove temporary folders of processes that were killed while they saved."""
    if os.name == "nt":
        return
    for path in parent.glob(f"{prefix}*"):
        process = path.name.removeprefix(prefix).partition("-")[0]
        if process.isdecimal() and not _is_running(int(process)):
            shutil.rmtree(path, ignore_errors=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
