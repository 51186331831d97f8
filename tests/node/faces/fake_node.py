"""A node that answers from memory, and a real control server for it, for tests of the faces."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from node.answers.dht import (
    ContactView,
    CrawlView,
    LookupView,
    PeerBodyView,
    RecordsView,
    RecordView,
)
from node.answers.lineages import LineageView
from node.answers.mods import Announcement, GetResult, ModOffer, ModView, ShareResult
from node.answers.network import ClockReport, FamilyReport, NetworkReport, SeenAddress
from node.answers.peers import PeerView
from node.answers.status import NodeStatus, RelayStatus
from node.config import Config
from node.content.caching.caching import CachedMod, CacheState
from node.content.download.bounds import SizeBound
from node.content.exporting.exporter import Exported
from node.content.keeping.keeping import KeepingState
from node.content.keeping.scrubber import Scrubbed
from node.content.keeping.usage import ModUsage
from node.content.origins.consent import OriginConsent
from node.content.progress import Progress, ReportProgress
from node.content.queue.queue import DownloadQueue
from node.content.rates.settings import RateSettings
from node.content.rates.transfers import TransferLimits
from node.content.room import Disk
from node.content.vault.stored_mod import KeptMod
from node.environment import Environment
from node.faces.api.server import ControlServer
from node.home import Home
from node.links.link import Link
from node.links.path.found_path import FoundPath, MeasuredPath
from node.links.pool.changes import LinkChanges
from node.links.stages import Stage
from node.runtime import Node
from protocol.addresses import Address
from protocol.causes.clock import clock_sentence
from protocol.causes.network_kind import NetworkKind, UpnpAnswer
from protocol.causes.tried import KnownSide
from protocol.content.link import LineageLink, ModLink
from protocol.description import Description, DtlsRole, IceCandidate
from protocol.errors import NameTaken
from protocol.ice.candidates import CandidateKind
from protocol.ice.paths.report import PathReason, PathReport
from protocol.ice.paths.selector import PathClass
from protocol.identity import Identity, PeerId, peer_id_text
from protocol.reachability.clock_signs import ClockView
from protocol.reachability.network_view import FilteringKind, MappingKind, NatKind, Verdict
from protocol.signaling import Offer
from tests.identities import SEEDS
from tests.node.content.queue.gets import Asked, GetDouble
from tests.node.faces.fake_following import OWN, FakeFollowing, FakeVersions

MOD_ID = bytes(range(32))
LINK = ModLink(MOD_ID, bytes(32))
PEER = Identity(SEEDS[1]).peer_id
ADDRESS = Address("127.0.0.1", 5000)


Answer = Callable[..., None]
"""Notes what was asked, or raises what a test wants raised."""


class FakeDiagnosis:
    """What `modswarm dht` shows of a network of one."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    async def lookup(self, target: str, paths: int = 1) -> LookupView:
        self._answer("lookup", target, paths)
        named = ContactView(PEER, ADDRESS, 1.5, (PEER, PEER))
        known = ContactView(PEER, ADDRESS, None, ())
        return LookupView(bytes(20), 0.5, 12, (named, known))

    async def records(self, target: str, kind: str | None = None) -> RecordsView:
        self._answer("records", target, kind)
        body = PeerBodyView((ADDRESS,), 1, (1, 1), 2)
        record = RecordView(PEER, 7, 0, 86400, 159, body)
        return RecordsView(bytes(20), "peer", 0.5, 12, 1, (PEER,), (), (record,))

    async def crawl(self, contacts: int) -> CrawlView:
        self._answer("crawl", contacts)
        return CrawlView(
            seconds=2.5,
            named=9,
            asked=9,
            answered=7,
            silent=2,
            whole=True,
            size_estimate=8,
            versions={1: 7},
            families={4: 6, 6: 1},
            rtt_p50_ms=12.5,
        )


