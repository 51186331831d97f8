"""A folder of files that grows under a hidden name and is renamed when whole, or removed.

Blocking; `assembler` calls it in an executor, one call at a time except for `sync`.
"""

import contextlib
import errno
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from node.content.assemble.layout import FileStarts
from node.content.assemble.times import disk_time_ns, written_file
from node.content.assemble.tree_files import HAS_STEPS, TreeFiles, mode_of
from node.content.hidden_names import growing_of, probe_in
from node.content.homes import HomeGuard
from node.content.vault.stored_target import WrittenTree
from node.disk.flushing import MANY, DiskFlush
from node.disk.refusals import flush_folder, free_bytes, make_folders
from node.disk.removing import remove_tree
from node.files import writing
from node.machine.refusals import reason_of, refused
from protocol.content.file_paths import quoted
from protocol.content.manifests.contents import ModFile
from protocol.errors import DiskError, TargetExists, UnsafePath
from protocol.texts.amounts import size_text

_TAKEN = {errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR}
_NO_SUCH_NAME = {errno.EINVAL, errno.EILSEQ, errno.ENAMETOOLONG}
_TRIES = 8
_NAME_IN_DOUBT = "has all of the mod, but is gone if the power is cut soon"
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


def try_place(target: Path) -> Path:
    """Try whether folders of these names can be made at a target's place, under a hidden one.

    What asks the system for permissions tells less: of file systems that are mounted read-only, of
    names that one of another system cannot hold. Returns the folder that is there already; raises
    DiskError, UnsafePath.
    """
    folder = next(one for one in target.parents if os.path.lexists(one))
    probe = probe_in(folder, target)
    with writing(folder), _naming(target, str(target.relative_to(folder))):
        for tries_left in reversed(range(_TRIES)):
            try:
                (probe / target.relative_to(folder)).mkdir(parents=True, exist_ok=True)
            except FileNotFoundError:  # another `get` took it for that of a killed one
                if not tries_left:
                    raise
            else:
                break
            finally:
                with contextlib.suppress(OSError):
                    remove_tree(probe)
    return folder


def try_parent(folder: Path, guard: HomeGuard) -> None:
    """Raise as `try_place`, and UnsafePath in the home of a node, where nothing can be made."""
    folder = folder.resolve()
    guard.check_outside(folder, "written")
    try_place(folder / "mod")


