"""Real overlay nodes on loopback: joining, records, registration, calls."""

import asyncio

import pytest

from node.net.names import NameLookups
from node.overlay.table.joining import Joining
from protocol import availability, limits, records
from protocol.addresses import Address
from protocol.description import Description
from protocol.errors import (
    Busy,
    CallCrossed,
    CalleeBusy,
    CallFailed,
    LinkFailed,
    NotFound,
    TimedOut,
    Unreachable,
)
from protocol.overlay.bootstrap import Bootstrap
from protocol.overlay.contacts import Contact
from protocol.records import ProviderBody
from protocol.signaling import Offer
from tests.node.overlay.network import describing, description, identity, network, open_peer

pytestmark = pytest.mark.usefixtures("machine")

MOD = bytes(range(32))


async def test_every_reachable_node_is_known_and_no_other() -> None:
    async with network(6, 2) as peers:
        reachable = {peer.server.identity.peer_id for peer in peers[:6]}
        for peer in peers:
            known = {entry.contact.peer_id for entry in peer.server.tables.entries()}
            assert known == reachable - {peer.server.identity.peer_id}


async def test_all_providers_of_a_mod_are_found_by_a_peer_that_never_heard_of_them() -> None:
    async with network(6, 3) as peers:
        publishers = peers[5:8]
        for peer in publishers:
            record = peer.republisher.make(records.PROVIDER, ProviderBody(MOD, complete=True))
            published = await peer.server.publish(record)
            assert published.asked >= 5
            assert 0.75 * published.asked <= published.confirmed
        reading = await peers[8].server.read(records.provider_key(MOD), records.PROVIDER)
        assert set(reading.records) == {one.server.identity.public_key for one in publishers}
        assert reading.hops == 1
        assert reading.holders


async def test_a_republished_record_replaces_its_predecessor_everywhere() -> None:
    async with network(4) as peers:
        publisher = peers[3]
        for complete in (False, True):
            record = publisher.republisher.make(records.PROVIDER, ProviderBody(MOD, complete))
            await publisher.server.publish(record)
        reading = await peers[1].server.read(records.provider_key(MOD), records.PROVIDER)
        (found,) = reading.records.values()
        assert found.body == ProviderBody(MOD, complete=True)


async def test_more_records_under_one_key_than_fit_a_datagram_are_all_read() -> None:
    async with network(3, 1) as peers:
        publishers = [identity(seed) for seed in range(100, 130)]
        for publisher in publishers:
            record = records.make(
                publisher,
                records.PROVIDER,
                ProviderBody(MOD, complete=True),
                now=peers[0].republisher.make(records.PEER, _peer_body()).issued,
                sequence=1,
            )
            await peers[1].server.publish(record)
        server, key = peers[3].server, records.provider_key(MOD)
        reading = await server.read(key, records.PROVIDER)
        assert 5 <= len(reading.records) < 30, "the first pages"
        assert await server.read_more(reading, key, records.PROVIDER)
        assert set(reading.records) == {one.public_key for one in publishers}
        assert not await server.read_more(reading, key, records.PROVIDER)


async def test_an_availability_filter_travels_and_answers() -> None:
    async with network(4) as peers:
        sharer, reader = peers[2], peers[3]
        (shard,) = availability.build([MOD])
        await sharer.server.publish(sharer.republisher.make(records.AVAILABILITY, shard))
        key = records.availability_key(sharer.server.identity.peer_id, 0, 0)
        reading = await reader.server.read(key, records.AVAILABILITY)
        (record,) = reading.records.values()
        assert isinstance(record.body, availability.Availability)
        assert record.body.may_have(MOD)
        assert not record.body.may_have(bytes(32))


async def test_a_call_reaches_a_peer_that_cannot_be_reached_unasked() -> None:
    async with network(5, 2) as peers:
        callee, caller = peers[5:]
        registrations = await callee.register()
        offers: list[Offer] = []

        async def on_offer(offer: Offer) -> Description:
            offers.append(offer)
            return description(2)

        callee.callee.accept_calls(on_offer)
        result = await caller.caller.call(callee.server.identity.peer_id, describing(1))
        assert result.description == description(2)
        assert result.peer_key == callee.server.identity.public_key
        assert len(offers) == 1, "three registrars forwarded it, and it was answered once"
        assert offers[0].description == description(1)
        assert offers[0].offer_id == result.offer_id
        registrars = {contact.peer_id for contact in registrations.registrars}
        assert set(result.signaled_via) <= registrars
        assert result.signaled_via


