"""The way to IPv4 of a machine that has IPv6 alone: a port beside that of IPv6, and its twin.

What is sent by it to an IPv4 address leaves by the socket of IPv6 to the synthesised one, and what
arrives from such an address comes from the IPv4 one. So nothing above the endpoint knows of it.
"""

import asyncio
import logging
import socket
from collections.abc import Sequence
from typing import Any

from node.net.udp.port import Arrival, Port, source_address
from protocol.addresses import Address
from protocol.reachability.nat64 import IPV4_ONLY, Nat64Prefix, prefix_told_by

_log = logging.getLogger(__name__)

_DNS_S = 5.0


async def find_prefix() -> Nat64Prefix | None:
    """The prefix of this network's NAT64, by its DNS; None if there is none."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(_DNS_S):
            found = await loop.getaddrinfo(IPV4_ONLY, None, family=socket.AF_INET6)
    except (OSError, TimeoutError) as error:
        _log.info("no NAT64: %s", error)
        return None
    return prefix_told_by(str(sockaddr[0]).partition("%")[0] for *_, sockaddr in found)


class Nat64Port:
    """A `Port` of IPv4 that sends by one of IPv6."""

    def __init__(self, base: Port, prefix: Nat64Prefix, local: Address) -> None:
        self._base = base
        self._prefix = prefix
        self._local = local

    def apart(self, burst: list[Arrival]) -> tuple[list[Arrival], list[Arrival]]:
        """What arrived from IPv6 addresses, and what from IPv4 ones with those as sources."""
        v4: list[Arrival] = []
        v6: list[Arrival] = []
        for arrival in burst:
            buffer, size, source = arrival
            embedded = self._prefix.embedded(source_address(source))
            if embedded is None:
                v6.append(arrival)
            else:
                v4.append((buffer, size, embedded))
        return v6, v4

    @property
    def full(self) -> bool:
        """Whether datagrams wait for the kernel."""
        return self._base.full

    def sendto(self, data: bytes, addr: Any = None) -> None:
        """Send one datagram."""
        self._base.sendto(data, self._there(addr))

    def send_segments(self, buffer: bytes, size: int, addr: Any) -> None:
        """Send a buffer as datagrams of `size` bytes each, the last of what is left."""
        self._base.send_segments(buffer, size, self._there(addr))

    def send_gathered(self, parts: Sequence[bytes | memoryview], size: int, addr: Any) -> None:
        """The same for a buffer that stands in parts."""
        self._base.send_gathered(parts, size, self._there(addr))

    def send_whole(self, data: bytes, addr: Any) -> bool:
        """Send one datagram that no router may fragment; False: that cannot be asked for."""
        return self._base.send_whole(data, self._there(addr))

    def send_with_ttl(self, data: bytes, addr: Any, ttl: int) -> None:
        """Send one datagram that ends at the router where its time to live does."""
        self._base.send_with_ttl(data, self._there(addr), ttl)

    def close(self) -> None:
        """Do nothing: the socket is closed as that of IPv6."""

    def is_closing(self) -> bool:
        """Whether the port of IPv6 is closing or closed."""
        return self._base.is_closing()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """What the port of IPv6 says, but for the address that this one is bound to."""
        return self._local if name == "sockname" else self._base.get_extra_info(name, default)

    def _there(self, addr: Any) -> Address:
        return Address(self._prefix.synthesised(addr[0]), addr[1])
