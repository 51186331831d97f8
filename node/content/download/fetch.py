"""One fetch of one mod: its manifest, then what the vault lacks, for all `get`s that want it.

It goes on for as long as one of them wants it. Each has its own say in what may be written, and
the first that agrees begins the chunks.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from node.content.download.chunk_phase import ChunkPhase
from node.content.download.chunk_source import FindSources
from node.content.download.manifest_phase import ManifestPhase
from node.content.download.patience import Patience
from node.content.download.sources import Sources
from node.content.progress import Progress, ReportProgress
from node.content.rates.background import BackgroundPacer
from node.content.room import RoomClaim
from node.content.vault.vault import Vault
from node.environment import Environment
from protocol.content.manifests.manifest import Manifest
from protocol.errors import DiskError, LinkClosed, ModswarmError
from protocol.rates.rate_shares import RateShares, alike
from protocol.rates.transfer_rate import TransferRate

_Result = TypeVar("_Result")

TakeChunks = Callable[[Sequence[tuple[int, bytes]]], None]
"""Takes sealed chunks that came and that the vault has now, by number; must return at once."""


def ignore_chunks(_: Sequence[tuple[int, bytes]]) -> None:
    """A TakeChunks for those who want them in the vault only."""


_MANIFESTS = "manifests"
"""In place of a source where several have sent one together."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a fetch brought. `found_by` is the search that found its sources."""

    found_by: FindSources
    chunks: int
    bytes_from: dict[str, int]
    """Bytes of the manifest and of whole sealed chunks, by the name of the source."""
    banned: dict[str, str]
    """Sources that broke a rule, by name, and which."""


@dataclass(eq=False, slots=True)
class Member:
    """One `get` that wants a fetch. `ended` gets why it goes on without it.

    `weight`: its part of the download limit and of origins' connections, by those of others.
    """

    report: ReportProgress
    wait_s: float
    take: TakeChunks
    pacer: BackgroundPacer | None
    """What paces it if no person waits for it."""
    weight: Callable[[], int]
    ended: asyncio.Future[None] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


@dataclass(frozen=True, slots=True)
class FetchParts:
    """What all fetches of a node are made of; `refusals` counts broken rules by name.

    `downlink` limits how fast chunks are asked for, of all fetches together.
    """

    vault: Vault
    environment: Environment
    refusals: Counter[str]
    downlink: RateShares = field(default_factory=lambda: RateShares(TransferRate()))


