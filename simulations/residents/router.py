"""The router that a simulated machine finds by UPnP: the gateway of the box that it is behind."""

import asyncio

from node.upnp.router import DISCOVERY_S, MappedProtocol, MappedTo, Router
from protocol.errors import RouterRefused
from simulations.errors import GatewayRefused
from simulations.internet.boxes.gateway import Gateway
from simulations.internet.host import Host

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

    async def add_port_mapping(
        self, protocol: MappedProtocol, outer_port: int, inner_port: int, lease_s: int
    ) -> None:
        """See Router."""
        await self._answers(protocol)
        try:
            self._gateway.add_port_mapping(
                protocol, outer_port, self._host.addresses[0], inner_port, lease_s
            )
        except GatewayRefused as error:
            raise RouterRefused(error.code, str(error)) from None

    async def mapped(self, protocol: MappedProtocol, outer_port: int) -> MappedTo | None:
        """See Router."""
        await self._answers(protocol)
        if outer_port in self._gateway.faults.elsewhere(protocol.value):
            return MappedTo(False, outer_port)
        inside = self._gateway.inside_of(outer_port, protocol.value)
        return None if inside is None else MappedTo(inside[0] in self._host.addresses, inside[1])

    async def delete_port_mapping(self, protocol: MappedProtocol, outer_port: int) -> None:
        """See Router."""
        await self._answers(protocol)
        try:
            self._gateway.delete_port_mapping(protocol, outer_port)
        except GatewayRefused as error:
            raise RouterRefused(error.code, str(error)) from None

    async def close(self) -> None:
        """See Router."""

    async def _answers(self, protocol: MappedProtocol = MappedProtocol.UDP) -> None:
        faults = self._gateway.faults
        more_s = faults.tcp_delay_s if protocol is MappedProtocol.TCP else 0.0
        async with asyncio.timeout(_TIME_LIMIT_S):
            await asyncio.sleep(faults.answer_delay_s + more_s)


async def find_router(host: Host) -> Router | None:
    """The router that answers UPnP discovery on this machine, if any."""
    await asyncio.sleep(DISCOVERY_S)
    gateway = host.gateway
    if gateway is None or gateway.faults.is_silent:
        return None
    return SimulatedRouter(host, gateway)
