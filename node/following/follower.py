"""One lineage that is followed: its newest version comes into the vault, and into its target."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Protocol

from node.answers.follows import FollowStatus, FollowView
from node.content.download.bounds import SizeBound
from node.content.opened_mods import OpenedMod
from node.content.progress import Progress, ReportProgress
from node.content.targets.outcome import ChangedFiles, Updated
from node.content.targets.updater import TargetUpdater
from node.content.vault.stored_follow import StoredFollow
from node.content.vault.vault import Vault
from node.environment import Environment
from node.following.chain import Version, VersionChain
from node.overlay.lineages.heard import HeardLineages
from node.overlay.lineages.reader import LineageReader
from protocol import limits
from protocol.content.lineage.history import body_of
from protocol.content.link import LineageLink, ModLink
from protocol.content.manifests.contents import VersionKeys
from protocol.errors import ModswarmError, NetworkError, TargetBusy, TargetChanged
from protocol.records import Record
from protocol.texts.amounts import size_text

_log = logging.getLogger(__name__)

_UNAGREED = SizeBound(max_bytes=limits.MOD_BYTES, agreed=True)
"""The follower asks by itself for what is too large."""


class Fetching(Protocol):
    """What a follower needs of the node's mods."""

    async def look_into(self, link: ModLink) -> OpenedMod:
        """The manifest and the contents of a mod, of which the vault keeps nothing."""

    async def fetch(self, link: ModLink, progress: ReportProgress, bound: SizeBound) -> OpenedMod:
        """Bring all of a mod into the vault; raises as `get`."""

    async def remove(self, mod_id: bytes) -> bool:
        """Serve a mod no more and free its chunks; False if it is not here."""


@dataclass(frozen=True, slots=True)
class FollowParts:
    """What all followers of a node work with.

    `join_outcome`: whether this node has joined, once that is known or has taken long.
    """

    vault: Vault
    environment: Environment
    heard: HeardLineages
    reader: LineageReader
    chain: VersionChain
    fetching: Fetching
    targets: TargetUpdater
    join_outcome: Callable[[], Awaitable[bool]]


