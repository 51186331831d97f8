"""What the disk does to us, in one sentence; and the few calls that make bytes last."""

import contextlib
import errno
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from protocol.errors import DiskError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_READ_ONLY = {errno.EROFS, errno.EACCES, errno.EPERM}


@contextlib.contextmanager
def writing(place: Path) -> Iterator[None]:
    """Turn what the system says while writing to `place` into a DiskError."""
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        raise disk_error(error, place) from error


def disk_error(error: OSError | sqlite3.Error, place: Path) -> DiskError:
    """The DiskError with the one sentence for what went wrong at `place`."""
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", None)
        full, read_only = code == sqlite3.SQLITE_FULL, code == sqlite3.SQLITE_READONLY
        reason = str(error)
    else:
        full, read_only = error.errno in _FULL, error.errno in _READ_ONLY
        reason = error.strerror or str(error)
    if full:
        return DiskError(f"the disk that holds {place} is full")
    if read_only:
        return DiskError(f"{place} cannot be written to: it is read-only for this user")
    return DiskError(f"the disk failed at {place}: {reason}")


def write_all(descriptor: int, data: bytes | memoryview) -> None:
    """Write all of `data` where the descriptor stands; the system may take it in parts."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def sync_file(path: Path) -> None:
    """Make the bytes of a closed file last."""
    # Windows flushes only through a handle that may write.
    flags = os.O_RDWR if os.name == "nt" else os.O_RDONLY
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(path: Path) -> None:
    """Make the names in a folder last; Windows does so without being asked."""
    if os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
