"""Contacts that lie about where a node is and who reaches it: it keeps its address and verdict."""

import asyncio
from functools import partial

import pytest

from node.overlay.reachability.dialing import Dialing
from node.overlay.rpc.incoming import Incoming
from node.overlay.rpc.wire import Wire
from protocol import datagrams, limits
from protocol.addresses import Address, pack_address
from protocol.overlay.messages import Code, encode_response
from protocol.reachability.network_view import Verdict
from simulations.internet import NatBehaviour
from simulations.residents.world import PORT
from tests.simulations.reachability_town import KINDS, move_in, town


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
