"""An update that has begun: old files leave their names, new ones get them; or all of it back.

Every file is renamed and none is overwritten, so no byte is ever gone that was not seen to be the
mod's own. What is done shows by the names that are there: a step whose new file waits in the
staging folder is not done. So whatever breaks it off, the same call goes on from there, either way.

Blocking.
"""

import contextlib
import errno
import logging
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final

from node.content.assemble.times import set_time
from node.content.targets.plan import PathStep, Touch, UpdatePlan
from node.content.targets.staging import Staging, new_name, old_name
from node.content.targets.survey import is_same
from node.content.targets.target_tree import BlockedWay, TargetTree, folders_above
from node.content.vault.stored_target import WrittenFile
from node.disk.flushing import MANY
from node.disk.reserve import is_full
from protocol import limits
from protocol.content.file_paths import collision_path

_log = logging.getLogger(__name__)

_TRIES: Final = 16
"""Something may take a name again while it is freed; not for ever."""
_NAMES_TRIED: Final = 10_000
_NO_EMPTY_FOLDER: Final = {errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT, errno.ENOTDIR}
_EXECUTABLE: Final = stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH


class Swap:
    """One update, between a target and its staging folder. `close` it."""

    def __init__(self, target: TargetTree, staging: Staging, plan: UpdatePlan) -> None:
        self._target = target
        self._staging = staging
        self._waiting = TargetTree(staging.root)
        self._plan = plan
        self._new_folders = {
            folder for file in plan.tree.files for folder in folders_above(file.path)
        }
        self._new_names = {
            collision_path(step.path): number
            for number, step in enumerate(plan.steps)
            if step.new is not None
        }
        self._kept: list[tuple[str, str]] = []
        """The names that what was the person's own was given, and had before, as it came."""

    @property
    def kept_local(self) -> tuple[str, ...]:
        """The names that what is the person's own has now."""
        later = {path: (place, local) for place, (local, path) in enumerate(self._kept)}
        names = []
        for place, (name, _) in enumerate(self._kept):
            for folder in folders_above(name):
                moved, local = later.get(folder, (-1, ""))
                if moved > place:
                    name = f"{local}{name[len(folder) :]}"
            names.append(name)
        return tuple(sorted(names))

    def close(self) -> None:
        """Forget the folders that are open."""
        self._target.close()
        self._waiting.close()

    # To the new version ---------------------------------------------------------------------

    def forward(self) -> None:
        """Let the target have the new version; raises OSError where the system refuses.

        All of it is flushed then. Old files wait in the staging folder until `clear`.
        """
        steps = self._plan.steps
        for number, step in enumerate(steps):
            if step.new is None:
                self._with_room(partial(self._take_away, number, step))
        for folder in self._plan.gone_folders:
            self._remove_folder(folder)
        for folder in self._plan.made_folders:
            self._with_room(partial(self._make_folder, folder))
        self._flush_folders(_with_those_above(self._plan.made_folders))
        for number, step in enumerate(steps):
            if step.new is not None:
                self._with_room(partial(self._put, number, step))
        for touch in self._plan.touches:
            self._touch(touch)
        self._flush()

    def _take_away(self, number: int, step: PathStep) -> None:
        for _ in range(_TRIES):
            status = self._status(step.path)
            if status is None or (step.old and self._waiting.has(old_name(number))):
                return
            if stat.S_ISDIR(status.st_mode) and step.path in self._new_folders:
                return  # it is one of the new version, which was made before this was broken off
            if step.old is None and self._is_new_one(step.path, status):
                return  # a file of the new version, whose name this disk takes for the same
            if step.old is None:
                self._keep_local(self._target, step.path, step.path)
            else:
                self._set_aside(number, step)
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), step.path)

    def _is_new_one(self, path: str, status: os.stat_result) -> bool:
        """Whether this has its name from a step that was done before this was broken off."""
        number = self._new_names.get(collision_path(path))
        if number is None or self._waiting.has(new_name(number)):
            return False
        other = self._status(self._plan.steps[number].path)
        return other is not None and os.path.samestat(other, status)

    def _set_aside(self, number: int, step: PathStep) -> None:
        """Let a file lose its name; if it is another one than was seen, that is the person's."""
        assert step.old is not None
        name = old_name(number)
        self._target.move(step.path, self._waiting, name)
        if not self._is(self._waiting, name, step.old):
            self._keep_local(self._waiting, name, step.path)

    def _put(self, number: int, step: PathStep) -> None:
        name = new_name(number)
        for _ in range(_TRIES):
            waiting = self._waiting.status(name)
            if waiting is None:
                return
            try:
                status = self._target.status(step.path)
                if status is None:
                    self._waiting.move_new(name, self._target, step.path)
                elif os.path.samestat(status, waiting) and status.st_ino:
                    self._waiting.remove(name)  # it got its name as a second one
                elif step.old is None or self._waiting.has(old_name(number)):
                    self._keep_local(self._target, step.path, step.path)
                else:
                    self._set_aside(number, step)
            except FileExistsError:
                continue
            except (FileNotFoundError, BlockedWay):
                self._make_way(step.path)
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), step.path)

    def _touch(self, touch: Touch) -> None:
        """Set time and permission of a file that stays, if it is still that file."""
        file = self._plan.tree.files[touch.number]
        with contextlib.suppress(OSError):
            descriptor = self._target.open(file.path)
            try:
                status = os.fstat(descriptor)
                if not stat.S_ISREG(status.st_mode) or status.st_size != file.size:
                    return
                if touch.modified_ns is not None:
                    by_path = self._target.root / file.path
                    is_open_enough = os.utime in os.supports_fd
                    set_time(descriptor if is_open_enough else by_path, touch.modified_ns)
                if touch.set_executable and hasattr(os, "fchmod"):
                    os.fchmod(descriptor, _mode(status.st_mode, file.executable))
            finally:
                os.close(descriptor)

    # To the version before --------------------------------------------------------------------

    def back(self) -> None:
        """Let the target have the version that was there before; raises OSError.

        What was the person's own gets its name back, where this process took it.
        """
        for number, step in reversed(list(enumerate(self._plan.steps))):
            if step.new is not None:
                self._take_back(number, step, step.new)
        for folder in reversed(self._plan.made_folders):
            self._remove_folder(folder)
        for folder in reversed(self._plan.gone_folders):
            self._make_folder(folder)
        self._flush_folders(_with_those_above(self._plan.gone_folders))
        for number, step in reversed(list(enumerate(self._plan.steps))):
            if step.old is not None and self._waiting.has(old_name(number)):
                self._give_back(old_name(number), step.path)
        while self._kept:
            local, path = self._kept.pop()
            with contextlib.suppress(OSError):
                self._target.move_new(local, self._target, path)
        self._flush()

    def _take_back(self, number: int, step: PathStep, new: WrittenFile) -> None:
        name = new_name(number)
        if self._waiting.has(name) or self._status(step.path) is None:
            return
        if self._is(self._target, step.path, new):
            self._target.move(step.path, self._waiting, name)
        else:
            self._keep_local(self._target, step.path, step.path)

    def _give_back(self, name: str, path: str) -> None:
        for _ in range(_TRIES):
            try:
                self._waiting.move_new(name, self._target, path)
            except FileExistsError:
                self._keep_local(self._target, path, path)
            except (FileNotFoundError, BlockedWay):
                self._make_way(path)
            else:
                return
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), path)

    # Afterwards ---------------------------------------------------------------------------

    def clear(self) -> None:
        """Remove the staging folder; what became the person's own meanwhile is kept first.

        That may be a new file as well: one that had its name, was opened there and then taken back.
        """
        for number, step in enumerate(self._plan.steps):
            if step.old is not None:
                self._discard(old_name(number), step.old, step.path)
        for number, step in enumerate(self._plan.steps):
            if step.new is not None:
                self._discard(new_name(number), step.new, step.path)
        self.close()
        self._staging.clear()

    def _discard(self, name: str, file: WrittenFile, path: str) -> None:
        if not self._waiting.has(name):
            return
        if self._is(self._waiting, name, file):
            self._waiting.remove(name)
        else:
            self._keep_local(self._waiting, name, path)

    # What both need -----------------------------------------------------------------------

    def _with_room(self, call: Callable[[], None]) -> None:
        """Once more with the room that was kept, where the disk has none left for a name."""
        try:
            call()
        except OSError as error:
            if not is_full(error) or not self._staging.give_up_room():
                raise
            call()

    def _status(self, path: str) -> os.stat_result | None:
        try:
            return self._target.status(path)
        except BlockedWay:
            return None

    def _is(self, tree: TargetTree, path: str, file: WrittenFile) -> bool:
        status = tree.status(path)
        return status is not None and is_same(tree, path, status, file)

    def _keep_local(self, tree: TargetTree, path: str, target_path: str) -> None:
        """Give what is the person's own a name of its own, beside that of the mod's file."""
        for local in _local_names(target_path):
            try:
                tree.move_new(path, self._target, local)
            except FileExistsError:
                continue
            except (FileNotFoundError, BlockedWay):
                if not tree.has(path):
                    return  # the person took it away
                self._make_way(local)
                tree.move_new(path, self._target, local)
            self._kept.append((local, target_path))
            self._target.close()  # one of the folders that were open may have another name now
            # Its new name is on the disk before the old one is another file's.
            self._target.flush_folder(target_path.rpartition("/")[0])
            _log.warning("%s: what was %r is %r now", self._target.root, target_path, local)
            return
        raise OSError(errno.EEXIST, os.strerror(errno.EEXIST), target_path)

    def _make_way(self, path: str) -> None:
        """Make the folders above a path."""
        self._target.close()
        at = path.find("/")
        while at >= 0:
            self._make_folder(path[:at])
            self._target.flush_folder(path[:at].rpartition("/")[0])
            at = path.find("/", at + 1)

    def _make_folder(self, path: str) -> None:
        for _ in range(_TRIES):
            try:
                self._target.make_folder(path)
            except FileExistsError:
                status = self._target.status(path)
                if status is not None and stat.S_ISDIR(status.st_mode):
                    return
                self._keep_local(self._target, path, path)
            except (FileNotFoundError, BlockedWay):
                above = path.rpartition("/")[0]
                if not above:
                    raise
                self._make_folder(above)
                self._target.flush_folder(above.rpartition("/")[0])
            else:
                return
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), path)

    def _remove_folder(self, path: str) -> None:
        """Remove a folder, unless something lies in it that is not the mod's."""
        try:
            self._target.remove_folder(path)
        except OSError as error:
            if error.errno not in _NO_EMPTY_FOLDER:
                raise

    def _flush(self) -> None:
        folders = {step.path.rpartition("/")[0] for step in self._plan.steps}
        folders |= _with_those_above((*self._plan.made_folders, *self._plan.gone_folders))
        if not self._flush_folders(folders):
            self._staging.flush_folders()

    def _flush_folders(self, folders: set[str]) -> bool:
        """Flush the names in these folders, or all of the disk, and say which."""
        self._target.close()
        if len(folders) > MANY and self._staging.flush_disk():
            return True
        for folder in sorted(folders):
            self._target.flush_folder(folder)
        return False


def _with_those_above(folders: Sequence[str]) -> set[str]:
    return {*folders, *(path.rpartition("/")[0] for path in folders)}


def _local_names(path: str) -> Iterator[str]:
    """NAME.local, then NAME.local-2 and so on; a name that gets too long loses its end."""
    folder, slash, name = path.rpartition("/")
    for number in range(1, _NAMES_TRIED):
        ending = ".local" if number == 1 else f".local-{number}"
        stem = name.encode()[: limits.NAME_BYTES - len(ending)].decode(errors="ignore")
        yield f"{folder}{slash}{stem}{ending}"


def _mode(mode: int, executable: bool) -> int:
    """A file's permissions with or without that to execute it, for those who may read it."""
    if not executable:
        return stat.S_IMODE(mode) & ~_EXECUTABLE
    return stat.S_IMODE(mode) | (mode & 0o444) >> 2
