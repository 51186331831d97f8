"""What nodes find out about the networks they are in, and what they do about it."""

import asyncio
from functools import partial
from pathlib import Path

import pytest

from protocol import limits
from protocol.overlay.messages import READ_ONLY
from protocol.reachability.network_view import MappingKind, Verdict
from simulations.experiments.call import accept, describe
from simulations.internet import Dependence, NatBehaviour
from simulations.internet.lines import Faults
from simulations.residents.world import PORT, Resident, World
from tests.simulations.pair_world import pair_world
from tests.simulations.reachability_town import (
    BEHIND,
    KINDS,
    Network,
    is_callable,
    is_relay,
    move_in,
    peer_body,
    town,
    until,
)

HOUR_S = 3600.0


async def test_each_kind_of_network_is_told_and_acted_upon() -> None:
    async with town() as world:
        there = {name: move_in(world, network) for name, network in KINDS.items()}
        for resident in there.values():
            await resident.start()
        await asyncio.gather(*(one.running.joined.wait() for one in there.values()))
        mapped = [one for name, one in there.items() if name != "public"]
        for one in mapped:
            # While nothing is decided yet, who is behind a NAT is registered already.
            await until(partial(is_callable, one), 6.0)
        await asyncio.sleep(90)
        for name, resident in there.items():
            network, own = KINDS[name], resident.running.own_network
            view = own.view().of(4)
            assert (view.verdict, view.nat) == (network.verdict, network.nat), name
            is_public = network.verdict is Verdict.PUBLIC
            assert own.flags(world.residents[0].contact) == (0 if is_public else READ_ONLY), name
            assert bool(resident.running.registrations.registrars) is not is_public, name
            assert bool(peer_body(resident).addresses) is is_public, name
            assert bool(peer_body(resident).capabilities) is is_public, name
            assert is_relay(resident) is is_public, name
            upnp = own.view().upnp
            assert (upnp is not None) is name.startswith("forwarded"), name
            if upnp is not None:
                assert upnp.proved
                assert resident.running.own_addresses()[0] == upnp.address
                assert (upnp.address.port == PORT) is (name != "forwarded at another port")
        reboxed = there["forwarded"].host.behind
        assert reboxed is not None
        assert reboxed.gateway is not None
        await there["forwarded"].stop()
        assert reboxed.gateway.mappings() == [], "removed when the node ends"


@pytest.mark.parametrize("seed", range(4))
async def test_a_router_that_counts_is_known_where_datagrams_are_lost(seed: int) -> None:
    """A request that is answered only when it is repeated does not hide the order of ports."""
    world = World(seed)
    await world.populate(8)
    world.internet.carrier.set_faults(Faults(loss=0.15))
    peer = move_in(world, KINDS["in steps of 2"])
    await peer.start()
    await asyncio.sleep(60)
    nat = peer.running.own_network.view().of(4).nat
    assert (nat.mapping, nat.port_step) == (MappingKind.SEQUENTIAL, 2)
    await world.close()


async def test_small_networks_decide_nothing_and_their_nodes_go_on_as_public_ones() -> None:
    """Where dial-backs come at least from other ports of hosts that were sent to."""
    world = World(3)
    await world.populate(5)
    await asyncio.sleep(HOUR_S)
    for resident in world.residents:
        own = resident.running.own_network
        assert own.view().verdict is Verdict.UNKNOWN
        assert own.is_contact
        assert not own.needs_registrars
        assert not resident.running.registrations.registrars
        assert resident.running.own_addresses() == [resident.contact.address]
    await world.close()


async def test_two_nodes_behind_one_box_call_each_other_in_a_young_overlay() -> None:
    world = World(4)
    await world.populate(3)
    box = world.internet.add_nat(NatBehaviour())
    one, other = (world.add(host=world.internet.add_host(behind=box)) for _ in range(2))
    for resident in (one, other):
        await resident.start()
        await until(resident.running.registrations.registered.is_set, 10.0)
    await call(one, other)
    await call(other, one)
    await world.close()


async def test_a_suspended_node_is_called_five_seconds_after_it_wakes() -> None:
    async with town(30) as world:
        sleeper = move_in(world, KINDS["port-restricted"])
        await sleeper.start()
        await until(sleeper.running.registrations.registered.is_set, 10.0)
        sleeper.host.sleep()
        await asyncio.sleep(HOUR_S)
        sleeper.host.wake()
        await asyncio.sleep(5.0)
        await call(world.residents[0], sleeper)