async def test_a_registrar_calls_the_peer_that_is_registered_with_it() -> None:
    async with network(1, 1) as (registrar, callee):
        await callee.register()

        async def on_offer(_: Offer) -> Description:
            return description(2)

        callee.callee.accept_calls(on_offer)
        peer_id = callee.server.identity.peer_id
        result = await registrar.caller.call(peer_id, describing())
        assert result.signaled_via == ()


async def test_a_reachable_peer_is_called_without_a_registrar() -> None:
    async with network(3, 1) as peers:

        async def on_offer(_: Offer) -> Description:
            return description(2)

        peers[2].callee.accept_calls(on_offer)
        result = await peers[3].caller.call(peers[2].server.identity.peer_id, describing())
        assert result.signaled_via == ()


async def test_failed_calls_say_why() -> None:
    async with network(4, 2) as peers:
        callee, caller = peers[4:]
        with pytest.raises(NotFound, match="no node of the network knows this peer"):
            await caller.caller.call(identity(99).peer_id, describing())
        await callee.register()
        with pytest.raises(CallFailed, match="refused the call"):
            await caller.caller.call(callee.server.identity.peer_id, describing())

        async def busy(_: Offer) -> Description:
            raise Busy(6.5)

        callee.callee.accept_calls(busy)
        with pytest.raises(CalleeBusy, match="has no place for one more now") as refused:
            await caller.caller.call(callee.server.identity.peer_id, describing())
        assert refused.value.retry_after_s == 7

        async def failing(_: Offer) -> Description:
            raise LinkFailed("no address")

        callee.callee.accept_calls(failing)
        with pytest.raises(CallFailed, match="refused the call"):
            await caller.caller.call(callee.server.identity.peer_id, describing())


async def test_a_peer_that_left_is_offline_and_the_caller_is_told() -> None:
    async with network(4, 2) as peers:
        callee, caller = peers[4:]
        await callee.register()
        await callee.close()
        with pytest.raises(CallFailed, match="do not reach it any more"):
            await caller.caller.call(callee.server.identity.peer_id, describing())


async def test_when_both_call_at_once_the_smaller_id_wins() -> None:
    async with network(4, 2) as peers:
        first, second = sorted(peers[4:], key=lambda peer: peer.server.identity.peer_id)
        for peer in (first, second):
            await peer.register()
        reached = {first: asyncio.Event(), second: asyncio.Event()}

        async def on_offer_to_second(_: Offer) -> Description:
            reached[second].set()
            return description(2)

        async def on_offer_to_first(_: Offer) -> Description:
            reached[first].set()
            return description(2)

        first.callee.accept_calls(on_offer_to_first)
        second.callee.accept_calls(on_offer_to_second)
        outcomes = await asyncio.gather(
            first.caller.call(second.server.identity.peer_id, describing()),
            second.caller.call(first.server.identity.peer_id, describing()),
            return_exceptions=True,
        )
        assert not isinstance(outcomes[0], BaseException)
        assert reached[second].is_set()
        # The second's offer arrived while the first was calling, or after that call ended.
        assert isinstance(outcomes[1], CallCrossed) or reached[first].is_set()


async def test_a_node_restarts_from_its_saved_contacts_without_any_bootstrap() -> None:
    async with network(4) as peers:
        saved = peers[3].server.bootstrappable_neighbors()
        assert len(saved) == 3
        again = await open_peer(77)
        joining = Joining(again.server, [], saved, NameLookups(again.tasks), say=again.said.append)
        again.tasks.start(joining.run(), name="join")
        await joining.joined.wait()
        assert len(again.server.tables) == 4
        await again.close()


