"""A gateway: takes streams of nodes whose network passes no UDP, and shares its places."""

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

from node.counters import Counters
from node.environment import Environment
from node.interfaces import WILDCARDS
from node.net.endpoint import Endpoint
from node.streams.arrivals import REFUSALS, Arrivals
from node.streams.connection import StreamConnection
from node.streams.serving import ForwardedStream
from node.streams.tls import check_alpn, gateway_context, shown_in
from node.streams.ways import StreamWay, served_base
from node.tasks import TaskOwner
from protocol import limits
from protocol.addresses import Address
from protocol.errors import Busy, LinkClosed, ModswarmError, NotPermitted
from protocol.identity import Identity, PeerId
from protocol.places.tenure import Place, PlaceRule, network_of
from protocol.places.visits import Visits
from protocol.streams.forwarding import GatewayAllowance, StreamForwarding
from protocol.streams.handshake import (
    NONCE_BYTES,
    PROOF_BYTES,
    STREAM_HELLO_BYTES,
    GatewayHandshake,
    StreamTerms,
    verdict,
)

_log = logging.getLogger(__name__)

_RULE = PlaceRule(
    limits.STREAMS,
    for_newcomers=limits.STREAMS_FOR_NEWCOMERS,
    for_own=0,
    per_network=limits.STREAMS_PER_NETWORK,
)


