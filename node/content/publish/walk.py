"""The files of a folder that become a mod, without leaving the folder.

Symbolic links are followed as long as they stay inside the folder and do not lead in a circle. All
else that is not a plain file or a folder is refused rather than left out, so that a mod is all of
the folder but for what a person's rules leave out (`leaving_out`). All that stands in the way is
told at once; what a walk looks at is bounded by its number.
"""

import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from node.content.homes import HOME_NAMES, HomeGuard, looks_like_home
from node.content.publish import refusals
from node.content.publish.leaving_out import LeavingOut, option_for
from node.content.publish.problems import Problems
from node.content.publish.reading import FoundFile, changed, found_file
from node.disk.descent import Descent
from node.machine.refusals import reason_of, refused
from protocol import limits
from protocol.content import file_paths
from protocol.content.file_paths import Tree, quoted
from protocol.errors import BadFolder, UnsafePath

_IN_PARTS = "share it in parts, or leave some out with --exclude"


@dataclass(frozen=True, slots=True)
class FoundFolder:
    """What a walk found: the real folder that the files are in, and all by file path."""

    root: Path
    files: list[FoundFile]
    empty_folders: tuple[str, ...] = ()
    """Paths of folders without any file or folder that is not left out."""

    def changed_at(self) -> float:
        """When the file that was changed last was; seconds since 1970."""
        return max(file.changed_at for file in self.files)

    def check_same(self, later: "FoundFolder") -> None:
        """Raise BadFolder if a later walk of the same folder found anything else."""
        if self == later:
            return
        before, after = set(self.files), set(later.files)
        paths = {file.path for file in before ^ after}
        paths |= {f"{path}/" for path in {*self.empty_folders} ^ {*later.empty_folders}}
        if paths:
            raise changed(min(paths))


def walk(root: Path, guard: HomeGuard, rules: LeavingOut | None = None) -> FoundFolder:
    """The files under `root`, or `root` itself if it is a file.

    Raises BadFolder, and UnsafePath for what other systems could not hold, and for homes.
    """
    rules = rules or LeavingOut()
    name = name_of(root)
    try:
        root = Path(os.path.realpath(root, strict=True))
        folder = root if root.is_dir() else root.parent
        with Descent(folder) as descent:
            if folder == root:
                rules.enter("", descent, "")
            refusals.check_root(root, guard, rules)
            if folder == root:
                found = _Walk(descent, guard.places(), rules).run()
            else:
                found = FoundFolder(folder, _single(name, root.name, descent, rules))
    except OSError as error:
        place = getattr(error, "filename", None) or root
        raise refused(error, f"cannot read {place}", BadFolder) from error
    if not found.files:
        why = ": all that it has is left out" if rules.count else ""
        raise BadFolder(f"{root} has no files{why}")
    _check_size(root, found.files)
    return found


def _single(name: str, source: str, descent: Descent, rules: LeavingOut) -> list[FoundFile]:
    path = file_paths.check_path(name)
    is_left_out = rules.leave_out(path, is_folder=False)
    return [] if is_left_out else [found_file(path, descent, source)]


def _check_size(root: Path, files: list[FoundFile]) -> None:
    """Raise BadFolder where sizes tell that this is no mod, before a byte is read."""
    size = sum(file.size for file in files)
    stored = sum({file.place: file.stored_bytes for file in files}.values())
    if size > limits.SHARE_BYTES:
        why = f"has {_gib(size)}, and a mod has {_gib(limits.SHARE_BYTES)} at most"
    elif stored > limits.SHARE_STORED_BYTES:
        why = f"takes {_gib(stored)} of the disk, and a mod has about 70 GiB where nothing repeats"
    else:
        return
    largest = max(files, key=lambda file: file.size)
    raise BadFolder(
        f"{root} {why}; its largest file is {quoted(largest.path)} with "
        f"{largest.size / 2**30:.1f} GiB: {_IN_PARTS}"
    )


