"""A relay that a few networks fill and flood: an honest pair of another network links by it."""

import asyncio

from node.relay.port import RelayPort
from protocol import limits
from protocol.turn.virtual import relayed_address
from simulations.runtime.loop import VirtualLoop
from tests.hostile.told import RecordProperty
from tests.node.relay.relay_town import TEST_BYTE, Dweller, RelayTown, relay_town, send

NETWORKS = 8
CHAT_S = 2.0
BURST = (bytes((TEST_BYTE,)) + bytes(999)) * 5
PIECE = bytes(1000)
"""The honest pair sends one each 10 ms: 100 kB/s of the relay's 2 MB/s."""


class Crowd:
    """Clients of a relay in pairs, each with all the channels that it may have."""

    def __init__(self, relay: Dweller) -> None:
        self._relay = relay
        self._pairs: list[tuple[RelayPort, RelayPort]] = []

    async def move_in(self, town: RelayTown, count: int) -> None:
        hosts = [f"5.{number % NETWORKS + 1}.0.{number + 1}" for number in range(count)]
        ports = [await (await town.public(at=host)).allocate(self._relay) for host in hosts]
        self._pairs = list(zip(ports[::2], ports[1::2], strict=True))
        for one, other in self._pairs:
            one.permit(other.local)
            other.permit(one.local)
            for number in range(limits.RELAY_CHANNELS - 1):
                one.permit(relayed_address(self._relay.peer_id, number.to_bytes(20)))
        await asyncio.sleep(1.0)

    def say(self, data: bytes) -> None:
        for one, other in self._pairs:
            send(one, data, other.local)
            send(other, data, one.local)

    def flood(self) -> None:
        for one, other in self._pairs:
            one.send_segments(BURST, 1000, other.local)
            other.send_segments(BURST, 1000, one.local)

    async def chat(self, seconds: float) -> None:
        for _ in range(round(seconds / CHAT_S)):
            self.say(b"not idle")
            await asyncio.sleep(CHAT_S)


async def link(town: RelayTown, relay: Dweller) -> tuple[RelayPort, Dweller, RelayPort]:
    one, other = await town.public(at="8.8.8.8"), await town.public(at="9.9.9.9")
    ports = await one.allocate(relay), await other.allocate(relay)
    ports[0].permit(ports[1].local)
    ports[1].permit(ports[0].local)
    await asyncio.sleep(0.5)
    send(ports[0], b"hello", ports[1].local)
    await asyncio.sleep(0.5)
    assert other.arrived
    return ports[0], other, ports[1]


async def served(loop: VirtualLoop, attackers: int) -> tuple[float, int]:
    """The seconds until an honest pair is linked, and how much of what it sends then arrives."""
    async with relay_town(loop) as town:
        relay = await town.public(at="7.7.7.7")
        crowd = Crowd(relay)
        await crowd.move_in(town, attackers)
        await crowd.chat(limits.RELAY_UNUSED_S + CHAT_S)
        started = loop.time()
        sender, reader, port = await link(town, relay)
        seconds = loop.time() - started
        reader.arrived.clear()
        for _ in range(300):
            crowd.flood()
            send(sender, PIECE, port.local)
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.5)
        return seconds, len(reader.arrived)


async def test_a_few_networks_that_fill_a_relay_keep_no_pair_of_another_out(
    loop: VirtualLoop, record_property: RecordProperty
) -> None:
    alone_s, whole = await served(loop, 0)
    record_property("alone_s", alone_s)
    seconds, arrived = await served(loop, limits.RELAY_ALLOCATIONS)
    record_property("attacked_s", seconds)
    record_property("attackers", limits.RELAY_ALLOCATIONS)
    assert seconds <= alone_s + 0.1
    assert arrived >= 0.9 * whole