class Follower:
    """`run` it; `hurry` when there is news. Its target is changed by nothing else meanwhile."""

    def __init__(self, follow: StoredFollow, parts: FollowParts) -> None:
        self.follow = follow
        self._parts = parts
        self._news = asyncio.Event()
        self._working = asyncio.Lock()
        self._status = FollowStatus.WAITING
        self._message = ""
        self._waiting_version = 0
        self._progress = Progress("looking")

    @property
    def link(self) -> LineageLink:
        """That of the lineage."""
        follow = self.follow
        return LineageLink(follow.lineage_key, follow.reading_key, follow.hints)

    def hurry(self) -> None:
        """There is something new about the lineage, or a person said something."""
        self._news.set()

    def view(self) -> FollowView:
        """How it is."""
        follow, heard = self.follow, self._parts.heard
        newest = heard.newest(follow.lineage_key)
        seen = heard.seen(follow.lineage_key)
        now = self._parts.environment.wall()
        return FollowView(
            lineage=follow.lineage_key,
            name=follow.name,
            path=str(follow.target),
            version=follow.version,
            newest=0 if newest is None else body_of(newest).version,
            status=self._status,
            message=self._message,
            waiting_version=self._waiting_version,
            expired=newest is not None and newest.expires <= now,
            forked=seen is not None and bool(seen.told),
        )

    async def run(self) -> None:
        """Keep the target current, until cancelled."""
        await self._parts.join_outcome()  # before that a poll asks no node
        failed = 0
        while True:
            is_told = await self._poll()
            async with self._working:
                await self._come_up_to_date()
            is_done = is_told and self._status is not FollowStatus.WAITING
            failed = 0 if is_done else failed + 1
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._pause_s(failed)):
                    await self._news.wait()
            self._news.clear()

    def _pause_s(self, failed: int) -> float:
        """Until the next poll, after so many in a row that brought nothing as nothing answered."""
        longest_s = limits.FOLLOW_POLL_S
        if 0 < failed < limits.FOLLOW_TRIES:
            longest_s = min(longest_s, limits.FOLLOW_AGAIN_S * 2 ** (failed - 1))
        return longest_s * (0.8 + 0.2 * self._parts.environment.rng.random())

    async def _poll(self) -> bool:
        """Ask for what is newest; whether other nodes answered."""
        try:
            await self._parts.reader.poll(self.follow.lineage_key)
        except NetworkError as error:
            _log.info("news of %s could not be asked for: %s", self.follow.name, error)
            return False
        return True

    async def _come_up_to_date(self) -> None:
        """Bring the target to the newest version that is known, if it may."""
        newest = self._parts.heard.newest(self.follow.lineage_key)
        if self.follow.is_held:
            self._tell(FollowStatus.HELD, f"stays at version {self.follow.version}")
            return
        if newest is None:
            self._tell(FollowStatus.WAITING, "no node has told of a version yet")
            return
        if body_of(newest).mod_id == self.follow.mod_id:
            self._tell(FollowStatus.CURRENT)
            return
        try:
            await self._take(newest)
        except TargetChanged as error:
            self._tell(FollowStatus.CHANGED, str(error))
        except TargetBusy as error:
            self._tell(FollowStatus.BUSY, str(error))
        except NetworkError as error:
            self._tell(FollowStatus.WAITING, str(error))
        except ModswarmError as error:
            _log.warning("%s is not brought up to date: %s", self.follow.target, error)
            self._tell(FollowStatus.FAILED, str(error))

    async def _take(self, record: Record) -> None:
        self._tell(FollowStatus.UPDATING)
        version = await self._parts.chain.open_named(self.link, record)
        if self._asks(version):
            return
        await self.bring(version, record.raw, is_held=False)

    def _asks(self, version: Version) -> bool:
        """Whether a version is so large that a person has to agree."""
        contents, follow = version.opened.contents, self.follow
        assert contents is not None
        if follow.mod_id is None or follow.allowed == version.link.mod_id:
            return False
        size, before = contents.disk_bytes, follow.disk_bytes
        is_beyond = follow.max_bytes and size > follow.max_bytes
        if not is_beyond and size <= limits.UPDATE_GROWTH * before:
            return False
        self._waiting_version = version.number
        bound = (
            f"--max-size {size_text(follow.max_bytes)}"
            if is_beyond
            else (f"twice the {size_text(before)} of version {follow.version}")
        )
        self._tell(
            FollowStatus.ASKS,
            f"version {version.number} takes {size_text(size)} of the disk, more than {bound}",
        )
        return True

    async def bring(self, version: Version, record: bytes | None, *, is_held: bool) -> Updated:
        """Fetch a version and bring the target to it; raises as `get` and `update`."""
        contents = version.opened.contents
        assert contents is not None
        opened = await self._parts.fetching.fetch(version.link, self._report, _UNAGREED)
        changed = ChangedFiles.REFUSE if self.follow.refuses else ChangedFiles.KEEP
        updated = await self._parts.targets.update(
            opened, self.follow.target, changed, self._report
        )
        self.follow = replace(
            self.follow,
            mod_id=version.link.mod_id,
            version=version.number,
            name=contents.name,
            disk_bytes=contents.disk_bytes,
            is_held=is_held,
            allowed=b"",
        )
        follow = self.follow
        await self._parts.vault.record(lambda tables: tables.follows.put(follow, record))
        self._waiting_version = 0
        self._tell(FollowStatus.HELD if is_held else FollowStatus.CURRENT)
        await self._tidy()
        return updated

    async def _tidy(self) -> None:
        """Keep the newest versions in the vault, whatever its budget says, and no older ones."""
        vault, key = self._parts.vault, self.follow.lineage_key
        mods = [one for one in await vault.mods() if one.lineage_key == key and not one.published]
        versions = sorted(
            (one for one in mods if one.patch_of is None), key=lambda one: one.version
        )
        stays = {one.mod_id for one in versions[-limits.VERSIONS_KEPT :]} | {self.follow.mod_id}
        gone = {one.mod_id for one in versions} - stays
        for mod in mods:
            if mod.mod_id in gone or mod.patch_of in gone:
                await self._parts.fetching.remove(mod.mod_id)
        if self.follow.mod_id is not None:
            await vault.pin(self.follow.mod_id, pinned=True)

    # What a person says -------------------------------------------------------------------

    async def agree(self) -> None:
        """Take the newest version, whatever its size. Raises DiskError."""
        newest = self._parts.heard.newest(self.follow.lineage_key)
        if newest is not None:
            await self._change(allowed=body_of(newest).mod_id)

    async def resume(self) -> None:
        """Follow the newest version again after `back`. Raises DiskError."""
        await self._change(is_held=False)

    async def _change(self, **changes: object) -> None:
        follow = self.follow = replace(self.follow, **changes)  # type: ignore[arg-type]
        await self._parts.vault.record(lambda tables: tables.follows.put(follow))
        self.hurry()

    async def back(self) -> Updated | None:
        """Bring the target to the version before, where it stays; None if there is no such one.

        Raises as `bring`.
        """
        async with self._working:
            mod_id = self.follow.mod_id
            mod = None if mod_id is None else await self._parts.vault.mod(mod_id)
            if mod is None or mod.content_key is None:
                return None
            keys = VersionKeys(mod.mod_id, mod.content_key)
            now = await self._parts.chain.open_keys(self.link, keys)
            older = await self._parts.chain.before(self.link, now)
            return None if older is None else await self.bring(older, None, is_held=True)

    def _report(self, progress: Progress) -> None:
        self._progress = progress

    def _tell(self, status: FollowStatus, message: str = "") -> None:
        self._status, self._message = status, message
