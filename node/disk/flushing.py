"""All that was written to one disk, flushed in one go: Linux can, for some file systems.

To flush each of many files takes a commit of the file system's journal each; this takes a few.
"""

import ctypes
import functools
import os
import re
import sys
from pathlib import Path
from typing import Any, Final

_TELLS_SINCE: Final = (5, 8)
"""The first Linux whose `syncfs` tells of bytes that could not be written (syncfs(2))."""
_KINDS: Final = frozenset(
    # ext2 to ext4, XFS, Btrfs, F2FS, tmpfs, overlayfs: what their `syncfs` flushes is on the disk.
    {0xEF53, 0x58465342, 0x9123683E, 0xF2F52010, 0x01021994, 0x794C7630}
)
MANY: Final = 64
"""More files or folders are flushed with all else on their disk, where that can be done: to flush
each of 20 000 takes some seconds, and all together some tenths of one."""
_STATFS_BYTES: Final = 256
"""More than `struct statfs` has anywhere; it begins with the kind, a long (statfs(2))."""


class DiskFlush:
    """Flushes the disk that holds a folder. Made by `of`, before what is to be flushed is written:
    it tells what could not be written since. `close` it.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def of(cls, folder: Path) -> "DiskFlush | None":
        """That of a folder's disk; None where files have to be flushed one by one."""
        if not _can_tell():
            return None
        descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        if _kind_of(descriptor) in _KINDS:
            return cls(descriptor)
        os.close(descriptor)
        return None

    def flush(self) -> None:
        """Flush all that was written to this disk; raises OSError."""
        _check(_libc().syncfs(self._descriptor))

    def close(self) -> None:
        """Forget the disk; may be called again."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


@functools.cache
def _can_tell() -> bool:
    if sys.platform != "linux":
        return False
    version = re.match(r"(\d+)\.(\d+)", os.uname().release)
    known = version is not None and (int(version[1]), int(version[2])) >= _TELLS_SINCE
    return known and hasattr(_libc(), "syncfs") and hasattr(_libc(), "fstatfs")


@functools.cache
def _libc() -> Any:
    return ctypes.CDLL(None, use_errno=True)


def _kind_of(descriptor: int) -> int:
    """The number of a file system's kind; raises OSError."""
    told = ctypes.create_string_buffer(_STATFS_BYTES)
    _check(_libc().fstatfs(descriptor, told))
    return ctypes.c_long.from_buffer(told).value & 0xFFFFFFFF


def _check(result: int) -> None:
    if result:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
