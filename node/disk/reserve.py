"""Room that a node keeps on its disk, and gives up when nothing else is left.

Removing a mod and starting a node write a little before they free anything: the index's log,
`control.json`. On a disk that is full to its last byte, or its last file, they get it from here.
What was given up is taken back as soon as there is room: at most half of what is free.

room       bytes that no file system compresses to nothing
file.0...  one block each, for their inodes
"""

import contextlib
import errno
import hashlib
import logging
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from node.disk.refusals import PROBE, room_of, write_some
from protocol import limits
from protocol.errors import DiskError

_log = logging.getLogger(__name__)

_Result = TypeVar("_Result")

_PARTS: Final = 8
"""The reserve is given up in so many parts."""
_PIECE_BYTES: Final = 2**16
_FLAGS: Final = os.O_WRONLY | os.O_CREAT | getattr(os, "O_BINARY", 0)
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_SQLITE_FULL: Final = frozenset(
    {sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR}
)
"""SQLite says any of these where a file cannot be made or grow."""


def is_full(error: BaseException | None) -> bool:
    """Whether an error may come from a disk that has no room left, or a user who may take none."""
    if isinstance(error, DiskError):
        return is_full(error.__cause__)
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorcode", 0) & 0xFF in _SQLITE_FULL
    return isinstance(error, OSError) and error.errno in _FULL


def lack_of_room(folder: Path) -> OSError | None:
    """What the system says to a few more bytes in `folder`, if that is that there is no room."""
    probe = folder / PROBE
    try:
        _write(probe, 0, _PIECE_BYTES)
    except OSError as error:
        return error if is_full(error) else None
    finally:
        with contextlib.suppress(OSError):
            probe.unlink()
    return None


def kept_free(folder: Path) -> int:
    """The bytes of the disk of `folder` that a vault never takes, for all else that is there."""
    total, _ = room_of(folder)
    return kept_of(total)


def kept_of(total: int | None) -> int:
    """The same for a disk of so many bytes, None if it does not tell."""
    if total is None:
        return limits.DISK_KEPT_FREE
    return min(limits.DISK_KEPT_FREE, total // limits.DISK_KEPT_PART)


class Reserve:
    """The reserve in one folder. Two of one folder, also in two threads, are no harm. Blocking."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._room = folder / "room"
        self._files = [folder / f"file.{number}" for number in range(_PARTS)]

    def spending(self, work: Callable[[], _Result]) -> _Result:
        """What `work` returns, begun again with one more part of the reserve while it lacks room.

        Raises what `work` does. It must leave nothing behind when it fails.
        """
        spent = False
        while True:
            try:
                result = work()
            except (OSError, sqlite3.Error, DiskError) as error:
                if not self._is_full(error) or not self.give_up():
                    raise
                spent = True
                continue
            if spent:
                self.refill()
            return result

    def _is_full(self, error: BaseException) -> bool:
        """Whether room would help: SQLite says of other faults, too, that it cannot open."""
        if not is_full(error) or not isinstance(error, sqlite3.Error):
            return is_full(error)
        if error.sqlite_errorcode == sqlite3.SQLITE_FULL:
            return True
        return lack_of_room(self._folder) is not None

    def give_up(self) -> bool:
        """Free one part; whether there was one."""
        freed = False
        with contextlib.suppress(OSError):
            size = self._room.stat().st_size
            os.truncate(self._room, max(0, size - max(size // _PARTS, _PIECE_BYTES)))
            freed = size > 0
        for file in self._files:
            with contextlib.suppress(OSError):
                file.unlink()
                freed = True
                break
        if freed:
            _log.warning("the disk that holds %s is full; the reserve is used", self._folder.parent)
        return freed

    def refill(self) -> None:
        """Take what is missing, and no more than half of what is free. Never fails."""
        with contextlib.suppress(OSError):
            self._folder.mkdir(mode=0o700, exist_ok=True)
            for file in self._files:
                if not file.exists() or not file.stat().st_size:
                    _write(file, 0, 1)
            total, free = room_of(self._folder)
            size = limits.DISK_RESERVE if total is None else min(limits.DISK_RESERVE, total // 16)
            has = self._room.stat().st_size if self._room.exists() else 0
            wanted = size - has if free is None else min(size - has, free // 2)
            if wanted > 0:
                _write(self._room, has, has + wanted)


def _write(path: Path, start: int, end: int) -> None:
    """Write a file from `start` to `end`; raises OSError, and keeps what had room."""
    descriptor = os.open(path, _FLAGS, 0o600)
    try:
        os.lseek(descriptor, start, os.SEEK_SET)
        while start < end:
            piece = hashlib.shake_128(str(start).encode()).digest(min(_PIECE_BYTES, end - start))
            start += write_some(descriptor, piece)
    finally:
        os.close(descriptor)
