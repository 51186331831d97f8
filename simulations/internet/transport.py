"""A UDP socket of a simulated host, as asyncio shows it: a datagram transport.

It behaves as asyncio's own on Linux does, bad habits included, because nodes must survive them: a
destination that is no address at all closes the transport for good, one that the kernel refuses
reaches `error_received`, and one that no host has is silence.
"""

import asyncio
import errno
import os
import socket as real_socket
from collections.abc import Callable
from typing import Any, Final

from protocol import limits
from simulations.internet.addresses import (
    LOOPBACK_V4,
    LOOPBACK_V6,
    WILDCARDS,
    HostPort,
    is_v6,
    spelled,
)
from simulations.internet.host import Socket
from simulations.internet.names import Names
from simulations.runtime.loop import VirtualLoop

DATAGRAM_MAX_V4_BYTES: Final = 65_507
DATAGRAM_MAX_V6_BYTES: Final = 65_527
DESTINATIONS_REMEMBERED: Final = 1 << 16


class Transport(asyncio.DatagramTransport):
    """The program's side of a socket: `send` takes what it sends, `close` is told of its end.

    `checked` has destinations that passed before, for all sockets of one family.
    """

    __slots__ = (
        "__weakref__",
        "_checked",
        "_close",
        "_loop",
        "_names",
        "_protocol",
        "_send",
        "socket",
    )

    def __init__(
        self,
        socket: Socket,
        protocol: asyncio.DatagramProtocol,
        *,
        loop: VirtualLoop,
        names: Names,
        checked: dict[Any, HostPort],
        send: Callable[[Socket, bytes, HostPort, int | None], None],
        close: Callable[[Socket], None],
    ) -> None:
        super().__init__()
        self.socket = socket
        self._protocol = protocol
        self._loop = loop
        self._names = names
        self._checked = checked
        self._send = send
        self._close = close
        socket.hand_to(protocol.datagram_received)
        loop.call_soon(protocol.connection_made, self, context=socket.context)

    # what asyncio promises

    def sendto(
        self, data: bytes | bytearray | memoryview, addr: Any = None, ttl: int | None = None
    ) -> None:
        """Send a datagram; nothing is raised for a destination that cannot be reached.

        `ttl` is its IP time to live, or IPv6 hop limit: what a program would set on the socket for
        this one datagram; asyncio's own transports have no such parameter.
        TypeError for data that are not bytes, ValueError for an address on a connected transport.
        """
        if type(data) is not bytes:
            if not isinstance(data, bytes | bytearray | memoryview):
                raise TypeError(f"data argument must be bytes-like, not {type(data).__name__!r}")
            data = bytes(data)
        socket = self.socket
        if socket.remote is not None:
            if addr is not None and tuple(addr[:2]) != socket.remote:
                raise ValueError(f"Invalid address: must be None or {socket.remote}")
            addr = socket.remote
        if not socket.is_open:
            return
        try:
            destination = self._checked.get(addr) or self._check(addr)
            if len(data) > (DATAGRAM_MAX_V6_BYTES if socket.is_v6 else DATAGRAM_MAX_V4_BYTES):
                raise _os_error(errno.EMSGSIZE)
        except OSError as refusal:
            self._protocol.error_received(refusal)
        except Exception as failure:  # noqa: BLE001 - as asyncio: any other failure is fatal
            self._fail(failure)
        else:
            self._send(socket, data, destination, ttl)

    def close(self) -> None:
        """Close; `connection_lost` follows in the loop's next round."""
        self._end(None)

    def abort(self) -> None:
        """Close, as nothing is ever buffered."""
        self._end(None)

    def is_closing(self) -> bool:
        """Whether the transport is closing or closed."""
        return not self.socket.is_open

    def get_protocol(self) -> asyncio.BaseProtocol:
        """The protocol that datagrams go to."""
        return self._protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Let datagrams go to another protocol."""
        if not isinstance(protocol, asyncio.DatagramProtocol):
            raise TypeError("a datagram transport needs a DatagramProtocol")
        self._protocol = protocol
        self.socket.hand_to(protocol.datagram_received)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """`sockname` and `peername`, in the family's form; there is no `socket`."""
        if name == "sockname":
            return self._shown(self.socket.bound)
        if name == "peername" and self.socket.remote is not None:
            return self._shown(self.socket.remote)
        return default

    # the rest

    def _shown(self, endpoint: HostPort) -> tuple[Any, ...]:
        """An endpoint as this family's sockets show it: IPv6 ones have four parts."""
        return (*endpoint, 0, 0) if self.socket.is_v6 else endpoint

    def _end(self, failure: Exception | None) -> None:
        if not self.socket.is_open:
            return
        self._close(self.socket)
        self._loop.call_soon(self._protocol.connection_lost, failure, context=self.socket.context)

    def _fail(self, failure: Exception) -> None:
        self._loop.call_exception_handler(
            {
                "message": "Fatal write error on datagram transport",
                "exception": failure,
                "transport": self,
                "protocol": self._protocol,
            }
        )
        self._end(failure)

    def _check(self, addr: Any) -> HostPort:
        """The endpoint that `addr` means; what the kernel and Python would raise is raised."""
        if not isinstance(addr, tuple):
            raise TypeError(f"address must be tuple, not {type(addr).__name__}")
        if not (len(addr) == 2 or (self.socket.is_v6 and 2 < len(addr) <= 4)):
            raise TypeError("address must be a pair (host, port)")
        host, port = addr[0], addr[1]
        if type(host) is not str or type(port) is not int:
            raise TypeError("address must be (str, int)")
        if not 0 < port <= limits.PORT_MAX:
            if port:
                raise OverflowError("port must be 0-65535.")
            raise _os_error(errno.EINVAL)
        literal = self._literal(host)
        if literal is None:
            return self._look_up(host), port
        if len(self._checked) >= DESTINATIONS_REMEMBERED:
            self._checked.clear()
        self._checked[addr] = literal, port
        return literal, port

    def _literal(self, host: str) -> str | None:
        """The address of this family that a literal means; a wildcard means the host itself."""
        if host in WILDCARDS or not host:
            return LOOPBACK_V6 if self.socket.is_v6 else LOOPBACK_V4
        literal = spelled(host)
        return literal if literal is not None and is_v6(literal) is self.socket.is_v6 else None

    def _look_up(self, host: str) -> str:
        if "\0" in host:
            raise TypeError("host name must not contain null character")
        family = real_socket.AF_INET6 if self.socket.is_v6 else real_socket.AF_INET
        return self._names.resolve(host, family)[0][1]


def _os_error(number: int) -> OSError:
    return OSError(number, os.strerror(number))