async def test_a_box_with_a_new_address_is_noticed_by_its_keepalives() -> None:
    async with town(30) as world:
        peer = move_in(world, KINDS["port-restricted"])
        await peer.start()
        await until(peer.running.registrations.registered.is_set, 10.0)
        await asyncio.sleep(60)
        box = peer.host.behind
        assert box is not None
        box.readdress(["5.6.7.8"])
        await asyncio.sleep(limits.REREGISTERED_S)
        await call(world.residents[0], peer)
        own = peer.running.own_network.view().of(4)
        assert [one.address.host for one in own.reflexive] == box.addresses
        assert peer.running.own_network.hosts() >= {*box.addresses, *peer.host.addresses}


async def test_a_mapping_of_thirty_seconds_is_kept_open() -> None:
    async with town(30) as world:
        peer = move_in(world, Network(BEHIND, box=NatBehaviour(timeout_s=30.0)))
        await peer.start()
        await until(peer.running.registrations.registered.is_set, 10.0)
        await asyncio.sleep(HOUR_S / 6)
        await call(world.residents[0], peer)


async def call(caller: Resident, callee: Resident) -> None:
    """Raises where the call fails."""
    callee.running.callee.accept_calls(accept)
    with caller.host.running():
        await caller.running.caller.call(callee.identity.peer_id, describe)


@pytest.mark.parametrize(
    ("filtering", "verdict"),
    [
        (Dependence.ADDRESS_AND_PORT_DEPENDENT, Verdict.NOT_PUBLIC),
        (Dependence.ADDRESS_DEPENDENT, Verdict.UNKNOWN),
    ],
)
async def test_behind_a_firewall_without_a_nat_a_node_registers_in_a_small_network(
    filtering: Dependence, verdict: Verdict
) -> None:
    """A filter of ports shows by dial-backs from hosts that were sent to; others do not."""
    world = World(6)
    await world.populate(5, v4=False, v6=True)
    behind = world.internet.add_nat(NatBehaviour(v6_filtering=filtering))
    one = world.add(host=world.internet.add_host(v4=False, v6=True, behind=behind))
    await one.start()
    own = one.running.own_network
    await until(one.running.registrations.registered.is_set, 60.0)
    await asyncio.sleep(60)
    assert own.view().of(6).nat.mapping is MappingKind.NONE
    assert own.view().verdict is verdict
    await world.close()


async def test_behind_a_nat_a_node_is_no_contact_before_dial_backs_say_so() -> None:
    """Not from its first request on: what others send it unasked would spoil later mappings."""
    world = World(5)
    await world.populate(5)
    box = world.internet.add_nat(NatBehaviour(accepts_input=True))
    one = world.add(host=world.internet.add_host(behind=box))
    await one.start()
    await one.running.joined.wait()
    await asyncio.sleep(HOUR_S / 2)
    assert one.running.own_network.view().verdict is Verdict.NOT_PUBLIC
    assert not one.running.own_network.is_contact
    assert peer_body(one).addresses == ()
    for resident in world.residents[:5]:
        known = [entry.contact for entry in resident.running.server.tables.entries()]
        assert one.identity.peer_id not in [contact.peer_id for contact in known]
    ports = {mapping.outside[1] for mapping in box.mappings(world.loop.time())}
    assert len(ports) == 1, "a datagram that came in unasked cost the node its port"
    await world.close()


async def test_a_dial_back_costs_a_node_no_port_where_its_router_accepts_input() -> None:
    """Not even if it sends to those who dialled before the router has forgotten them."""
    async with town(60) as world:
        box = world.internet.add_nat(NatBehaviour(accepts_input=True))
        one = world.add(host=world.internet.add_host(behind=box))
        await one.start()
        own = one.running.own_network
        await until(lambda: own.view().of(4).verdict is Verdict.NOT_PUBLIC, 60.0)
        for resident in world.residents[:60]:
            one.running.endpoint.sendto(b"later", resident.contact.address)
        ports = {mapping.outside[1] for mapping in box.mappings(world.loop.time())}
        assert ports == {PORT}


async def test_friends_are_told_no_address_that_lets_no_one_in(tmp_path: Path) -> None:
    async with pair_world(tmp_path) as town:
        public, closed = await town.settled("public", "port-restricted")
        for one in (public, closed):
            hosts = {text.partition(":")[0] for text in one.running_node.bootstrap_addresses()}
            assert hosts == set(one.host.addresses)
        seen = closed.running.own_network.view().of(4).reflexive
        assert seen, "others see an address of the router"
