"""File systems that refuse what ext4 does, by doubles of the calls that they refuse."""

import errno
import fcntl
import itertools
import os
import shutil
import stat
from collections.abc import Callable
from typing import Any

import pytest

Refuse = Callable[[pytest.MonkeyPatch], None]


def _refusing(code: int, name: str, when: Callable[..., bool] = lambda *_, **__: True) -> Refuse:
    """`os.NAME` fails with this number for the arguments that `when` says."""

    def refuse(patch: pytest.MonkeyPatch) -> None:
        real = getattr(os, name)

        def call(*arguments: Any, **keywords: Any) -> Any:
            if when(*arguments, **keywords):
                raise OSError(code, os.strerror(code))
            return real(*arguments, **keywords)

        patch.setattr(os, name, call)

    return refuse


def _is_folder(descriptor: int) -> bool:
    return stat.S_ISDIR(os.fstat(descriptor).st_mode)


def _opens_folder(path: Any, flags: int, *_: Any, **keywords: Any) -> bool:
    return "dir_fd" not in keywords and not flags & os.O_DIRECTORY and os.path.isdir(path)  # noqa: PTH112


def _is_taken(_: Any, target: Any, **__: Any) -> bool:
    return os.path.lexists(target)


def _grows(descriptor: int, size: int) -> bool:
    return size > os.fstat(descriptor).st_size


def _no_locks(code: int, *names: str) -> Refuse:
    def refuse(patch: pytest.MonkeyPatch) -> None:
        def lock(*_: Any) -> None:
            raise OSError(code, os.strerror(code))

        for name in names:
            patch.setattr(fcntl, name, lock)

    return refuse


def _usage(total: int) -> Refuse:
    def refuse(patch: pytest.MonkeyPatch) -> None:
        usage = shutil.disk_usage("/")._replace(total=total, used=0, free=0)
        patch.setattr(shutil, "disk_usage", lambda _: usage)

    return refuse


def _no_usage(patch: pytest.MonkeyPatch) -> None:
    def usage(_: Any) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    patch.setattr(shutil, "disk_usage", usage)


def _seen_as(change: Callable[[os.stat_result], dict[int, int]]) -> Refuse:
    """What `stat` tells of each file, with some of its first ten fields changed."""

    def refuse(patch: pytest.MonkeyPatch) -> None:
        for name in ("stat", "lstat", "fstat"):
            real = getattr(os, name)

            def see(*arguments: Any, _real: Any = real, **keywords: Any) -> os.stat_result:
                status = _real(*arguments, **keywords)
                fields, more = status.__reduce__()[1]
                changed = list(fields)
                for place, value in change(status).items():
                    changed[place] = value
                return os.stat_result(changed, more)

            patch.setattr(os, name, see)

    return refuse


_numbers = itertools.count(1)


def _writes_in_parts(patch: pytest.MonkeyPatch) -> None:
    real = os.write
    patch.setattr(os, "write", lambda to, data: real(to, memoryview(data)[: 2**14]))


REFUSALS: dict[str, Refuse] = {
    "fsync EINVAL": _refusing(errno.EINVAL, "fsync"),
    "fsync ENOTSUP": _refusing(errno.ENOTSUP, "fsync"),
    "fsync ENOSYS": _refusing(errno.ENOSYS, "fsync"),
    "fsync of folders EIO": _refusing(errno.EIO, "fsync", _is_folder),
    "fsync of folders EBADF": _refusing(errno.EBADF, "fsync", _is_folder),
    "folders not to open EACCES": _refusing(errno.EACCES, "open", _opens_folder),
    "folders not to open EISDIR": _refusing(errno.EISDIR, "open", _opens_folder),
    "replace over a file EEXIST": _refusing(errno.EEXIST, "replace", _is_taken),
    "replace over a file EPERM": _refusing(errno.EPERM, "replace", _is_taken),
    "replace over a file EBUSY": _refusing(errno.EBUSY, "replace", _is_taken),
    "rename over a folder EEXIST": _refusing(errno.EEXIST, "rename", _is_taken),
    "rename over a folder ENOTEMPTY": _refusing(errno.ENOTEMPTY, "rename", _is_taken),
    "rename over a folder EACCES": _refusing(errno.EACCES, "rename", _is_taken),
    "no flock": _no_locks(errno.ENOLCK, "flock"),
    "no flock EOPNOTSUPP": _no_locks(errno.EOPNOTSUPP, "flock"),
    "no locks ENOLCK": _no_locks(errno.ENOLCK, "flock", "lockf"),
    "no locks ENOSYS": _no_locks(errno.ENOSYS, "flock", "lockf"),
    "no links": _refusing(errno.EPERM, "link"),
    "no symbolic links": _refusing(errno.EPERM, "symlink"),
    "chmod EPERM": _refusing(errno.EPERM, "chmod"),
    "chmod ENOTSUP": _refusing(errno.ENOTSUP, "chmod"),
    "modes are 0777": _seen_as(lambda status: {0: status.st_mode | 0o777}),
    "ftruncate does not grow EPERM": _refusing(errno.EPERM, "ftruncate", _grows),
    "ftruncate does not grow EINVAL": _refusing(errno.EINVAL, "ftruncate", _grows),
    "truncate ENOTSUP": _refusing(errno.ENOTSUP, "truncate"),
    "0 of 0 bytes": _usage(0),
    "statvfs ENOSYS": _no_usage,
    "no inode numbers": _seen_as(lambda _: {1: 0}),
    "inode numbers change": _seen_as(lambda _: {1: next(_numbers)}),
    "no link counts": _seen_as(lambda _: {3: 0}),
    "writes in parts": _writes_in_parts,
}