class StreamGateway:
    """`contacts` names the addresses of contacts now, `worth` says what a peer was worth.

    `fingerprint`: of the certificate that it shows. `gone` is told of each stream that has ended:
    its client's address, and what was local to it.
    """

    def __init__(
        self,
        identity: Identity,
        environment: Environment,
        endpoint: Endpoint,
        counters: Counters,
        *,
        puzzle_bits: int,
        fingerprint: bytes,
        contacts: Callable[[], frozenset[Address]],
        worth: Callable[[PeerId, float], float],
        gone: Callable[[Address, Address], None],
    ) -> None:
        self._terms = StreamTerms(identity, fingerprint, puzzle_bits)
        self._environment = environment
        self._endpoint = endpoint
        self._counters = counters
        self._contacts = contacts
        self._worth = worth
        self._gone = gone
        self._tasks = TaskOwner("streams")
        self._arrivals = Arrivals()
        self._allowance = GatewayAllowance()
        self._served: dict[PeerId, ForwardedStream] = {}
        self._since: dict[PeerId, float] = {}
        self._visits = Visits()
        self._made = 0
        self._context: ssl.SSLContext | None = None
        self._listening: dict[Address, asyncio.Server] = {}
        self._now = asyncio.get_running_loop().time

    @property
    def defects(self) -> list[BaseException]:
        """What its tasks raised that no peer can be blamed for."""
        return self._tasks.defects

    @property
    def served(self) -> int:
        """Streams that stand."""
        return len(self._served)

    @property
    def listening(self) -> tuple[Address, ...]:
        """Where it takes streams."""
        return tuple(self._listening)

    def listens_at(self, port: int) -> bool:
        """Whether it takes streams at a port of IPv4."""
        return any(one.family == 4 and one.port == port for one in self._listening)

    # Start and stop -----------------------------------------------------------------------------

    async def start(self, certificate: Path) -> None:
        """Listen by TCP at each port of the node; where that is refused, without it."""
        try:
            self._context = gateway_context(certificate)
            shown = shown_in(certificate)
        except OSError as error:
            _log.warning("no streams are taken: %s: %s", certificate, error)
            return
        if shown != self._terms.fingerprint:
            self._context = None
            _log.warning("no streams are taken, as %s does not hold what is shown", certificate)
            return
        for bound in self._endpoint.addresses.values():
            await self.listen(bound)

    async def listen(self, address: Address) -> bool:
        """Take streams at one more address; whether the system lets it."""
        if self._context is None or address in self._listening:
            return self._context is not None
        try:
            self._listening[address] = await asyncio.get_running_loop().create_server(
                lambda: StreamConnection(self._came),
                *address,
                backlog=limits.STREAM_ARRIVALS,
            )
        except OSError as error:
            _log.info("no streams are taken at %s: %s", address, error)
            return False
        return True

    async def listen_at_443(self, public: Awaitable[None]) -> None:
        """Once the node knows that it is public, take streams by the port that nearly every
        network lets out, where the system lets it.
        """
        await public
        for bound in list(self._endpoint.addresses.values()):
            await self.listen(Address(bound.host, limits.STREAM_PORT))

    async def close(self) -> None:
        """End every stream."""
        for server in self._listening.values():
            server.close()
        await self._tasks.close()
        for stream in list(self._served.values()):
            stream.close()

    # A stream -----------------------------------------------------------------------------------

    def _came(self, connection: StreamConnection) -> None:
        try:
            self._arrivals.add(connection, self._now())
        except REFUSALS as error:
            self._counters.refuse(error)
            connection.abort()
            return
        self._tasks.start(self._admit(connection), name="a handshake")

    async def _admit(self, connection: StreamConnection) -> None:
        assert self._context is not None
        try:
            async with asyncio.timeout(limits.STREAM_HANDSHAKE_S):
                await connection.start_tls(self._context, server_side=True)
                check_alpn(connection)
                peer_id = await self._shake_hands(connection)
            await self._begin(peer_id, connection)
        except (OSError, TimeoutError) as error:
            _log.debug("a stream's handshake failed: %s", error)
            self._counters.refused["stream_handshake"] += 1
            connection.abort()
        except ModswarmError as error:
            self._counters.refuse(error)
            connection.abort()
        except BaseException:
            connection.abort()
            raise
        finally:
            self._arrivals.leave(connection)

    async def _shake_hands(self, connection: StreamConnection) -> PeerId:
        handshake = GatewayHandshake(self._terms, self._environment.rng.randbytes(NONCE_BYTES))
        connection.send(handshake.reply(await connection.take(STREAM_HELLO_BYTES)))
        return handshake.client(await connection.take(PROOF_BYTES))

    async def _begin(self, peer_id: PeerId, connection: StreamConnection) -> None:
        """Give a peer its place; raises LinkClosed, NotPermitted, Busy once the client was told."""
        if connection.remote in self._contacts():
            # What is for the contact would go by the stream; the client has other ports.
            raise NotPermitted("the address of a contact by UDP")
        if (before := self._served.get(peer_id)) is not None:
            before.close()
            self._forget(before)
        self._make_room(peer_id, connection)
        self._made += 1
        forwarding = StreamForwarding(
            peer_id,
            connection.remote.host,
            self._allowance,
            knows=lambda address: address in self._contacts(),
            own_addresses=self._own_addresses(),
        )
        base = served_base(self._made)
        stream = ForwardedStream(
            *(peer_id, connection, base, self._endpoint, self._counters, forwarding),
            self._forget,
        )
        now = self._now()
        self._served[peer_id], self._since[peer_id] = stream, now
        self._visits.add(peer_id, network_of(stream.client.host), now)
        try:
            await stream.open_sockets(self._environment.udp_socket)
        except BaseException:
            stream.close()
            self._forget(stream)
            raise
        if connection.is_lost or self._served.get(peer_id) is not stream:
            stream.close()
            self._forget(stream)
            raise LinkClosed("the client left within its handshake")
        connection.send(verdict(0))
        stream.start()

    def way_to(self, peer_id: PeerId) -> StreamWay | None:
        """The stream that this node serves a peer, if it serves one."""
        stream = self._served.get(peer_id)
        return None if stream is None else StreamWay(stream.base, stream.client, is_of_udp=False)

    def _make_room(self, peer_id: PeerId, connection: StreamConnection) -> None:
        now = self._now()
        asking = self._place(peer_id, connection.remote.host, now, now, comes=1)
        places = [
            self._place(one.peer_id, one.client.host, self._since[one.peer_id], now)
            for one in self._served.values()
        ]
        try:
            yielding = _RULE.giving_way(places, asking, now)
        except Busy as busy:
            connection.send(verdict(busy.retry_s))
            connection.transport.close()
            raise
        if yielding is not None:
            self._served[yielding.holder].close()
            self._forget(self._served[yielding.holder])

    def _place(self, peer_id: PeerId, host: str, since: float, now: float, comes: int = 0) -> Place:
        """The place of a peer that is served, or that `comes` once more."""
        until = since + limits.STREAM_TENURE_S
        network = network_of(host)
        visits = self._visits.times(peer_id, network, now) + comes
        worth = self._worth(peer_id, now)
        return Place(peer_id, network, worth, safe_until=until, due_at=until, visits=visits)

    def _forget(self, stream: ForwardedStream) -> None:
        if self._served.get(stream.peer_id) is stream:
            del self._served[stream.peer_id], self._since[stream.peer_id]
            self._gone(stream.client, stream.base)

    def _own_addresses(self) -> frozenset[Address]:
        found: list[Address] = []
        for bound in self._endpoint.addresses.values():
            hosts = [bound.host]
            if bound.host in WILDCARDS:
                hosts = [*self._environment.host_addresses(), "127.0.0.1", "::1"]
            found += [Address(host, bound.port) for host in hosts]
        return frozenset(found)