class FakeKeeping:
    """Keeps one mod, half of which another one needs too."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.lacking: tuple[bytes, ...] = ()

    async def pin(self, mod_id: bytes, *, pinned: bool) -> bool:
        self._answer("pin", mod_id, pinned)
        return mod_id == MOD_ID

    async def scrub(self, report: ReportProgress) -> Scrubbed:
        self._answer("scrub")
        report(Progress("checking", bytes_total=9700, bytes_done=5000))
        return Scrubbed(5, 9700, 1, (MOD_ID,), self.lacking)

    async def state(self) -> KeepingState:
        self._answer("state")
        hats = KeptMod(1, MOD_ID, "hats", 9000, 2, 1.7e9, is_pinned=False, is_in_use=True)
        caps = KeptMod(2, bytes(32), "", 4000, 1, 1.6e9, is_pinned=True)
        wigs = KeptMod(3, bytes(31) + b"3", "wigs", 700, 1, 1.6e9, is_pinned=False)
        usages = (
            ModUsage(hats, {frozenset(): 5000, frozenset({2}): 4000}),
            ModUsage(caps, {frozenset({1}): 4000}),
            ModUsage(wigs, {frozenset(): 700}),
        )
        return KeepingState(usages, frozenset({MOD_ID}), 20_000, Disk(1, 40_000, 6000), 12_000)


class FakeCaching:
    """Keeps one mod for others."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    async def state(self) -> CacheState:
        self._answer("cache")
        mod = KeptMod(1, MOD_ID, "", 9000, 2, 1.7e9, is_pinned=False, is_cached=True)
        return CacheState(20_000, (CachedMod(mod, 5, complete=True),), (bytes(32),))

    async def drop(self, mod_id: bytes) -> bool:
        self._answer("drop", mod_id)
        return mod_id == MOD_ID

    async def refuse(self, mod_id: bytes) -> bool:
        self._answer("refuse", mod_id)
        return mod_id == MOD_ID

    async def allow(self, mod_id: bytes) -> bool:
        self._answer("allow", mod_id)
        return mod_id == bytes(32)


class FakeOrigins:
    """Remembers what a person says of origins."""

    def __init__(self, home: Path) -> None:
        self.consent = OriginConsent(home / "origins.json")
        self.hidden = False


