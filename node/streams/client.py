"""A node's own streams, by the gateway that each leads to."""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from weakref import WeakValueDictionary

from node.counters import Counters
from node.net.endpoint import Endpoint
from node.net.udp.port import Arrival
from node.streams.dialing import StreamDialer
from node.streams.port import StreamPort
from node.streams.ways import StreamWay, own_base
from protocol import limits
from protocol.addresses import Address
from protocol.errors import ModswarmError, NotPermitted, StreamFailed
from protocol.identity import PeerId, peer_id_of
from protocol.streams.forwarding import check_heard
from protocol.streams.framing import Framed

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class OwnStream:
    """A stream to the gateway at this address of UDP. `base` is where its port stands."""

    peer_id: PeerId
    gateway: Address
    base: Address
    port: StreamPort


class OwnStreams:
    """Opens them; `ended` is called when one has ended. `failures`: why the last ones failed."""

    def __init__(
        self,
        dialer: StreamDialer,
        endpoint: Endpoint,
        counters: Counters,
        ended: Callable[[OwnStream], None],
    ) -> None:
        self._dialer = dialer
        self._endpoint = endpoint
        self._counters = counters
        self._tell_ended = ended
        self._open: dict[Address, OwnStream] = {}
        self._opening: WeakValueDictionary[Address, asyncio.Lock] = WeakValueDictionary()
        self._asking: WeakValueDictionary[PeerId, asyncio.Lock] = WeakValueDictionary()
        self._places: dict[PeerId, Address] = {}
        self._made = 0
        self.failures: OrderedDict[str, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._open)

    def all(self) -> list[OwnStream]:
        """Those that stand."""
        return list(self._open.values())

    def way_to(self, peer_id: PeerId) -> StreamWay | None:
        """The stream to a gateway, if there is one."""
        for stream in self._open.values():
            if stream.peer_id == peer_id:
                return StreamWay(stream.base, stream.gateway, is_of_udp=True)
        return None

    async def open(self, gateway: Address, expected: PeerId | None) -> OwnStream:
        """The stream to a gateway, made if there is none; raises StreamFailed, BadConfig.

        A gateway serves one stream of a peer, so another address of one that serves us is none.
        """
        for stream in self._open.values():
            if stream.peer_id == expected and stream.gateway != gateway:
                raise StreamFailed(f"{gateway} has a stream of ours at {stream.gateway} already")
        lock = self._opening.setdefault(gateway, asyncio.Lock())
        async with lock:
            return self._open.get(gateway) or await self._make(gateway, expected)

    @asynccontextmanager
    async def _claim(self, gateway: Address, peer_id: PeerId) -> AsyncIterator[None]:
        """See `ClaimPlace`: who is at an address may show only in the handshake."""
        turn = self._asking.setdefault(peer_id, asyncio.Lock())
        async with turn:
            if (held := self._places.get(peer_id)) is not None:
                raise StreamFailed(f"{gateway} has a stream of ours at {held} already")
            yield
            self._places[peer_id] = gateway

    def _give_up(self, gateway: Address, but: PeerId | None = None) -> None:
        """What was opened at a gateway's address has ended, `but` for the stream to one peer."""
        for peer_id in [one for one, at in self._places.items() if at == gateway and one != but]:
            del self._places[peer_id]

    async def _make(self, gateway: Address, expected: PeerId | None) -> OwnStream:
        claim = partial(self._claim, gateway)
        try:
            opened = await self._dialer.dial_any(gateway, expected, claim, self._failed)
        except BaseException:
            self._give_up(gateway)
            raise
        peer_id = peer_id_of(opened.public_key)
        self._give_up(gateway, but=peer_id)  # another one may answer at 443 of its host

        self._made += 1
        base = own_base(self._made)

        def ended() -> None:
            self._ended(stream)

        port = StreamPort(
            *(opened.connection, gateway, self._counters),
            lambda framed: self._take(gateway, base, framed),
            asks=True,
            ended=ended,
            writable=self._endpoint.writable,
        )
        stream = OwnStream(peer_id, gateway, base, port)
        if port.is_closing():
            self._give_up(gateway)
            raise StreamFailed(f"{gateway} ended the stream at once")
        self._open[gateway] = stream
        self._endpoint.add_port(base, port)
        self._endpoint.route(gateway, port)
        _log.info("a stream to %s stands", gateway)
        return stream

    def _failed(self, error: StreamFailed) -> None:
        _log.info("no stream: %s", error)
        self.note_failure(error)

    def note_failure(self, error: ModswarmError) -> None:
        """`failures` tells it from now on, as the last one."""
        self.failures.pop(str(error), None)
        self.failures[str(error)] = None
        if len(self.failures) > limits.STREAM_DIALS:
            self.failures.popitem(last=False)

    def _ended(self, stream: OwnStream) -> None:
        if self._open.get(stream.gateway) is stream:
            del self._open[stream.gateway]
            self._give_up(stream.gateway)
            self._endpoint.remove_port(stream.base)
            self._endpoint.route_no_more(stream.gateway, stream.port)
            _log.info("the stream to %s has ended", stream.gateway)
            self._tell_ended(stream)

    def _take(self, gateway: Address, base: Address, framed: list[Framed]) -> None:
        """Pass on what came by a gateway, which may say of others only what is of the overlay."""
        own: list[Arrival] = []
        burst: list[Arrival] = []
        for buffer, size, address in framed:
            try:
                if address is None:
                    own.append((buffer, size, gateway))
                    continue
                check_heard(buffer[::size], address, gateway.host)
                burst.append((buffer, size, address))
            except NotPermitted as error:
                self._counters.refuse(error)
        self._endpoint.demux.burst_received(own, base)
        local = self._endpoint.addresses.get(gateway.family, gateway)
        self._endpoint.demux.burst_received(burst, local)

    def close_unused(self, but: list[OwnStream], now: float) -> None:
        """End those that nothing has used for STREAM_UNUSED_S, `but` for some."""
        for stream in self.all():
            if stream not in but and now - stream.port.used_at > limits.STREAM_UNUSED_S:
                stream.port.close()

    def close(self) -> None:
        """End them all."""
        for stream in self.all():
            stream.port.close()
