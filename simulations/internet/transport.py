"""A UDP socket of a simulated host, as asyncio shows it: a datagram transport.

It behaves as asyncio's own on Linux does, bad habits included, because nodes must survive them: a
destination that is no address at all closes the transport for good, one that the kernel refuses
reaches `error_received`, and one that nobody has is silence.
"""

import asyncio
import contextvars
import errno
import os
import socket
from typing import TYPE_CHECKING, Any, Final

from simulations.internet.addresses import PORT_MAX, WILDCARDS, Endpoint, canonical, is_v6

if TYPE_CHECKING:
    from simulations.internet.host import Host
    from simulations.internet.internet import Internet
    from simulations.internet.space import Space

DATAGRAM_MAX_V4_BYTES: Final = 65_507
DATAGRAM_MAX_V6_BYTES: Final = 65_527


class Transport(asyncio.DatagramTransport):
    """One open socket. `source` is the endpoint it sends from now, None if its host lost it."""

    __slots__ = (
        "__weakref__",
        "_internet",
        "_is_closing",
        "_protocol",
        "bound",
        "context",
        "host",
        "is_v6",
        "number",
        "receive",
        "remote",
        "source",
        "space",
    )

    def __init__(
        self,
        internet: "Internet",
        host: "Host",
        bound: Endpoint,
        remote: Endpoint | None,
        number: int,
        context: contextvars.Context,
    ) -> None:
        super().__init__()
        self._internet = internet
        self._is_closing = False
        self._protocol: asyncio.DatagramProtocol | None = None
        self.host = host
        self.bound = bound
        self.remote = remote
        self.number = number
        self.context = context
        self.is_v6 = is_v6(bound[0])
        self.receive: Any = None
        self.source: Endpoint | None = None
        self.space: Space

    def start(self, protocol: asyncio.DatagramProtocol) -> None:
        """Hand datagrams to this protocol from now on, after its `connection_made`."""
        self._protocol = protocol
        self.receive = protocol.datagram_received
        loop = self._internet.loop
        loop.call_soon(protocol.connection_made, self, context=self.context)

    @property
    def is_wildcard(self) -> bool:
        """Whether the socket is bound to all addresses of its host."""
        return self.bound[0] in WILDCARDS

    # what asyncio promises

    def sendto(self, data: bytes | bytearray | memoryview, addr: Any = None) -> None:
        """Send a datagram; nothing is raised for a destination that cannot be reached.

        TypeError for data that are not bytes, ValueError for an address on a connected transport.
        """
        if type(data) is not bytes:
            if not isinstance(data, bytes | bytearray | memoryview):
                raise TypeError(f"data argument must be bytes-like, not {type(data).__name__!r}")
            data = bytes(data)
        if self.remote is not None:
            if addr is not None and tuple(addr[:2]) != self.remote:
                raise ValueError(f"Invalid address: must be None or {self.remote}")
            addr = self.remote
        if self._is_closing:
            return
        try:
            destination = self._destination(addr)
            if len(data) > (DATAGRAM_MAX_V6_BYTES if self.is_v6 else DATAGRAM_MAX_V4_BYTES):
                raise _os_error(errno.EMSGSIZE)
        except OSError as refusal:
            if self._protocol is not None:
                self._protocol.error_received(refusal)
        except Exception as failure:  # noqa: BLE001 - as asyncio: any other failure is fatal
            self._fail(failure)
        else:
            self._internet.send(self, data, destination)

    def close(self) -> None:
        """Close; `connection_lost` follows in the loop's next round."""
        self._end(None)

    def abort(self) -> None:
        """Close, as nothing is ever buffered."""
        self._end(None)

    def is_closing(self) -> bool:
        """Whether the transport is closing or closed."""
        return self._is_closing

    def get_protocol(self) -> asyncio.BaseProtocol:
        """The protocol that datagrams go to."""
        if self._protocol is None:
            raise RuntimeError("the transport was not started")
        return self._protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Let datagrams go to another protocol."""
        if not isinstance(protocol, asyncio.DatagramProtocol):
            raise TypeError("a datagram transport needs a DatagramProtocol")
        self._protocol = protocol
        self.receive = protocol.datagram_received

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """`sockname` and `peername`, in the family's form; there is no `socket`."""
        if name == "sockname":
            return self.shown(self.bound)
        if name == "peername" and self.remote is not None:
            return self.shown(self.remote)
        return default

    def shown(self, endpoint: Endpoint) -> tuple[Any, ...]:
        """An endpoint as this family's sockets show it: IPv6 ones have four parts."""
        return (*endpoint, 0, 0) if self.is_v6 else endpoint

    # the rest

    def silence(self) -> None:
        """End without a word to the protocol, as when the machine loses its power."""
        self._is_closing = True
        self.receive = None

    def _end(self, failure: Exception | None) -> None:
        if self._is_closing:
            return
        self._is_closing = True
        self._internet.close(self)
        if self._protocol is not None:
            loop = self._internet.loop
            loop.call_soon(self._protocol.connection_lost, failure, context=self.context)

    def _fail(self, failure: Exception) -> None:
        self._internet.loop.call_exception_handler(
            {
                "message": "Fatal write error on datagram transport",
                "exception": failure,
                "transport": self,
                "protocol": self._protocol,
            }
        )
        self._end(failure)

    def _destination(self, addr: Any) -> Endpoint:
        """The endpoint that `addr` means; what the kernel and Python would raise is raised."""
        if not isinstance(addr, tuple):
            raise TypeError(f"address must be tuple, not {type(addr).__name__}")
        if not (len(addr) == 2 or (self.is_v6 and 2 < len(addr) <= 4)):
            raise TypeError("address must be a pair (host, port)")
        host, port = addr[0], addr[1]
        if type(host) is not str or type(port) is not int:
            raise TypeError("address must be (str, int)")
        if not 0 < port <= PORT_MAX:
            if port:
                raise OverflowError("port must be 0-65535.")
            raise _os_error(errno.EINVAL)
        if not self._internet.is_known(host) or is_v6(host) != self.is_v6:
            host = self._spell(host)
        return addr if len(addr) == 2 and host is addr[0] else (host, port)

    def _spell(self, host: str) -> str:
        if "\0" in host:
            raise TypeError("host name must not contain null character")
        if host in WILDCARDS or not host:
            return "::1" if self.is_v6 else "127.0.0.1"
        spelled = canonical(host)
        if spelled is not None and is_v6(spelled) == self.is_v6:
            return spelled
        family = socket.AF_INET6 if self.is_v6 else socket.AF_INET
        return self._internet.names.resolve(host, family)[0][1]


def _os_error(number: int) -> OSError:
    return OSError(number, os.strerror(number))
