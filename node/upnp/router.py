"""What the node asks its router for, by UPnP (WANIPConnection:2), and how the router is found.

`Router` is what the node asks; `find_router` finds the real one. Simulations give a node another
function, which finds a simulated router.
"""

from enum import StrEnum
from typing import NamedTuple, Protocol

from node.upnp.process import OTHER_REASON, UpnpProcess
from protocol.errors import RouterRefused

DISCOVERY_S = 1.0
"""How long routers have to answer discovery."""


class MappedProtocol(StrEnum):
    """What a mapping forwards, by UPnP's names."""

    UDP = "UDP"
    TCP = "TCP"


class MappedTo(NamedTuple):
    """Where an outside port is forwarded to: a port of this machine, or of another one."""

    is_here: bool
    port: int


class Router(Protocol):
    """A UPnP router. Each method but `close` raises RouterRefused, or TimeoutError."""

    async def external_address(self) -> str:
        """The router's outside address; a private one behind a second NAT, empty if offline."""
        ...

    async def add_port_mapping(
        self, protocol: MappedProtocol, outer_port: int, inner_port: int, lease_s: int
    ) -> None:
        """Forward an outside port to this machine, for ever if the lease is 0."""
        ...

    async def mapped(self, protocol: MappedProtocol, outer_port: int) -> MappedTo | None:
        """Where an outside port is forwarded to; None if nowhere, or the router does not say."""
        ...

    async def delete_port_mapping(self, protocol: MappedProtocol, outer_port: int) -> None:
        """Stop forwarding an outside port."""
        ...

    async def close(self) -> None:
        """Ask it no more; what it forwards stays."""
        ...


class MiniupnpcRouter:
    """The router that miniupnpc has found, in a process that is its own."""

    def __init__(self, process: UpnpProcess) -> None:
        self._process = process

    async def external_address(self) -> str:
        """See Router."""
        return str(await self._process.call("external_address") or "")

    async def add_port_mapping(
        self, protocol: MappedProtocol, outer_port: int, inner_port: int, lease_s: int
    ) -> None:
        """See Router."""
        await self._process.call("add", protocol, outer_port, inner_port, lease_s)

    async def mapped(self, protocol: MappedProtocol, outer_port: int) -> MappedTo | None:
        """See Router."""
        told = await self._process.call("mapped", protocol, outer_port)
        return None if told is None else MappedTo(bool(told[0]), int(told[1]))

    async def delete_port_mapping(self, protocol: MappedProtocol, outer_port: int) -> None:
        """See Router."""
        await self._process.call("delete", protocol, outer_port)

    async def close(self) -> None:
        """See Router."""
        await self._process.close()


async def find_router() -> Router | None:
    """The router that answers UPnP discovery, if any; it takes DISCOVERY_S or longer.

    Raises RouterRefused if one answers, and then does not say in time what it is.
    """
    try:
        process = await UpnpProcess.start()
    except OSError:  # no process can be made now
        return None
    router = None
    try:
        if await _finds(process):
            router = await _selected(process)
    except TimeoutError:
        return None
    finally:
        if router is None:
            await process.close()
    return router


async def _finds(process: UpnpProcess) -> bool:
    """Whether anything answers UPnP discovery; raises TimeoutError."""
    try:
        return bool(await process.call("discover", int(1000 * DISCOVERY_S)))
    except RouterRefused:  # no network to ask in
        return False


async def _selected(process: UpnpProcess) -> Router | None:
    """The router among those that answered; raises RouterRefused if none says so in time."""
    try:
        await process.call("select")
    except RouterRefused:  # its way to say that there is none
        return None
    except TimeoutError:
        raise RouterRefused(OTHER_REASON, "it does not say in time what it is") from None
    return MiniupnpcRouter(process)
