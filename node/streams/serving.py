"""One stream that is served: its sockets of UDP, and its way to this node itself."""

import asyncio
from collections.abc import Callable

from node.counters import Counters
from node.net.endpoint import Endpoint
from node.net.udp.opening import UdpSocket, open_port
from node.net.udp.port import Arrival, Port, PortUser, source_address, split
from node.streams.connection import StreamConnection
from node.streams.port import StreamPort
from protocol.addresses import Address
from protocol.errors import RemoteError
from protocol.identity import PeerId
from protocol.streams.forwarding import StreamForwarding
from protocol.streams.framing import Framed


class ForwardedStream:
    """A client is to this node at `client`, its address of TCP; the port at `base` leads to it.

    What it sends to this node goes through the demultiplexer as if it had come by UDP, and what is
    sent to that address goes back by the stream.
    """

    def __init__(
        self,
        peer_id: PeerId,
        connection: StreamConnection,
        base: Address,
        endpoint: Endpoint,
        counters: Counters,
        forwarding: StreamForwarding,
        ended: Callable[["ForwardedStream"], None],
    ) -> None:
        self.peer_id = peer_id
        self.client = connection.remote
        self.base = base
        self._connection = connection
        self._endpoint = endpoint
        self._counters = counters
        self._forwarding = forwarding
        self._tell_ended = ended
        self._now = asyncio.get_running_loop().time
        self._sockets: dict[int, Port] = {}
        self._port: StreamPort | None = None

    async def open_sockets(self, udp_socket: UdpSocket | None) -> None:
        """A socket of UDP for each family of this node; raises OSError."""
        for family, bound in self._endpoint.addresses.items():
            user = _ForwardedUser(self)
            self._sockets[family] = await open_port(
                user, bound.host, 0, udp_socket, self._counters, self._endpoint.beat
            )

    def start(self) -> None:
        """Serve from now on, until the stream ends."""
        self._port = port = StreamPort(
            self._connection,
            self.client,
            self._counters,
            self._take,
            asks=False,
            ended=self._ended,
            writable=self._endpoint.writable,
        )
        if not port.is_closing():
            self._endpoint.add_port(self.base, port)
            self._endpoint.route(self.client, port, self._heard_by_udp)

    def close(self) -> None:
        """End the stream and its sockets."""
        for one in self._sockets.values():
            one.close()
        self._connection.abort()

    def _heard_by_udp(self) -> None:
        """Another node is at the client's address, by UDP, as behind one NAT two may be.

        What is for it would go by the stream. So the client may come again, from another port.
        """
        self._counters.refused["stream_address_taken"] += 1
        self._ended()

    def _ended(self) -> None:
        if self._port is not None:
            self._endpoint.remove_port(self.base)
            self._endpoint.route_no_more(self.client, self._port)
        self.close()
        self._tell_ended(self)

    # From the client ----------------------------------------------------------------------------

    def _take(self, framed: list[Framed]) -> None:
        for buffer, size, address in framed:
            if address is None:
                # The client's address is where this node's answers go.
                self._endpoint.demux.burst_received([(buffer, size, self.client)], self.base)
                continue
            for datagram in split(buffer, size):
                self._forward(datagram, address)

    def _forward(self, datagram: bytes, address: Address) -> None:
        socket = self._sockets.get(address.family)
        if socket is None:
            self._counters.refused["no_socket_of_this_family"] += 1
            return
        try:
            self._forwarding.check_outgoing(datagram[0], len(datagram), address, self._now())
        except RemoteError as error:
            self._counters.refuse(error)
            return
        socket.sendto(datagram, address)

    # To the client ------------------------------------------------------------------------------

    def heard(self, burst: list[Arrival]) -> None:
        """Pass on what contacts sent to this stream's socket."""
        if self._port is None:
            return
        for buffer, size, source in burst:
            address = source_address(source)
            for datagram in split(buffer, size):
                first = datagram[0] if datagram else 0
                try:
                    self._forwarding.check_incoming(first, len(datagram), address, self._now())
                except RemoteError as error:
                    self._counters.refuse(error)
                    continue
                self._port.send_framed(datagram, len(datagram), address)


class _ForwardedUser(PortUser):
    def __init__(self, stream: ForwardedStream) -> None:
        self._stream = stream

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The port is given to who opened it."""

    def burst_received(self, burst: list[Arrival]) -> None:
        self._stream.heard(burst)
