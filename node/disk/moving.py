"""Renames of files and folders that replace nothing.

POSIX's `rename` replaces what has the name. Linux and macOS have a call that does not; where a file
system does not know it, a hard link does the same for files, and what knows neither is looked at
before.
"""

import contextlib
import ctypes
import errno
import functools
import os
import stat
import sys
from collections.abc import Callable
from typing import Any, Final

from node.disk.refusals import UNSUPPORTED

_OF_SYSTEM: Final = {"linux": ("renameat2", 1), "darwin": ("renameatx_np", 4)}
"""RENAME_NOREPLACE of Linux (rename(2)), RENAME_EXCL of macOS (renameatx_np(2))."""
_CURRENT: Final = -2 if sys.platform == "darwin" else -100
"""AT_FDCWD: a path that is not within an open folder."""
_NO_LINKS: Final = UNSUPPORTED | {errno.EPERM, errno.EMLINK, errno.EACCES}

_Rename = Callable[[int, bytes, int, bytes], int]


def move_new(name: str, folder: int | None, new_name: str, new_folder: int | None) -> None:
    """Rename, within open folders or by path; raises FileExistsError where the name is taken.

    Raises OSError. What it renames may be a file, a folder or a link, which is not followed.
    """
    if os.name == "nt":  # whose rename replaces nothing
        os.rename(name, new_name)  # noqa: PTH104 (the same call as below)
        return
    exclusively = _exclusive_rename()
    if exclusively is not None:
        failed = exclusively(
            _CURRENT if folder is None else folder,
            os.fsencode(name),
            _CURRENT if new_folder is None else new_folder,
            os.fsencode(new_name),
        )
        if not failed:
            return
        code = ctypes.get_errno()
        if code not in UNSUPPORTED:
            raise OSError(code, os.strerror(code), name, None, new_name)
    _move_by_link(name, folder, new_name, new_folder)


def _move_by_link(name: str, folder: int | None, new_name: str, new_folder: int | None) -> None:
    status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    if not stat.S_ISDIR(status.st_mode):
        try:
            os.link(name, new_name, src_dir_fd=folder, dst_dir_fd=new_folder, follow_symlinks=False)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
        else:
            os.unlink(name, dir_fd=folder)
            return
    with contextlib.suppress(FileNotFoundError):
        os.stat(new_name, dir_fd=new_folder, follow_symlinks=False)
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), new_name)
    os.rename(name, new_name, src_dir_fd=folder, dst_dir_fd=new_folder)


@functools.cache
def _exclusive_rename() -> _Rename | None:
    """The system's own call; None where it has none."""
    return _call(*_OF_SYSTEM[sys.platform]) if sys.platform in _OF_SYSTEM else None


def _call(function: str, how: int) -> _Rename | None:
    system: Any = ctypes.CDLL(None, use_errno=True)
    call = getattr(system, function, None)
    if call is None:
        return None

    def rename(folder: int, name: bytes, new_folder: int, new_name: bytes) -> int:
        old, new = ctypes.c_char_p(name), ctypes.c_char_p(new_name)
        number = ctypes.c_int
        return int(call(number(folder), old, number(new_folder), new, ctypes.c_uint(how)))

    return rename
