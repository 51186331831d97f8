"""Calls to peers that were called before: what is remembered of them, and what it is good for."""

import asyncio
from collections.abc import Sequence

import pytest

from node.overlay.signaling.known_ways import KnownWays
from protocol import limits
from protocol.addresses import Address
from protocol.description import Description
from protocol.errors import ModswarmError
from protocol.overlay.contacts import Contact
from protocol.signaling import Offer
from tests.node.overlay.network import describing, description, network

pytestmark = pytest.mark.usefixtures("machine")

WAYS = [Contact.at(bytes([number]) * 32, Address("192.0.2.1", number)) for number in range(1, 6)]


def test_the_first_ways_of_a_peer_are_remembered_for_a_while() -> None:
    known = KnownWays()
    known.note(b"peer", b"key", (WAYS[1], WAYS[1], *WAYS), 5.0)
    way = known.way_to(b"peer", 6.0)
    assert way is not None
    assert way.public_key == b"key"
    assert way.relays == (WAYS[1], WAYS[0])
    assert limits.WAYS_AT_ONCE == len(way.relays) < limits.REGISTRARS_CALLED
    assert known.way_to(b"other", 6.0) is None
    assert known.way_to(b"peer", 5.0 + limits.WAY_KNOWN_S) is None
    assert len(known) == 0


def test_no_more_peers_than_there_is_room_for_are_remembered() -> None:
    known = KnownWays(capacity=2)
    for peer in (b"a", b"b", b"a", b"c"):
        known.note(peer, b"key", WAYS, 0.0)
    assert [peer for peer in (b"a", b"b", b"c") if known.way_to(peer, 1.0)] == [b"a", b"c"]
    known.forget(b"a")
    assert len(known) == 1


async def test_the_second_call_does_not_wait_for_its_lookup(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with network(12, 2) as peers:
        caller, callee = peers[12:]
        await callee.register()
        callee.callee.accept_calls(_accept)
        callee_id = callee.server.identity.peer_id
        first = await caller.caller.call(callee_id, describing())
        named: list[Contact] = []

        def describe(registrars: Sequence[Contact]) -> Description:
            named.extend(registrars)
            return description()

        async def never(*_: object, **__: object) -> None:
            await asyncio.get_running_loop().create_future()

        monkeypatch.setattr(caller.server, "read", never)
        async with asyncio.timeout(1.0):
            again = await caller.caller.call(callee_id, describe)
        assert again.peer_key == first.peer_key
        assert again.offer_id != first.offer_id
        assert named, "they may relay the link"
        assert set(again.signaled_via) <= {contact.peer_id for contact in named}


async def test_a_contact_is_called_without_a_lookup(monkeypatch: pytest.MonkeyPatch) -> None:
    async with network(6, 0) as peers:
        caller, callee = peers[1:3]
        callee.callee.accept_calls(_accept)
        callee_id = callee.server.identity.peer_id
        contacts = [entry.contact for entry in caller.server.tables.entries()]
        assert callee.contact in contacts

        async def never(*_: object, **__: object) -> None:
            await asyncio.get_running_loop().create_future()

        monkeypatch.setattr(caller.server, "read", never)
        async with asyncio.timeout(1.0):
            called = await caller.caller.call(callee_id, describing())
        assert called.peer_key == callee.server.identity.public_key
        assert called.signaled_via == ()


async def test_a_contact_that_answers_no_more_leaves_the_call_to_the_lookup() -> None:
    async with network(12, 2) as peers:
        caller, callee = peers[12:]
        await callee.register()
        callee.callee.accept_calls(_accept)
        key = callee.server.identity.public_key
        silent = Contact.at(key, Address("127.0.0.1", 9))
        for table in caller.server.tables:
            table.answered(silent, asyncio.get_running_loop().time())
        assert any(table.get(silent.peer_id) for table in caller.server.tables)
        called = await caller.caller.call(silent.peer_id, describing())
        assert called.peer_key == key
        assert called.signaled_via


async def test_ways_that_lead_nowhere_any_more_leave_the_call_to_the_lookup() -> None:
    async with network(12, 2) as peers:
        caller, callee = peers[12:]
        registrations = await callee.register()
        callee.callee.accept_calls(_accept)
        callee_id = callee.server.identity.peer_id
        await caller.caller.call(callee_id, describing())
        known = caller.caller.ways.way_to(callee_id, asyncio.get_running_loop().time())
        assert known is not None
        gone = {contact.peer_id for contact in known.relays}
        for peer in peers[1:12]:
            if peer.server.identity.peer_id in gone:
                await peer.close()
        assert len(registrations.registrars) > len(gone)
        again = await caller.caller.call(callee_id, describing())
        assert set(again.signaled_via).isdisjoint(gone)


async def test_after_a_call_that_failed_no_way_is_known() -> None:
    async with network(5, 2) as peers:
        caller, callee = peers[5:]
        await callee.register()
        callee.callee.accept_calls(_accept)
        callee_id = callee.server.identity.peer_id
        await caller.caller.call(callee_id, describing())
        assert len(caller.caller.ways) == 1
        await callee.membership.stop()
        with pytest.raises(ModswarmError):
            await caller.caller.call(callee_id, describing())
        assert len(caller.caller.ways) == 0


async def _accept(_offer: Offer) -> Description:
    return description(2)
