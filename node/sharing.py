"""Mods by their links: shared, fetched, listed, removed, and which other peers have them."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from node.announcing import Announcer
from node.answers.lineages import LineageView
from node.answers.mods import Announcement, GetResult, ModOffer, ModView, ShareResult
from node.answers.peers import PeerView
from node.content.assemble.assembler import Assembler
from node.content.assemble.claims import TargetClaims
from node.content.assemble.place import TargetPlace
from node.content.caching.caching import Caching
from node.content.download.bounds import SizeBound
from node.content.download.downloader import ANY_MOD, ChunkTaker, Downloader, DownloadResult
from node.content.download.patience import LookUpTime
from node.content.exporting.exporter import Exporter
from node.content.fetching import fetch_and_write
from node.content.homes import HomeGuard
from node.content.keeping.keeping import Keeping, KeepSettings
from node.content.opened_mods import OpenedMod, OpenedMods
from node.content.origins.origins import NamedOrigin, Origins
from node.content.progress import ReportProgress, ignore_progress
from node.content.publish.own_lineages import OwnLineages
from node.content.publish.publisher import Publisher
from node.content.rates.background import BackgroundPacer
from node.content.rates.transfers import TransferLimits
from node.content.room import RoomBook
from node.content.serve.exchange import Exchanges
from node.content.targets.updater import TargetUpdater
from node.content.vault.vault import Vault
from node.content.web.server import WebServer
from node.finding import Finder, Finding
from node.following.own_versions import OwnVersions
from node.holders.asked import count_complete
from node.holders.get_times import GetTimes
from node.holders.known import KnownPeers
from node.holders.stats import FetchStats
from node.links.pool.pool import LinkPool
from node.machine.folders import current_folder
from node.overlay.membership import Membership
from protocol import limits
from protocol.content.link import LineageLink, ModLink
from protocol.errors import BadLink
from protocol.places.tenure import RELAYED
from protocol.rates.rate_shares import alike

_DEFAULT_BOUND = SizeBound()


class Sharing:
    """What this node does with mods. `start` before use, `close` before the links."""

    def __init__(
        self,
        vault: Vault,
        membership: Membership,
        pool: LinkPool,
        guard: HomeGuard,
        transfers: TransferLimits,
        keep: KeepSettings,
        origins: Origins,
    ) -> None:
        self.origins = origins
        self._vault = vault
        self._overlay = membership.server
        self._presence = membership.presence
        self._announcer = Announcer(vault, membership.presence)
        self._environment = membership.environment
        self._membership = membership
        self._pool = pool
        self.versions = OwnVersions(vault, membership.lineages)
        lineages = OwnLineages(
            *(vault, self._environment, self._overlay.identity, membership.settings.puzzle_bits),
            self.versions.find_newest,
        )
        hold = partial(pool.want, reason="a download", calls=False)
        self._exchanges = Exchanges(
            *(vault, pool.usefulness, self._environment.rng, hold, transfers.up)
        )
        self.exporter = Exporter(vault, guard)
        self.web = WebServer(vault, self._exchanges.line)
        self._publisher = Publisher(vault, self._environment, guard, lineages)
        self._opened = OpenedMods()
        self._pacer = BackgroundPacer(self._environment.thread_cpu_s)
        self.keeping = Keeping(vault, keep, self._announcer.announce, self.repair, self._pacer)
        self.caching = Caching(
            *(vault, keep.cache_bytes, self._fetch_outside),
            lambda mod_id: count_complete(self._overlay, mod_id),
            *(self._announcer.announce, self._environment.wall),
        )
        self._exchanges.count_asks(self.caching.asked)
        self._room = RoomBook(free=self.keeping.free)
        self._downloader = Downloader(
            vault, self._environment, self._opened, self._room, transfers.down.rate
        )
        claims = TargetClaims()
        self._assembler = Assembler(vault, guard, self._opened, claims)
        self.targets = TargetUpdater(vault, claims, self._room)
        self._finder = Finder(membership, pool, self._exchanges, origins)
        self._known = KnownPeers(membership, pool, self._finder.hints.saw)
        self._loop = asyncio.get_running_loop()

    @property
    def refusals(self) -> Counter[str]:
        """What peers got wrong on links, by the error's name."""
        return self._exchanges.refusals + self._downloader.refusals

    @property
    def defects(self) -> list[BaseException]:
        """What tasks about content raised that is neither the network's fault nor a peer's."""
        return [
            *self._exchanges.defects,
            *self._downloader.defects,
            *self._announcer.defects,
            *self.keeping.defects,
            *self.caching.defects,
            *self.origins.defects,
            *self.targets.defects,
            *self.versions.defects,
            *self.web.defects,
        ]

    async def start(self, http: Sequence[tuple[str, int]] = ()) -> None:
        """Serve the links to come, and announce what is in the vault.

        `http`: hosts and ports at which HTTP clients are served as well; raises BadConfig.
        """
        for address in http:
            await self.web.start(*address)
        self._pool.subscribe(self._exchanges.attach)
        await self._vault.collect()
        await self.versions.start(self._membership.joined)
        await self._announcer.start()
        self.keeping.start()
        self.targets.start()
        await self.caching.start()

    async def close(self) -> None:
        """End every exchange; downloads fail with LinkClosed and keep what they fetched."""
        await self.web.close()
        await self.caching.close()
        await self.keeping.close()
        await self.versions.close()
        await self._announcer.close()
        await self._downloader.close()
        await self.origins.close()
        await self.targets.close()
        await self._exchanges.close()
        self._opened.close()

    # Sharing ------------------------------------------------------------------------------

    async def share(
        self,
        path: Path,
        name: str | None = None,
        progress: ReportProgress = ignore_progress,
        *,
        exclude: Sequence[str] = (),
        continues: bool = False,
        times: bool = True,
        origins: tuple[str, ...] | None = None,
    ) -> ShareResult:
        """Publish a folder or a file but for what is left out, as the next version of its lineage.

        `exclude` has patterns besides those in the folder; `continues`: as a version of the mod of
        that name, though it was made of another folder. `times`: tell when files were modified.
        `origins`: HTTP servers for the links, or None for those that the lineage names already.
        Raises BadFolder, UnsafePath, BadInput, NameTaken, DiskError.
        """
        with self.keeping.storing():
            shared = await self._publisher.publish(
                path, name, progress, exclude, continues=continues, times=times
            )
        await self._announcer.announce()
        await self._membership.join_outcome()  # a mod may be shared right after the start
        announced = await self._presence.announce(shared.mod_id)
        origins = await self.versions.tell(shared, origins)
        await self._drop_old_versions(shared.keys.public_key)
        return ShareResult(
            mod_id=shared.mod_id,
            link=replace(shared.link, origins=origins),
            lineage=LineageLink(shared.keys.public_key, shared.keys.reading_key, (), origins),
            origins=origins,
            name=shared.name,
            version=shared.version,
            is_new=shared.is_new,
            files=shared.files,
            bytes=shared.bytes,
            new_bytes=shared.new_bytes,
            left_out=shared.left_out,
            left_out_paths=shared.left_out_paths,
            idle_excludes=shared.idle_excludes,
            published=Announcement(
                announced.confirmed,
                announced.asked,
                announced.refused,
                cause=None if announced.asked else self._membership.unanswered_because,
            ),
        )

    async def keep_versions(self, name: str, count: int) -> LineageView:
        """Keep only the last versions of a mod that this node shares; 0 keeps all.

        Raises NotFound, DiskError.
        """
        view = await self.versions.keep(name, count)
        await self._drop_old_versions(view.lineage)
        return view

    async def _drop_old_versions(self, lineage_key: bytes) -> None:
        for mod_id in await self.versions.beyond_kept(lineage_key):
            await self.remove(mod_id)

    async def remove(self, mod_id: bytes) -> bool:
        """Serve a mod no more and free its chunks; False if it is not here.

        A `get` of it that is under way fails.
        """
        removed = await self._vault.remove_mod(mod_id)
        if removed and await self._downloader.removed(mod_id):
            await self._vault.collect()  # what came meanwhile
        await self._announcer.announce()
        return removed

    async def mods(self) -> tuple[ModView, ...]:
        """The mods in the vault but for patches, in the order in which they came."""
        mods, incomplete = await self._vault.mods(), await self._vault.incomplete()
        return tuple(
            ModView.of(mod, complete=mod.mod_id not in incomplete)
            for mod in mods
            if mod.patch_of is None
        )

    # Fetching -----------------------------------------------------------------------------

    async def look(self, link: ModLink, progress: ReportProgress = ignore_progress) -> ModOffer:
        """What a link would bring; the vault keeps nothing of it. Raises as `get`."""
        manifest, contents = await self.look_into(link, progress=progress)
        assert contents is not None
        return ModOffer(
            mod_id=link.mod_id,
            name=contents.name,
            files=len(contents.files),
            bytes=contents.total_bytes,
            folders=contents.folders,
            disk_bytes=contents.disk_bytes,
            sealed_bytes=manifest.sealed_bytes,
            paths=tuple(file.path for file in contents.files[: limits.PATHS_SHOWN]),
        )

    async def look_into(
        self,
        link: ModLink,
        origins: Sequence[NamedOrigin] = (),
        progress: ReportProgress = ignore_progress,
        look_up: LookUpTime | None = None,
    ) -> OpenedMod:
        """A mod's manifest and contents, of which the vault keeps nothing. Raises as `get`."""
        _check_openable(link)
        finding = self._finder.finding(link, progress, origins=origins, look_up=look_up)
        patience = self._finder.patience(link.mod_id, finding.search, limits.GET_WAIT_S)
        with self._membership.hinted.of(link.hints):
            return await self._downloader.look(link, finding, progress, patience)

    async def fetch(
        self,
        link: ModLink,
        progress: ReportProgress,
        bound: SizeBound,
        origins: Sequence[NamedOrigin] = (),
        look_up: LookUpTime | None = None,
    ) -> OpenedMod:
        """Bring all of a mod into the vault; raises as `get`."""
        _check_openable(link)
        try:
            with self.keeping.using(link.mod_id):
                done = await self._download(
                    *(link, progress, bound, limits.GET_WAIT_S, ANY_MOD),
                    origins=origins,
                    look_up=look_up,
                )
        finally:
            await self._vault.fetched(link.mod_id)
        await self._announcer.announce()
        return OpenedMod(done.manifest, done.contents)

    async def _download(
        self,
        link: ModLink,
        progress: ReportProgress,
        bound: SizeBound,
        wait_s: float,
        taker: ChunkTaker,
        weight: Callable[[], int] = alike,
        origins: Sequence[NamedOrigin] = (),
        look_up: LookUpTime | None = None,
    ) -> DownloadResult:
        finding = self._finder.finding(link, progress, origins=origins, look_up=look_up)
        with self._membership.hinted.of(link.hints):
            return await self._downloader.download(
                *(link, finding, progress, bound),
                self._finder.patience(link.mod_id, finding.search, wait_s),
                taker,
                weight=weight,
                find_patch=lambda patch: self._finder.finding(
                    replace(patch, hints=link.hints),
                    ignore_progress,
                    origins=origins,
                    look_up=look_up,
                ),
            )

    async def get(
        self,
        link: ModLink,
        target: Path | None = None,
        *,
        into: Path | None = None,
        progress: ReportProgress = ignore_progress,
        bound: SizeBound = _DEFAULT_BOUND,
        wait_s: float = limits.GET_WAIT_S,
        weight: Callable[[], int] = alike,
        again: bool = False,
        origins: Sequence[NamedOrigin] = (),
    ) -> GetResult:
        """Fetch a mod and write it as the folder `target`, or under its own name below `into`.

        A source that is lost midway, or another one, is waited for `wait_s`. Downloads share a
        download limit by their weights, which are asked at any time. `again`: the same mod in this
        place is that of an earlier run, which was broken off. `origins`: those that the mod's
        lineage names. Raises NotFound, NoSources, Unreachable, TimedOut, BadLink, UnsafePath,
        TooLarge, TargetExists, DiskError, DownloadCancelled once the mod is removed.
        """
        _check_openable(link)
        times = GetTimes(self._loop.time, progress)
        async with contextlib.AsyncExitStack() as claims:
            claims.enter_context(self.keeping.using(link.mod_id))
            # A place that cannot be written fails before anything is fetched.
            place = TargetPlace(
                *(self._assembler, self._room, claims, target, into or current_folder()),
                again=again,
            )
            await place.prepare()

            def fetch() -> Awaitable[DownloadResult]:
                return times.of(
                    self._download(*(link, times.report, bound, wait_s, place, weight, origins))
                )

            try:
                download, written = await fetch_and_write(
                    self._vault, link.mod_id, fetch, place, progress
                )
                await self.targets.wrote(written.path, link.mod_id, written.tree)
            finally:
                await self._vault.fetched(link.mod_id)
        await self._announcer.announce()
        stats = FetchStats()
        if isinstance(download.found_by, Finding):
            stats = download.found_by.search.stats
        return times.result(link.mod_id, download, written, stats)

    async def repair(
        self, mod_id: bytes, progress: ReportProgress, pacer: BackgroundPacer | None
    ) -> None:
        """A Repair: fetch what the vault has lost of a mod; raises as `get`."""
        link = ModLink(mod_id)
        finding = self._finder.finding(link, progress, () if pacer is None else {RELAYED})
        await self._downloader.download(link, finding, progress, pacer=pacer)

    async def _fetch_outside(
        self, mod_id: bytes, networks: frozenset[bytes], taker: ChunkTaker
    ) -> None:
        """A FetchOutside. Relays are spared what no person waits for."""
        finding = self._finder.finding(ModLink(mod_id), ignore_progress, networks | {RELAYED})
        await self._downloader.download(ModLink(mod_id), finding, taker=taker, pacer=self._pacer)

    # Peers --------------------------------------------------------------------------------

    async def peers(self, has: ModLink | None = None) -> tuple[PeerView, ...]:
        """The peers known to this node; with `has`, whether their filters hold that mod.

        With `has`, raises Unreachable if no other node answers, ClocksDiffer.
        """
        return await self._known.peers(has)


def _check_openable(link: ModLink) -> None:
    if link.content_key is None:
        raise BadLink("the link is cut: it lacks the key that opens the mod, which stands behind #")
