"""What a person follows: begun, kept current, ended; and the versions of any mod."""

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from node.answers.follows import FollowChange, FollowView, VersionList, VersionView
from node.content.download.bounds import SizeBound
from node.content.progress import ReportProgress, ignore_progress
from node.content.targets.outcome import ChangedFiles, Updated
from node.content.targets.preparing import real_place
from node.content.vault.stored_follow import StoredFollow
from node.content.vault.vault import Vault
from node.environment import Environment
from node.files import check_text
from node.following.chain import Version, VersionChain
from node.following.follow_parts import FollowParts
from node.following.follower import Follower
from node.following.fork_watch import ForkWatch
from node.following.news import News
from node.overlay.lineages.heard import LineageNews
from node.overlay.membership import Membership
from node.sharing import Sharing
from node.tasks import TaskOwner, in_thread
from protocol import limits
from protocol.content.lineage.history import recalled_if_whole
from protocol.content.link import LineageLink, ModLink
from protocol.errors import BadInput, NotFound
from protocol.records import Record


class Following:
    """`start` it once content can be fetched; `close` it before that ends."""

    def __init__(
        self,
        vault: Vault,
        environment: Environment,
        news: News,
        sharing: Sharing,
        membership: Membership,
    ) -> None:
        self._vault = vault
        lineages = self._lineages = membership.lineages
        self._news = news
        self._random = environment.rng.random
        self._sharing = sharing
        wall = self._wall = membership.own_clock.now
        self.chain = VersionChain(
            lineages.reader,
            lineages.heard,
            sharing.look_into,
            membership.check_joined,
            membership.hinted,
        )
        self._parts = FollowParts(
            *(vault, environment, lineages.heard, lineages.reader),
            *(self.chain, sharing, sharing.targets),
            wall=wall,
            join_outcome=membership.join_outcome,
        )
        self._fork_watch = ForkWatch(vault, lineages, self.chain, membership.join_outcome)
        self._followers: dict[bytes, Follower] = {}
        self._running: dict[bytes, asyncio.Task[None]] = {}
        self._changing: dict[bytes, Path] = {}
        """What begins or ends to be followed now, and where."""
        self._tasks = TaskOwner("following")
        lineages.heard.watch(self._heard)

    @property
    def defects(self) -> list[BaseException]:
        """What tasks raised that is neither the network's fault nor the disk's."""
        return self._tasks.defects

    async def start(self) -> None:
        """Go on with what was followed, and watch what this node publishes itself."""
        self._tasks.start(self._fork_watch.run(), name="watch for forks")
        follows = await self._vault.recall(lambda tables: tables.follows.every())
        spread_s = limits.FOLLOW_START_S * len(follows)
        for follow in follows:
            key = follow.lineage_key
            raw = await self._vault.recall(lambda tables: tables.follows.record(key))  # noqa: B023 - awaited here
            self._begin(follow, recalled_if_whole(raw), spread_s * self._random())

    async def close(self) -> None:
        """End all; what is being written is finished or taken back."""
        await self._tasks.close()
        await asyncio.gather(*(one.end() for one in self._followers.values()))

    def _begin(
        self, follow: StoredFollow, newest: Record | None, poll_in_s: float = 0.0
    ) -> Follower:
        key = follow.lineage_key
        self._lineages.heard.keep(key, newest)
        self._news.follow(key)
        follower = self._followers[key] = Follower(follow, self._parts)
        self._running[key] = self._tasks.start(follower.run(poll_in_s), name=str(follow.target))
        return follower

    def _heard(self, news: LineageNews) -> None:
        follower = self._followers.get(news.lineage)
        if follower is not None:
            follower.hurry(has_fellows=self._news.has_fellows(news.lineage))

    # What a person asks -------------------------------------------------------------------

    async def follow(
        self,
        link: LineageLink,
        target: Path,
        *,
        refuses: bool = False,
        max_bytes: int = 0,
        bound: SizeBound,
        progress: ReportProgress = ignore_progress,
    ) -> FollowView:
        """Fetch the newest version to `target`, and keep that current from now on.

        A target that modswarm wrote from the same mod goes on from there. `refuses`: an update is
        refused where the person changed files. Raises as `get`, BadInput for too many.
        """
        place = await in_thread(partial(_checked_place, target))
        with self._beginning(link.lineage_key, place):
            record = await self.chain.newest_record(link)
            version = await self.chain.open_named(link, record)
            contents = version.opened.contents
            assert contents is not None
            assert link.reading_key is not None
            changed = ChangedFiles.REFUSE if refuses else ChangedFiles.KEEP
            path = await self._first(link, version, target, changed, bound, progress)
            follow = StoredFollow(
                *(link.lineage_key, link.reading_key, path, version.link.mod_id, version.number),
                *(contents.name, contents.disk_bytes, refuses, max_bytes),
                hints=link.hints,
                origins=link.origins,
            )
            await self._vault.record(lambda tables: tables.follows.put(follow, record.raw))
            return self._begin(follow, record).view()

    @contextlib.contextmanager
    def _beginning(self, lineage: bytes, target: Path) -> Iterator[None]:
        """While a mod begins to be followed into a real path; raises BadInput if it may not be."""
        known = {key: one.follow.target for key, one in self._followers.items()} | self._changing
        if lineage in known:
            raise BadInput(
                f"this mod is followed already, into {known[lineage]}",
                advice="End that with `modswarm unfollow`.",
            )
        if len(known) >= limits.FOLLOWS:
            raise BadInput(f"no more than {limits.FOLLOWS} mods can be followed")
        for other in known.values():
            if target.is_relative_to(other) or other.is_relative_to(target):
                raise BadInput(f"{other} is kept current with another mod: name a folder beside it")
        with self._change(lineage, target):
            yield

    @contextlib.contextmanager
    def _change(self, lineage: bytes, target: Path) -> Iterator[None]:
        self._changing[lineage] = target
        try:
            yield
        finally:
            del self._changing[lineage]

    async def _first(
        self,
        link: LineageLink,
        version: Version,
        target: Path,
        changed: ChangedFiles,
        bound: SizeBound,
        progress: ReportProgress,
    ) -> Path:
        """Write the first version that is followed; the target's real path."""
        sharing = self._sharing
        state = await sharing.targets.state_of(target)
        if (
            state is None
            or not state.is_there
            or not await self._is_of(link, version, state.mod_id)
        ):
            # Again, as a node that was killed may have written it and not known so.
            got = await sharing.get(
                *(version.link, target),
                progress=progress,
                bound=bound,
                again=True,
                origins=version.origins,
            )
            return Path(got.path)
        opened = await sharing.fetch(version.link, progress, bound, version.origins)
        return (await sharing.targets.update(opened, target, changed, progress)).path

    async def _is_of(self, link: LineageLink, version: Version, mod_id: bytes) -> bool:
        """Whether a mod is of the lineage of a version, as far as this node can tell."""
        known = await self._vault.mod(mod_id)
        if known is not None:
            return known.is_version_of(link.lineage_key)
        return await self.chain.leads_to(link, version, mod_id)

    async def unfollow(self, lineage: bytes) -> FollowView:
        """Leave a folder as it is, from now on; an update is carried out or taken back.

        Raises NotFound, DiskError.
        """
        follower = self._named(lineage)
        with self._change(lineage, follower.follow.target):
            del self._followers[lineage]
            task = self._running.pop(lineage)
            task.cancel()
            await asyncio.wait({task})
            await follower.end()  # before it is forgotten, as it writes down what it did
            try:
                await self._vault.record(lambda tables: tables.follows.remove(lineage))
            except BaseException:
                self._begin(follower.follow, None)
                raise
            self._news.unfollow(lineage)
            self._lineages.unfollow(lineage)
        self._sharing.keeping.look_again()
        return follower.view()

    def views(self) -> tuple[FollowView, ...]:
        """All that is followed, by folder."""
        return tuple(sorted((one.view() for one in self._followers.values()), key=_path_of))

    async def agree(self, lineage: bytes) -> FollowView:
        """A person says yes to the newest version. Raises NotFound, DiskError."""
        follower = self._named(lineage)
        await follower.agree()
        return follower.view()

    async def resume(self, lineage: bytes) -> FollowView:
        """Follow the newest version again. Raises NotFound, DiskError."""
        follower = self._named(lineage)
        await follower.resume()
        return follower.view()

    async def back(self, lineage: bytes) -> FollowChange:
        """Bring a folder to the version before, where it stays. Raises as `Follower.back`."""
        follower = self._named(lineage)
        updated = await follower.back()
        if updated is None:
            raise NotFound("there is no version before this one")
        return _change(follower, updated)

    def _named(self, lineage: bytes) -> Follower:
        follower = self._followers.get(lineage)
        if follower is None:
            raise NotFound("this mod is not followed")
        return follower

    async def versions(self, link: LineageLink) -> VersionList:
        """The newest versions of a mod; raises as `VersionChain.every`."""
        found = await self.chain.every(link, limits.VERSIONS_SHOWN)
        here = {mod.mod_id for mod in await self._sharing.mods() if mod.complete}
        heard = self._lineages.heard
        versions, failure = found.versions, found.failure
        return VersionList(
            link,
            tuple(
                VersionView.of(one.opened, one.link, here=one.link.mod_id in here)
                for one in versions
            ),
            unknown_before=0 if failure is None else versions[-1].number,
            message="" if failure is None else str(failure),
            expired=heard.is_expired(link.lineage_key, self._wall()),
            forked=heard.is_forked(link.lineage_key),
        )

    async def resolve(self, link: LineageLink) -> ModLink:
        """The link of the version that a lineage's link means.

        What a person said of the lineage's origins holds for it. Raises as `VersionChain.find`,
        DiskError.
        """
        version = await self.chain.find(link)
        urls = tuple(one.url for one in version.origins)[: limits.ORIGINS_NAMED]
        self._sharing.origins.consent.carry(link.lineage_key, version.link.mod_id, urls)
        return replace(version.link, origins=urls)

    async def origins(self, link: LineageLink) -> tuple[str, ...]:
        """The HTTP servers that a lineage's link and newest record name; raises NotFound."""
        await self.chain.newest_record(link)
        return tuple(one.url for one in self.chain.origins(link))


def _checked_place(target: Path) -> Path:
    """The real path of a folder that can be remembered; raises BadInput, DiskError."""
    place = real_place(target)
    check_text(place, "cannot be kept current", "Name another folder.")
    return place


def _path_of(view: FollowView) -> str:
    return view.path


def _change(follower: Follower, updated: Updated) -> FollowChange:
    return FollowChange(
        follower.view(), len(updated.written), len(updated.removed), updated.kept_local
    )
