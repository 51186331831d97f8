"""File systems that do not do what ext4 does: network shares, FAT, folders of virtual machines.

What they refuse without harm is passed over, and told once in the log; what does harm is raised.
"""

import contextlib
import errno
import functools
import logging
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from node.machine.refusals import reason_of

_log = logging.getLogger(__name__)

UNSUPPORTED: Final = frozenset(
    {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOTTY}
)
"""What a file system answers to a call that it does not know."""

_NO_FOLDER_FLUSH: Final = UNSUPPORTED | {
    *(errno.EACCES, errno.EPERM, errno.EISDIR, errno.EBADF, errno.EIO),
}
"""A folder that cannot be opened or flushed at all; SQLite passes over the same."""
_NO_MODES: Final = UNSUPPORTED | {errno.EPERM, errno.EACCES}
_NO_REPLACING: Final = UNSUPPORTED | {
    *(errno.EEXIST, errno.ENOTEMPTY, errno.EACCES, errno.EPERM, errno.EBUSY),
}
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_ZEROS: Final = bytes(2**16)
PROBE: Final = ".probe.partial"
"""A file that is made for a moment; one that a killed process left goes with the next one."""


@functools.cache
def _tell_once(what: str, reason: str) -> None:
    _log.info("%s: %s; this is passed over", what, reason)


@contextlib.contextmanager
def _passing_over(codes: frozenset[int], what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in codes:
            raise
        _tell_once(what, reason_of(error))


def flush_file(descriptor: int) -> None:
    """Flush an open file to the disk; raises OSError if that fails, not where there is no such."""
    with _passing_over(UNSUPPORTED, "a file system cannot flush files"):
        os.fsync(descriptor)


def flush_folder(folder: Path) -> None:
    """Flush a folder's names to the disk; Windows has no such call and needs none."""
    if os.name == "nt":
        return
    with _passing_over(_NO_FOLDER_FLUSH, "a file system cannot flush folders"):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def flushes_files(folder: Path) -> bool:
    """Whether files in `folder` can be flushed; SQLite takes a refusal for a failing disk."""
    probe = folder / PROBE
    try:
        descriptor = os.open(probe, os.O_WRONLY | os.O_CREAT, stat.S_IRUSR | stat.S_IWUSR)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        return error.errno not in UNSUPPORTED
    finally:
        with contextlib.suppress(OSError):
            probe.unlink()
    return True


def make_folders(folder: Path, mode: int = 0o777) -> None:
    """Make a folder and those above it, if they are missing, so that a power cut leaves them.

    Their names are flushed, as what is in them may soon be said to be safe. Raises OSError, and
    then they are gone again: one that stayed would not be missing the next time, nor be flushed.
    """
    missing = [one for one in (folder, *folder.parents) if not os.path.lexists(one)]
    try:
        folder.mkdir(mode=mode, parents=True, exist_ok=True)
        for one in missing:
            flush_folder(one.parent)
    except OSError:
        with contextlib.suppress(OSError):
            for one in missing:
                if os.path.lexists(one):
                    one.rmdir()
        raise


def make_private(path: Path, mode: int) -> bool:
    """Keep other users from a file or folder; False where the file system keeps no modes."""
    if os.name == "nt":
        return True
    with _passing_over(_NO_MODES, "a file system takes no permissions"):
        path.chmod(mode)
    return not path.stat().st_mode & _OTHERS


def replace(made: Path, path: Path) -> None:
    """Give `made` the name `path`, which may be taken by an older file; raises OSError."""
    try:
        made.replace(path)
    except OSError as error:
        if error.errno not in _NO_REPLACING or not path.is_file():
            raise
        # Where nothing is renamed over a file, the older one goes first. What is written so can be
        # made again: a crash between the two costs contacts or a certificate.
        path.unlink()
        made.rename(path)
        _tell_once("a file system does not rename over files", reason_of(error))


def extend(descriptor: int, size: int) -> None:
    """Make an open file `size` bytes long, with a hole or with zeros; raises OSError.

    The descriptor's position is then its end.
    """
    try:
        os.ftruncate(descriptor, size)
    except OSError as error:
        if error.errno not in UNSUPPORTED | {errno.EPERM}:
            raise
        left = size - os.lseek(descriptor, 0, os.SEEK_END)
        while left > 0:
            left -= write_some(descriptor, _ZEROS[:left])
        _tell_once("a file system has no holes in files", reason_of(error))
    os.lseek(descriptor, size, os.SEEK_SET)


def write_some(descriptor: int, data: bytes | memoryview) -> int:
    """Write the beginning of `data`, at least a byte of it; raises OSError."""
    written = os.write(descriptor, data)
    if not written and data:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # so FUSE may say it
    return written


def free_bytes(folder: Path) -> int | None:
    """The room that a user has on the disk of `folder`; None if the disk does not tell.

    Some network shares and FUSE file systems report 0 of 0 bytes: unknown, not full.
    """
    return room_of(folder)[1]


def room_of(folder: Path) -> tuple[int | None, int | None]:
    """The size of the disk that holds `folder`, and what is free of it, each None if unknown."""
    try:
        usage = shutil.disk_usage(folder)
    except OSError:
        return None, None
    return (usage.total, usage.free) if usage.total > 0 else (None, None)