class Fetch:
    """One fetch under way, by `run`. `manifest`: its bytes, if they are here."""

    def __init__(
        self,
        parts: FetchParts,
        mod_id: bytes,
        find_sources: FindSources,
        patience: Patience,
        manifest: bytes | None,
    ) -> None:
        loop = asyncio.get_running_loop()
        self._parts = parts
        self._mod_id = mod_id
        self._find_sources = find_sources
        self._patience = patience
        self._wanted: asyncio.Future[Manifest] = loop.create_future()
        self._manifest: asyncio.Future[bytes] = loop.create_future()
        if manifest is not None:
            self._manifest.set_result(manifest)
        self._done: asyncio.Future[Fetched] = loop.create_future()
        self._latest = Progress("finding")
        self._bytes_from: Counter[str] = Counter()
        self._sources: Sources | None = None
        self._claim: RoomClaim | None = None
        self._ended_by: ModswarmError | None = None
        self.members: dict[Member, None] = {}

    # The members ----------------------------------------------------------------------------

    def join(
        self,
        report: ReportProgress,
        patience: Patience,
        take: TakeChunks = ignore_chunks,
        pacer: BackgroundPacer | None = None,
        weight: Callable[[], int] = alike,
    ) -> Member:
        """One more that wants it, which is told at once how far it is, and takes what comes."""
        member = Member(report, patience.wait_s, take, pacer, weight)
        self.members[member] = None
        look_up = self._patience.look_up
        before = look_up.at
        look_up.not_after(patience.look_up)
        if look_up.at < before and self._sources is not None:
            self._sources.search_anew()
        report(self._latest)
        return member

    async def manifest(self, member: Member) -> bytes:
        """The manifest's bytes; raises why they do not come."""
        return await self._result_for(member, self._manifest)

    async def all_chunks(self, member: Member) -> Fetched:
        """What it brought, once the vault has every chunk; raises why they do not come."""
        return await self._result_for(member, self._done)

    @property
    def is_wanted(self) -> bool:
        """Whether a member wants the chunks."""
        return self._wanted.done()

    def want(self, manifest: Manifest, claim: RoomClaim) -> None:
        """A member wants the chunks; the vault knows the mod, and has room for them by `claim`."""
        if self._wanted.done():
            claim.release()  # another member was first
            return
        self._claim = claim
        self._wanted.set_result(manifest)

    async def _result_for(self, member: Member, result: "asyncio.Future[_Result]") -> _Result:
        awaited: set[asyncio.Future[Any]] = {result, member.ended, self._done}
        await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
        if member.ended.done():
            member.ended.result()
        if not result.done():
            self._done.result()
        return result.result()

    def _pacer(self) -> BackgroundPacer | None:
        """A FindPacer: none as soon as one member is not paced."""
        pacers = [member.pacer for member in self.members]
        return pacers[0] if pacers and None not in pacers else None

    def _tell(self, progress: Progress) -> None:
        self._latest = progress
        if self._claim is not None and progress.bytes_total:
            self._claim.shrink_to(progress.bytes_total - progress.bytes_done)
        for member in tuple(self.members):
            self._tell_member(member, progress)

    def _hand_out(self, chunks: Sequence[tuple[int, bytes]]) -> None:
        for member in tuple(self.members):
            member.take(chunks)

    def _tell_member(self, member: Member, progress: Progress) -> None:
        """A member that waits less long than the fetch does leaves it when its time is over."""
        if progress.stage == "waiting" and not member.ended.done():
            left_s = progress.wait_left_s - (self._wait_s() - member.wait_s)
            if left_s <= 0 and self._sources is not None:
                member.ended.set_exception(self._sources.why_not())
                return
        member.report(progress)

    def _wait_s(self) -> float:
        return max((member.wait_s for member in self.members), default=0.0)

    def _weight(self) -> int:
        """That of the member which weighs most: what comes is for all of them."""
        return max((member.weight() for member in self.members), default=1)

    # The work -------------------------------------------------------------------------------

    def end_by(self, why: ModswarmError) -> None:
        """Its members get this once it is cancelled."""
        self._ended_by = why

    async def run(self, before: "asyncio.Task[None] | None" = None) -> None:
        """Fetch until all is here, or cancelled; what came is then in the vault.

        It begins once the fetch `before` has written what came of it.
        """
        try:
            if before is not None:
                await asyncio.wait([before])
            self._done.set_result(await self._run())
        except DiskError as error:
            error.add_note(self._latest.kept())
            self._fail(error)
        except ModswarmError as error:
            self._fail(error)
        except asyncio.CancelledError:
            self._fail(self._ended_by or LinkClosed("this node stops"))
            raise
        except BaseException as error:
            self._fail(error)
            raise
        finally:
            if self._claim is not None:
                self._claim.release()

    def _fail(self, error: BaseException) -> None:
        self._done.set_exception(error)
        self._done.exception()  # retrieved, as perhaps no member is left

    async def _run(self) -> Fetched:
        parts, downlink = self._parts, self._parts.downlink.share(self._weight)
        async with self._searching() as (sources, beside):
            if not self._manifest.done():
                phase = ManifestPhase(sources, self._mod_id, parts.environment.rng)
                data = await sources.run(phase)
                downlink.spend(_MANIFESTS, len(data), asyncio.get_running_loop().time())
                self._bytes_from[phase.won_by] += len(data)
                self._tell(Progress("manifest", bytes_fetched=len(data)))
                self._manifest.set_result(data)
            manifest = await asyncio.shield(self._wanted)
            missing = await parts.vault.missing(self._mod_id)
            chunks = ChunkPhase(
                *(sources, parts.vault, manifest, missing),
                *(parts.environment.rng, self._tell, downlink),
                *(self._hand_out, self._bytes_from, self._pacer),
            )
            if missing:
                self._latest = chunks.progress()
                beside(chunks.write())
                await sources.run(chunks)
        bytes_from = dict(+self._bytes_from)
        return Fetched(self._find_sources, chunks.chunks_fetched, bytes_from, dict(sources.banned))

    @contextlib.asynccontextmanager
    async def _searching(
        self,
    ) -> AsyncIterator[tuple[Sources, Callable[[Coroutine[Any, Any, None]], None]]]:
        """Sources that are found and reviewed while inside, and what starts more work beside."""
        self._sources = sources = Sources(
            *(self._mod_id, self._parts.refusals, self._find_sources),
            *(self._wait_s, self._patience, self._tell),
            weight=self._weight,
        )
        try:
            async with asyncio.TaskGroup() as group:
                helpers: list[asyncio.Task[None]] = []

                def beside(work: Coroutine[Any, Any, None]) -> None:
                    helpers.append(group.create_task(work))

                for work in (
                    *(sources.find(), sources.review()),
                    *(sources.watch_moves(), sources.watch_names()),
                ):
                    beside(work)
                yield sources, beside
                for helper in helpers:
                    helper.cancel()
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        finally:
            sources.close()
