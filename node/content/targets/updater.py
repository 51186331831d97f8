"""Targets come from one version of their mod to another: all of it, or nothing.

1. The target is compared with what was written there and with the new version.
2. Files with other bytes are written beside it, out of the vault, and checked; all is flushed, then
   the plan. The vault records it: from here on the update is carried out or taken back, whatever
   ends this process.
3. Names change: old files leave theirs, new ones get them. What a person changed was seen in 1, or
   is seen now, and is kept. If the system refuses something, all goes back.
4. The vault records the new version; what was set aside is removed.
"""

import asyncio
import logging
import threading
from functools import partial
from pathlib import Path
from typing import Any, Final

from node.content.assemble.claims import TargetClaims
from node.content.opened_mods import OpenedMod
from node.content.progress import Progress, ReportProgress, ignore_progress
from node.content.room import RoomBook
from node.content.targets.begun import BegunUpdate, planned_in
from node.content.targets.held_open import is_held_open
from node.content.targets.outcome import ChangedFiles, TargetState, Updated
from node.content.targets.plan import Heading, UpdatePlan
from node.content.targets.preparing import HeldOpen, Preparation, real_place, room_for
from node.content.targets.staging import Staging
from node.content.targets.survey import Survey, named
from node.content.vault.stored_target import StoredTarget, WrittenTree
from node.content.vault.vault import Vault
from node.files import writing
from node.tasks import TaskOwner, in_thread
from protocol.errors import (
    DiskError,
    DownloadCancelled,
    ModswarmError,
    NotFound,
    TargetChanged,
    TargetExists,
    TargetGone,
)

_log = logging.getLogger(__name__)

_NOT_OURS: Final = "{} is no folder that modswarm wrote, so nothing is changed there"


