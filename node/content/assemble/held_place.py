"""A target that one `get` writes, of all nodes on its disk: a lock beside it meanwhile.

Blocking; `assembler` calls it in an executor.
"""

import contextlib
import errno
import os
from pathlib import Path

from node.content.hidden_names import lock_of
from node.disk.lock import FolderLock, LockHeld
from node.disk.refusals import make_folders
from node.files import writing
from protocol.errors import TargetExists

_TRIES = 8


class HeldPlace:
    """A target that is held for one `get`, by `take`."""

    def __init__(self, lock: FolderLock, path: Path, made: list[Path]) -> None:
        self._lock = lock
        self._path = path
        self._made = made

    @classmethod
    def take(cls, target: Path) -> "HeldPlace":
        """Hold a target (a path from `checked_target`), and make the folders above it.

        Raises TargetExists where another process holds it, DiskError.
        """
        path = lock_of(target)
        made = [folder for folder in target.parents if not os.path.lexists(folder)]
        with writing(target):
            try:
                lock = _lock(path)
            except LockHeld:
                text = f"{target} is being written already, by a `get` of another node"
                raise TargetExists(text) from None
        return cls(lock, path, made)

    def release(self) -> None:
        """Let another have it; folders that were made for it and are empty go."""
        if os.name == "nt":  # where no open file can be removed
            self._lock.close()
        with contextlib.suppress(OSError):
            self._path.unlink()
        self._lock.close()
        with contextlib.suppress(OSError):
            for folder in self._made:
                folder.rmdir()


def _lock(path: Path) -> FolderLock:
    """Lock the file that has the name `path`: the one before may be removed at that moment."""
    for tries_left in reversed(range(_TRIES)):
        try:
            make_folders(path.parent)
            lock = FolderLock.take(path)
        except FileNotFoundError:
            if not tries_left:
                raise
            continue
        if lock.is_at(path) or not tries_left:
            return lock
        lock.close()
    raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
