"""One running node: builds the rooms, starts them, and ends them in order.

The faces talk to the rooms themselves: `sharing`, `membership`, `pool`, `diagnosis`.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from math import inf
from pathlib import Path

from node.answers.network import ClockReport, StreamStatus
from node.answers.status import NodeStatus
from node.config import Config
from node.content.homes import HomeGuard
from node.content.origins.origins import Origins
from node.content.queue.queue import DownloadQueue
from node.content.rates.transfers import TransferLimits
from node.content.vault.vault import Vault
from node.counters import Counters
from node.diagnosis import Diagnosis
from node.doctor import Doctor
from node.environment import Environment
from node.following.following import Following
from node.following.hearing import Hearing
from node.home import ContactSaving, Home
from node.links.path.paths import LinkPaths
from node.links.pool.pool import LinkPool
from node.links.pool.wants import Want
from node.links.punching.punching import LinkPunching
from node.links.relaying.relays import LinkRelays
from node.links.secure.certificate import load_or_create
from node.links.settings import LinkSettings
from node.machine.folders import known_default_home
from node.machine.refusals import port_refused
from node.net.binding import bind, check_ports
from node.overlay.membership import Membership
from node.overlay.settings import OverlaySettings
from node.overlay.signaling.witnesses import Witnesses
from node.sharing import Sharing
from node.streams.gateway import StreamGateway
from node.streams.ways import StreamWays
from node.tasks import TaskOwner
from protocol import limits
from protocol.causes.clock import clock_sentence
from protocol.errors import BadConfig
from protocol.identity import PeerId, peer_id_text
from protocol.overlay.bootstrap import Bootstrap
from protocol.places.usefulness import Usefulness
from protocol.reachability.network_view import Verdict

_log = logging.getLogger(__name__)

_REACHABLE = {Verdict.PUBLIC: True, Verdict.NOT_PUBLIC: False, Verdict.UNKNOWN: None}


class Node:
    """A node in its home. `start`, use, `stop`; a stopped node is not started again.

    `start` makes `membership`, `pool`, `diagnosis`, `doctor`, `transfers`, `sharing`,
    `hearing` and `downloads`. `say` takes sentences for the user of the node.
    """

    membership: Membership
    pool: LinkPool
    diagnosis: Diagnosis
    doctor: Doctor
    sharing: Sharing
    transfers: TransferLimits
    downloads: DownloadQueue
    hearing: Hearing
    following: Following
    gateway: StreamGateway

    def __init__(
        self,
        home: Home,
        config: Config,
        environment: Environment,
        say: Callable[[str], None],
        overlay: OverlaySettings | None = None,
    ) -> None:
        self.home = home
        self.config = config
        self.environment = (
            environment
            if config.upnp == "on" and not config.hide_address
            else replace(environment, find_router=None)
        )
        overlay = overlay or OverlaySettings()
        self._overlay = replace(
            overlay,
            unreachable=config.plays_unreachable,
            paths=config.paths,
            relay=config.relay_settings(),
            streams=overlay.streams and config.streams == "on",
        )
        self.counters = Counters()
        self._say = say
        bootstraps = [Bootstrap.parse(text) for text in config.bootstrap]
        self._bootstraps = bootstraps
        self._friends = frozenset(one.peer_id for one in bootstraps if one.peer_id is not None)
        if not home.has_identity:
            check_ports(config, environment)  # before seconds of work, not after
            say("Making an identity for this node; this takes some seconds, once.")
        self.identity = home.identity(environment.rng, self._overlay.puzzle_bits)
        self._started_at = 0.0
        self._kept_links: dict[PeerId, Want] = {}
        self._tasks = TaskOwner("node")
        self._usefulness = Usefulness(self._standing)

    @classmethod
    def open(
        cls,
        home: Path,
        config: Config,
        environment: Environment,
        say: Callable[[str], None],
        overlay: OverlaySettings | None = None,
    ) -> "Node":
        """Open a home and make its node; about 2 s the first time, for the identity.

        Only simulations give `overlay`. Raises HomeError, DiskError, BadAddress.
        """
        opened = Home.open(home)
        try:
            return cls(opened, config, environment, say, overlay)
        except BaseException:
            opened.close()
            raise

    @property
    def joined(self) -> asyncio.Event:
        """Set once the node has joined the overlay."""
        return self.membership.joined

    @property
    def defects(self) -> list[BaseException]:
        """What tasks of any room raised that is neither the network's fault nor a peer's.

        A node that did not start has only some of its rooms.
        """
        found = [*self._tasks.defects]
        if hasattr(self, "membership"):
            found += self.membership.tasks.defects
        for room in ("gateway", "pool", "sharing", "downloads", "hearing", "following"):
            if hasattr(self, room):
                found += getattr(self, room).defects
        return found

    @property
    def asks_router(self) -> bool:
        """Whether the node asks a router to forward its port, if it finds that one is there."""
        return self.environment.find_router is not None and not self.config.plays_unreachable

    @property
    def clock_sentence(self) -> str:
        """What a person should know of this computer's clock; empty where there is no sign."""
        return clock_sentence(self.membership.own_clock.view())

    # Start and stop -----------------------------------------------------------------------

    async def start(self) -> None:
        """Bind the sockets and start everything; joining goes on in the background.

        Raises BadAddress, BadConfig, HomeError, DiskError, InsecureRandomness; then nothing is left
        behind.
        """
        self._started_at = asyncio.get_running_loop().time()
        async with AsyncExitStack() as undoing:
            await self._open(undoing)
            undoing.pop_all()
        # Calls go both ways between overlay and links: the pool was made with what places calls,
        # and what answers them learns only here, once all is up, that the pool accepts them.
        self.membership.callee.accept_calls(self.pool.answer)
        self.membership.start()
        if self._takes_streams:
            await self.gateway.start(self.home.certificate)
            self.membership.reachability.forward_streams(self.gateway.listens_at)
            public = self.membership.own_network.until_public()
            self._tasks.start(self.gateway.listen_at_443(public), name="take streams at 443")
        self.downloads.start()
        await self.following.start()
        self._tasks.start(self._saving.run(self.joined), name="save contacts")
        self._tasks.start(self._prepare_links(), name="prepare links")
        self._tasks.start(self._check_links_after_moves(), name="check links")
        self._tasks.start(self.transfers.follow_hours(), name="follow limits by the hour")

    async def _open(self, undoing: AsyncExitStack) -> None:
        """Make and open every room; `undoing` ends what is open so far, the last first."""
        undoing.callback(self.home.close)
        self.membership = self._make_membership()
        self._saving = ContactSaving(self.home, self.membership.server.bootstrappable_neighbors)
        undoing.push_async_callback(self.membership.stop)
        await self._bind()
        self._certificate = load_or_create(self.home.certificate, self.environment)
        self.gateway = self._make_gateway()
        undoing.push_async_callback(self.gateway.close)
        self._vault = await Vault.open(self.home.vault, self.environment.wall)
        undoing.push_async_callback(self._vault.close)
        settings = LinkSettings(
            data_path=self.config.data_path, relayed_only=self.config.hide_address
        )
        endpoint, view = self.membership.endpoint, self.membership.own_network.view
        usefulness, relays = self._usefulness, self._make_relays()
        self.pool = LinkPool(
            *(self.identity, self.environment, self._certificate, settings),
            LinkPaths(
                *(endpoint, self.environment, settings, view, relays),
                self.membership.server.wire.line,
                StreamWays(self.membership.own_streams, self.gateway),
            ),
            LinkPunching(
                *(endpoint, self.environment, view),
                Witnesses(self.membership.server, self.environment),
                usefulness,
                searches=self.config.port_search == "on",
            ),
            self.membership.call,
            self.membership.look_around,
            self.counters,
            usefulness,
        )
        self.hearing = Hearing(self._vault, self.membership, self.pool)
        self.diagnosis = Diagnosis(
            self.membership.server, self.environment, self.membership.check_joined
        )
        self.doctor = Doctor(self.membership, self.environment, view, relays, self._stream_status)
        default = known_default_home()
        guard = HomeGuard(self.home.path, *([default] if default else []))
        self.transfers = TransferLimits(self.config.rate_settings(), self.environment.wall)
        keep = self.config.keep_settings()
        origins = Origins.of(
            *(self.config, self.home.origins, self.environment.rng),
            self.membership.own_network.hosts,
        )
        self.sharing = Sharing(
            self._vault, self.membership, self.pool, guard, self.transfers, keep, origins
        )
        hold, wall = self.sharing.keeping.hold, self.environment.wall
        at_once = self.config.downloads_at_once
        self.downloads = DownloadQueue(self.home.downloads, self.sharing.get, hold, wall, at_once)
        self.following = Following(
            *(self._vault, self.environment, self.hearing.news, self.sharing, self.membership)
        )
        await self.hearing.start()
        undoing.push_async_callback(self.hearing.close)
        await self.sharing.start(self.config.http_addresses())

    def _standing(self, peer_id: PeerId) -> float:
        """What a peer is worth besides what it did on links: a friend's place is never taken."""
        if peer_id in self._friends:
            return inf
        registrars = self.membership.registrations.registrars
        is_registrar = any(contact.peer_id == peer_id for contact in registrars)
        return limits.REGISTRAR_WORTH if is_registrar else 0.0

    def _make_gateway(self) -> StreamGateway:
        return StreamGateway(
            self.identity,
            self.environment,
            self.membership.endpoint,
            self.counters,
            puzzle_bits=self._overlay.puzzle_bits,
            fingerprint=self._certificate.fingerprint,
            contacts=self.membership.server.contact_addresses,
            worth=self._usefulness.worth,
            gone=self.membership.relay.client_gone,
        )

    @property
    def _takes_streams(self) -> bool:
        """Whether it is a gateway: a node that plays an unreachable one lets none in."""
        return self._overlay.streams and not self.config.plays_unreachable

    def _make_relays(self) -> LinkRelays:
        membership = self.membership
        return LinkRelays(
            membership.relay_client,
            self.identity.peer_id,
            lambda: membership.registrations.registrars,
            membership.server.some_contacts,
            lambda: membership.endpoint.addresses,
            membership.server.wire.has_answered,
            hidden=self.config.hide_address,
        )

    def _make_membership(self) -> Membership:
        return Membership(
            self.identity,
            self.environment,
            settings=self._overlay,
            counters=self.counters,
            bootstraps=self._bootstraps,
            saved=self.home.saved_contacts(),
            say=self._say,
        )

    async def _bind(self) -> None:
        await bind(
            *(self.membership.endpoint, self.config, self.environment.host_addresses(), self._say)
        )
        try:
            await self.membership.relay.open()
        except OSError as error:
            what = f"cannot bind relay_ports {self.config.relay_ports}"
            raise port_refused(error, what, BadConfig) from error

    async def stop(self) -> None:
        """End everything in order: calls, downloads, links, overlay, sockets, vault, lock."""
        self.membership.callee.refuse_calls()
        self._saving.save()
        # Side by side, as a link to a peer that is gone may take most of the time that there is.
        await asyncio.gather(self.membership.leave(), self._close_links())
        await self._tasks.close()
        await self.gateway.close()
        await self.membership.stop()
        await self.hearing.close()
        await self._vault.close()
        self.home.close()

    async def _close_links(self) -> None:
        await self.following.close()
        await self.downloads.close()
        await self.sharing.close()
        await self.pool.close()

    async def _prepare_links(self) -> None:
        """Load what links need, 27 MB, before the first call; downloads need not wait any more."""
        await self.joined.wait()
        self.pool.prepare()
        self.downloads.try_again()

    async def _check_links_after_moves(self) -> None:
        """Links of a machine that has come to another network, or has lost its mapping, go on."""
        own_network = self.membership.own_network
        while True:
            moves = own_network.moves
            await own_network.until(lambda: own_network.moves > moves)  # noqa: B023 - awaited here
            self.pool.doubt_links()
            self.downloads.try_again()

    def keep_link(self, peer_id: PeerId, *, keep: bool) -> None:
        """Keep the link to a peer up until the node stops, as a person asks, or not any more.

        Raises Overloaded where too many are kept; CallFailed, LinkClosed as `LinkPool.connect`.
        """
        if not keep:
            if (kept := self._kept_links.pop(peer_id, None)) is not None:
                kept.close()
        elif peer_id not in self._kept_links:
            self._kept_links[peer_id] = self.pool.want(peer_id, "a person asked for it")

    # Status -------------------------------------------------------------------------------

    def status(self) -> NodeStatus:
        """How the node is doing."""
        overlay = self.membership.server
        joined_at = self.membership.joining.joined_at
        registrars = self.membership.registrations.registrars
        return NodeStatus(
            peer_id=self.identity.peer_id,
            addresses=tuple(self.membership.own_addresses()),
            bootstrap_addresses=self.bootstrap_addresses(),
            uptime_s=asyncio.get_running_loop().time() - self._started_at,
            reachable=_REACHABLE[self.membership.own_network.view().verdict],
            joined=self.joined.is_set(),
            join_ms=(joined_at - self._started_at) * 1000 if joined_at else None,
            known_nodes=self.membership.joining.known_nodes,
            contacts=len(overlay.tables),
            clock=ClockReport.of(self.membership.own_clock.view()),
            registrars=tuple(contact.peer_id for contact in registrars),
            registered_peers=len(overlay.registrar),
            forwarded_calls=overlay.registrar.forwarded,
            records=len(overlay.store),
            records_refused=dict(sorted(self.membership.republisher.refused().items())),
            relay=self.membership.relay.status(),
            links=len(self.pool.links()),
            datagrams_received=self.counters.datagrams_received,
            datagrams_sent=self.counters.datagrams_sent,
            bytes_received=self.counters.bytes_received,
            bytes_sent=self.counters.bytes_sent,
            round_trip_ms=self.membership.own_network.line.round_trip_ms,
            slow_line=self.membership.own_network.line.is_slow,
            streams=self._stream_status(),
            refused=dict(sorted((self.counters.refused + self.sharing.refusals).items())),
        )

    def _stream_status(self) -> StreamStatus:
        return self.membership.streams.status(self.gateway.listening, self.gateway.served)

    def bootstrap_addresses(self) -> tuple[str, ...]:
        """What others may name as `--bootstrap`: `host:port/peer-id`."""
        peer_id = peer_id_text(self.identity.peer_id)
        return tuple(f"{address}/{peer_id}" for address in self.membership.own_addresses())
