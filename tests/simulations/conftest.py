"""A virtual loop, an internet on it, and sockets that write down what they hear."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from simulations.internet import Host, Internet, UniformLatency
from simulations.internet.transport import Transport
from simulations.runtime.loop import VirtualLoop


class Inbox(asyncio.DatagramProtocol):
    """Keeps what arrives: `(virtual time, datagram, source)`, and errors and the end."""

    def __init__(self) -> None:
        self.heard: list[tuple[float, bytes, tuple[Any, ...]]] = []
        self.errors: list[Exception] = []
        self.lost: list[Exception | None] = []
        self.transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.DatagramTransport)
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        self.heard.append((asyncio.get_running_loop().time(), data, addr))

    def error_received(self, exc: Exception) -> None:
        self.errors.append(exc)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.append(exc)

    def send(self, data: bytes, to: Any = None, ttl: int | None = None) -> None:
        assert isinstance(self.transport, Transport)
        self.transport.sendto(data, to, ttl)

    @property
    def host(self) -> Host:
        assert isinstance(self.transport, Transport)
        return self.transport.socket.host

    @property
    def data(self) -> list[bytes]:
        return [data for _, data, _ in self.heard]

    @property
    def times(self) -> list[float]:
        return [time for time, _, _ in self.heard]

    @property
    def sources(self) -> list[tuple[Any, ...]]:
        return [source for _, _, source in self.heard]


@pytest.fixture
def internet(loop: VirtualLoop) -> Internet:
    """Every pair of public hosts is 100 ms of round trip apart."""
    return Internet(loop, "tests", UniformLatency(0.100))


OpenInbox = Callable[..., Inbox]


@pytest.fixture
def open_inbox(loop: VirtualLoop) -> OpenInbox:
    """`open_inbox(host, port, address=first, **options)`: a bound socket of a host."""

    def open_one(host: Host, port: int = 4001, address: str | None = None, **options: Any) -> Inbox:
        async def opening() -> Inbox:
            _, inbox = await loop.create_datagram_endpoint(
                Inbox, local_addr=(address or host.addresses[0], port), **options
            )
            assert isinstance(inbox, Inbox)
            return inbox

        return loop.run_until_complete(host.create_task(opening()))

    return open_one


@pytest.fixture
def pass_time(loop: VirtualLoop) -> Callable[[float], None]:
    """Let virtual seconds pass."""
    return lambda seconds: loop.run_until_complete(asyncio.sleep(seconds))
