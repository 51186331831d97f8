"""A node behind a router with UPnP takes streams: a blocked node reaches it by either port."""

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from node.home import Home
from protocol.addresses import Address
from protocol.limits import STREAM_PORT
from protocol.overlay.contacts import Contact
from simulations.internet.boxes.gateway import Gateway, GatewayFaults
from simulations.residents.pairs import move_in
from simulations.residents.sites import SITES, Site
from simulations.residents.whole import WholeResident
from simulations.residents.world import PORT
from tests.simulations.pair_world import Town, pair_world

FORWARDED_S = 30.0


async def forwarded(town: Town, faults: GatewayFaults) -> tuple[WholeResident, Address, Gateway]:
    """The first node of an overlay, its outside address, and its router's gateway."""
    (box,) = SITES["upnp"].boxes
    first = move_in(town.world, Site((replace(box, gateway_faults=faults),)))
    await first.start()
    await asyncio.sleep(FORWARDED_S)
    outside, gateway = first.running.own_network.forwarded, first.host.gateway
    assert outside is not None
    assert gateway is not None
    return first, outside, gateway


def blocked(town: Town, ports: Iterable[int], known: Contact) -> WholeResident:
    """A node that knows one contact, in a network that passes TCP to some ports alone."""
    (box,) = SITES["blocked"].boxes
    found = move_in(town.world, Site((replace(box, tcp_ports=frozenset(ports)),)))
    home = Home.open(found.home)
    home.save_contacts([known])
    home.close()
    return found


@pytest.mark.parametrize(
    "faults",
    [GatewayFaults(), GatewayFaults(taken=frozenset({PORT}))],
    ids=["own port", "another port"],
)
@pytest.mark.parametrize("by_443", [False, True], ids=["by its port", "by 443"])
async def test_a_blocked_node_joins_by_a_node_behind_a_router(
    tmp_path: Path, faults: GatewayFaults, *, by_443: bool
) -> None:
    async with pair_world(tmp_path, publics=0, streams=True) as town:
        first, outside, _ = await forwarded(town, faults)
        assert (outside.port != PORT) is bool(faults.taken)
        told = first.running_node.doctor.network()
        assert told.upnp_tcp_ports == (outside.port, STREAM_PORT)
        contact = Contact.at(first.identity.public_key, outside)
        other = blocked(town, [STREAM_PORT if by_443 else outside.port], contact)
        await other.start()
        async with asyncio.timeout(60.0):
            await other.running.joined.wait()
        (stream,) = other.running.streams.kept
        assert stream.gateway == outside
        assert stream.peer_id == first.identity.peer_id
        assert first.running_node.gateway.served == 1
        assert first.identity.peer_id in {
            entry.contact.peer_id for entry in other.running.server.tables.entries()
        }


async def test_without_the_mapping_no_stream_comes_in(tmp_path: Path) -> None:
    """The router is what lets it in, and nothing else of the simulated internet."""
    async with pair_world(tmp_path, publics=0, streams=True) as town:
        first, outside, _ = await forwarded(town, GatewayFaults(no_tcp=True))
        told = first.running_node.doctor.network()
        assert told.upnp_tcp_ports == ()
        assert len(told.upnp_tcp_refusals) == 2
        contact = Contact.at(first.identity.public_key, outside)
        other = blocked(town, [STREAM_PORT, outside.port], contact)
        await other.start()
        await asyncio.sleep(60.0)
        assert other.running.streams.kept == ()
        assert not other.running.joined.is_set()


async def test_a_node_that_stops_leaves_no_mapping(tmp_path: Path) -> None:
    async with pair_world(tmp_path, publics=0, streams=True) as town:
        first, _, gateway = await forwarded(town, GatewayFaults())
        assert len(gateway.mappings()) == 3
        await first.stop()
        assert gateway.mappings() == []
