"""A world whose nodes know but a part of it, and networks of many kinds to move into."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import pytest

from protocol import limits
from protocol.addresses import Address
from protocol.errors import RelayRefusal
from protocol.randomness import sample
from protocol.reachability.network_view import FilteringKind, MappingKind, NatKind, Verdict
from protocol.records import PeerBody
from simulations.internet import Dependence, NatBehaviour, PortAssignment
from simulations.internet.boxes.gateway import GatewayFaults
from simulations.residents.world import PORT, Resident, World, cipher_named, simulated_settings

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
