"""Writing files so that a crash leaves the old content or the new."""

import contextlib
import errno
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from node.disk.refusals import flush_file, flush_folder, replace, write_some
from node.disk.reserve import is_full, lack_of_room
from node.machine.refusals import refused
from protocol.errors import BadInput

PRIVATE_FILE = 0o600
PRIVATE_FOLDER = 0o700
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_TRUNC


@contextlib.contextmanager
def writing(place: Path, verb: str = "write") -> Iterator[None]:
    """Turn what the system or SQLite raises while `place` is written into a DiskError.

    Raises OutOfResources where it is not the disk that lacks something. `verb` says what fails.
    """
    try:
        yield
    except sqlite3.Error as error:
        raise refused(_cause(error, place), f"cannot {verb} {place}") from error
    except OSError as error:
        raise refused(error, f"cannot {verb} {_refused_place(error, place)}") from error
    except UnicodeEncodeError as error:
        unnamed = OSError(errno.EILSEQ, error.reason)
        raise refused(unnamed, f"cannot {verb} {place}") from error


def check_text(path: Path, what: str, advice: str) -> None:
    """Raise BadInput for a path with bytes that are no text, which cannot be remembered as one."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        shown = os.fsencode(path).decode(errors="backslashreplace")
        raise BadInput(
            f"{shown} {what}: its name has bytes that are no text in UTF-8", advice=advice
        ) from None


def _cause(error: sqlite3.Error, place: Path) -> OSError | sqlite3.Error:
    """SQLite says of a full disk too that a file fails, or cannot be opened: it is asked itself."""
    folder = place if place.is_dir() else place.parent
    return (lack_of_room(folder) if is_full(error) else None) or error


def _refused_place(error: OSError, place: Path) -> Path:
    """What in `place` is refused, so that a person does not remove all of it to mend that."""
    if not isinstance(error, FileExistsError | IsADirectoryError | NotADirectoryError):
        return place
    found = Path(os.fsdecode(error.filename or place))
    return found if found.is_relative_to(place) else place


def write_atomically(path: Path, data: bytes, mode: int = PRIVATE_FILE) -> None:
    """Write, fsync, rename, fsync the folder.

    Raises DiskError: then the old file is there, or the new one, if its folder was not flushed.
    """
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
        raise refused(error, f"cannot write {path}") from error


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
