"""What is to be done in a target: it is compared with what was written there and a new version.

Blocking. A file that is as large and as old as it was is taken for the one that was written; of any
other one the bytes tell, by their SHA-256.
"""

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from node.content.assemble.times import YOUNG_NS
from node.content.targets.plan import PathStep, Touch, UpdatePlan
from node.content.targets.target_tree import BlockedWay, TargetTree, folders_above
from node.content.vault.stored_target import WrittenFile, WrittenTree
from node.machine.refusals import refused
from protocol.content.file_paths import collision_path, quoted
from protocol.content.manifests.contents import ModFile
from protocol.errors import DiskError, TargetChanged

_PIECE_BYTES: Final = 2**20
_UNITS_NS: Final = (100, 1000, 10**6, 10**7, 10**9, 2 * 10**9)
"""By which disks tell times: NTFS, others, and exFAT, HFS+ and FAT."""


class Survey(NamedTuple):
    """What an update of a target has to do; how the new files are on the disk is not known yet."""

    steps: tuple[PathStep, ...]
    touches: tuple[Touch, ...]
    made_folders: tuple[str, ...]
    gone_folders: tuple[str, ...]
    files: tuple[WrittenFile, ...]
    """All of the new version, those that stay as they are on the disk now."""
    in_the_way: tuple[str, ...]
    """What is a person's own where the version has something else, or nothing any more."""
    left_changed: tuple[str, ...]
    restored: tuple[str, ...]

    @property
    def is_empty(self) -> bool:
        """Whether nothing in the target changes."""
        return not (self.steps or self.touches or self.made_folders or self.gone_folders)

    @property
    def wanted(self) -> list[int]:
        """The numbers of the files of the new version that have to be written."""
        paths = {step.path for step in self.steps if step.new is not None}
        return [number for number, file in enumerate(self.files) if file.path in paths]

    def planned(
        self, mod_id: bytes, made: dict[str, WrittenFile], empty_folders: tuple[str, ...]
    ) -> UpdatePlan:
        """The plan, once it is known how the files that were made are on the disk."""
        return UpdatePlan(
            mod_id,
            WrittenTree(tuple(made.get(file.path, file) for file in self.files), empty_folders),
            tuple(
                step if step.new is None else PathStep(step.path, step.old, made[step.path])
                for step in self.steps
            ),
            self.touches,
            self.made_folders,
            self.gone_folders,
        )


class _Found(NamedTuple):
    """What is at a path: `sha256` is empty for what is no file."""

    size: int
    modified_ns: int | None
    sha256: bytes
    place: tuple[int, int]


def is_same(tree: TargetTree, path: str, status: os.stat_result, file: WrittenFile) -> bool:
    """Whether what has this status is still a file: by size and time, or else by its bytes."""
    if not stat.S_ISREG(status.st_mode) or status.st_size != file.size:
        return False
    return status.st_mtime_ns == file.modified_ns or digest(tree, path) == file.sha256


def digest(
    tree: TargetTree, path: str, going_on: Callable[[], None] = lambda: None
) -> bytes | None:
    """The SHA-256 of a file; None if it cannot be read as one."""
    try:
        descriptor = tree.open(path)
    except OSError as error:
        if error.errno in {errno.EMFILE, errno.ENFILE, errno.EIO, errno.EACCES, errno.EPERM}:
            raise
        return None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        hashing = hashlib.sha256()
        while piece := os.read(descriptor, _PIECE_BYTES):
            going_on()
            hashing.update(piece)
        return hashing.digest()
    finally:
        os.close(descriptor)


