"""Writing files so that a crash leaves the old content or the new; and where a user's home lies."""

import contextlib
import errno
import os
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path

from node.disk.refusals import flush_file, flush_folder, replace, write_some
from protocol.errors import DiskError

PRIVATE_FILE = 0o600
PRIVATE_FOLDER = 0o700
_READ_ONLY = "{place} cannot be written to: it is read-only for this user"
_FULL = "the disk that holds {place} is full"
_SENTENCES = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EFBIG: _FULL,
    errno.EROFS: _READ_ONLY,
    errno.EACCES: _READ_ONLY,
    errno.EPERM: _READ_ONLY,
}
_SQLITE_CODES = {sqlite3.SQLITE_FULL: errno.ENOSPC, sqlite3.SQLITE_READONLY: errno.EROFS}
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_TRUNC


def default_home() -> Path:
    """The platform's folder for a user's application data."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA", "").strip()
        return (Path(base) if base else Path.home() / "AppData" / "Local") / "modswarm"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "modswarm"
    base = os.environ.get("XDG_DATA_HOME", "").strip()
    return (Path(base) if base else Path.home() / ".local" / "share") / "modswarm"


@contextlib.contextmanager
def writing(place: Path) -> Iterator[None]:
    """Turn what the system or SQLite raises while `place` is written into a DiskError."""
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        raise disk_error(error, place) from error


def disk_error(error: OSError | sqlite3.Error, place: Path) -> DiskError:
    """The DiskError with one sentence for what went wrong at `place`."""
    if isinstance(error, sqlite3.Error):
        code = _SQLITE_CODES.get(getattr(error, "sqlite_errorcode", 0), 0)
        reason = str(error)
    else:
        code = error.errno or 0
        reason = error.strerror or str(error) or type(error).__name__
    sentence = _SENTENCES.get(code, "the disk failed at {place}: {reason}")
    return DiskError(sentence.format(place=place, reason=reason))


def write_atomically(path: Path, data: bytes, mode: int = PRIVATE_FILE) -> None:
    """Write, fsync, rename, fsync the folder; raises DiskError and leaves the old file."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        with os.fdopen(os.open(partial, _FLAGS, mode), "wb") as file:
            file.write(data)
            file.flush()
            flush_file(file.fileno())
        replace(partial, path)
        flush_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise disk_error(error, path) from error


def write_all(descriptor: int, data: bytes | memoryview) -> None:
    """Write all of `data` at the descriptor's position; the system may take it in parts."""
    view = memoryview(data)
    while view:
        view = view[write_some(descriptor, view) :]


def sync_file(path: Path) -> None:
    """Flush the bytes of a closed file to the disk."""
    # Windows flushes only through a handle that may write.
    descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        flush_file(descriptor)
    finally:
        os.close(descriptor)