class FakeExporter:
    """Writes nothing."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    async def export(self, mod_id: bytes, folder: Path, report: ReportProgress) -> Exported:
        self._answer("export", mod_id, folder)
        report(Progress("files"))
        return Exported(folder / "a.manifest", folder / "a.chunks", 9000)


class FakeSharing(GetDouble):
    """Has one mod; `hold` keeps downloads alive."""

    def __init__(self, answer: Answer, home: Path) -> None:
        self._answer = answer
        self.hold = False
        self.bounds: list[SizeBound] = []
        self.waits: list[float] = []
        self.downloading = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.link = LINK
        self.announcement = Announcement(3, 4, {"timed_out": 1})
        self.banned: tuple[str, ...] = ()
        self.excluded: tuple[str, ...] = ()
        self.times, self.continued, self.is_new, self.version = True, False, True, 1
        self.taken_from: str | None = None
        self.lineage = LineageLink(MOD_ID, bytes(32))
        self.named: tuple[str, ...] = ()
        self.left_out: tuple[str, ...] = ()
        self.idle: tuple[str, ...] = ()
        self.signaled_via: tuple[PeerId, ...] = (PEER,)
        self.sources: tuple[str, ...] = (peer_id_text(PEER),)
        self.mod_list = [stored_mod(MOD_ID, "hats")]
        self.keeping = FakeKeeping(answer)
        self.caching = FakeCaching(answer)
        self.origins = FakeOrigins(home)
        self.exporter = FakeExporter(answer)
        self.versions = FakeVersions(answer)

    async def mods(self) -> tuple[ModView, ...]:
        self._answer("mods")
        return tuple(self.mod_list)

    async def share(
        self,
        path: Path,
        name: str | None,
        progress: ReportProgress,
        *,
        exclude: Sequence[str] = (),
        continues: bool = False,
        times: bool = True,
        origins: tuple[str, ...] | None = None,
    ) -> ShareResult:
        self._answer("share", path, name)
        self.named = self.named if origins is None else origins
        if self.taken_from is not None and not continues:
            raise NameTaken(f"the mod was shared from {self.taken_from}", advice="With --as.")
        self.excluded, self.times, self.continued = tuple(exclude), times, continues
        progress(Progress("reading", bytes_total=10, bytes_done=5))
        await asyncio.sleep(0)
        name, count = name or path.name, len(self.left_out)
        left_out = count, self.left_out[:10], self.idle
        return ShareResult(
            *(MOD_ID, replace(self.link, origins=self.named), self.lineage, self.named, name),
            *(self.version, self.is_new, 2, 10, 10),
            self.announcement,
            *left_out,
        )

    async def keep_versions(self, name: str, count: int) -> LineageView:
        self._answer("keep", name, count)
        return OWN

    async def remove(self, mod_id: bytes) -> bool:
        self._answer("remove", mod_id)
        return mod_id == MOD_ID

    async def fetch(self, asked: Asked) -> GetResult:
        self._answer("get", asked.link, asked.target, asked.into)
        self.bounds.append(asked.bound)
        self.waits.append(asked.wait_s)
        asked.progress(Progress("chunks", 4, 1, 10, 5, 5, 1))
        self.downloading.set()
        if self.hold:
            try:
                await asyncio.Event().wait()
            finally:
                self.cancelled.set()
        return asked.result(
            name="hats",
            path=str(asked.target or cast("Path", asked.into) / "hats"),
            files=2,
            bytes_fetched=5,
            seconds=0.25,
            lookup_ms=10.0,
            connect_ms=90.5,
            first_byte_ms=20.0,
            transfer_MBps=1.5,
            record_hops=2,
            signaled_via=self.signaled_via,
            sources=self.sources,
            banned=self.banned,
        )

    async def look(self, link: ModLink, progress: ReportProgress) -> ModOffer:
        self._answer("look", link)
        progress(Progress("finding"))
        return ModOffer(
            link.mod_id, "hats", 12, 5_000_000, 3, 5_061_440, 2_000_000, ("a.txt", "b.txt")
        )

    async def peers(self, has: ModLink | None = None) -> tuple[PeerView, ...]:
        self._answer("peers", has)
        return (PeerView(PEER, "contact", ADDRESS, 3.0, 1.5, True if has else None),)


PATH = FoundPath(
    Address("127.0.0.1", 4001), CandidateKind.HOST, ADDRESS, CandidateKind.SERVER_REFLEXIVE
)


BEHIND = FoundPath(
    *(ADDRESS, CandidateKind.RELAYED, ADDRESS, CandidateKind.RELAYED, bytes(range(20))),
)
PATHS: tuple[MeasuredPath, ...] = (
    MeasuredPath(
        PATH,
        PathReport(
            *(PATH.local, PATH.remote, PathClass.DIRECT, True, PathReason.CLASS),
            *(0.0201, 0.0625, 1_234_567.8),
        ),
    ),
    MeasuredPath(
        BEHIND,
        PathReport(
            *(ADDRESS, ADDRESS, PathClass.RELAYED, False, PathReason.UNANSWERED),
            *(None, 1.0, None),
        ),
    ),
)


CONE = KnownSide((4,), NatKind(MappingKind.ENDPOINT_INDEPENDENT, FilteringKind.DEPENDENT), relays=3)
RANDOM = KnownSide((4, 6), NatKind(MappingKind.ENDPOINT_DEPENDENT, FilteringKind.DEPENDENT), 0)


@dataclass(frozen=True)
class FakeLink:
    """A link that has been open for three seconds."""

    peer_id: PeerId
    opened_at: float
    direction: str = "outgoing"
    path: FoundPath = PATH
    paths: tuple[MeasuredPath, ...] = PATHS
    round_trip_s: float | None = 0.0205
    signaled_via: tuple[PeerId, ...] = (PEER,)
    bytes_sent: int = 100
    bytes_received: int = 2000
    own: KnownSide = CONE
    peer: KnownSide = RANDOM

    @property
    def stage_seconds(self) -> dict[Stage, float]:
        return {stage: 0.01 * number for number, stage in enumerate(Stage, 1)}


DESCRIBED = Description(
    *("ours", "a password of ours 24 ch".replace(" ", "/"), bytes(32), DtlsRole.ACTIVE),
    (IceCandidate(CandidateKind.HOST, ADDRESS),),
    session=bytes(48),
)


class FakeDoctor:
    """Its network is `report`, which a test may replace."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.report = NetworkReport(
            kind=NetworkKind.ROUTER,
            sentence=NetworkKind.ROUTER.sentence,
            advice=NetworkKind.ROUTER.advice,
            joined=True,
            contacts=12,
            distant_contacts=10,
            known_nodes=3,
            registrars=4,
            families=(
                FamilyReport(
                    family=4,
                    hosts=("192.168.1.5",),
                    listening=True,
                    verdict=Verdict.NOT_PUBLIC,
                    mapping=MappingKind.ENDPOINT_INDEPENDENT,
                    filtering=FilteringKind.DEPENDENT,
                    port_preserved=True,
                    port_step=0,
                    seen=(
                        SeenAddress(Address("192.0.2.7", 4001), proved=True),
                        SeenAddress(Address("192.0.2.8", 9), proved=False),
                    ),
                ),
                FamilyReport(
                    family=6,
                    hosts=(),
                    listening=False,
                    verdict=Verdict.UNKNOWN,
                    mapping=MappingKind.UNKNOWN,
                    filtering=FilteringKind.UNKNOWN,
                    port_preserved=False,
                    port_step=0,
                    seen=(),
                ),
            ),
            upnp=UpnpAnswer.NO_ANSWER,
            upnp_address=None,
            upnp_refusal="",
            upnp_tcp_ports=(),
            upnp_tcp_refusals=(),
            relays_known=16,
            relays=0,
            hides_address=False,
            clock=ClockReport.of(ClockView()),
        )

    def network(self) -> NetworkReport:
        self._answer("network")
        return self.report


