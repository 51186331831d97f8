"""A file of a folder to share: what was found of it, and its bytes if it did not change since."""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field

from node.content.publish.leaving_out import option_for
from node.content.secrets import Secrets
from node.content.vault.schema import FIRST_PAGE_BYTES
from node.disk.descent import Descent
from node.machine.refusals import refused
from protocol.content.file_paths import quoted
from protocol.errors import BadFolder, UnsafePath

_READ_FLAGS = (
    os.O_RDONLY
    | getattr(os, "O_BINARY", 0)
    | getattr(os, "O_NONBLOCK", 0)  # opening a pipe that took a file's place must not wait
    | getattr(os, "O_NOFOLLOW", 0)
)
_NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
"""What a system says where a file was found before; the last of a link that took its place."""
_BLOCK_BYTES = 512
"""The unit of `st_blocks`, whatever the file system's own is."""
_EXECUTABLE = stat.S_IXUSR


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file to share: its file path in the mod, where it is, and its state when it was found."""

    path: str
    source: str
    """Its real path below the root of the walk: another one than `path` behind links."""
    size: int
    stored_bytes: int
    """What it takes of the disk, as far as that is told; without its holes."""
    executable: bool
    stamp: tuple[int, ...]
    """Differs once the file was changed: the times of changes, in nanoseconds since 1970."""
    place: tuple[int, int] = field(compare=False)
    """Device and inode, which some file systems tell otherwise each time."""

    @property
    def changed_at(self) -> float:
        """When it was last changed, by content or attributes; seconds since 1970."""
        return max(self.stamp) / 1e9

    @property
    def modified_ns(self) -> int:
        """When its content was last changed, in nanoseconds since 1970."""
        return self.stamp[0]


def found_file(path: str, descent: Descent, source: str) -> FoundFile:
    """The file at the real path `source`; raises UnsafePath if it is none, BadFolder, OSError."""
    status = descent.status(source)
    if not stat.S_ISREG(status.st_mode):
        raise UnsafePath(
            f"{quoted(path)} is neither a file nor a folder, but a pipe, socket or device"
        )
    if not descent.is_readable(source):
        raise BadFolder(f"{quoted(path)} cannot be read: this user may not")
    executable = bool(status.st_mode & _EXECUTABLE) and os.name != "nt"
    stamp, place = _stamp(status), (status.st_dev, status.st_ino)
    blocks = getattr(status, "st_blocks", status.st_size)
    stored = min(status.st_size, blocks * _BLOCK_BYTES)
    return FoundFile(path, source, status.st_size, stored, executable, stamp, place)


def _stamp(status: os.stat_result) -> tuple[int, ...]:
    """Of the content and of all: programs set back the first, as copies do, and none the second."""
    if os.name == "nt":  # where the second is that of creation
        return (status.st_mtime_ns,)
    return status.st_mtime_ns, status.st_ctime_ns


class OpenFile:
    """A file that is being read: looked into at first, then read once and in order."""

    def __init__(self, file: FoundFile, descriptor: int) -> None:
        self._file = file
        self._descriptor = descriptor

    def read_at(self, offset: int, size: int) -> bytes:
        """Bytes from an offset on, fewer where the file ends before; raises OSError."""
        os.lseek(self._descriptor, offset, os.SEEK_SET)
        found = bytearray()
        while len(found) < size and (more := os.read(self._descriptor, size - len(found))):
            found += more
        return bytes(found)

    def pieces(self, piece_bytes: int, secrets: Secrets) -> Iterator[bytes]:
        """All of it in pieces; raises OSError, BadFolder if it is shorter or longer than it was.

        Raises UnsafePath for a file with the secrets of a node.
        """
        file, left, before = self._file, self._file.size, b""
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        while left:
            piece = os.read(self._descriptor, min(left, piece_bytes))
            if not piece:
                break
            if left == file.size:
                secrets.check(file.path, piece)
            secrets.check_anywhere(file.path, before, piece)
            before = piece[-FIRST_PAGE_BYTES:]
            left -= len(piece)
            yield piece
        if left or os.read(self._descriptor, 1):
            raise changed(file.path)


@contextlib.contextmanager
def opened(file: FoundFile, descent: Descent) -> Iterator[OpenFile]:
    """A file to read; raises BadFolder if it changed since it was found or does so meanwhile."""
    try:
        descriptor = descent.open(file.source, _READ_FLAGS)
        try:
            _check_unchanged(file, os.fstat(descriptor))
            yield OpenFile(file, descriptor)
            _check_unchanged(file, os.fstat(descriptor))
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno in _NOT_THERE:
            raise changed(file.path) from error
        raise refused(error, f"cannot read {descent.root / file.source}", BadFolder) from error


def _check_unchanged(file: FoundFile, status: os.stat_result) -> None:
    is_same = (status.st_size, _stamp(status)) == (file.size, file.stamp)
    if not is_same or not stat.S_ISREG(status.st_mode):
        raise changed(file.path)


def changed(path: str) -> BadFolder:
    """The error for a file, or a folder with a slash behind, that is not any more what it was."""
    what = "folder" if path.endswith("/") else "file"
    return BadFolder(
        f"{quoted(path)} changed while it was read; share the folder again when it rests, "
        f"or leave the {what} out with {option_for(path.rstrip('/'))}"
    )
