"""The router that a simulated machine finds by UPnP: the gateway of the box that it is behind."""

import asyncio

from node.upnp.router import DISCOVERY_S, Router
from protocol.errors import RouterRefused
from simulations.errors import GatewayRefused
from simulations.internet.boxes.gateway import Gateway
from simulations.internet.host import Host

_TYPE = "UDP"
_TIME_LIMIT_S = 5.0


class SimulatedRouter:
    """A `Router` whose answers take as long as the gateway's faults say."""

    def __init__(self, host: Host, gateway: Gateway) -> None:
        self._host = host
        self._gateway = gateway

    async def external_address(self) -> str:
        """See Router."""
        await self._answers()
        return self._gateway.external_address()

    async def add_port_mapping(self, outer_port: int, inner_port: int, lease_s: int) -> None:
        """See Router."""
        await self._answers()
        try:
            self._gateway.add_port_mapping(
                _TYPE, outer_port, self._host.addresses[0], inner_port, lease_s
            )
        except GatewayRefused as error:
            raise RouterRefused(error.code, str(error)) from None

    async def inner_port(self, outer_port: int) -> int | None:
        """See Router."""
        await self._answers()
        inside = self._gateway.inside_of(outer_port)
        if inside is None or inside[0] not in self._host.addresses:
            return None
        return inside[1]

    async def delete_port_mapping(self, outer_port: int) -> None:
        """See Router."""
        await self._answers()
        try:
            self._gateway.delete_port_mapping(_TYPE, outer_port)
        except GatewayRefused as error:
            raise RouterRefused(error.code, str(error)) from None

    async def close(self) -> None:
        """See Router."""

    async def _answers(self) -> None:
        async with asyncio.timeout(_TIME_LIMIT_S):
            await asyncio.sleep(self._gateway.faults.answer_delay_s)


async def find_router(host: Host) -> Router | None:
    """The router that answers UPnP discovery on this machine, if any."""
    await asyncio.sleep(DISCOVERY_S)
    gateway = host.gateway
    if gateway is None or gateway.faults.is_silent:
        return None
    return SimulatedRouter(host, gateway)
