"""A folder of files that grows under a hidden name and is renamed when whole, or removed.

Blocking; `assembler` calls it in an executor, one call at a time except for `sync`.
"""

import contextlib
import errno
import hashlib
import itertools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from node.content.homes import HomeGuard
from node.disk.refusals import extend, flush_folder, free_bytes, remove_tree
from node.files import sync_file, write_all, writing
from node.machine.refusals import reason_of
from protocol.content.file_paths import quoted
from protocol.content.manifest import ModFile
from protocol.errors import DiskError, TargetExists, UnsafePath
from protocol.texts.amounts import size_text

_HOLE_BYTES = 2**16
_ZEROS = bytes(_HOLE_BYTES)
"""Zeros of this length are skipped, not written: file systems with sparse files store no block."""
_WRITE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
_TAKEN = {errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR}
_NO_SUCH_NAME = {errno.EINVAL, errno.EILSEQ, errno.ENAMETOOLONG}
_probes = itertools.count()
_OF_THE_SYSTEM = (Path("/proc"), Path("/sys"))


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
        if os.path.ismount(target) and target.stat().st_ino:  # without numbers all look like one
            raise TargetExists(f"{target} is a mount point; name a new folder inside it")
    return target


def _check_place(target: Path) -> None:
    """Look at the folder below which all is made: the nearest one above `target` that is there."""
    folder = next((one for one in target.parents if os.path.lexists(one)), target)
    if not folder.is_dir():
        raise TargetExists(f"{folder} is a file, so nothing can be written below it")
    if any(map(folder.is_relative_to, _OF_THE_SYSTEM)):
        raise DiskError(f"{folder} is a place of the system, which has no room for files")
    for part in target.relative_to(folder).parts:
        _check_length(folder / part, part)
    _check_length(target, str(target))


def try_place(target: Path) -> None:
    """Try whether folders of these names can be made at a target's place, under a hidden one.

    What asks the system for permissions tells less: of file systems that are mounted read-only, of
    names that one of another system cannot hold. Raises DiskError, UnsafePath.
    """
    folder = next(one for one in target.parents if os.path.lexists(one))
    probe = folder / f".modswarm-{os.getpid()}-{next(_probes)}.try"
    with writing(folder):
        try:
            with _naming(target, str(target.relative_to(folder))):
                (probe / target.relative_to(folder)).mkdir(parents=True, exist_ok=True)
        finally:
            with contextlib.suppress(OSError):
                remove_tree(probe)


def try_parent(folder: Path, guard: HomeGuard) -> None:
    """Raise as `try_place`, and UnsafePath in the home of a node, where nothing can be made."""
    folder = folder.resolve()
    guard.check_outside(folder, "written")
    try_place(folder / "mod")


def check_path(target: Path, path: str) -> None:
    """Raise UnsafePath where a file's path would be too long, also while its folder is hidden."""
    _check_length(target.parent / _hidden_name(b"", target) / path, path)
    _check_length(target / path, path)


def _hidden_name(mod_id: bytes, target: Path) -> str:
    mark = hashlib.sha256(mod_id + os.fsencode(target.name)).hexdigest()[:16]
    # The same name each time, so that the remains of a killed process are found and removed.
    return f".modswarm-{mark}.part"


