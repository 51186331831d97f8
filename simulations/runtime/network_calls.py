"""The loop's network methods, answered by a simulated internet instead of the machine."""

import asyncio
import socket
from collections.abc import Callable
from typing import Any, Protocol

from simulations.errors import SimulationError
from simulations.runtime.realworld import refuse


class Resolver(Protocol):
    """What knows the names of a simulated internet."""

    def resolve(self, name: str, family: int) -> list[tuple[int, str]]:
        """(family, address) of a name or literal; socket.gaierror if there is none."""
        ...

    def name_of(self, address: str) -> str | None:
        """The name of an address, if it has one."""
        ...


class DatagramSockets(Protocol):
    """What opens sockets on a simulated internet."""

    async def create_datagram_endpoint(
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        local_addr: tuple[str, int] | None,
        remote_addr: tuple[str, int] | None,
        family: int,
    ) -> tuple[asyncio.DatagramTransport, asyncio.BaseProtocol]:
        """As asyncio's; OSError where an operating system would raise one."""
        ...


class StreamSockets(Protocol):
    """What connects and listens by TCP on a simulated internet."""

    async def create_connection(
        self, make: Callable[[], asyncio.BaseProtocol], host: str, port: int
    ) -> tuple[asyncio.Transport, asyncio.BaseProtocol]:
        """As asyncio's; OSError where the connection is refused."""
        ...

    async def create_server(
        self, make: Callable[[], asyncio.BaseProtocol], host: str, port: int
    ) -> Any:
        """As asyncio's; what it returns has `close`."""
        ...


class Network(Protocol):
    """What answers a loop's network calls: a simulated internet."""

    @property
    def tcp(self) -> StreamSockets:
        """What connects and listens by TCP."""
        ...

    @property
    def names(self) -> Resolver:
        """What resolves names."""
        ...

    @property
    def sockets(self) -> DatagramSockets:
        """What opens sockets."""
        ...


class NetworkCalls(asyncio.AbstractEventLoop):
    """Names, datagrams and connections of a loop, answered by `network`, a simulated internet."""

    def __init__(self) -> None:
        self.network: Network | None = None

    def use_network(self, network: Network) -> None:
        """Let this simulated internet answer from now on."""
        self.network = network

    def require_network(self) -> Network:
        """The simulated internet; SimulationError if none was built on this loop."""
        if self.network is None:
            raise SimulationError("no simulated internet was built on this loop")
        return self.network

    async def create_datagram_endpoint(  # type: ignore[override]
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        local_addr: tuple[str, int] | None = None,
        remote_addr: tuple[str, int] | None = None,
        *,
        family: int = 0,
        sock: socket.socket | None = None,
        **_options: object,
    ) -> tuple[asyncio.DatagramTransport, asyncio.BaseProtocol]:
        """A datagram endpoint on the simulated internet; a real `sock` is refused."""
        if sock is not None:
            refuse("loop.create_datagram_endpoint(sock=...)")
        return await self.require_network().sockets.create_datagram_endpoint(
            protocol_factory, local_addr, remote_addr, family
        )

    async def create_connection(  # type: ignore[override]
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        host: str,
        port: int,
    ) -> tuple[asyncio.Transport, asyncio.BaseProtocol]:
        """A connection by TCP on the simulated internet."""
        return await self.require_network().tcp.create_connection(protocol_factory, host, port)

    async def create_server(  # type: ignore[override]
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        host: str,
        port: int,
        *,
        backlog: int = 100,
    ) -> Any:
        """A listening socket of TCP on the simulated internet, without a limit of its queue."""
        return await self.require_network().tcp.create_server(protocol_factory, host, port)

    start_tls = asyncio.BaseEventLoop.start_tls
    """TLS itself is the real one: it needs of a loop what this one has."""

    def resolver_call(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The simulated counterpart of a blocking resolver call; any other function as it is."""
        if function is socket.getaddrinfo:
            return self._addresses
        if function is socket.gethostbyname:
            return self._first_address
        return function

    async def getaddrinfo(
        self,
        host: bytes | str | None,
        port: bytes | str | int | None,
        *,
        family: int = 0,
        type: int = 0,  # noqa: A002 - asyncio's signature
        proto: int = 0,
        flags: int = 0,
    ) -> list[Any]:
        """Addresses of a simulated name; socket.gaierror for an unknown one, at once."""
        return self._addresses(host, port, family, type, proto, flags)

    async def getnameinfo(
        self,
        sockaddr: tuple[str, int] | tuple[str, int, int] | tuple[str, int, int, int],
        flags: int = 0,
    ) -> tuple[str, str]:
        """The simulated name of an address, or the address itself."""
        name = self.require_network().names.name_of(sockaddr[0])
        if name is None or flags & socket.NI_NUMERICHOST:
            name = sockaddr[0]
        return name, str(sockaddr[1])

    def _addresses(
        self,
        host: bytes | str | None,
        port: bytes | str | int | None,
        family: int = 0,
        kind: int = 0,
        proto: int = 0,
        _flags: int = 0,
    ) -> list[tuple[Any, ...]]:
        name = host.decode("ascii") if isinstance(host, bytes) else host or "localhost"
        number = int(port or 0)
        answers = []
        for found, ip in self.require_network().names.resolve(name, family):
            sockaddr = (ip, number) if found == socket.AF_INET else (ip, number, 0, 0)
            answers.append((found, kind or socket.SOCK_DGRAM, proto, "", sockaddr))
        return answers

    def _first_address(self, name: str) -> str:
        return self.require_network().names.resolve(name, socket.AF_INET)[0][1]
