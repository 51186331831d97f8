"""Witnesses among nodes of the overlay: what they are told, by whom, and what they tell."""

import asyncio

import pytest

from node.overlay.signaling.witnesses import Witnesses
from protocol import limits
from protocol.addresses import Address
from protocol.overlay.contacts import Contact
from protocol.punching.token import punch_token
from tests.node.overlay.network import OverlayPeer, identity, network

pytestmark = pytest.mark.usefixtures("machine")

TOKEN = punch_token(bytes(16), bytes(20))


def witnesses_of(peer: OverlayPeer) -> Witnesses:
    return Witnesses(peer.membership.server, peer.membership.environment)


async def test_a_token_that_two_witnesses_got_shows_where_its_sender_is() -> None:
    async with network(6) as peers:
        prober, peer = witnesses_of(peers[0]), witnesses_of(peers[1])
        chosen = prober.choose()
        assert len(chosen) == len(set(chosen)) == limits.WITNESSES
        asking = asyncio.ensure_future(prober.hosts_seen(TOKEN, chosen, 2.0))
        await asyncio.sleep(0.3)
        assert not asking.done(), "nothing was left yet"
        await peer.leave(TOKEN, chosen)
        assert await asking == {"127.0.0.1"}


async def test_witnesses_that_got_a_token_know_where_we_are() -> None:
    async with network(6) as peers:
        wire = peers[1].membership.server.wire
        unknown = [one.contact for one in peers if not wire.has_answered(one.contact)]
        others = [one for one in unknown if one != peers[1].contact]
        await witnesses_of(peers[1]).leave(TOKEN, others)
        assert all(map(wire.has_answered, others))


async def test_a_witness_that_is_silent_delays_nothing() -> None:
    async with network(6) as peers:
        prober, peer = witnesses_of(peers[0]), witnesses_of(peers[1])
        dead = Contact.at(identity(99).public_key, Address("127.0.0.1", 9))
        chosen = (dead, *prober.choose()[:2])
        await peer.leave(TOKEN, chosen[1:])
        started = asyncio.get_running_loop().time()
        assert await prober.hosts_seen(TOKEN, chosen, 2.0) == {"127.0.0.1"}
        assert asyncio.get_running_loop().time() - started < 0.1


async def test_witnesses_have_answered_lately_where_so_many_have(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("node.overlay.signaling.witnesses._LATELY_S", 0.1)
    async with network(8) as peers:
        server = peers[0].membership.server
        witnesses = witnesses_of(peers[0])
        await asyncio.sleep(1.0)
        lately = [entry.contact for entry in server.tables.entries()][: limits.WITNESSES]
        for contact in lately:
            server.tables.of(contact).answered(contact, asyncio.get_running_loop().time())
        for _ in range(5):
            assert set(witnesses.choose()) == set(lately)


async def test_one_witness_is_not_enough() -> None:
    async with network(6) as peers:
        prober, peer = witnesses_of(peers[0]), witnesses_of(peers[1])
        chosen = prober.choose()
        await peer.leave(TOKEN, chosen[:1])
        assert await prober.hosts_seen(TOKEN, chosen, 0.5) == frozenset()
        assert await prober.hosts_seen(TOKEN, chosen[:1], 0.5) == frozenset()


async def test_a_dead_witness_or_one_that_is_no_node_fails_nothing() -> None:
    async with network(4) as peers:
        peer = witnesses_of(peers[1])
        nowhere = Address("127.0.0.1", 9)
        dead = Contact.at(identity(99).public_key, nowhere)
        forged = Contact.at(bytes(32), nowhere)
        await peer.leave(TOKEN, (dead, forged))
        sent_to = peers[1].membership.server.wire.session_with(forged)
        assert sent_to is None, "nothing is sent to a key that solves no puzzle"
        assert await peer.hosts_seen(TOKEN, (dead, forged), 0.1) == frozenset()


async def test_a_node_that_has_met_nobody_has_no_witnesses() -> None:
    async with network(1) as peers:
        assert witnesses_of(peers[0]).choose() == ()
