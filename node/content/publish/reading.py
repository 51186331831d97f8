"""A file of a folder to share: what was found of it, and its bytes if it did not change since."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from node.content.publish.leaving_out import option_for
from node.content.secrets import Secrets
from node.content.vault.schema import FIRST_PAGE_BYTES
from node.machine.refusals import refused
from protocol.content.file_paths import quoted
from protocol.errors import BadFolder, UnsafePath

_READ_FLAGS = (
    os.O_RDONLY
    | getattr(os, "O_BINARY", 0)
    | getattr(os, "O_NONBLOCK", 0)  # opening a pipe that took a file's place must not wait
    | getattr(os, "O_NOFOLLOW", 0)
)
_EXECUTABLE = stat.S_IXUSR


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file to share: its file path in the mod, where it is, and its state when it was found."""

    path: str
    source: Path
    size: int
    executable: bool
    changed_ns: int
    place: tuple[int, int]
    """Device and inode."""


def found_file(path: str, source: Path) -> FoundFile:
    """The file at the real path `source`; raises UnsafePath if it is none, BadFolder, OSError."""
    status = source.lstat()
    if not stat.S_ISREG(status.st_mode):
        raise UnsafePath(
            f"{quoted(path)} is neither a file nor a folder, but a pipe, socket or device"
        )
    if not os.access(source, os.R_OK):
        raise BadFolder(f"{quoted(path)} cannot be read: this user may not")
    executable = bool(status.st_mode & _EXECUTABLE) and os.name != "nt"
    place = status.st_dev, status.st_ino
    return FoundFile(path, source, status.st_size, executable, status.st_mtime_ns, place)


def read_pieces(file: FoundFile, piece_bytes: int, secrets: Secrets) -> Iterator[bytes]:
    """The bytes of a file in pieces; raises BadFolder if it changed since it was found.

    Raises UnsafePath for a file with the secrets of a node.
    """
    try:
        descriptor = os.open(file.source, _READ_FLAGS)
        try:
            left, before = file.size, b""
            _check_unchanged(file, os.fstat(descriptor))
            while left:
                piece = os.read(descriptor, min(left, piece_bytes))
                if not piece:
                    break
                if left == file.size:
                    secrets.check(file.path, piece)
                secrets.check_anywhere(file.path, before, piece)
                before = piece[-FIRST_PAGE_BYTES:]
                left -= len(piece)
                yield piece
            left = left or -len(os.read(descriptor, 1))
            _check_unchanged(file, os.fstat(descriptor), left)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise refused(error, f"cannot read {file.source}", BadFolder) from error


def _check_unchanged(file: FoundFile, status: os.stat_result, left: int = 0) -> None:
    if (
        left
        or not stat.S_ISREG(status.st_mode)
        or (status.st_size, status.st_mtime_ns) != (file.size, file.changed_ns)
    ):
        raise BadFolder(
            f"{quoted(file.path)} changed while it was read; share the folder again when it rests, "
            f"or leave the file out with {option_for(file.path)}"
        )
