"""What nodes find out about the networks they are in, and what they do about it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pytest

from node.overlay.reachability.dialing import Dialing
from node.overlay.rpc.incoming import Incoming
from node.overlay.rpc.wire import Wire
from protocol import datagrams, limits
from protocol.addresses import Address, pack_address
from protocol.errors import RelayRefusal
from protocol.overlay.messages import READ_ONLY, Code, encode_response
from protocol.randomness import sample
from protocol.reachability.network_view import FilteringKind, MappingKind, NatKind, Verdict
from protocol.records import PeerBody
from simulations.experiments.call import accept, describe
from simulations.internet import Dependence, NatBehaviour, PortAssignment
from simulations.internet.boxes.gateway import GatewayFaults
from simulations.residents.world import (
    PORT,
    Resident,
    World,
    cipher_named,
    simulated_settings,
)
from tests.simulations.pair_world import pair_world

HOUR_S = 3600.0
ACQUAINTANCES = 60
"""Contacts that a node of the town has met; it keeps those that fit in its table."""
SYMMETRIC = NatBehaviour(mapping=Dependence.ADDRESS_AND_PORT_DEPENDENT, ports=PortAssignment.RANDOM)
SEQUENTIAL = replace(SYMMETRIC, ports=PortAssignment.SEQUENTIAL)
OPEN = FilteringKind.ENDPOINT_INDEPENDENT
CLOSED = FilteringKind.DEPENDENT
INDEPENDENT = MappingKind.ENDPOINT_INDEPENDENT


@dataclass(frozen=True, slots=True)
class Network:
    """A box, or a box behind another, and what a node behind it must find out."""

    nat: NatKind
    verdict: Verdict = Verdict.NOT_PUBLIC
    box: NatBehaviour | None = None
    carrier: NatBehaviour | None = None
    v6: bool = False


UPNP = NatBehaviour(upnp=True)
BEHIND = NatKind(INDEPENDENT, CLOSED, port_preserved=True)
FORWARDED = Network(NatKind(INDEPENDENT, OPEN, port_preserved=True), Verdict.PUBLIC, UPNP)
KINDS = {
    "public": Network(NatKind(MappingKind.NONE, OPEN, port_preserved=True), Verdict.PUBLIC),
    "full cone": replace(FORWARDED, box=NatBehaviour(filtering=Dependence.ENDPOINT_INDEPENDENT)),
    "restricted": Network(BEHIND, box=NatBehaviour(filtering=Dependence.ADDRESS_DEPENDENT)),
    "port-restricted": Network(BEHIND, box=NatBehaviour()),
    "random port": Network(
        NatKind(INDEPENDENT, CLOSED), box=NatBehaviour(ports=PortAssignment.RANDOM)
    ),
    "symmetric": Network(NatKind(MappingKind.ENDPOINT_DEPENDENT, CLOSED), box=SYMMETRIC),
    "sequential": Network(
        NatKind(MappingKind.SEQUENTIAL, CLOSED, port_step=1),
        box=replace(SEQUENTIAL, foreign_per_s=5.0),
    ),
    "in steps of 2": Network(
        NatKind(MappingKind.SEQUENTIAL, CLOSED, port_step=2), box=replace(SEQUENTIAL, port_step=2)
    ),
    "of a carrier": Network(
        NatKind(MappingKind.ENDPOINT_DEPENDENT, CLOSED), box=UPNP, carrier=SYMMETRIC
    ),
    "forwarded": FORWARDED,
    "forwarded for ever": replace(
        FORWARDED, box=replace(UPNP, gateway_faults=GatewayFaults(permanent_only=True))
    ),
    "forwarded at another port": replace(
        FORWARDED,
        nat=NatKind(INDEPENDENT, OPEN),
        box=replace(UPNP, gateway_faults=GatewayFaults(taken=frozenset({PORT}))),
    ),
    "silent router": Network(
        BEHIND, box=replace(UPNP, gateway_faults=GatewayFaults(answer_delay_s=float("inf")))
    ),
}


@asynccontextmanager
async def town(count: int = 90) -> AsyncIterator[World]:
    """A world whose nodes keep few contacts, so that each knows but a part of them.

    None suspects sybils: one in twenty would, by chance, and then send to nearly all nodes there
    are, after which no dial-back counts for it. Those who live there answer and do nothing else.
    """
    with pytest.MonkeyPatch.context() as patching:
        patching.setattr(limits, "SUSPICIOUS_CHANCE", 0.0)
        world = World(7, settings=simulated_settings(k=4, cipher=cipher_named("test")))
        for _ in range(count):
            await settle(world.add())
        contacts = [one.contact for one in world.residents]
        for one in world.residents:
            known = sample(one.rng, contacts, min(count, ACQUAINTANCES))
            table = one.running.server.tables.of(one.contact)
            for contact in known:
                if contact != one.contact:
                    table.answered(contact, world.loop.time())
        yield world
        await world.close()


async def settle(resident: Resident) -> None:
    """Start what answers other nodes, and no upkeep."""
    with resident.host.running():
        resident.membership = resident.make_membership()
        await resident.membership.endpoint.open(resident.contact.address)
        resident.membership.listen()


def move_in(world: World, network: Network) -> Resident:
    internet = world.internet
    if network.box is None:
        return world.add()
    carrier = internet.add_nat(network.carrier) if network.carrier else None
    box = internet.add_nat(network.box, behind=carrier)
    return world.add(host=internet.add_host(behind=box))


async def until(condition: Callable[[], bool], within_s: float) -> float:
    """The seconds until a condition holds."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    while not condition():
        assert loop.time() - began < within_s, "not in time"
        await asyncio.sleep(0.05)
    return loop.time() - began


