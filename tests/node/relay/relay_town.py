"""A public node as a relay and others behind boxes, on a simulated internet."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator

from node.counters import Counters
from node.environment import Environment
from node.overlay.membership import Membership
from node.overlay.settings import OverlaySettings
from node.relay.port import RelayPort
from node.relay.settings import RelaySettings
from protocol.addresses import Address
from protocol.overlay.contacts import Contact
from protocol.turn.virtual import relayed_address
from simulations.internet.boxes.behaviour import NatBehaviour
from simulations.internet.host import Host
from simulations.internet.internet import Internet
from simulations.runtime.loop import VirtualLoop
from tests.node.overlay.network import PUZZLE_BITS, identity

TEST_BYTE = 0xD7
"""Datagrams that begin with it are the tests'."""


class Dweller:
    """One membership on a host of its own."""

    def __init__(self, host: Host, seed: int, relay: RelaySettings) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        self.host = host
        self.counters = Counters()
        self.arrived: list[tuple[bytes, Address]] = []
        environment = Environment(
            loop.wall_time, random.Random(seed), lambda: [host.addresses[0]], None
        )
        with host.running():
            self.membership = Membership(
                identity(seed),
                environment,
                settings=OverlaySettings(puzzle_bits=PUZZLE_BITS, relay=relay),
                counters=self.counters,
                bootstraps=[],
                saved=[],
                say=lambda _: None,
            )

    async def open(self) -> None:
        with self.host.running():
            await self.membership.endpoint.open(Address("0.0.0.0", 4001))
            self.membership.listen()
        self.membership.endpoint.demux.register_reader(
            TEST_BYTE, lambda data, source: self.arrived.append((data, source))
        )

    @property
    def contact(self) -> Contact:
        key = self.membership.server.identity.public_key
        return Contact.at(key, Address(self.host.addresses[0], 4001))

    @property
    def peer_id(self) -> bytes:
        return self.membership.server.identity.peer_id

    async def allocate(self, relay: "Dweller") -> RelayPort:
        with self.host.running():
            return await self.membership.relay_client.allocate(relay.contact)

    def relayed(self, relay: "Dweller") -> Address:
        return relayed_address(relay.peer_id, self.peer_id)


class RelayTown:
    def __init__(self, internet: Internet) -> None:
        self.internet = internet
        self.dwellers: list[Dweller] = []

    async def public(self, relay: RelaySettings | None = None, *, at: str = "") -> Dweller:
        """A public node, at this address if one is told."""
        return await self._moved_in(self.internet.add_host(addresses=[at] if at else None), relay)

    async def behind(self, behaviour: NatBehaviour) -> Dweller:
        box = self.internet.add_nat(behaviour)
        return await self._moved_in(self.internet.add_host(behind=box), None)

    async def _moved_in(self, host: Host, relay: RelaySettings | None) -> Dweller:
        made = Dweller(host, 700 + len(self.dwellers), relay or RelaySettings())
        self.dwellers.append(made)
        await made.open()
        return made


@contextlib.asynccontextmanager
async def relay_town(loop: VirtualLoop) -> AsyncIterator[RelayTown]:
    town = RelayTown(Internet(loop, 1))
    try:
        yield town
    finally:
        for one in town.dwellers:
            await one.membership.stop()
            assert not one.membership.tasks.defects


def send(sender: RelayPort, data: bytes, peer: Address) -> None:
    sender.sendto(bytes((TEST_BYTE,)) + data, peer)
