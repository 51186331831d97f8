"""One process at a time in a folder, also on file systems without locks.

`flock` is tried first, then POSIX record locks, which some network file systems have alone. Where
both are refused, a file beside the lock names the process that holds it; the next one believes it
until it sees that this process is gone.
"""

import contextlib
import errno
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Final

from node.disk.refusals import UNSUPPORTED
from node.disk.reserve import Reserve

_NO_LOCKS: Final = UNSUPPORTED | {errno.ENOLCK}
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_STARTED_FIELD = 22 - 3
"""The time of a process's start in /proc/PID/stat, counted behind the name (proc_pid_stat(5))."""
_MARK_BYTES_MAX = 4096
_LOOKS: Final = 4
_LOOK_S: Final = 0.02


class LockHeld(OSError):
    """Another process has the lock. `mark` is the file that says so, where locks are not known."""

    def __init__(self, mark: Path | None = None, machine: str = "") -> None:
        super().__init__("the lock is held")
        self.mark = mark
        self.machine = machine


class FolderLock:
    """A lock that is held. Make it by `take`."""

    def __init__(self, file: IO[bytes], mark: Path | None) -> None:
        self._file = file
        self._mark = mark

    @classmethod
    def take_at_once(cls, path: Path) -> "FolderLock":
        """As `take`, without patience for one that only looks whether the lock is held."""
        return cls._taken(path, lock_file)

    @classmethod
    def take(cls, path: Path, reserve: Reserve | None = None) -> "FolderLock":
        """Hold the lock `path` until `close` or the process's end; raises LockHeld, OSError."""
        return cls._taken(path, _lock_after_looks, reserve)

    @classmethod
    def _taken(
        cls, path: Path, lock: Callable[[IO[bytes]], bool], reserve: Reserve | None = None
    ) -> "FolderLock":
        file = path.open("ab")
        try:
            if lock(file):
                return cls(file, None)
            mark = mark_of(path)
            if reserve is None:
                _make_mark(mark)
            else:
                reserve.spending(lambda: _make_mark(mark))
            return cls(file, mark)
        except BaseException:
            file.close()
            raise

    def is_at(self, path: Path) -> bool:
        """Whether the file that is locked is still the one of this name."""
        try:
            return os.path.samestat(os.fstat(self._file.fileno()), path.stat())
        except OSError:
            return False

    def close(self) -> None:
        """Let another process have it; may be called again."""
        if self._mark is not None:
            with contextlib.suppress(OSError):
                self._mark.unlink(missing_ok=True)
        self._file.close()


def is_held(path: Path) -> bool:
    """Whether some process has the lock `path`; raises OSError, if it is not there for example."""
    try:
        with _opened(path) as file:
            return not lock_file(file, shared=True) and _holder(mark_of(path)) is not None
    except LockHeld:
        return True


def _opened(path: Path) -> IO[bytes]:
    """The lock's file, also where it is read-only for this user."""
    try:
        return path.open("rb+")
    except OSError as error:
        if error.errno not in {errno.EACCES, errno.EPERM, errno.EROFS}:
            raise
    return path.open("rb")


def mark_of(path: Path) -> Path:
    """The file that stands for the lock `path` where there are no locks."""
    return path.with_name(f"{path.name}.held")


def has_locks(folder: Path) -> bool:
    """Whether files in `folder` can be locked as SQLite does it."""
    if sys.platform == "win32":
        return True
    import fcntl

    probe = folder / ".lock.partial"
    try:
        with probe.open("ab") as file:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in _NO_LOCKS
    finally:
        with contextlib.suppress(OSError):
            probe.unlink()
    return True


def _lock_after_looks(file: IO[bytes]) -> bool:
    """As `lock_file`; one that only looks if it is held holds it for some microseconds."""
    for _ in range(_LOOKS):
        try:
            return lock_file(file)
        except LockHeld:
            time.sleep(_LOOK_S)
    return lock_file(file)


def lock_file(file: IO[bytes], *, shared: bool = False) -> bool:
    """Take an exclusive lock that ends with the process; False where there are none.

    With `shared` it is one that others who only look may have as well. Raises LockHeld, OSError.
    """
    if sys.platform == "win32":
        import msvcrt

        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            raise LockHeld from None
        return True
    import fcntl

    for lock in (fcntl.flock, fcntl.lockf):
        try:
            lock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in {errno.EAGAIN, errno.EACCES}:
                raise LockHeld from None
            if error.errno not in _NO_LOCKS:
                raise
        else:
            return True
    return False


def _make_mark(mark: Path) -> None:
    """Make the file that names this process; raises LockHeld, OSError."""
    holder = _holder(mark)
    if holder is not None:
        raise LockHeld(mark, holder)
    mark.unlink(missing_ok=True)
    data = json.dumps(_of_process(os.getpid())).encode()
    try:
        descriptor = os.open(mark, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise LockHeld(mark, platform.node()) from None
    try:
        if os.write(descriptor, data) < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError:
        mark.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)


def _holder(mark: Path) -> str | None:
    """The machine of the process that a mark names; None if it is known to be gone."""
    try:
        with mark.open("rb") as file:
            told = json.loads(file.read(_MARK_BYTES_MAX))
        machine, pid = str(told["machine"]), int(told["pid"])
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError):
        return None  # of a process that died while it wrote this
    if machine != platform.node():
        return machine
    return machine if pid > 0 and told == _of_process(pid) and _lives(pid) else None


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _of_process(pid: int) -> dict[str, str | int]:
    """What tells a process of a machine from all others, as far as the system says."""
    return {
        "machine": platform.node(),
        "boot": _text(_BOOT_ID),
        "pid": pid,
        "started": _started(pid),
    }


def _started(pid: int) -> str:
    fields = _text(Path("/proc", str(pid), "stat")).rpartition(")")[2].split()
    return fields[_STARTED_FIELD] if len(fields) > _STARTED_FIELD else ""


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
