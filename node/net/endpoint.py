"""The node's UDP sockets, one per address family, and who gets which datagram.

The first byte tells protocols apart (RFC 7983 and PROTOCOL.md), so everything shares one port and
one mapping in a NAT.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Any

from node.counters import Counters
from node.environment import Environment
from node.net.udp.opening import open_port
from node.net.udp.port import Port, PortUser
from protocol.addresses import Address

_log = logging.getLogger(__name__)

Handler = Callable[[bytes, Address], None]

_V4_MAPPED = "::ffff:"


class Endpoint:
    """Sockets bound by `open`; datagrams go to the handler that took their first byte."""

    def __init__(self, counters: Counters, environment: Environment) -> None:
        self._counters = counters
        self._udp_socket = environment.udp_socket
        self._ports: dict[int, Port] = {}
        self._handlers: list[Handler] = [self._unclaimed] * 256
        self._closed: list[asyncio.Future[None]] = []
        self.addresses: dict[int, Address] = {}

    def take(self, first_bytes: Iterable[int], handler: Handler) -> None:
        """Give all datagrams that start with one of these bytes to `handler`."""
        for value in first_bytes:
            self._handlers[value] = handler

    async def open(self, address: Address) -> Address:
        """Bind a socket of this address's family; port 0 picks one. Raises OSError."""
        user = _User(self)
        port = await open_port(user, *address, self._udp_socket)
        self._closed.append(user.closed)
        name = port.get_extra_info("sockname")
        bound = Address(name[0], name[1])
        self._ports[bound.family] = port
        self.addresses[bound.family] = bound
        return bound

    def sendto(self, datagram: bytes, address: Address) -> None:
        """Send, or count why not; never raises for what the network does."""
        port = self._ports.get(address.family)
        if port is None or port.is_closing():
            self._counters.refused["no_socket_of_this_family"] += 1
            return
        self._counters.datagrams_sent += 1
        self._counters.bytes_sent += len(datagram)
        port.sendto(datagram, address)

    def received(self, datagram: bytes, source: tuple[Any, ...]) -> None:
        """Hand a datagram to whoever took its first byte."""
        self._counters.datagrams_received += 1
        self._counters.bytes_received += len(datagram)
        if not datagram:
            self._counters.refused["empty_datagram"] += 1
            return
        host = source[0]
        if ":" in host:
            host = host.partition("%")[0].removeprefix(_V4_MAPPED)
        self._handlers[datagram[0]](datagram, Address(host, source[1]))

    def socket_error(self, error: Exception) -> None:
        """Count what the kernel would not send, or reported for an earlier datagram."""
        self._counters.refused["socket_error"] += 1
        _log.debug("socket error: %s", error)

    async def close(self) -> None:
        """Close every socket, and wait until the loop has let go of each."""
        for port in self._ports.values():
            port.close()
        self._ports.clear()
        await asyncio.gather(*self._closed)

    def _unclaimed(self, _datagram: bytes, _address: Address) -> None:
        self._counters.refused["unknown_first_byte"] += 1


class _User(PortUser):
    """Passes everything that one port tells to the endpoint."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.closed.done():
            self.closed.set_result(None)

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        self._endpoint.received(data, addr)

    def error_received(self, exc: Exception) -> None:
        self._endpoint.socket_error(exc)