class TargetUpdater:
    """Knows the folders that modswarm wrote, and brings them up to date. `recover` before use."""

    def __init__(
        self,
        vault: Vault,
        claims: TargetClaims,
        room: RoomBook,
        held_open: HeldOpen = is_held_open,
    ) -> None:
        self._vault = vault
        self._claims = claims
        self._room = room
        self._held_open = held_open
        self._tasks = TaskOwner("updates of targets")
        self._running: dict[asyncio.Task[Any], threading.Event] = {}
        """Each with what ends it, as long as it has not begun."""

    @property
    def defects(self) -> list[BaseException]:
        """What updates raised that is no fault of the disk or the person."""
        return self._tasks.defects

    def start(self) -> None:
        """Let `recover` begin, beside all else: a disk may be slow to answer."""
        stop = threading.Event()
        task = self._tasks.start(self.recover(stop), name="what was broken off")
        self._running[task] = stop
        task.add_done_callback(lambda ended: self._running.pop(ended, None))

    async def close(self) -> None:
        """End updates: those that have begun are carried out, the others leave all as it was."""
        for stop in self._running.values():
            stop.set()
        await asyncio.gather(*self._running, return_exceptions=True)
        await self._tasks.close()

    # What is known -----------------------------------------------------------------------

    async def wrote(self, target: Path, mod_id: bytes, tree: WrittenTree) -> None:
        """A `get` wrote all of a mod, while it holds the target.

        Where that cannot be recorded the folder is the person's as any other one.
        """
        try:
            await self._know(target, mod_id, tree)
        except DiskError as error:
            _log.warning("%s will not be brought up to date: %s", target, error)

    async def _know(self, target: Path, mod_id: bytes, tree: WrittenTree) -> None:
        stored = await self._stored(target)
        if stored is not None and stored.plan:
            found = await in_thread(partial(planned_in, self._vault, stored))
            if found is not None:
                await found[0].abandon()
        packed = await in_thread(tree.packed)
        await self._vault.record(lambda tables: tables.targets.put(target, mod_id, packed))

    async def state_of(self, target: Path) -> TargetState | None:
        """What is known of a folder; None if modswarm did not write it."""
        place = await in_thread(partial(real_place, target))
        stored = await self._stored(place)
        if stored is None:
            return None
        is_there = await in_thread(place.is_dir)
        return TargetState(place, stored.mod_id, bool(stored.plan), is_there)

    async def forget(self, target: Path) -> bool:
        """Leave a folder to the person as it is; whether it was known. Raises DiskError."""
        place = await in_thread(partial(real_place, target))
        async with self._claims.claiming(place):
            stored = await self._stored(place)
            if stored is not None:
                await self._settle(stored)
            return await self._vault.record(lambda tables: tables.targets.forget(place))

    async def _stored(self, target: Path) -> StoredTarget | None:
        return await self._vault.recall(lambda tables: tables.targets.get(target))

    # What was broken off -------------------------------------------------------------------

    async def recover(self, stop: threading.Event | None = None) -> None:
        """Finish or take back what an earlier process began; what cannot be yet is logged.

        Before any other use of a target the same is done for that one.
        """
        for stored in await self._vault.recall(lambda tables: tables.targets.every()):
            if stop is not None and stop.is_set():
                return
            try:
                if await in_thread(partial(_has_staging, stored.path)):
                    async with self._claims.claiming(stored.path):
                        await self._settle(stored)
            except (ModswarmError, OSError) as error:
                _log.warning("%s: what was broken off stays so for now: %s", stored.path, error)

    async def _settle(self, stored: StoredTarget) -> StoredTarget:
        """The target with one version, whatever was under way; raises as `carry_out`."""
        if stored.plan:
            with writing(stored.path, "update"):
                found = await in_thread(partial(planned_in, self._vault, stored))
            if found is None:
                await self._vault.record(lambda tables: tables.targets.plan(stored.path, b""))
            elif found[1] is Heading.FORWARD:
                _log.info("an update of %s is carried out that was broken off", stored.path)
                await found[0].carry_out()
            else:
                await found[0].take_back()
        else:
            with writing(stored.path, "update"):
                await in_thread(Staging(stored.path).clear)
        return await self._stored(stored.path) or stored

    # Updating ---------------------------------------------------------------------------

    async def update(
        self,
        opened: OpenedMod,
        target: Path,
        changed: ChangedFiles = ChangedFiles.KEEP,
        report: ReportProgress = ignore_progress,
    ) -> Updated:
        """Bring a target to a version that the vault has in full.

        Raises TargetExists where modswarm did not write the folder or something writes it now,
        TargetGone, TargetChanged for what a person changed (with REFUSE, or where a link has taken
        a folder's place), TargetBusy where a program holds files, DiskError, NotFound if the vault
        lacks some of the mod, ChunkMismatch if its publisher made it wrong. The target is then as
        it was. A caller that is cancelled waits until the target has one version or the other.
        """
        stop = threading.Event()
        work = self._update(opened, target, changed, report, stop)
        task = self._tasks.start(work, name=str(target))
        self._running[task] = stop
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            stop.set()
            await asyncio.wait({task})
            raise
        finally:
            del self._running[task]

    async def _update(
        self,
        opened: OpenedMod,
        target: Path,
        changed: ChangedFiles,
        report: ReportProgress,
        stop: threading.Event,
    ) -> Updated:
        place = await in_thread(partial(real_place, target))
        if await self._stored(place) is None:
            raise TargetExists(_NOT_OURS.format(place), advice="Get the mod to a new folder.")
        if not await in_thread(place.is_dir):
            raise TargetGone(f"{place} is not there any more", advice="Get the mod once more.")
        with self._vault.using(opened.manifest.mod_id):
            async with self._claims.claiming(place):
                stored = await self._stored(place)
                if stored is None:
                    raise TargetExists(_NOT_OURS.format(place))
                await self._settle(stored)
                return await self._from_known(opened, place, changed, report, stop)

    async def _from_known(
        self,
        opened: OpenedMod,
        place: Path,
        changed: ChangedFiles,
        report: ReportProgress,
        stop: threading.Event,
    ) -> Updated:
        """The target is held, and has one version."""
        contents = opened.contents
        if contents is None:
            raise NotFound("the vault does not have this mod's content key")
        packed = await self._vault.recall(lambda tables: tables.targets.packed_tree(place))
        before = await in_thread(partial(WrittenTree.of_packed, packed or b""))
        going_on = partial(_go_on, stop)
        preparation = Preparation(place, before, contents, going_on)
        try:
            survey = await in_thread(preparation.look)
            if changed is ChangedFiles.REFUSE and survey.in_the_way:
                raise _refusal(place, survey)
            await in_thread(partial(preparation.check_free, survey, self._held_open))
            if survey.is_empty:
                await in_thread(preparation.end)
                return await self._nothing_to_do(opened, place, survey)
            plan, begun, size = await self._prepare(opened, place, preparation, survey, report)
        except BaseException:
            await in_thread(preparation.end)
            raise
        kept = await begun.carry_out()
        return _updated(place, plan, survey, kept, size)

    async def _nothing_to_do(self, opened: OpenedMod, place: Path, survey: Survey) -> Updated:
        """All of the version is there; only the vault does not know that yet."""
        assert opened.contents is not None
        mod_id = opened.manifest.mod_id
        plan = survey.planned(mod_id, {}, opened.contents.empty_folders)
        packed = await in_thread(plan.tree.packed)
        await self._vault.record(lambda tables: tables.targets.put(place, mod_id, packed))
        return _updated(place, plan, survey, (), 0)

    async def _prepare(
        self,
        opened: OpenedMod,
        place: Path,
        preparation: Preparation,
        survey: Survey,
        report: ReportProgress,
    ) -> tuple[UpdatePlan, BegunUpdate, int]:
        """Write all that is new beside the target; once this returns the update has begun."""
        size = await in_thread(partial(preparation.begin, survey))
        claim = await self._room.claim_freeing(place, room_for(survey, size))
        try:
            addresses = opened.manifest.addresses
            while chunks := await in_thread(preparation.next_chunks):
                sealed = await self._vault.get_many([addresses[chunk] for chunk, _ in chunks])
                done = await in_thread(partial(preparation.write, chunks, sealed))
                claim.shrink_to(room_for(survey, size - done))
                report(Progress("files", bytes_total=size, bytes_done=done))
            mod_id = opened.manifest.mod_id
            plan, encoded = await in_thread(partial(preparation.commit, mod_id, survey))
        finally:
            claim.release()
        begun = BegunUpdate(self._vault, place, plan, encoded)
        await begun.begin()
        return plan, begun, size


def _has_staging(target: Path) -> bool:
    """Whether anything is left beside a target whose disk is there."""
    return Staging(target).root.is_dir() and target.is_dir()


def _go_on(stop: threading.Event) -> None:
    if stop.is_set():
        raise DownloadCancelled("the update was ended before it began")


def _refusal(place: Path, survey: Survey) -> TargetChanged:
    return TargetChanged(
        f"files in {place} are not as modswarm wrote them: {named(survey.in_the_way)}",
        advice="Move them away, or let the update keep them as NAME.local.",
    )


def _updated(
    place: Path, plan: UpdatePlan, survey: Survey, kept: tuple[str, ...], size: int
) -> Updated:
    written = tuple(step.path for step in plan.steps if step.new is not None)
    return Updated(
        path=place,
        mod_id=plan.mod_id,
        written=written,
        removed=tuple(step.path for step in plan.steps if step.old and not step.new),
        kept_local=kept,
        left_changed=survey.left_changed,
        restored=survey.restored,
        unchanged=len(plan.tree.files) - len(written) - len(survey.left_changed),
        bytes_written=size,
    )
