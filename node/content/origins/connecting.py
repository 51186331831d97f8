"""Connections to origins: a name is looked up once, and the very address that was checked is used.

Were the check another look-up than the connection, a name could answer it with one address and be
connected to at another (DNS rebinding). A connection that is used again goes to where it went.
"""

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Awaitable, Callable, Collection
from functools import partial
from typing import Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from protocol import limits
from protocol.content.origins.public_hosts import why_not_public

LookUp = Callable[[str, int], Awaitable[list[str]]]
"""The IP literals of a name that is to be connected to at a port; raises OSError."""


OwnHosts = Callable[[], Collection[str]]
"""The IP literals of this machine and of the NATs before it."""


class AddressRefused(OSError):
    """The address of an origin that a link names is not one of a machine on the internet."""

    def __init__(self, host: str, what: str) -> None:
        super().__init__(f"{host} is an address of {what}")


async def system_look_up(host: str, port: int) -> list[str]:
    """A LookUp as this machine's other programs do it."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(sockaddr[0]) for *_, sockaddr in found]


class _Resolver(AbstractResolver):
    """Looks names up for a connector, and says why an answer is not used."""

    def __init__(self, look_up: LookUp, own_hosts: OwnHosts, *, public_only: bool) -> None:
        self._look_up = look_up
        self._own_hosts = own_hosts
        self._public_only = public_only

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The addresses of a name that may be connected to; raises OSError."""
        del family
        async with asyncio.timeout(limits.ORIGIN_CONNECT_S):
            found = list(dict.fromkeys(await self._look_up(host, port)))[:_ADDRESSES_TRIED]
        if self._public_only:
            own = self._own_hosts()
            refused = {literal: why_not_public(literal, own) for literal in found}
            public = [literal for literal in found if refused[literal] is None]
            if found and not public:
                raise AddressRefused(f"{host} ({found[0]})", str(refused[found[0]]))
            found = public
        return [_result(host, literal, port) for literal in found]

    async def close(self) -> None:
        """Nothing is open."""


_ADDRESSES_TRIED: Final = 8


def _result(host: str, literal: str, port: int) -> ResolveResult:
    is_v6 = isinstance(ipaddress.ip_address(literal), ipaddress.IPv6Address)
    return ResolveResult(
        hostname=host,
        host=literal,
        port=port,
        family=socket.AF_INET6 if is_v6 else socket.AF_INET,
        proto=socket.IPPROTO_TCP,
        flags=socket.AI_NUMERICHOST,
    )


def _public_socket(own_hosts: OwnHosts, addr_info: aiohttp.AddrInfoType) -> socket.socket:
    """The socket of a connection, whatever led to its address: a name or a literal.

    Raises AddressRefused.
    """
    family, kind, protocol, _, sockaddr = addr_info
    what = why_not_public(str(sockaddr[0]), own_hosts())
    if what is not None:
        raise AddressRefused(str(sockaddr[0]), what)
    return socket.socket(family, kind, protocol)


def connector(
    look_up: LookUp,
    own_hosts: OwnHosts,
    *,
    public_only: bool,
    tls: ssl.SSLContext | None = None,
) -> aiohttp.TCPConnector:
    """What connects to origins; `public_only` for those of links."""
    return aiohttp.TCPConnector(
        resolver=_Resolver(look_up, own_hosts, public_only=public_only),
        use_dns_cache=False,
        ssl=tls or True,
        limit=0,  # OriginConnections says how many there are, and whose
        socket_factory=partial(_public_socket, own_hosts) if public_only else None,
    )
