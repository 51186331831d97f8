"""The first of two friends: no node has seen it yet, and its router alone can let the other in."""

import asyncio
from dataclasses import replace

import pytest

from protocol.addresses import Address
from protocol.causes.network_kind import UpnpAnswer
from protocol.overlay.contacts import Contact
from simulations.experiments.call import accept, describe
from simulations.internet import NatBehaviour
from simulations.internet.boxes.gateway import GatewayFaults
from simulations.residents.world import PORT, Resident, World

UPNP = NatBehaviour(upnp=True)
SOON_S = 20.0


def move_in(world: World, box: NatBehaviour, outside: str = "5.0.1.7") -> Resident:
    nat = world.internet.add_nat(box, addresses=[outside])
    return world.add(host=world.internet.add_host(behind=nat))


async def test_a_friend_joins_by_the_port_that_the_firsts_router_forwards() -> None:
    world = World(5)
    first, friend = move_in(world, UPNP), move_in(world, NatBehaviour(), "5.0.2.9")
    await first.start()
    await asyncio.sleep(SOON_S)
    outside = Address("5.0.1.7", PORT)
    assert first.running.own_addresses()[0] == outside
    assert first.running.own_network.is_contact
    friend.saved = [Contact.at(first.identity.public_key, outside)]
    await friend.start()
    async with asyncio.timeout(SOON_S):
        await friend.running.joined.wait()
        await friend.running.registrations.registered.wait()
    await asyncio.sleep(SOON_S)
    assert first.running.own_addresses()[0] == outside, "the friend sees it there"
    for caller, callee in ((first, friend), (friend, first)):
        callee.running.callee.accept_calls(accept)
        with caller.host.running():
            await caller.running.caller.call(callee.identity.peer_id, describe)
    await world.close()


@pytest.mark.parametrize("shown", ["224.1.1.1", "239.255.255.250", "240.0.0.1", "2a00::1", "::"])
async def test_what_cannot_be_a_routers_address_is_named_to_nobody(shown: str) -> None:
    world = World(6)
    first = move_in(world, replace(UPNP, gateway_faults=GatewayFaults(shown_address=shown)))
    await first.start()
    await asyncio.sleep(SOON_S)
    assert first.running.own_addresses() == [first.contact.address]
    assert first.running.own_network.view().upnp is None
    assert first.running.reachability.upnp[0] is UpnpAnswer.REFUSED
    assert first.running.reachability.upnp[1]
    await world.close()


async def test_a_routers_word_is_named_no_more_once_contacts_see_another_address() -> None:
    world = World(7)
    await world.populate(3)
    lie = GatewayFaults(shown_address="8.8.8.8")
    first = move_in(world, replace(UPNP, gateway_faults=lie))
    known, world.residents = world.residents, [first]
    await first.start()
    await asyncio.sleep(SOON_S)
    assert first.running.own_addresses()[0] == Address("8.8.8.8", PORT), "there is no other word"
    world.residents = known
    for one in known[:3]:
        first.running.server.protocol.maintenance.verify(one.contact)
    await asyncio.sleep(SOON_S)
    assert all(one.host != "8.8.8.8" for one in first.running.own_addresses())
    await world.close()


async def test_a_public_machine_asks_no_router_and_a_private_one_does_alone_or_not() -> None:
    world = World(8)
    public, private = world.add(), move_in(world, NatBehaviour())
    for one in (public, private):
        await one.start()
    await asyncio.sleep(SOON_S)
    assert public.running.reachability.upnp[0] is UpnpAnswer.NOT_ASKED
    assert private.running.reachability.upnp[0] is UpnpAnswer.NO_ANSWER
    await world.close()