def is_callable(resident: Resident) -> bool:
    membership = resident.running
    is_public = membership.own_network.view().verdict is Verdict.PUBLIC
    return is_public or membership.registrations.registered.is_set()


def is_relay(resident: Resident) -> bool:
    try:
        resident.running.relay.grant(bytes(20), Address("1.2.3.4", PORT))
    except RelayRefusal:
        return False
    return True


def peer_body(resident: Resident) -> PeerBody:
    body = resident.running.presence.peer_record().body
    assert isinstance(body, PeerBody)
    return body


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


async def test_a_mapping_of_thirty_seconds_is_kept_open() -> None:
    async with town(30) as world:
        peer = move_in(world, Network(BEHIND, box=NatBehaviour(timeout_s=30.0)))
        await peer.start()
        await until(peer.running.registrations.registered.is_set, 10.0)
        await asyncio.sleep(HOUR_S / 6)
        await call(world.residents[0], peer)


async def test_no_number_of_liars_makes_a_node_public(monkeypatch: pytest.MonkeyPatch) -> None:
    """All others lie: by addresses that the NAT lets in, since the victim has sent to them."""
    async with town(30) as world:

        def lie(dialing: Dialing, incoming: Incoming) -> None:
            random, _ = incoming.request.arguments
            heard = [
                one.running
                for one in world.residents
                if one is not victim and incoming.address.host in one.running.endpoint.sent_hosts
            ]
            dialer = heard[int(dialing._rng.random() * len(heard))].endpoint
            dialer.sendto(datagrams.dialback(random), incoming.address)
            incoming.answer([pack_address(dialer.addresses[4])])

        monkeypatch.setattr(Dialing, "find_dialer", lie)
        victim = move_in(world, KINDS["port-restricted"])
        await victim.start()
        await victim.running.joined.wait()
        for _ in range(20):
            await asyncio.sleep(60)
            assert victim.running.own_network.view().verdict is not Verdict.PUBLIC


@pytest.mark.parametrize("kept_open_by", [b"\x05", datagrams.dialback(bytes(16))])
async def test_a_hole_that_is_kept_open_makes_no_node_public(
    kept_open_by: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Linux keeps a mapping for as long as packets come in by it, not only while some leave.

    All contacts lie: they name accomplices, to each of which the victim has sent once.
    """
    monkeypatch.setattr(limits, "DIALBACK_SILENCE_S", 60.0)
    monkeypatch.setattr(limits, "VERDICT_S", 30.0)
    monkeypatch.setattr(limits, "VERDICT_RETRY_MAX_S", 30.0)
    async with town(30) as world:
        holes: list[asyncio.DatagramTransport] = []
        dialled: list[float] = []

        def lie(_: Dialing, incoming: Incoming) -> None:
            accomplice = holes[len(dialled) % len(holes)]
            if incoming.address.host in box.addresses:
                dialback = datagrams.dialback(incoming.request.arguments[0])
                accomplice.sendto(dialback, incoming.address)
                dialled.append(world.loop.time())
            incoming.answer([pack_address(Address(*accomplice.get_extra_info("sockname")))])

        monkeypatch.setattr(Dialing, "find_dialer", lie)
        for _ in range(6):
            host = world.internet.add_host()
            with host.running():
                transport, _ = await world.loop.create_datagram_endpoint(
                    asyncio.DatagramProtocol, local_addr=(host.addresses[0], PORT)
                )
            holes.append(transport)
        box = world.internet.add_nat(NatBehaviour(inbound_refresh=True))
        victim = world.add(host=world.internet.add_host(behind=box))
        await victim.start()
        for one in holes:
            there = Address(*one.get_extra_info("sockname"))
            victim.running.endpoint.sendto(b"what a new id is sent", there)
        for _ in range(12):
            await asyncio.sleep(25)
            for one in holes:
                one.sendto(kept_open_by, (box.addresses[0], PORT))
            assert victim.running.own_network.view().verdict is not Verdict.PUBLIC
        assert dialled


async def test_three_contacts_that_lie_at_the_same_moment_move_no_node(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An idle node hears from few others; the victim of the lie would get its peers' checks."""
    async with town(60) as world:
        respond = Wire.respond

        def lie(wire: Wire, incoming: Incoming, code: Code, result: list[object]) -> None:
            with monkeypatch.context() as patching:
                if wire in liars and incoming.address.host in box.addresses:
                    lying = partial(encode_response, observed=Address("8.8.8.8", 53))
                    patching.setattr(
                        "node.overlay.rpc.wire.encode_response",
                        lambda *arguments, observed, **named: lying(*arguments, **named),
                    )
                respond(wire, incoming, code, result)

        box = world.internet.add_nat(NatBehaviour())
        one = world.add(host=world.internet.add_host(behind=box))
        await one.start()
        await asyncio.sleep(60)
        known = {entry.contact.peer_id for entry in one.running.server.tables.entries()}
        others = [other for other in world.residents[:60] if other.identity.peer_id in known]
        liars = [other.running.server.wire for other in others[:3]]
        monkeypatch.setattr(Wire, "respond", lie)
        for _ in range(10):
            for other in others[:3]:
                one.running.server.protocol.maintenance.verify(other.contact)
            for _ in range(20):
                await asyncio.sleep(0.3)
                (reflexive,) = one.running.own_network.view().of(4).reflexive
                assert reflexive == (Address(box.addresses[0], PORT), True)


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