class Surveyor:
    """Looks at one target. `going_on` is called often, and may raise to end it."""

    def __init__(
        self,
        tree: TargetTree,
        before: WrittenTree,
        wanted: tuple[ModFile, ...],
        empty_folders: tuple[str, ...],
        going_on: Callable[[], None],
    ) -> None:
        self._tree = tree
        self._before = {file.path: file for file in before.files}
        self._old_folders = _folders_of(self._before, before.empty_folders)
        self._wanted = wanted
        self._new_empty = empty_folders
        self._going_on = going_on
        self._old_places: dict[str, tuple[int, int]] = {}
        """Device and inode of files that go, by the names that some disk takes for theirs."""
        self._in_the_way: list[str] = []
        self._left: list[str] = []
        self._restored: list[str] = []
        self._touches: list[Touch] = []
        self._now_ns = 0

    def survey(self, now_ns: int) -> Survey:
        """Compare; raises OSError, and TargetChanged where a link has taken a folder's place.

        `now_ns` is the time of the target's disk.
        """
        self._now_ns = now_ns
        paths = {file.path for file in self._wanted}
        steps = [
            step
            for path in sorted(self._before)
            if path not in paths
            if (step := self._going(self._before[path])) is not None
        ]
        files = []
        for number, wanted in enumerate(self._wanted):
            self._going_on()
            step, file = self._coming(number, wanted)
            files.append(file)
            if step is not None:
                steps.append(step)
        made, gone = self._made_folders(steps), self._gone_folders(paths)
        self._check_folders(steps)
        return Survey(
            *(tuple(steps), tuple(self._touches), made, gone, tuple(files)),
            *(tuple(sorted(set(self._in_the_way))), tuple(self._left), tuple(self._restored)),
        )

    def _going(self, file: WrittenFile) -> PathStep | None:
        """What becomes of a file that the new version does not have."""
        self._going_on()
        found = self._look(file.path, file)
        if found is None:
            return None
        self._old_places[collision_path(file.path)] = found.place
        if found.sha256 == file.sha256:
            return PathStep(file.path, _seen(file, found), None)
        self._in_the_way.append(file.path)
        return PathStep(file.path, None, None)

    def _coming(self, number: int, wanted: ModFile) -> tuple[PathStep | None, WrittenFile]:
        """What becomes of a file of the new version, and how it is on the disk if it stays."""
        old = self._before.get(wanted.path)
        found = self._look(wanted.path, old)
        new = WrittenFile(wanted.path, wanted.size, None, wanted.executable, wanted.sha256)
        if found is None or found.place == self._old_places.get(collision_path(wanted.path)):
            # Nothing is there, or a file that goes, which has this name as well on this disk.
            if old is not None and old.sha256 == wanted.sha256:
                self._restored.append(wanted.path)
            return PathStep(wanted.path, None, new), new
        if found.sha256 == wanted.sha256:
            return None, self._staying(number, wanted, old, found)
        if old is not None and found.sha256 == old.sha256:
            return PathStep(wanted.path, _seen(old, found), new), new
        if old is not None and old.sha256 == wanted.sha256:
            self._left.append(wanted.path)
            return None, old
        if not self._is_own(wanted.path):
            self._in_the_way.append(wanted.path)
        return PathStep(wanted.path, None, new), new

    def _is_own(self, path: str) -> bool:
        """Whether this is a folder of the version before, with nothing else in it."""
        if path not in self._old_folders:
            return False
        try:
            with self._tree.entries(path) as entries:
                inner = [
                    (f"{path}/{entry.name}", entry.is_dir(follow_symlinks=False))
                    for entry in entries
                ]
        except NotADirectoryError:
            return False
        return all(
            self._is_own(one) if is_folder else one in self._before for one, is_folder in inner
        )

    def _staying(
        self, number: int, wanted: ModFile, old: WrittenFile | None, found: _Found
    ) -> WrittenFile:
        """A file that has the right bytes, perhaps with another time or permission."""
        time = wanted.modified_ns
        is_dated = time is None or (
            found.modified_ns is not None
            and found.modified_ns in (time, *(time // unit * unit for unit in _UNITS_NS))
        )
        set_executable = old is None or old.executable != wanted.executable
        if not is_dated or set_executable:
            self._touches.append(Touch(number, None if is_dated else time, set_executable))
        modified_ns = found.modified_ns if is_dated else None
        return WrittenFile(wanted.path, wanted.size, modified_ns, wanted.executable, wanted.sha256)

    def _look(self, path: str, old: WrittenFile | None) -> _Found | None:
        """What is at a path; its bytes are read where size and time are not those recorded."""
        try:
            status = self._tree.status(path)
        except BlockedWay as blocked:
            self._blocked(blocked.path)
            return None
        if status is None:
            return None
        place = (status.st_dev, status.st_ino)
        if not stat.S_ISREG(status.st_mode):
            return _Found(status.st_size, None, b"", place)
        time: int | None = status.st_mtime_ns
        if old is not None and (status.st_size, time) == (old.size, old.modified_ns):
            return _Found(status.st_size, time, old.sha256, place)
        if status.st_mtime_ns > self._now_ns - YOUNG_NS:
            time = None
        try:
            sha256 = digest(self._tree, path, self._going_on)
        except OSError as error:
            raise refused(error, f"cannot read {self._tree.root / path}") from error
        return _Found(status.st_size, time, sha256 or b"", place)

    def _blocked(self, path: str) -> None:
        """Something else than a folder is where the mod had one, or is to have one."""
        if path in self._before:
            return  # it has the name of a file that goes, and is seen there
        name, folder = self._tree.at(path)
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if not stat.S_ISREG(status.st_mode):
            raise TargetChanged(
                f"{self._tree.root / path} is a link or something else that is no folder, and no "
                "link is followed",
                advice="Put the folder back in its place; the update comes then.",
            )
        self._in_the_way.append(path)

    def _made_folders(self, steps: list[PathStep]) -> tuple[str, ...]:
        coming = (step.path for step in steps if step.new is not None)
        wanted = _folders_of(coming, self._new_empty)
        return tuple(path for path in sorted(wanted) if not self._is_folder(path))

    def _is_folder(self, path: str) -> bool:
        try:
            status = self._tree.status(path)
        except BlockedWay as blocked:
            self._blocked(blocked.path)
            return False
        if status is not None and not stat.S_ISDIR(status.st_mode):
            self._blocked(path)
        return status is not None and stat.S_ISDIR(status.st_mode)

    def _gone_folders(self, paths: set[str]) -> tuple[str, ...]:
        """Those that the version before had and this one has not, the inner ones first."""
        device = self._tree.root.stat().st_dev
        gone = sorted(self._old_folders - _folders_of(paths, self._new_empty), reverse=True)
        return tuple(path for path in gone if self._may_go(path, device))

    def _may_go(self, path: str, device: int) -> bool:
        """Whether a folder is there; one on which another disk is mounted stays."""
        try:
            status = self._tree.status(path)
        except BlockedWay:
            return False
        return status is not None and stat.S_ISDIR(status.st_mode) and status.st_dev == device

    def _check_folders(self, steps: list[PathStep]) -> None:
        """Raise DiskError where names cannot be changed, or are on a disk mounted within."""
        device = self._tree.root.stat().st_dev
        for folder in sorted({step.path.rpartition("/")[0] for step in steps}):
            try:
                status = self._tree.status(f"{folder}/." if folder else ".")
            except BlockedWay:
                continue
            if status is None:
                continue
            place = self._tree.root / folder
            if status.st_dev != device:
                raise DiskError(
                    f"{place} is on another disk than {self._tree.root}",
                    advice="Unmount what is mounted there; the update can be done then.",
                )
            if not self._tree.may_change(folder):
                raise DiskError(
                    f"cannot change {place}: this user may not do that there",
                    advice="Give this user the right to write into it.",
                )


def named(paths: tuple[str, ...], most: int = 8) -> str:
    """Some paths for a sentence."""
    told = ", ".join(map(quoted, paths[:most]))
    return told if len(paths) <= most else f"{told} and {len(paths) - most} more"


def _folders_of(paths: Iterable[str], empty_folders: Iterable[str]) -> set[str]:
    """All folders in which these files and empty folders lie, and the latter."""
    folders = {folder for path in paths for folder in folders_above(path)}
    folders.update(one for path in empty_folders for one in (*folders_above(path), path))
    return folders


def _seen(file: WrittenFile, found: _Found) -> WrittenFile:
    return file._replace(size=found.size, modified_ns=found.modified_ns)