async def test_a_silent_bootstrap_is_said_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "HELLO_S", 0.05)
    monkeypatch.setattr(limits, "JOIN_RETRY_MIN_S", 0.05)
    late = await open_peer(1)
    address = late.address
    await late.close()
    said: asyncio.Queue[str] = asyncio.Queue()
    peer = await open_peer(2)
    bootstrap = Bootstrap(address.host, address.port, None)
    joining = Joining(peer.server, [bootstrap], [], NameLookups(peer.tasks), say=said.put_nowait)
    peer.tasks.start(joining.run(), name="join")
    assert "does not answer" in await said.get()
    late = await open_peer(1, bind=address)
    await joining.joined.wait()
    assert peer.server.tables.nearest(0, 1) == [late.contact]
    await peer.close()
    await late.close()


async def test_a_pinned_bootstrap_must_be_the_peer_that_it_names() -> None:
    async with network(2) as peers:
        where, other = peers[0].address, peers[1].server.identity.peer_id
        newcomer = await open_peer(50)
        said: asyncio.Queue[str] = asyncio.Queue()
        wrong = Bootstrap(where.host, where.port, other)
        joining = Joining(
            newcomer.server, [wrong], [], NameLookups(newcomer.tasks), say=said.put_nowait
        )
        newcomer.tasks.start(joining.run(), name="join")
        assert "another peer" in await said.get()
        assert not joining.joined.is_set()
        await newcomer.close()


@pytest.mark.parametrize("host", ["0.0.0.0", "224.0.0.1", "255.255.255.255"])
async def test_a_bootstrap_is_one_machine(host: str) -> None:
    peer = await open_peer(1)
    said: asyncio.Queue[str] = asyncio.Queue()
    names = NameLookups(peer.tasks)
    joining = Joining(peer.server, [Bootstrap(host, 4001, None)], [], names, say=said.put_nowait)
    peer.tasks.start(joining.run(), name="join")
    assert "not one machine's address" in await said.get()
    assert not peer.counters.datagrams_sent
    await peer.close()


async def test_bootstrapping_from_dead_contacts_alone_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "TIMEOUT_UNKNOWN_S", 0.05)
    dead, alone = await open_peer(1), await open_peer(2)
    contact = dead.contact
    await dead.close()
    with pytest.raises(Unreachable):
        await alone.server.bootstrap([contact])
    await alone.close()


async def test_an_unreachable_node_hears_only_addresses_that_it_sent_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "TIMEOUT_UNKNOWN_S", 0.05)
    async with network(3, 1) as peers:
        hidden = peers[3]
        newcomer = await open_peer(60)
        hidden_contact = Contact.at(hidden.server.identity.public_key, hidden.address)
        with pytest.raises(Unreachable):
            await newcomer.server.bootstrap([hidden_contact])
        assert hidden.counters.refused["filtered_by_nat"] >= 1
        await newcomer.close()


def _peer_body() -> records.PeerBody:
    return records.PeerBody((), 0, (1, 1), 0)


async def test_both_families_may_listen_on_one_port() -> None:
    peer = await open_peer(1, bind=Address("0.0.0.0", 0))
    port = peer.address.port
    assert await peer.membership.endpoint.open(Address("::", port)) == Address("::", port)
    await peer.close()


async def test_an_overlay_of_ipv6_addresses_works_like_any_other() -> None:
    peers = [await open_peer(seed, bind=Address("::1", 0)) for seed in range(4)]
    for peer in peers[1:]:
        await peer.join(peers[0].address)
    record = peers[1].republisher.make(records.PROVIDER, ProviderBody(MOD, complete=True))
    assert (await peers[1].server.publish(record)).confirmed == 3
    reading = await peers[3].server.read(records.provider_key(MOD), records.PROVIDER)
    assert set(reading.records) == {record.public_key}
    for peer in peers:
        await peer.close()


async def test_a_node_answers_nothing_before_it_listens() -> None:
    """Its port is open already while the rest of its start may still fail."""
    silent = await open_peer(1, listens=False)
    asker = await open_peer(2)
    with pytest.raises(TimedOut):
        await asker.server.wire.hello(silent.address, 1.0)
    silent.server.listen()
    assert await asker.server.wire.hello(silent.address, 1.0) == silent.contact
    await silent.close()
    await asker.close()
