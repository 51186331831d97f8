"""One lineage that is followed: its newest version comes into the vault, and into its target."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from dataclasses import replace

from node.answers.follows import FollowStatus, FollowView
from node.content.download.bounds import SizeBound
from node.content.progress import Progress
from node.content.targets.outcome import ChangedFiles, Updated
from node.content.vault.stored_follow import StoredFollow
from node.following.chain import Version
from node.following.follow_parts import FollowParts, keep_newest
from node.following.retrying import Retrying, grown_s
from node.following.standing import said_of, status_after, why_asked
from node.following.turns import LookUpTimes
from protocol import limits
from protocol.content.lineage.history import body_of
from protocol.content.link import LineageLink
from protocol.content.manifests.contents import VersionKeys
from protocol.errors import (
    BadInput,
    DiskError,
    DownloadCancelled,
    ModswarmError,
    NetworkError,
    TargetChanged,
    TargetExists,
    TargetGone,
)
from protocol.records import Record

_log = logging.getLogger(__name__)

_UNAGREED = SizeBound(max_bytes=limits.MOD_BYTES, agreed=True)
"""The follower asks by itself for what is too large."""

_OVERTAKEN_IN = frozenset({"finding", "manifest", "waiting"})
"""Stages of a download in which nothing comes, so that a newer version is better."""

_PUT_BACK = "Put it back, or end this with `modswarm unfollow` and follow it anew."


class Follower:
    """`run` it; `hurry` when there is news. Its target is changed by nothing else meanwhile."""

    def __init__(self, follow: StoredFollow, parts: FollowParts) -> None:
        self.follow = follow
        self._parts = parts
        self._news = asyncio.Event()
        self._working = asyncio.Lock()
        self._scope: asyncio.Timeout | None = None
        """That of what is done now, which ends with it."""
        self._taking: bytes | None = None
        """The version that is taken now without a person's word."""
        self._polls = False
        self._look_up_times = LookUpTimes(parts.environment.rng)
        self._has_ended = False
        self._retrying = Retrying()
        self._asked: Version | None = None
        """The version that waits for a person's yes."""
        self._status = FollowStatus.WAITING
        self._message = ""
        self._failure = ""
        """What was logged last: what fails the same way again is not."""
        self._progress = Progress("finding")
        self._now = asyncio.get_running_loop().time

    @property
    def link(self) -> LineageLink:
        """That of the lineage."""
        follow = self.follow
        return LineageLink(follow.lineage_key, follow.reading_key, follow.hints, follow.origins)

    def hurry(self, *, has_fellows: bool) -> None:
        """There is something new about the lineage. `has_fellows`: a linked peer follows it too."""
        self._news.set()
        mod_id = None if self._newest is None else body_of(self._newest).mod_id
        if mod_id is not None and not self._polls:
            self._look_up_times.told(mod_id, has_fellows=has_fellows)
        is_overtaken = mod_id is not None and mod_id != self._taking
        if self._taking is not None and is_overtaken and self._progress.stage in _OVERTAKEN_IN:
            self._break_off()

    @property
    def _newest(self) -> Record | None:
        return self._parts.heard.newest(self.follow.lineage_key)

    def view(self) -> FollowView:
        """How it is."""
        follow, newest, heard = self.follow, self._newest, self._parts.heard
        asked = self._asked if self._status is FollowStatus.ASKS else None
        return FollowView(
            lineage=follow.lineage_key,
            name=follow.name,
            path=str(follow.target),
            version=follow.version,
            newest=0 if newest is None else body_of(newest).version,
            status=self._status,
            message=self._message,
            waiting_version=0 if asked is None else asked.number,
            expired=heard.is_expired(follow.lineage_key, self._parts.wall()),
            forked=heard.is_forked(follow.lineage_key),
        )

    async def run(self, poll_in_s: float) -> None:
        """Keep the target current, until cancelled. The first poll is so late."""
        await self._parts.join_outcome()  # before that a poll asks no node
        rng, poll_at, failed = self._parts.environment.rng, self._now() + poll_in_s, 0
        while True:
            if self._now() >= poll_at:
                failed = 0 if await self._poll() else failed + 1
                pause_s = limits.FOLLOW_POLL_S
                if failed:
                    pause_s = grown_s(limits.FOLLOW_AGAIN_S, failed, pause_s)
                poll_at = self._now() + pause_s * (0.8 + 0.2 * rng.random())
                await self._tidy_if_it_can_be()
            await self._come_up_to_date()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(min(poll_at, self._retry_at())):
                    await self._news.wait()
            self._news.clear()

    def _retry_at(self) -> float:
        newest = self._newest
        wait_s = 0.0
        if newest is not None:
            wait_s = self._retrying.wait_s(body_of(newest).mod_id, self._now())
        return self._now() + (wait_s or limits.FOLLOW_POLL_S)

    async def _poll(self) -> bool:
        """Ask for what is newest, in its turn; whether other nodes answered."""
        try:
            async with self._parts.turns.poll():
                self._polls = True
                await self._parts.reader.poll(self.follow.lineage_key)
        except NetworkError as error:
            _log.info("news of %s could not be asked for: %s", self.follow.name, error)
            return False
        finally:
            self._polls = False
        return True

    @contextlib.asynccontextmanager
    async def _work(self) -> AsyncIterator[None]:
        """One thing at a time; raises DownloadCancelled where it is broken off."""
        async with self._working:
            if self._has_ended:
                raise DownloadCancelled("this mod is followed no more")
            try:
                async with asyncio.timeout(None) as self._scope:
                    yield
            except TimeoutError:
                if self._scope is None or not self._scope.expired():
                    raise
                raise DownloadCancelled("the update was broken off") from None
            finally:
                self._scope = self._taking = None

    def _break_off(self) -> None:
        if self._scope is not None and not self._scope.expired():
            self._scope.reschedule(self._now())

    async def end(self) -> None:
        """Break off what is done and do nothing more; the target has one version then."""
        self._has_ended = True
        self._break_off()
        async with self._working:
            pass

    # The newest version -------------------------------------------------------------------

    async def _come_up_to_date(self) -> None:
        """Bring the target to the newest version that is known, if it may, in its turn."""
        if await self._is_to_be_taken():
            async with self._parts.turns.update():
                await self._is_to_be_taken(takes=True)

    async def _is_to_be_taken(self, *, takes: bool = False) -> bool:
        """Whether there is a newer version that the target may have now; `takes`: it gets it."""
        newest, has_tried = self._newest, False
        mod_id = b"" if newest is None else body_of(newest).mod_id
        try:
            async with self._work():
                await self._look_at_target(mod_id)
                if newest is None or self._is_settled(newest):
                    return False
                if not takes:
                    return True
                has_tried, self._taking = True, mod_id
                await self._take(newest)
            self._retrying.forget()
        except ModswarmError as error:
            if has_tried:
                self._retrying.failed(mod_id, self._now())
            self._tell(status_after(error), said_of(error))
        return False

    async def _look_at_target(self, newest: bytes) -> None:
        """Find out which version the target has: an update of it may have been broken off.

        Raises TargetGone, TargetExists where it is not of this lineage any more, DiskError.
        """
        follow, vault = self.follow, self._parts.vault
        try:
            state = await self._parts.targets.state_of(follow.target)
        except TargetChanged as error:
            raise TargetGone(str(error), advice=_PUT_BACK) from None
        if state is None:
            raise TargetExists(f"{follow.target} is not the folder any more that modswarm wrote")
        if not state.is_there:
            raise TargetGone(f"the folder {follow.target} is not there any more", advice=_PUT_BACK)
        if state.mod_id in (follow.mod_id, newest):
            return
        mod = await vault.mod(state.mod_id)
        if mod is None or not mod.is_version_of(follow.lineage_key):
            raise TargetExists(f"{follow.target} has another mod by now")
        size = mod.bytes + limits.DISK_ENTRY_BYTES * mod.files
        await self._change(mod_id=mod.mod_id, version=mod.version, disk_bytes=size)

    def _is_settled(self, newest: Record) -> bool:
        """Whether nothing is to be done about the newest record for now, and why."""
        follow, body = self.follow, body_of(newest)
        if follow.is_held:
            self._tell(FollowStatus.HELD, f"stays at version {follow.version}")
        elif body.mod_id == follow.mod_id:
            self._retrying.forget()
            self._tell(FollowStatus.CURRENT)
        elif body.version < follow.version:
            self._tell(
                FollowStatus.FAILED,
                f"its publisher now names version {body.version} the newest, which is older than "
                "the one that is there",
            )
        elif self._asks_already(body.mod_id):
            pass
        elif not self._retrying.wait_s(body.mod_id, self._now()):
            return False
        return True

    def _asks_already(self, mod_id: bytes) -> bool:
        asked = self._asked
        is_asked = asked is not None and asked.link.mod_id == mod_id
        return is_asked and self._status is FollowStatus.ASKS and self.follow.allowed != mod_id

    async def _take(self, record: Record) -> None:
        self._progress = Progress("finding")
        self._tell(FollowStatus.UPDATING)
        look_up = self._look_up_times.of(body_of(record).mod_id)
        version = await self._parts.chain.open_named(self.link, record, look_up)
        if not self._asks(version):
            await self.bring(version, record.raw, is_held=False)

    def _asks(self, version: Version) -> bool:
        """Whether a version waits for a person's yes from now on."""
        why = why_asked(self.follow, version)
        if why:
            self._asked = version
            self._tell(FollowStatus.ASKS, why)
        return bool(why)

    async def bring(self, version: Version, record: bytes | None, *, is_held: bool) -> Updated:
        """Fetch a version and bring the target to it; raises as `get` and `update`."""
        contents = version.opened.contents
        assert contents is not None
        name = contents.name
        link, look_up = version.link, self._look_up_times.of(version.link.mod_id)
        opened = await self._parts.fetching.fetch(
            *(link, self._report, _UNAGREED, version.origins, look_up)
        )
        # The record first: a node that is killed once the target is new must know of what.
        await self._put(record)
        changed = ChangedFiles.REFUSE if self.follow.refuses else ChangedFiles.KEEP
        updated = await self._parts.targets.update(
            opened, self.follow.target, changed, self._report
        )
        self.follow = replace(
            self.follow,
            mod_id=version.link.mod_id,
            version=version.number,
            name=name,
            disk_bytes=contents.disk_bytes,
            is_held=is_held,
            allowed=b"",
        )
        try:
            await self._put(record)
        except DiskError as error:  # no loss: the next look at the target tells it
            _log.warning(
                "version %d of %s is not written down yet: %s", version.number, name, error
            )
        self._tell(FollowStatus.HELD if is_held else FollowStatus.CURRENT)
        await self._tidy_if_it_can_be()
        return updated

    async def _tidy_if_it_can_be(self) -> None:
        try:
            await keep_newest(self._parts, self.follow)
        except ModswarmError as error:
            _log.warning("older versions of %s stay in the vault: %s", self.follow.name, error)

    # What a person says -------------------------------------------------------------------

    async def agree(self) -> None:
        """Take the version that waits, whatever its size. Raises BadInput, DiskError."""
        if self._asked is None or self._status is not FollowStatus.ASKS:
            raise BadInput("no version waits for a yes")
        await self._say(allowed=self._asked.link.mod_id)

    async def resume(self) -> None:
        """Follow the newest version again after `back`. Raises DiskError."""
        await self._say(is_held=False)

    async def _say(self, **changes: object) -> None:
        await self._change(**changes)
        self._retrying.forget()
        self._look_up_times.come()
        self._news.set()

    async def back(self) -> Updated | None:
        """Bring the target to the version before, where it stays; None if there is no such one.

        Raises as `bring`.
        """
        async with self._work():
            older = await self._older()
            if older is None:
                return None
            was_held = self.follow.is_held
            # First, as a node that is killed once the target is back must not go forward again.
            await self._change(is_held=True)
            try:
                return await self.bring(older, None, is_held=True)
            except BaseException:
                state = await self._parts.targets.state_of(self.follow.target)
                if state is None or state.mod_id != older.link.mod_id:
                    await self._change(is_held=was_held)
                raise

    async def _older(self) -> Version | None:
        """The version before that of the target; raises as `get`.

        It is the one that the target has where that was brought back already, and only the word of
        it was lost: a person who asks once more does not go back twice.
        """
        known = self.follow
        await self._look_at_target(b"")
        now = await self._version_here()
        is_back = known.is_held and self.follow.mod_id != known.mod_id
        return now if is_back else await self._parts.chain.older(self.link, now)

    async def _version_here(self) -> Version:
        chain, follow = self._parts.chain, self.follow
        mod = None if follow.mod_id is None else await self._parts.vault.mod(follow.mod_id)
        if mod is None or mod.content_key is None:  # a person removed it from the vault
            return await chain.find(replace(self.link, version=follow.version))
        return await chain.open_keys(self.link, VersionKeys(mod.mod_id, mod.content_key))

    # What is kept -------------------------------------------------------------------------

    async def _change(self, **changes: object) -> None:
        before = {name: getattr(self.follow, name) for name in changes}
        self.follow = replace(self.follow, **changes)  # type: ignore[arg-type]
        try:
            await self._put()
        except DiskError:
            self.follow = replace(self.follow, **before)
            raise

    async def _put(self, record: bytes | None = None) -> None:
        """Write down how it is, unless it has ended: what was forgotten must not come back."""
        if not self._has_ended:
            follow = self.follow
            await self._parts.vault.record(lambda tables: tables.follows.put(follow, record))

    def _report(self, progress: Progress) -> None:
        self._progress = progress

    def _tell(self, status: FollowStatus, message: str = "") -> None:
        if status is FollowStatus.FAILED and message != self._failure:
            self._failure = message
            _log.warning("%s is not brought up to date: %s", self.follow.target, message)
        self._status, self._message = status, message
