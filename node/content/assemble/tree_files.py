"""The files and folders below a folder of ours: each is made once, and few are open at once.

Blocking, and not for several threads at once. What has a longer path than the system takes as one
is reached in parts, where the system can open a path from an open folder on.
"""

import contextlib
import os
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from node.content.assemble.times import set_time
from node.disk.refusals import extend, flush_file, flush_folder
from node.files import sync_file, write_all
from protocol.content.manifests.contents import ModFile

_OPEN_FILES: Final = 32
_PATH_BYTES: Final = 1000
"""A longer path is reached in steps: macOS takes 1024 bytes as one, Linux 4096."""
HAS_STEPS: Final = {os.open, os.mkdir} <= os.supports_dir_fd
_BINARY: Final = getattr(os, "O_BINARY", 0)
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY
_KNOWN: Final = os.O_WRONLY | _BINARY
_FOLDER: Final = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0)
_HOLE_BYTES: Final = 2**16
_ZEROS: Final = bytes(_HOLE_BYTES)
"""Zeros of this length are skipped, not written: file systems with sparse files store no block."""


class TreeFiles:
    """What is made below `root`, which is there. Paths have slashes. Every call raises OSError."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._root_bytes = len(os.fsencode(root))
        self._folders: set[str] = {""}
        self._files: set[str] = set()
        self._holed: dict[str, int] = {}
        """Files of which zeros were skipped, and where the last of these end."""
        self._open: OrderedDict[str, int] = OrderedDict()

    @property
    def folders(self) -> list[str]:
        """The folders that were made, and the root, which is empty text."""
        return sorted(self._folders)

    def has(self, path: str) -> bool:
        """Whether a file was made."""
        return path in self._files

    def write(self, path: str, mode: int, at: int, data: memoryview, *, last: bool) -> None:
        """Write into a file, which is made with this mode; runs of zeros become holes.

        `last`: nothing more of it comes.
        """
        descriptor = self._descriptor(path, mode)
        if len(data) < _HOLE_BYTES:
            _write_at(descriptor, at, data)
        else:
            self._write_between_holes(path, descriptor, at, data)
        if last and path not in self._holed:
            os.close(self._open.pop(path))

    def make(self, path: str, mode: int) -> None:
        """Make a file without a byte."""
        self._descriptor(path, mode)
        os.close(self._open.pop(path))

    def make_folder(self, path: str) -> None:
        """Make a folder in which nothing comes to lie."""
        self._make_folders(path.rpartition("/")[0])
        with self._reached(path) as (place, folder):
            os.mkdir(place, dir_fd=folder)
        self._folders.add(path)

    def finish(self) -> None:
        """Make zeros that were skipped at the ends of files part of them; close all."""
        for path, end in self._holed.items():
            descriptor = self._descriptor(path, 0)
            if os.fstat(descriptor).st_size < end:
                extend(descriptor, end)
        self._holed.clear()
        self.close()

    def date(self, path: str, modified_ns: int | None) -> os.stat_result:
        """Set when a file that is closed was changed, and return how it is on the disk."""
        with self._reached(path) as (place, folder):
            if modified_ns is not None:
                set_time(place, modified_ns, folder)
            return os.stat(place, dir_fd=folder, follow_symlinks=False)

    def close(self) -> None:
        """Close every file."""
        while self._open:
            os.close(self._open.popitem()[1])

    def flush(self, path: str) -> None:
        """Flush a file that is closed to the disk."""
        if self._is_short(path):
            sync_file(self._root / path)
            return
        with self._reached(path) as (place, folder):
            descriptor = os.open(place, os.O_RDONLY, dir_fd=folder)
            try:
                flush_file(descriptor)
            finally:
                os.close(descriptor)

    def flush_folder(self, path: str) -> None:
        """Flush the names in a folder to the disk."""
        if self._is_short(path):
            flush_folder(self._root / path)
            return
        with self._reached(f"{path}/.") as (_, folder):
            assert folder is not None
            flush_file(folder)

    def _write_between_holes(self, path: str, descriptor: int, at: int, data: memoryview) -> None:
        begin = 0
        for start in range(0, len(data) - _HOLE_BYTES + 1, _HOLE_BYTES):
            end = start + _HOLE_BYTES
            if data[start] or data[end - 1] or bytes(data[start:end]) != _ZEROS:
                continue
            _write_at(descriptor, at + begin, data[begin:start])
            self._holed[path] = max(self._holed.get(path, 0), at + end)
            begin = end
        _write_at(descriptor, at + begin, data[begin:])

    def _descriptor(self, path: str, mode: int) -> int:
        """An open file, which is made if it was not."""
        descriptor = self._open.get(path)
        if descriptor is not None:
            self._open.move_to_end(path)
            return descriptor
        is_new = path not in self._files
        if is_new:
            self._make_folders(path.rpartition("/")[0])
        with self._reached(path) as (place, folder):
            descriptor = os.open(place, _NEW if is_new else _KNOWN, mode, dir_fd=folder)
        self._files.add(path)
        self._open[path] = descriptor
        if len(self._open) > _OPEN_FILES:
            os.close(self._open.popitem(last=False)[1])
        return descriptor

    def _make_folders(self, path: str) -> None:
        """Make a folder and those that it lies in, where they were not made."""
        missing = []
        while path not in self._folders:
            missing.append(path)
            path = path.rpartition("/")[0]
        for path in reversed(missing):
            with self._reached(path) as (place, folder), contextlib.suppress(FileExistsError):
                os.mkdir(place, dir_fd=folder)
            self._folders.add(path)

    def _is_short(self, path: str) -> bool:
        return not HAS_STEPS or self._root_bytes + len(path.encode()) < _PATH_BYTES

    @contextlib.contextmanager
    def _reached(self, path: str) -> Iterator[tuple[str, int | None]]:
        """What the system is given for a path: all of it, or a name and the folder it is in."""
        if self._is_short(path):
            yield f"{self._root}/{path}", None
            return
        folder, _, name = path.rpartition("/")
        descriptor = os.open(self._root, _FOLDER)
        try:
            for part in _parts(folder):
                inner = os.open(part, _FOLDER, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = inner
            yield name, descriptor
        finally:
            os.close(descriptor)


def mode_of(file: ModFile) -> int:
    """The permissions that a file of a mod is made with, but for those that the umask takes."""
    return 0o777 if file.executable else 0o666


def _parts(path: str) -> Iterator[bytes]:
    """A path in few parts, none of which is too long for the system unless a name is."""
    rest = os.fsencode(path)
    while len(rest) >= _PATH_BYTES and (end := rest.rfind(b"/", 0, _PATH_BYTES)) > 0:
        yield rest[:end]
        rest = rest[end + 1 :]
    yield rest


def _write_at(descriptor: int, at: int, data: memoryview) -> None:
    if data:
        os.lseek(descriptor, at, os.SEEK_SET)
        write_all(descriptor, data)
