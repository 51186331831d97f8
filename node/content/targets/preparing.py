"""What comes before an update begins: to look at the target, and to write the new files beside it.

Blocking, one call at a time.
"""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from node.content.assemble.times import disk_time_ns
from node.content.targets.plan import UpdatePlan
from node.content.targets.staging import StagedFiles, Staging
from node.content.targets.survey import Survey, Surveyor, named
from node.content.targets.target_tree import TargetTree
from node.content.vault.stored_target import WrittenTree
from node.files import writing
from protocol import limits
from protocol.content import sealing
from protocol.content.manifests.contents import Contents
from protocol.errors import DiskError, NotFound, TargetBusy, TargetChanged, TargetGone

_READ_BYTES: Final = 8 * 2**20

HeldOpen = Callable[[Path], bool]


class Preparation:
    """One update of one target. `going_on` is called often, and may raise to end it."""

    def __init__(
        self, target: Path, before: WrittenTree, contents: Contents, going_on: Callable[[], None]
    ) -> None:
        self.staging = Staging(target)
        self._target = target
        self._before = before
        self._contents = contents
        self._wanted = contents.files
        self._going_on = going_on
        self._staged: StagedFiles | None = None
        self._chunks: Iterator[tuple[int, int]] = iter(())

    def look(self) -> Survey:
        """What is to be done; raises TargetGone, TargetChanged, DiskError."""
        if not self._target.is_dir():
            raise TargetGone(f"{self._target} is not there any more")
        with writing(self._target, "update"), contextlib.closing(TargetTree(self._target)) as tree:
            self.staging.begin(0, 0)
            self._check_disk()
            surveyor = Surveyor(
                *(tree, self._before, self._wanted, self._contents.empty_folders),
                self._going_on,
            )
            return surveyor.survey(disk_time_ns(self.staging.root))

    def _check_disk(self) -> None:
        """Raise DiskError where nothing can be renamed from beside the target into it."""
        if self._target.stat().st_dev != self.staging.root.stat().st_dev:
            raise DiskError(
                f"{self._target} is on another disk than the folder that it lies in: something is "
                "mounted there",
                advice="Unmount it, or get the mod to a new folder on that disk.",
            )

    def check_free(self, survey: Survey, is_held_open: HeldOpen) -> None:
        """Raise TargetBusy where another program holds files that are to be replaced."""
        going = (step.path for step in survey.steps if step.old is not None)
        busy = tuple(path for path in going if is_held_open(self._target / path))
        if busy:
            raise TargetBusy(
                f"another program uses files of {self._target}: {named(busy)}",
                advice="End that program; the update is tried again later.",
            )

    def begin(self, survey: Survey) -> int:
        """Make the staging folder; returns how many bytes will be written there."""
        with writing(self._target, "update"):
            self.staging.begin(len(survey.steps), len(survey.made_folders))
        numbers = {self._wanted[number].path: number for number in survey.wanted}
        steps = {
            numbers[step.path]: place
            for place, step in enumerate(survey.steps)
            if step.new is not None
        }
        self._staged = StagedFiles(self.staging, self._contents, dict(sorted(steps.items())))
        self._chunks = self._staged.chunks()
        return sum(self._wanted[number].size for number in steps)

    def next_chunks(self) -> list[tuple[int, int]]:
        """The chunks to be read next, each with its place; none once all are written."""
        found, size = [], 0
        for chunk, start in self._chunks:
            found.append((chunk, start))
            size += self._contents.lengths[chunk]
            if size >= _READ_BYTES:
                break
        return found

    def write(self, chunks: Sequence[tuple[int, int]], sealed: Sequence[bytes | None]) -> int:
        """Write some chunks; returns how many bytes are written so far.

        Raises NotFound for one that is missing, ChunkMismatch, DiskError.
        """
        assert self._staged is not None
        contents = self._contents
        with writing(self._target, "update"):
            for (chunk, start), data in zip(chunks, sealed, strict=True):
                self._going_on()
                if data is None:
                    raise NotFound("the vault lacks a part of this mod; get it again")
                key, length = contents.keys[chunk], contents.lengths[chunk]
                self._staged.write(start, sealing.open_chunk(key, data, length))
        return self._staged.bytes_written

    def commit(self, mod_id: bytes, survey: Survey) -> tuple[UpdatePlan, bytes]:
        """Flush all that is written and the plan, and return that; raises DiskError."""
        assert self._staged is not None
        self._going_on()
        with writing(self._target, "update"):
            made = self._staged.finish()
            plan = survey.planned(mod_id, made, self._contents.empty_folders)
            encoded = plan.encode()
            new = [place for place, step in enumerate(plan.steps) if step.new is not None]
            self.staging.commit(encoded, new)
        return plan, encoded

    def end(self) -> None:
        """Remove what was prepared and did not begin; never fails."""
        if self._staged is not None:
            self._staged.close()
        with contextlib.suppress(OSError):
            self.staging.clear()


def room_for(survey: Survey, size: int) -> int:
    """The bytes of the disk that an update takes, amply, until it is done."""
    return size + limits.DISK_ENTRY_BYTES * (len(survey.steps) + len(survey.made_folders))


def real_place(target: Path) -> Path:
    """The real path of a target; raises TargetChanged where a link has taken its place, DiskError
    where the system has no such path.
    """
    place = Path(os.path.abspath(target))  # noqa: PTH100 (resolve would follow links)
    with writing(target):
        real = Path(os.path.realpath(place))
        is_link = place.is_symlink()
    if is_link:
        raise TargetChanged(
            f"{place} is a link, and no link is followed",
            advice=f"Name the folder itself: {real}.",
        )
    return real