@contextlib.contextmanager
def _naming(target: Path, path: str) -> Iterator[None]:
    """Name the file or folder whose name the disk does not take."""
    try:
        yield
    except OSError as error:
        if error.errno not in _NO_SUCH_NAME:
            raise
        raise UnsafePath(
            f"the disk that holds {target} cannot hold the name {quoted(path)}: "
            f"{reason_of(error)}; name a place on another disk"
        ) from error


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

    def __init__(
        self,
        target: Path,
        mod_id: bytes,
        files: Sequence[ModFile],
        empty_folders: Sequence[str] = (),
    ) -> None:
        self._target = target
        self._root = target.parent / _hidden_name(mod_id, target)
        self._files = files
        self._empty_folders = empty_folders
        self._next = 0
        self._descriptor = -1
        self._left = 0
        self._hole = 0
        """The zeros that were skipped at the end of the open file."""
        self._folders: set[Path] = {self._root}

    def begin(self, disk_bytes: int) -> None:
        """Make the hidden folder; raises DiskError, also if there is too little room."""
        with writing(self._target):
            self._target.parent.mkdir(parents=True, exist_ok=True)
            remove_tree(self._root)
            free = free_bytes(self._target.parent)
            if free is not None and disk_bytes > free:
                raise DiskError(
                    f"the disk that holds {self._target} is too full: the mod needs"
                    f" {size_text(disk_bytes)} and {size_text(free)} are free",
                    advice="Make room there, or name a place on another disk with --to.",
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
                    self._hole += len(part)
                else:
                    self._end_hole()
                    write_all(self._descriptor, part)
                view = view[len(part) :]
                self._left -= len(part)
                if not self._left:
                    self._end_hole()
                    self._close()

    def _end_hole(self) -> None:
        """Make the zeros that were skipped part of the file."""
        if self._hole:
            end = os.lseek(self._descriptor, 0, os.SEEK_CUR) + self._hole
            extend(self._descriptor, end)
            self._hole = 0

    def finish(self) -> None:
        """Make the empty files at the end, and the empty folders; raises DiskError, UnsafePath."""
        with writing(self._target):
            while self._next < len(self._files):
                self._open_next()
            for path in self._empty_folders:
                with _naming(self._target, path):
                    self._create_empty_folder(path)

    def _create_empty_folder(self, path: str) -> None:
        place = self._root / path
        self._make_folder(place.parent)
        try:
            place.mkdir()
        except FileExistsError:
            raise self._taken(path) from None
        self._folders.add(place)

    def sync(self, share: int, shares: int) -> None:
        """Flush every `shares`-th file to disk, from number `share` on; raises DiskError."""
        folders = sorted(self._folders)
        with writing(self._target):
            for file in self._files[share::shares]:
                sync_file(self._root / file.path)
            for folder in folders[share::shares]:
                flush_folder(folder)

    def appear(self) -> None:
        """Give the folder its name; raises TargetExists if that was taken meanwhile, DiskError."""
        with writing(self._target):
            try:
                self._root.rename(self._target)
            except OSError as error:
                if not self._target.exists():
                    raise
                self._give_way(error)
                self._root.rename(self._target)
            flush_folder(self._target.parent)

    def _give_way(self, refusal: OSError) -> None:
        """Remove an empty folder, over which Windows and some file systems rename nothing."""
        try:
            self._target.rmdir()
        except OSError as error:
            if error.errno in _TAKEN:
                raise TargetExists(f"{self._target} has been taken meanwhile") from None
            raise refusal from None

    def clean_up(self) -> None:
        """Remove what did not appear."""
        self._close()
        with contextlib.suppress(OSError):
            remove_tree(self._root)

    def _open_next(self) -> None:
        """Begin the next file; empty ones are done with that."""
        file = self._files[self._next]
        self._next += 1
        path = self._root / file.path
        with _naming(self._target, file.path):
            self._create(path, file)
        self._left = file.size
        if not file.size:
            self._close()

    def _create(self, path: Path, file: ModFile) -> None:
        self._make_folder(path.parent)
        try:
            self._descriptor = os.open(path, _WRITE_FLAGS, 0o777 if file.executable else 0o666)
        except FileExistsError:
            raise self._taken(file.path) from None

    def _taken(self, path: str) -> UnsafePath:
        return UnsafePath(
            f"{quoted(path)} is there already: the disk that holds {self._target} takes "
            "two names of this mod for one; name a place on another disk"
        )

    def _make_folder(self, folder: Path) -> None:
        if folder not in self._folders:
            folder.mkdir(parents=True, exist_ok=True)
        while folder not in self._folders:
            self._folders.add(folder)
            folder = folder.parent

    def _close(self) -> None:
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)
