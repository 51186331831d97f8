"""The interface of a UDP port, and of its user."""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from protocol.addresses import Address

_V4_MAPPED = "::ffff:"

Arrival = tuple[bytes, int, tuple[Any, ...]]
"""A buffer of datagrams from one source, the size of each of them (the last may be shorter), and
the source, as sockets name it."""


class PortUser(asyncio.DatagramProtocol):
    """Gets what arrives, in bursts; the other callbacks are asyncio's own.

    `pause_writing` and `resume_writing` tell when the port is `full` and when it no longer is.
    """

    def burst_received(self, burst: list[Arrival]) -> None:
        """Take all that had arrived at one wake-up, at least one datagram."""
        raise NotImplementedError


class Port(Protocol):
    """An open UDP socket. Sending never raises for what the network does."""

    @property
    def full(self) -> bool:
        """Whether datagrams already wait for the kernel: send later what can wait."""
        ...

    def sendto(self, data: bytes, addr: Any = None) -> None:
        """Send one datagram."""
        ...

    def send_segments(self, buffer: bytes, size: int, addr: Any) -> None:
        """Send a buffer as datagrams of `size` bytes each, the last of what is left."""
        ...

    def send_gathered(self, parts: Sequence[bytes | memoryview], size: int, addr: Any) -> None:
        """The same for a buffer that stands in parts, which are not copied where that is possible.

        At most SEGMENTS_MAX datagrams and BUFFER_BYTES_MAX bytes in PARTS_MAX parts.
        """
        ...

    def send_whole(self, data: bytes, addr: Any) -> bool:
        """Send one datagram that no router may fragment; False: that cannot be asked for."""
        ...

    def send_with_ttl(self, data: bytes, addr: Any, ttl: int) -> None:
        """Send one datagram that ends at the router where its time to live does (1..255).

        It is dropped where others wait for the kernel already, or the system knows no such option.
        """
        ...

    def close(self) -> None:
        """Close; the user's `connection_lost` follows."""
        ...

    def is_closing(self) -> bool:
        """Whether it is closing or closed."""
        ...

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """`sockname` and `socket`, as asyncio's transports do."""
        ...


def split(buffer: bytes, size: int) -> Iterator[bytes]:
    """The datagrams of an arrival, in order; an empty buffer is one empty datagram."""
    if len(buffer) <= size or not size:
        yield buffer
        return
    for start in range(0, len(buffer), size):
        yield buffer[start : start + size]


def source_address(source: tuple[Any, ...]) -> Address:
    """The source of an arrival without a scope; an IPv4-mapped IPv6 address as the IPv4 one."""
    host = source[0]
    if ":" in host:
        host = host.partition("%")[0].removeprefix(_V4_MAPPED)
    return Address(host, source[1])