class FakePool:
    """Has a link to one peer, and opens one to any other."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.failure: Exception | None = None
        self.path = PATH
        self.paths: tuple[MeasuredPath, ...] = PATHS
        self.linked = [PEER]
        self.changes = LinkChanges()
        self.changes.uses(PEER, cast("Link", self._link(PEER)))

    def links(self) -> list[FakeLink]:
        self._answer("links")
        return [self._link(peer_id) for peer_id in self.linked]

    def wanted_for(self, peer_id: PeerId) -> tuple[str, ...]:
        return ("a person asked for it",) if peer_id == PEER else ()

    async def connect(self, peer_id: PeerId) -> FakeLink:
        self._answer("connect", peer_id)
        if self.failure is not None:
            raise self.failure
        return self._link(peer_id)

    async def answer(self, offer: Offer, *, of_page: bool = False) -> Description:
        self._answer("answer", offer, of_page)
        if self.failure is not None:
            raise self.failure
        return DESCRIBED

    def _link(self, peer_id: PeerId) -> FakeLink:
        opened_at = asyncio.get_running_loop().time() - 3.0
        return FakeLink(peer_id, opened_at, path=self.path, paths=self.paths)


class FakeNode:
    """What it answers are attributes; `failure` is raised instead."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.identity = Identity(SEEDS[0])
        self.environment = Environment()
        self.config = Config()
        self.asked: list[tuple[Any, ...]] = []
        self.failure: Exception | None = None
        self.reachable: bool | None = True
        self.join_ms: float | None = 12.5
        self.known_nodes = 1
        self.clock = ClockView()
        self.bound = [Address("127.0.0.1", 4001)]
        self.peer_id: PeerId = self.identity.peer_id
        self.diagnosis = FakeDiagnosis(self._answer)
        self.doctor = FakeDoctor(self._answer)
        self.sharing = FakeSharing(self._answer, home.path)
        self.pool = FakePool(self._answer)
        self.following = FakeFollowing(self._answer)
        self.downloads = DownloadQueue(
            *(home.downloads, self.sharing.get, lambda _: None, self.environment.wall),
            at_once=3,
        )
        self.transfers = TransferLimits(RateSettings(), self.environment.wall)

    def keep_link(self, peer_id: PeerId, *, keep: bool) -> None:
        self._answer("keep_link", peer_id, keep)

    def _answer(self, *asked: Any) -> None:
        self.asked.append(asked)
        if self.failure is not None:
            raise self.failure

    def status(self) -> NodeStatus:
        self._answer("status")
        return NodeStatus(
            peer_id=self.peer_id,
            addresses=(Address("127.0.0.1", 4001),),
            bootstrap_addresses=self.bootstrap_addresses(),
            uptime_s=1.5,
            reachable=self.reachable,
            joined=self.join_ms is not None,
            join_ms=self.join_ms,
            known_nodes=self.known_nodes,
            contacts=3,
            clock=ClockReport.of(self.clock),
            registrars=(),
            registered_peers=0,
            forwarded_calls=0,
            records=4,
            records_refused={"store_full": 2},
            relay=RelayStatus(True, 2, 3_000_000, 20_000_000_000, 2_000_000),
            links=1,
            datagrams_received=10,
            datagrams_sent=11,
            bytes_received=1000,
            bytes_sent=1100,
            refused={"bad_signature": 2},
        )

    @property
    def clock_sentence(self) -> str:
        return clock_sentence(self.clock)

    def bootstrap_addresses(self) -> tuple[str, ...]:
        peer_id = peer_id_text(self.identity.peer_id)
        return tuple(f"{address}/{peer_id}" for address in self.bound)


def stored_mod(mod_id: bytes, name: str) -> ModView:
    return ModView(
        mod_id, name, 1, 2, 10, ModLink(mod_id, bytes(32)), 1.7e9, shared=True, complete=True
    )


@asynccontextmanager
async def served(
    folder: Path, on_stop: Callable[[], None] = lambda: None
) -> AsyncIterator[tuple[FakeNode, ControlServer]]:
    """A fake node behind a real control server, in the running loop."""
    home = Home.open(folder)
    node = FakeNode(home)
    server = ControlServer(cast("Node", node), version="1.2.3", on_stop=on_stop)
    await server.start()
    try:
        yield node, server
    finally:
        await server.close()
        await node.downloads.close()
        home.close()


@contextmanager
def served_in_thread(folder: Path) -> Iterator[FakeNode]:
    """The same in a thread of its own, for blocking clients; POST /v1/stop ends it too."""
    ready: list[FakeNode] = []
    started = threading.Event()
    loop = asyncio.new_event_loop()
    ended = asyncio.Event()

    async def serve() -> None:
        async with served(folder, ended.set) as (node, _):
            ready.append(node)
            started.set()
            await ended.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        assert started.wait(10)
        yield ready[0]
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join()
        loop.close()
