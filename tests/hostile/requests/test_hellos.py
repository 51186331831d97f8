"""Hellos that a few networks send without end: a newcomer of another still joins by this bootstrap.

Who may hold the answers: each network a quarter of what is left of 500 in any second, so n of them
leave 500 * 0.8 ** n. How they are won back: by time.
"""

import asyncio

import pytest

from protocol import datagrams, limits
from simulations.residents.world import PORT
from tests.hostile.told import RecordProperty
from tests.node.overlay.village import Village, village

EVERY_S = 0.001
EACH_TIME = 2
"""2000 a second, four times as many as are answered: no place is free between two of them."""


async def flood(there: Village, networks: int) -> None:
    endpoint = there.node.running.endpoint
    (local,) = endpoint.addresses.values()
    number = 0
    while True:
        for _ in range(EACH_TIME if number else 4 * limits.HELLOS_PER_SECOND):
            number += 1
            datagram = datagrams.hello(number.to_bytes(16))
            source = (f"5.{number % networks}.7.{number % 200 + 1}", PORT)
            with there.node.host.running():
                endpoint.demux.burst_received([(datagram, len(datagram), source)], local)
        await asyncio.sleep(EVERY_S)


async def seconds_to_hello(networks: int) -> float:
    """How long a newcomer waits for the key of the node, whose address it knows."""
    async with village() as there:
        newcomer = there.world.add()
        with newcomer.host.running():
            newcomer.membership = newcomer.make_membership()
            await newcomer.running.endpoint.open(newcomer.contact.address)
            newcomer.running.listen()
        flooding = asyncio.create_task(flood(there, networks)) if networks else None
        await asyncio.sleep(0.5)
        began = there.world.loop.time()
        wire = newcomer.running.server.wire
        contact = await newcomer.host.create_task(
            wire.hello(there.node.contact.address, limits.HELLO_S)
        )
        assert contact.public_key == there.node.identity.public_key
        if flooding is not None:
            flooding.cancel()
        return there.world.loop.time() - began


@pytest.mark.parametrize("networks", [1, 8])
async def test_hellos_of_a_few_networks_keep_no_newcomer_of_another_out(
    networks: int, record_property: RecordProperty
) -> None:
    alone_s = await seconds_to_hello(0)
    record_property("alone_s", alone_s)
    record_property("attackers", networks)
    seconds = await seconds_to_hello(networks)
    record_property("attacked_s", seconds)
    assert seconds <= alone_s + 0.01
