"""Writing files so that a crash leaves the old content or the new, and nothing in between."""

import errno
import os
from pathlib import Path

from protocol.errors import DiskError

PRIVATE_FILE = 0o600
PRIVATE_FOLDER = 0o700

_SENTENCES = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "the disk is read-only",
    errno.EACCES: "writing there is not permitted",
    errno.EPERM: "writing there is not permitted",
    errno.EFBIG: "the file is larger than is allowed there",
}


def disk_error(error: OSError, path: Path) -> DiskError:
    """One sentence for what the disk said while `path` was being written."""
    reason = _SENTENCES.get(error.errno or 0, error.strerror or type(error).__name__)
    return DiskError(f"cannot write {path}: {reason}")


def write_atomically(path: Path, data: bytes, mode: int = PRIVATE_FILE) -> None:
    """Write, fsync, rename, fsync the folder; raises DiskError and leaves the old file."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        with os.fdopen(os.open(partial, _FLAGS, mode), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise disk_error(error, path) from error


_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_TRUNC


def sync_folder(folder: Path) -> None:
    """Make renames in a folder survive a power cut; Windows has no such call and needs none."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