def check_paths(target: Path, paths: Iterable[str]) -> None:
    """Raise UnsafePath where a name of a mod's paths is too long for its disk.

    Where no name is opened in an open folder, also where a path as a whole is too long for the
    system, be it only while the folder is hidden.
    """
    longest_name = longest = ""
    for path in paths:
        longest_name = max(longest_name, *path.split("/"), key=len)
        longest = max(longest, path, key=len)
    if longest:
        _check_length(target.parent / longest_name, longest_name)
    if not HAS_STEPS:
        _check_length(growing_of(target) / longest, longest)
        _check_length(target / longest, longest)


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
    """The files of a mod on their way to `target` (a path from `checked_target`).

    Every call raises DiskError where the disk refuses, and UnsafePath for a name that it does not
    take.
    """

    def __init__(
        self, target: Path, files: Sequence[ModFile], empty_folders: Sequence[str] = ()
    ) -> None:
        self._target = target
        self._root = growing_of(target)
        self._files = files
        self._empty_folders = empty_folders
        self._starts = FileStarts(files)
        self._made = TreeFiles(self._root)
        self._whole_disk: DiskFlush | None = None
        self.written = WrittenTree(())
        """How all is on the disk, once it is finished."""

    def begin(self, disk_bytes: int) -> None:
        """Make the hidden folder; raises DiskError, also if there is too little room."""
        with writing(self._target):
            make_folders(self._target.parent)
            remove_tree(self._root)
            free = free_bytes(self._target.parent)
            if free is not None and disk_bytes > free:
                raise DiskError(
                    f"the disk that holds {self._target} is too full: the mod needs"
                    f" {size_text(disk_bytes)} and {size_text(free)} are free",
                    advice="Make room there, or name a place on another disk with --to.",
                )
            self._root.mkdir()
            if len(self._files) > MANY:
                self._whole_disk = DiskFlush.of(self._root)

    def write(self, start: int, data: bytes) -> None:
        """Write these bytes of the stream of all files, from `start` on; any again, in any order.

        Runs of zeros become holes.
        """
        view = memoryview(data)
        with self._writing():
            for number, at, length in self._starts.parts(start, len(data)):
                file = self._files[number]
                with self._naming(file.path):
                    self._made.write(
                        *(file.path, mode_of(file), at, view[:length]), last=length == file.size
                    )
                view = view[length:]

    def finish(self) -> None:
        """Make the empty files and folders, and holes at the ends of files; all others are here.

        Then set the times of files.
        """
        with self._writing():
            for file in self._files:
                if not file.size and not self._made.has(file.path):
                    with self._naming(file.path):
                        self._made.make(file.path, mode_of(file))
            for path in self._empty_folders:
                with self._naming(path):
                    self._made.make_folder(path)
            self._made.finish()
            now_ns = disk_time_ns(self._root)
            self.written = WrittenTree(
                tuple(
                    written_file(file, self._made.date(file.path, file.modified_ns), now_ns)
                    for file in self._files
                ),
                tuple(self._empty_folders),
            )

    def sync(self, share: int, shares: int) -> None:
        """Flush to disk what was written: every `shares`-th part of it, from number `share` on.

        Once all shares are flushed, a folder that has its name is whole, whenever power is cut.
        """
        with self._writing():
            if self._whole_disk is not None:
                if share == 0:
                    self._whole_disk.flush()
                return
            for file in self._files[share::shares]:
                self._made.flush(file.path)
            for folder in self._made.folders[share::shares]:
                self._made.flush_folder(folder)

    def appear(self) -> None:
        """Give the folder its name; raises TargetExists if that was taken meanwhile, DiskError.

        After either it does not have it. A disk that does not say that the name is safe, and does
        not take it back, leaves it: all of the folder is there then, and the DiskError says so.
        """
        with self._writing():
            try:
                self._root.rename(self._target)
            except OSError as error:
                if not self._target.exists():
                    raise
                self._give_way(error)
                self._root.rename(self._target)
            try:
                flush_folder(self._target.parent)
            except OSError as error:
                # The same command works again only where its target is not there.
                if self._take_back():
                    raise
                raise refused(error, f"{self._target} {_NAME_IN_DOUBT}") from error

    def _take_back(self) -> bool:
        """Let the folder have its hidden name again; whether it has."""
        try:
            self._target.rename(self._root)
        except OSError:
            return False
        return True

    def _give_way(self, refusal: OSError) -> None:
        """Remove an empty folder, over which Windows and some file systems rename nothing."""
        try:
            self._target.rmdir()
        except OSError as error:
            if error.errno in _TAKEN:
                raise TargetExists(f"{self._target} has been taken meanwhile") from None
            raise refusal from None

    def clean_up(self) -> None:
        """Close every file, and remove what did not appear."""
        self._made.close()
        if self._whole_disk is not None:
            self._whole_disk.close()
        with contextlib.suppress(OSError):
            remove_tree(self._root)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """As `writing`, once the hidden folder was made: if it is gone, somebody took it away."""
        with writing(self._target):
            try:
                yield
            except (FileNotFoundError, NotADirectoryError) as error:
                if self._root.is_dir():
                    raise
                parent = self._root.parent
                gone = self._root if parent.is_dir() else parent
                raise DiskError(
                    f"cannot write {self._target}: {gone} was removed or renamed meanwhile",
                    advice="Leave it there until the get has ended, and get the mod again.",
                ) from error

    @contextlib.contextmanager
    def _naming(self, path: str) -> Iterator[None]:
        with _naming(self._target, path):
            try:
                yield
            except FileExistsError:
                raise UnsafePath(
                    f"{quoted(path)} is there already: the disk that holds {self._target} takes "
                    "two names of this mod for one; name a place on another disk"
                ) from None
