"""The home router, as UPnP shows it: it may forward a port to this machine.

`Router` is what the node asks; `find_router` finds the real one. miniupnpc blocks, so it runs in
threads; one that takes too long is left to end alone. Simulations give a node another function,
which finds a simulated router.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import miniupnpc

from protocol.errors import RouterRefused

INVALID_ARGS = 402
OTHER_REASON = 501
CONFLICT = 718
ONLY_PERMANENT_LEASES = 725

DISCOVERY_S = 1.0
"""How long routers have to answer discovery."""

_TIME_LIMIT_S = 5.0
_TYPE = "UDP"

_CODES = {
    "Invalid Args": INVALID_ARGS,
    "ConflictInMappingEntry": CONFLICT,
    "OnlyPermanentLeasesSupported": ONLY_PERMANENT_LEASES,
}
"""The codes of UPnP's WANIPConnection:2 that a node acts on, by the names that miniupnpc gives."""

_Result = TypeVar("_Result")


class Router(Protocol):
    """A UPnP router. Each method raises RouterRefused, or TimeoutError."""

    async def external_address(self) -> str:
        """The router's outside address; a private one behind a second NAT, empty if offline."""
        ...

    async def add_port_mapping(self, outer_port: int, inner_port: int, lease_s: int) -> None:
        """Forward a UDP port to this machine, for ever if the lease is 0."""
        ...

    async def inner_port(self, outer_port: int) -> int | None:
        """The port of this machine that an outside port is forwarded to; None if to none."""
        ...

    async def delete_port_mapping(self, outer_port: int) -> None:
        """Stop forwarding a UDP port."""
        ...


class MiniupnpcRouter:
    """The router that miniupnpc has found."""

    def __init__(self, found: "miniupnpc.UPnP") -> None:
        self._found = found

    async def external_address(self) -> str:
        """See Router."""
        return str(await _asked(self._found.externalipaddress) or "")

    async def add_port_mapping(self, outer_port: int, inner_port: int, lease_s: int) -> None:
        """See Router."""
        host = self._found.lanaddr
        await _asked(
            self._found.addportmapping, outer_port, _TYPE, host, inner_port, "modswarm", "", lease_s
        )

    async def inner_port(self, outer_port: int) -> int | None:
        """See Router."""
        known = await _asked(self._found.getspecificportmapping, outer_port, _TYPE)
        if known is None or known[0] != self._found.lanaddr:
            return None
        return int(known[1])

    async def delete_port_mapping(self, outer_port: int) -> None:
        """See Router."""
        await _asked(self._found.deleteportmapping, outer_port, _TYPE)


async def find_router() -> Router | None:
    """The router that answers UPnP discovery, if any; takes about DISCOVERY_S."""
    found = miniupnpc.UPnP()
    found.discoverdelay = int(1000 * DISCOVERY_S)
    try:
        await _asked(found.discover)
        await _asked(found.selectigd)
    except (RouterRefused, TimeoutError):  # its way to say that there is none
        return None
    return MiniupnpcRouter(found)


async def _asked(call: Callable[..., _Result], *arguments: Any) -> _Result:
    """What a call of miniupnpc returns; raises RouterRefused, TimeoutError."""
    try:
        async with asyncio.timeout(_TIME_LIMIT_S):
            return await asyncio.get_running_loop().run_in_executor(None, call, *arguments)
    except TimeoutError:
        raise
    except Exception as error:  # noqa: BLE001 - it raises nothing more specific than this
        raise RouterRefused(_CODES.get(str(error), OTHER_REASON), str(error)) from None
