"""A folder of files that grows under a hidden name and is renamed when whole, or removed.

Blocking; `assembler` calls it in an executor, one call at a time except for `sync`.
"""

import contextlib
import errno
import hashlib
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from node.content.homes import HomeGuard
from node.files import sync_file, sync_folder, write_all, writing
from protocol.content.file_paths import quoted
from protocol.content.manifest import ModFile
from protocol.errors import DiskError, TargetExists, UnsafePath

_HOLE_BYTES = 2**16
_ZEROS = bytes(_HOLE_BYTES)
"""Zeros of this length are skipped, not written: file systems with sparse files store no block."""
_WRITE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
_TAKEN = {errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR}


def checked_target(target: Path, guard: HomeGuard) -> Path:
    """The real path of a target; raises TargetExists unless it is free or an empty folder.

    Raises UnsafePath for a target in the home of a node, or with a name that the disk cannot hold,
    DiskError for a place without room for files.
    """
    target = Path(os.path.realpath(target))
    with writing(target):
        _check_place(target)
        guard.check_outside(target, "written")
        if not target.exists():
            return target
        if not target.is_dir() or any(target.iterdir()):
            raise TargetExists(f"{target} exists and is not an empty folder")
        if os.path.ismount(target):
            raise TargetExists(f"{target} is a mount point; name a new folder inside it")
    return target


def _check_place(target: Path) -> None:
    """Look at the folder below which all is made: the nearest one above `target` that is there."""
    folder = next(one for one in target.parents if os.path.lexists(one))
    if not folder.is_dir():
        raise TargetExists(f"{folder} is a file, so nothing can be written below it")
    if not shutil.disk_usage(folder).total:
        raise DiskError(f"{folder} is a place of the system, which has no room for files")
    for part in target.relative_to(folder).parts:
        _check_length(folder / part, part)
    _check_length(target, str(target))


def _check_length(place: Path, named: str) -> None:
    """Raise UnsafePath if the system cannot hold so long a name or path."""
    try:
        place.lstat()
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise UnsafePath(
                f"{quoted(named)} has {len(os.fsencode(named))} bytes, too many for this disk"
            ) from None


class GrowingTree:
    """The files of a mod on their way to `target` (a path from `checked_target`)."""

    def __init__(self, target: Path, mod_id: bytes, files: Sequence[ModFile]) -> None:
        self._target = target
        mark = hashlib.sha256(mod_id + os.fsencode(target.name)).hexdigest()[:16]
        # The same name each time, so that the remains of a killed process are found and removed.
        self._root = target.parent / f".modswarm-{mark}.part"
        self._files = files
        self._next = 0
        self._descriptor = -1
        self._left = 0
        self._ends_in_hole = False
        self._folders: set[Path] = {self._root}

    def begin(self, disk_bytes: int) -> None:
        """Make the hidden folder; raises DiskError, also if there is too little room."""
        with writing(self._target):
            self._target.parent.mkdir(parents=True, exist_ok=True)
            if self._root.exists():
                shutil.rmtree(self._root)
            free = shutil.disk_usage(self._target.parent).free
            if disk_bytes > free:
                raise DiskError(
                    f"the disk that holds {self._target} is too full: the mod needs"
                    f" {disk_bytes // 2**20 + 1} MiB and {free // 2**20} MiB are free"
                )
            self._root.mkdir()

    def write(self, data: bytes) -> None:
        """Append to the byte stream of all files, runs of zeros as holes; raises DiskError."""
        view = memoryview(data)
        with writing(self._target):
            while view:
                if not self._left:
                    self._open_next()
                part = view[: min(self._left, _HOLE_BYTES)]
                if len(part) == _HOLE_BYTES and part == _ZEROS:
                    os.lseek(self._descriptor, len(part), os.SEEK_CUR)
                    self._ends_in_hole = True
                else:
                    write_all(self._descriptor, part)
                    self._ends_in_hole = False
                view = view[len(part) :]
                self._left -= len(part)
                if not self._left:
                    if self._ends_in_hole:
                        os.ftruncate(self._descriptor, self._files[self._next - 1].size)
                    self._close()

    def finish(self) -> None:
        """Make the empty files at the end; raises DiskError."""
        with writing(self._target):
            while self._next < len(self._files):
                self._open_next()

    def sync(self, share: int, shares: int) -> None:
        """Flush every `shares`-th file to disk, from number `share` on; raises DiskError."""
        folders = sorted(self._folders)
        with writing(self._target):
            for file in self._files[share::shares]:
                sync_file(self._root / file.path)
            for folder in folders[share::shares]:
                sync_folder(folder)

    def appear(self) -> None:
        """Give the folder its name; raises TargetExists if that was taken meanwhile, DiskError."""
        with writing(self._target):
            if os.name == "nt":
                with contextlib.suppress(FileNotFoundError):
                    self._target.rmdir()  # only Windows does not rename over an empty folder
            try:
                self._root.rename(self._target)
            except OSError as error:
                if error.errno in _TAKEN:
                    raise TargetExists(f"{self._target} has been taken meanwhile") from None
                raise
            sync_folder(self._target.parent)

    def clean_up(self) -> None:
        """Remove what did not appear."""
        self._close()
        shutil.rmtree(self._root, ignore_errors=True)

    def _open_next(self) -> None:
        """Begin the next file; empty ones are done with that."""
        file = self._files[self._next]
        self._next += 1
        path = self._root / file.path
        if path.parent not in self._folders:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._remember_folders(path.parent)
        self._descriptor = os.open(path, _WRITE_FLAGS, 0o777 if file.executable else 0o666)
        self._left = file.size
        self._ends_in_hole = False
        if not file.size:
            self._close()

    def _remember_folders(self, folder: Path) -> None:
        while folder not in self._folders:
            self._folders.add(folder)
            folder = folder.parent

    def _close(self) -> None:
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)
