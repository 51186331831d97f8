"""Folders below a root, each opened within the one before: for paths of any length.

A system takes only some bytes as one path (4096 on Linux, with what stands before the root), but
opens a name in a folder that is open, however deep that lies. Nor is a link followed so, whatever
took a folder's place meanwhile. Where the system opens nothing by a folder (Windows) it gets the
path as a whole.
"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, Self

BY_FOLDER: Final = {os.open, os.stat, os.access} <= os.supports_dir_fd and (
    os.scandir in os.supports_fd
)
_FOLDER_FLAGS: Final = (
    os.O_RDONLY
    | getattr(os, "O_DIRECTORY", 0)
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_CLOEXEC", 0)
)
_REPARSE_POINT: Final = 0x400
"""FILE_ATTRIBUTE_REPARSE_POINT: a link, a junction or a mount point of Windows."""
_KEPT_OPEN = 32
"""Folders on the way to the latest: a process may have some hundred files open."""


class Descent:
    """Opens what lies below `root`, by paths with slashes.

    Blocking, and not for several threads at once. What comes in the order of paths costs little:
    some folders on the way to the latest stay open. Close it, or use it in a `with` statement.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._way: list[tuple[str, int]] = []
        """The path and the descriptor of each open folder, each within the one before."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the folders that are open."""
        while self._way:
            self._leave()

    def open(self, path: str, flags: int) -> int:
        """A descriptor of a file; raises OSError."""
        place, folder = self.at(path)
        return os.open(place, flags, dir_fd=folder)

    def status(self, path: str) -> os.stat_result:
        """What `lstat` tells of a file, or of the root or a folder; raises OSError."""
        if not path:
            return self.root.stat()
        place, folder = self.at(path)
        return os.stat(place, dir_fd=folder, follow_symlinks=False)

    def is_readable(self, path: str) -> bool:
        """Whether this user may read a file."""
        place, folder = self.at(path)
        return os.access(place, os.R_OK, dir_fd=folder)

    def entries(self, path: str) -> "os._ScandirIterator[str]":
        """What is in a folder; raises OSError. Its entries hold until another folder is visited."""
        return os.scandir(self._folder(path) if BY_FOLDER else self._whole(path))

    def _whole(self, path: str) -> str:
        return str(self.root / path)

    def at(self, path: str) -> tuple[str, int | None]:
        """What the system is given for a path: a name, and the folder that it is in."""
        if not BY_FOLDER:
            return self._whole(path), None
        folder, _, name = path.rpartition("/")
        return name, self._folder(folder)

    def _folder(self, path: str) -> int:
        while self._way and not _is_within(path, self._way[-1][0]):
            self._leave()
        if not self._way:
            self._way.append(("", os.open(self.root, _FOLDER_FLAGS)))
        latest, descriptor = self._way[-1]
        for name in _names_between(latest, path):
            latest = f"{latest}/{name}" if latest else name
            descriptor = os.open(name, _FOLDER_FLAGS, dir_fd=descriptor)
            self._way.append((latest, descriptor))
            if len(self._way) > _KEPT_OPEN:
                self._thin_out()
        return descriptor

    def _thin_out(self) -> None:
        """Close the folder that leaves the smallest gap, so that no way back is long."""
        lengths = [len(path) for path, _ in self._way]
        gaps = [below - above for above, below in zip(lengths, lengths[2:], strict=False)]
        os.close(self._way.pop(1 + gaps.index(min(gaps)))[1])

    def _leave(self) -> None:
        os.close(self._way.pop()[1])


def _is_within(path: str, folder: str) -> bool:
    return not folder or path == folder or path.startswith(f"{folder}/")


def _names_between(folder: str, path: str) -> Iterator[str]:
    if path != folder:
        yield from (path[len(folder) + 1 :] if folder else path).split("/")


def is_plain_folder(status: os.stat_result) -> bool:
    """Whether what has this status, which follows no link, is a folder and leads nowhere else."""
    attributes = getattr(status, "st_file_attributes", 0)
    return stat.S_ISDIR(status.st_mode) and not attributes & _REPARSE_POINT