def _gib(size: int) -> str:
    return f"{size / 2**30:.0f} GiB"


def name_of(root: Path) -> str:
    """The name of a folder or file, also if `root` is `.` or a symbolic link; raises BadFolder."""
    name = root.resolve().name if root.name in {"", ".."} else root.name
    if not name:
        raise BadFolder(f"{root} is all of a disk: name the folder that is to be shared")
    return name


@dataclass(frozen=True, slots=True)
class _Folder:
    """A folder on the way: its path in the mod with a slash behind, and where it is."""

    prefix: str
    real: str
    """Its real path below the root."""
    ancestors: tuple[str, ...]
    """The real paths of itself and the folders that it lies in, to notice circles."""
    good: bool
    """Whether all names on the way are good, so that what else is wrong with a path is its own."""


class _Entry(NamedTuple):
    """What is in a folder."""

    name: str
    is_folder: bool
    is_link: bool


class _Walk:
    """Visits a tree, folder by folder."""

    def __init__(
        self, descent: Descent, kept: frozenset[tuple[int, int]], rules: LeavingOut
    ) -> None:
        self._root = descent.root
        self._descent = descent
        self._kept = kept
        self._rules = rules
        self._problems = Problems()
        self._files: list[FoundFile] = []
        self._empty: list[str] = []
        self._looked_at = 0
        self._found = 0
        self._links = 0
        self._targets: dict[str, str] = {}
        """By the real path of a link: a folder may be visited by many ways."""
        self._waiting = [_Folder("", "", ("",), good=True)]

    def run(self) -> FoundFolder:
        """The files, by path; raises what stands in their way."""
        while self._waiting:
            folders = self._visit(self._waiting.pop())
            self._waiting += reversed(list(folders))
        files = sorted(self._files, key=lambda file: file.path)
        empty = tuple(sorted(self._empty))
        self._check_together(files, empty)
        self._problems.check(str(self._root))
        return FoundFolder(self._root, files, empty)

    def _check_together(self, files: list[FoundFile], empty: tuple[str, ...]) -> None:
        """Look at what no path shows alone: names that some system takes for the same."""
        tree = Tree()
        for add, paths in (
            (tree.add, (file.path for file in files)),
            (tree.add_empty_folder, reversed(empty)),
        ):
            for path in paths:
                try:
                    add(path)
                except UnsafePath as error:
                    self._problems.add(str(error))

    def _visit(self, folder: _Folder) -> Iterator[_Folder]:
        """Take the files of a folder; the folders in it."""
        marks: set[str] = set()
        try:
            self._rules.enter(folder.prefix, self._descent, folder.real)
            entries = self._entries(folder, marks)
            status = self._descent.status(folder.real)
        except OSError as error:
            shown = quoted(folder.prefix) if folder.prefix else str(self._root)
            reason = reason_of(error)
            self._problems.add(f"{shown} cannot be read: {reason}", BadFolder)
            return
        if (status.st_dev, status.st_ino) in self._kept or looks_like_home(
            self._root / folder.real, marks.__contains__
        ):
            self._problems.add(refusals.home_within(folder.prefix.rstrip("/")))
            return
        if not entries and folder.prefix and folder.good:
            self._empty.append(folder.prefix.rstrip("/"))
        for entry in entries:
            try:
                inner = self._look(folder, entry)
            except (UnsafePath, BadFolder) as error:
                self._problems.add(str(error), type(error))
            except OSError as error:
                path = quoted(folder.prefix + entry.name)
                self._problems.add(f"{path} cannot be read: {reason_of(error)}", BadFolder)
            else:
                if inner is not None:
                    yield inner
            self._check_bounds()

    def _check_bounds(self) -> None:
        if self._found > limits.MANIFEST_FILES:
            self._stop(f"has more than {limits.MANIFEST_FILES} files")
        if self._links > limits.WALK_LINKS:
            self._stop(f"has links to folders that lead to more than {limits.WALK_LINKS} ones")

    def _entries(self, folder: _Folder, marks: set[str]) -> list[_Entry]:
        """What is in a folder and not left out, by name.

        Adds to `marks` the names that homes have, left out or not.
        """
        found, files = [], self._found
        with self._descent.entries(folder.real) as entries:
            for entry in entries:
                self._looked_at += 1
                if self._looked_at > limits.WALK_ENTRIES:
                    self._stop(f"has more than {limits.WALK_ENTRIES} files and folders")
                if entry.name.casefold() in HOME_NAMES:
                    marks.add(entry.name.casefold())
                is_folder = _is_folder(entry)
                if not self._rules.leave_out(folder.prefix + entry.name, is_folder=is_folder):
                    found.append(_Entry(entry.name, is_folder, entry.is_symlink()))
                    files += not is_folder
                if files > limits.MANIFEST_FILES:
                    self._stop(f"has more than {limits.MANIFEST_FILES} files")
        return sorted(found)

    def _stop(self, what: str) -> None:
        raise BadFolder(f"{self._root} {what}, more than one mod may: {_IN_PARTS}")

    def _look(self, folder: _Folder, entry: _Entry) -> _Folder | None:
        """Take a file, or give the folder to visit. Raises UnsafePath, BadFolder, OSError."""
        path, is_folder = folder.prefix + entry.name, entry.is_folder
        real = f"{folder.real}/{entry.name}" if folder.real else entry.name
        good = self._has_good_name(path) and folder.good
        reason = refusals.reason_against(entry.name, is_folder=is_folder)
        if reason:
            raise UnsafePath(
                f"{quoted(path + '/' * is_folder)} {reason}; leave it out with {option_for(path)}"
            )
        # On Windows a junction leads elsewhere but appears as a plain folder.
        if entry.is_link or (is_folder and os.name == "nt"):
            real = self._target(path, real, folder.ancestors)
            is_folder = (self._root / real).is_dir()
            self._links += is_folder and entry.is_link
        if is_folder:
            if len(path.encode(errors="replace")) > limits.FILE_PATH_BYTES:
                return None
            return _Folder(path + "/", real, (*folder.ancestors, real), good)
        self._take(found_file(path, self._descent, path if path == real else real), good)
        return None

    def _take(self, file: FoundFile, good: bool) -> None:
        self._found += 1
        if file.place in self._kept:
            raise UnsafePath(f"{quoted(file.path)} is a file of a node's home")
        if good:
            self._files.append(file)

    def _has_good_name(self, path: str) -> bool:
        try:
            file_paths.check_last_name(path)
        except UnsafePath as error:
            self._problems.add(str(error))
            return False
        return True

    def _target(self, path: str, place: str, ancestors: tuple[str, ...]) -> str:
        """Where the link at a place below the root leads, if a mod may follow it."""
        known = self._targets.get(place)
        target = self._root / known if known is not None else self._resolved(path, place)
        if not target.is_relative_to(self._root):
            raise UnsafePath(
                f"{quoted(path)} is a link that leads out of the folder, to {quoted(str(target))}"
            )
        relative = target.relative_to(self._root).as_posix()
        real = "" if relative == "." else relative
        if real in ancestors:
            raise UnsafePath(f"{quoted(path)} is a link that leads in a circle")
        self._targets[place] = real
        return real

    def _resolved(self, path: str, place: str) -> Path:
        link = self._root / place
        try:
            return Path(os.path.realpath(link, strict=True))
        except OSError as error:
            if not link.is_symlink():
                raise
            where = f"{quoted(path)} is a link to {quoted(str(link.readlink()))}"
            if isinstance(error, FileNotFoundError | NotADirectoryError):
                raise BadFolder(f"{where}, which is not there") from None
            if error.errno == errno.ELOOP:
                raise UnsafePath(f"{where}, which leads in a circle") from None
            raise BadFolder(f"{where}, which cannot be read: {reason_of(error)}") from None


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False  # a link in a circle
