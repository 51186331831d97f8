"""The files of a folder that become a mod, read without leaving the folder.

Symbolic links are followed as long as they stay inside the folder and do not lead in a circle. All
else that is not a plain file or a folder is refused rather than left out, so that a mod is all of
the folder. Empty folders are not part of a mod. Homes of nodes are refused, and what they hold; so
are the folders in which an operating system shows itself and its devices as files.
"""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from node.content.homes import HomeGuard, looks_like_home
from node.content.secrets import Secrets
from node.content.vault.index import FIRST_PAGE_BYTES
from protocol import limits
from protocol.content import file_paths
from protocol.content.file_paths import Tree, check_path, quoted
from protocol.errors import BadFolder, UnsafePath

_READ_FLAGS = (
    os.O_RDONLY
    | getattr(os, "O_BINARY", 0)
    | getattr(os, "O_NONBLOCK", 0)  # opening a pipe that took a file's place must not wait
)
_EXECUTABLE = stat.S_IXUSR
_OF_THE_SYSTEM = tuple(map(Path, ("/proc", "/sys", "/dev")))
_IN_MEMORY = Path("/dev/shm")  # noqa: S108 (a name, for it holds plain files)


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


def walk(root: Path, guard: HomeGuard) -> list[FoundFile]:
    """The files under `root`, or `root` itself if it is a file, by file path.

    Raises BadFolder, and UnsafePath for what other systems could not hold, and for homes.
    """
    name = name_of(root)
    try:
        root = Path(os.path.realpath(root, strict=True))
        _refuse_system(root)
        guard.check_outside(root, "shared")
        files = list(_Walk(root, guard.places())) if root.is_dir() else [_found(name, root)]
    except OSError as error:
        place = getattr(error, "filename", None) or root
        raise BadFolder(f"{place} cannot be read: {error.strerror or error}") from error
    if not files:
        raise BadFolder(f"{root} has no files")
    tree = Tree()
    for file in files:
        tree.add(file.path)
    return sorted(files, key=lambda file: file.path)


def _refuse_system(path: Path) -> None:
    """Raise UnsafePath for what a system shows of itself: its sizes are untrue, and it may wait."""
    for folder in _OF_THE_SYSTEM:
        if path.is_relative_to(folder) and not path.is_relative_to(_IN_MEMORY):
            raise UnsafePath(f"{path} is not shared: what is in {folder} is the system's own")


def name_of(root: Path) -> str:
    """The name of a folder or file, also if `root` is `.` or a symbolic link."""
    return root.resolve().name if root.name in {"", ".."} else root.name


class _Walk:
    """Visits a tree; the folders on the way to the present one are known, to notice circles."""

    def __init__(self, root: Path, kept: frozenset[tuple[int, int]]) -> None:
        self._root = root
        self._kept = kept
        self._found = 0

    def __iter__(self) -> Iterator[FoundFile]:
        return self._folder("", self._root, (self._root,))

    def _folder(
        self, prefix: str, folder: Path, ancestors: tuple[Path, ...]
    ) -> Iterator[FoundFile]:
        _refuse_system(folder)
        with os.scandir(folder) as entries:
            listed = sorted(entries, key=lambda entry: entry.name)
        self._refuse_home(prefix, folder, {entry.name for entry in listed})
        for entry in listed:
            path = check_path(prefix + entry.name)
            real, is_folder = Path(entry.path), entry.is_dir(follow_symlinks=False)
            # On Windows a junction leads elsewhere but appears as a plain folder.
            if entry.is_symlink() or (is_folder and os.name == "nt"):
                real = self._target(path, real, ancestors)
                is_folder = real.is_dir()
            if is_folder:
                yield from self._folder(path + "/", real, (*ancestors, real))
            else:
                self._found += 1
                if self._found > limits.MANIFEST_FILES:
                    raise BadFolder(f"{self._root} has more than {limits.MANIFEST_FILES} files")
                found = _found(path, real)
                if found.place in self._kept:
                    raise UnsafePath(f"{quoted(path)} is a file of a node's home")
                yield found

    def _refuse_home(self, prefix: str, folder: Path, names: set[str]) -> None:
        status = folder.stat()
        if (status.st_dev, status.st_ino) in self._kept or looks_like_home(names.__contains__):
            raise UnsafePath(
                f"{quoted(prefix)} is the home of a node, whose keys must stay there: "
                "share a folder without it"
            )

    def _target(self, path: str, link: Path, ancestors: tuple[Path, ...]) -> Path:
        """Where a link leads, if a mod may follow it."""
        target = Path(os.path.realpath(link, strict=True))  # resolve() has two errors for circles
        if not target.is_relative_to(self._root):
            raise UnsafePath(f"{quoted(path)} is a link that leads out of the folder")
        if target in ancestors:
            raise UnsafePath(f"{quoted(path)} is a link that leads in a circle")
        return target


def _found(path: str, source: Path) -> FoundFile:
    status = source.lstat()
    if not stat.S_ISREG(status.st_mode):
        raise UnsafePath(
            f"{quoted(path)} is neither a file nor a folder, but a pipe, socket or device"
        )
    executable = bool(status.st_mode & _EXECUTABLE) and os.name != "nt"
    place = status.st_dev, status.st_ino
    return FoundFile(path, source, status.st_size, executable, status.st_mtime_ns, place)


def read_pieces(file: FoundFile, piece_bytes: int, secrets: Secrets) -> Iterator[bytes]:
    """The bytes of a file in pieces; raises BadFolder if it changed since it was found.

    Raises UnsafePath for a file with the secrets of a node.
    """
    try:
        descriptor = os.open(file.source, _READ_FLAGS | getattr(os, "O_NOFOLLOW", 0))
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
        raise BadFolder(f"{file.source} cannot be read: {error.strerror or error}") from error


def _check_unchanged(file: FoundFile, status: os.stat_result, left: int = 0) -> None:
    if (
        left
        or not stat.S_ISREG(status.st_mode)
        or (status.st_size, status.st_mtime_ns) != (file.size, file.changed_ns)
    ):
        raise BadFolder(f"{file_paths.quoted(file.path)} changed while it was read; try again")
