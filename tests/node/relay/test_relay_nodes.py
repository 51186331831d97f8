"""Nodes as relays and as their clients, over the simulated internet."""

import asyncio
from typing import Any
from unittest import mock

import pytest

from node.net.demux import APPLICATION_DATA
from node.relay.settings import RelaySettings
from protocol import limits
from protocol.addresses import Address
from protocol.errors import BadConfig, RelayFailed
from protocol.overlay.contacts import Contact
from protocol.stun.message import StunClass, StunMessage, StunMethod, decode_stun, encode_stun
from protocol.turn.virtual import preferred_channel
from simulations.internet.boxes.behaviour import Dependence, NatBehaviour
from simulations.runtime.loop import VirtualLoop
from tests.node.overlay.network import identity
from tests.node.relay.relay_town import TEST_BYTE, Dweller, RelayTown, relay_town, send

SYMMETRIC = NatBehaviour(mapping=Dependence.ADDRESS_AND_PORT_DEPENDENT, timeout_s=30.0)
STRICT = NatBehaviour(timeout_s=30.0)
HEAD = bytes((TEST_BYTE,))
CHANNEL_HEADER_BYTES = 4


async def linked(town: RelayTown) -> tuple[Dweller, Dweller, Dweller, Any, Any]:
    """A relay, two nodes behind symmetric and strict boxes, and their ports at it."""
    relay = await town.public()
    a, b = await town.behind(SYMMETRIC), await town.behind(STRICT)
    at_a, at_b = await asyncio.gather(a.allocate(relay), b.allocate(relay))
    at_a.permit(at_b.local)
    at_b.permit(at_a.local)
    await asyncio.sleep(1.0)
    return relay, a, b, at_a, at_b


async def test_two_nodes_behind_symmetric_boxes_reach_each_other(loop: VirtualLoop) -> None:
    async with relay_town(loop) as town:
        relay, a, b, at_a, at_b = await linked(town)
        assert (at_a.local, at_b.local) == (a.relayed(relay), b.relayed(relay))
        assert a.membership.endpoint.port_at(a.relayed(relay)) == at_a
        send(at_a, b"hello", at_b.local)
        a.membership.endpoint.sendto(HEAD + b"by the endpoint", at_b.local, at_a.local)
        at_b.send_segments(HEAD + bytes(999) + HEAD + bytes(99), 1000, at_a.local)
        await asyncio.sleep(1.0)
        assert b.arrived == [
            (HEAD + b"hello", at_a.local),
            (HEAD + b"by the endpoint", at_a.local),
        ]
        assert a.arrived == [
            (HEAD + bytes(999), at_b.local),
            (HEAD + bytes(99), at_b.local),
        ]
        assert relay.membership.relay.allocations == 2
        assert relay.membership.relay.bytes_today > 1100
        assert set(relay.counters.refused) == {"bad_token"}, "the asking without proof"


async def test_relayed_traffic_is_counted_once_at_each_node(loop: VirtualLoop) -> None:
    async with relay_town(loop) as town:
        relay, a, b, at_a, at_b = await linked(town)
        counters = [one.counters for one in (a, relay, b)]
        before = [(one.datagrams_sent, one.datagrams_received) for one in counters]
        sent = [counters[0].bytes_sent, counters[1].bytes_sent]
        received = [counters[1].bytes_received, counters[2].bytes_received]
        at_a.send_segments((HEAD + bytes(999)) * 3, 1000, at_b.local)
        await asyncio.sleep(0.5)
        assert len(b.arrived) == 3
        after = [(one.datagrams_sent, one.datagrams_received) for one in counters]
        grown = [(new[0] - old[0], new[1] - old[1]) for old, new in zip(before, after, strict=True)]
        assert grown == [(3, 0), (3, 3), (0, 3)]
        length = 3 * (CHANNEL_HEADER_BYTES + 1000)
        assert [one.bytes_sent - old for one, old in zip(counters[:2], sent, strict=True)] == [
            length,
            length,
        ]
        assert [
            one.bytes_received - old for one, old in zip(counters[1:], received, strict=True)
        ] == [length, length]


async def test_an_allocation_costs_two_round_trips_with_its_credentials(loop: VirtualLoop) -> None:
    async with relay_town(loop) as town:
        relay, client = await town.public(), await town.public()
        started = loop.time()
        await client.allocate(relay)
        first = loop.time() - started
        started = loop.time()
        other = await town.public()
        await other.membership.server.protocol.call_credentials(relay.contact)  # proves the address
        started = loop.time()
        await other.allocate(relay)
        assert loop.time() - started == pytest.approx(first * 2 / 3, rel=0.1)


async def test_an_idle_allocation_lives_ten_minutes_behind_a_mapping_of_30_s(
    loop: VirtualLoop,
) -> None:
    """Must hold 4."""
    async with relay_town(loop) as town:
        _, a, b, at_a, at_b = await linked(town)
        await asyncio.sleep(600.0)
        send(at_a, b"still here", at_b.local)
        send(at_b, b"as well", at_a.local)
        await asyncio.sleep(1.0)
        assert [data for data, _ in b.arrived] == [HEAD + b"still here"]
        assert [data for data, _ in a.arrived] == [HEAD + b"as well"]


async def test_for_three_hours_with_credentials_that_are_renewed(loop: VirtualLoop) -> None:
    async with relay_town(loop) as town:
        relay, _, b, at_a, at_b = await linked(town)
        for _ in range(18):
            await asyncio.sleep(600.0)
            b.arrived.clear()
            send(at_a, b"still here", at_b.local)
            await asyncio.sleep(1.0)
            assert b.arrived
        assert relay.membership.relay.allocations == 2


async def test_a_mapping_that_is_lost_is_noticed_and_the_link_goes_on(loop: VirtualLoop) -> None:
    """The client allocates again, from its new port, with the same relayed address."""
    async with relay_town(loop) as town:
        relay = await town.public()
        a = await town.behind(
            NatBehaviour(mapping=Dependence.ADDRESS_AND_PORT_DEPENDENT, lifetime_s=90.0)
        )
        b = await town.behind(STRICT)
        at_a, at_b = await a.allocate(relay), await b.allocate(relay)
        at_a.permit(at_b.local)
        at_b.permit(at_a.local)
        for _ in range(4):
            await asyncio.sleep(120.0)
            a.arrived.clear()
            send(at_b, b"found again", at_a.local)
            await asyncio.sleep(1.0)
        await asyncio.sleep(limits.RELAY_KEEPALIVE_S + 2)
        send(at_b, b"found again", at_a.local)
        await asyncio.sleep(1.0)
        assert (HEAD + b"found again", at_b.local) in a.arrived


async def test_links_share_an_allocation_and_the_last_releases_it(loop: VirtualLoop) -> None:
    async with relay_town(loop) as town:
        relay, client = await town.public(), await town.public()
        one, other = await asyncio.gather(client.allocate(relay), client.allocate(relay))
        assert one is other
        client.membership.relay_client.release(one)
        assert not one.is_closing()
        client.membership.relay_client.release(one)
        await asyncio.sleep(1.0)
        assert one.is_closing()
        assert client.membership.endpoint.port_at(one.local) is None
        assert relay.membership.relay.allocations == 0


async def test_a_node_that_does_not_relay_says_so(loop: VirtualLoop) -> None:
    async with relay_town(loop) as town:
        relay = await town.public(RelaySettings(is_on=False))
        client = await town.public()
        with pytest.raises(RelayFailed, match="does not relay"):
            await client.allocate(relay)
        assert not client.membership.relay_client._legs


async def test_a_bogus_key_at_an_address_keeps_no_other_relay_from_it(loop: VirtualLoop) -> None:
    """An offer may name any key at any address."""
    async with relay_town(loop) as town:
        relay, client = await town.public(), await town.public()
        bogus = Contact.at(identity(4711).public_key, relay.contact.address)
        relays = client.membership.relay_client
        with client.host.running():
            asking = asyncio.ensure_future(relays.allocate(bogus))
        await asyncio.sleep(0.2)
        assert len(relays) == 1
        assert not relays._legs, "it has not proved itself"
        port = await client.allocate(relay)
        assert not asking.done()
        with pytest.raises(RelayFailed, match="no credentials"):
            await asking
        assert not port.is_closing()
        assert len(relays) == 1
        with pytest.raises(RelayFailed, match="another relay is used there"):
            await relays.allocate(bogus)


async def test_a_relay_that_is_gone_fails_within_seconds(loop: VirtualLoop) -> None:
    async with relay_town(loop) as town:
        relay, client = await town.public(), await town.public()
        await client.membership.server.protocol.call_credentials(relay.contact)
        town.internet.crash(relay.host)
        started = loop.time()
        with pytest.raises(RelayFailed, match="no answer"):
            await client.allocate(relay)
        assert loop.time() - started < 6.0
        town.dwellers.remove(relay)


async def test_two_nodes_are_not_relays_of_each_other(loop: VirtualLoop) -> None:
    async with relay_town(loop) as town:
        one, other = await town.public(), await town.public()
        await one.allocate(other)
        with pytest.raises(RelayFailed, match="has an allocation at this node"):
            await other.allocate(one)


async def test_a_relay_that_drops_or_corrupts_ends_nothing_else(loop: VirtualLoop) -> None:
    """Must hold 11, as far as TURN goes: what does not fit is counted, and nothing raises."""
    async with relay_town(loop) as town:
        relay, a, _, at_a, at_b = await linked(town)
        source = relay.contact.address
        for data in (b"\x40", b"\x40\x00\xff\xff", b"\x00\x17\x00\x00" + bytes(16), bytes(40)):
            for length in (len(data), 1):
                a.membership.endpoint.demux.burst_received(
                    [(data, length, tuple(source))],
                    next(iter(a.membership.endpoint.addresses.values())),
                )
        assert a.arrived == []
        assert sum(a.counters.refused.values()) >= 6
        send(at_a, b"goes on", at_b.local)
        await asyncio.sleep(1.0)
        assert town.dwellers[2].arrived == [(HEAD + b"goes on", at_a.local)]


async def test_what_a_relay_sends_in_one_wake_up_is_handed_over_at_once(loop: VirtualLoop) -> None:
    """So SCTP acknowledges a burst and not each datagram; one that is wrong costs no other."""
    async with relay_town(loop) as town:
        relay, a, _, at_a, at_b = await linked(town)
        demux, (local,) = a.membership.endpoint.demux, a.membership.endpoint.addresses.values()
        number = preferred_channel(at_a.local, at_b.local).to_bytes(2)
        record = bytes((APPLICATION_DATA,)) + bytes(30)
        data = number + len(record).to_bytes(2) + record
        link = mock.Mock()
        demux.register_remote(at_b.local, link)
        source = tuple(relay.contact.address)
        wrong = [b"\x4f\xff\0\1x", number + b"\xff\xffx"]
        burst = [data, wrong[0], data * 3, wrong[1], data]
        demux.burst_received([(one, min(len(one), len(data)), source) for one in burst], local)
        size = len(record)
        taken = [(record, size), (record * 3, size), (record, size)]
        link.records_received.assert_called_once_with(taken)
        assert a.counters.refused["not_permitted"] == a.counters.refused["truncated"] == 1
        demux.release(link)


async def test_anyone_gets_a_binding_answer_and_no_ice_check_does(loop: VirtualLoop) -> None:
    async with relay_town(loop) as town:
        relay, asker = await town.public(), await town.public()
        answers: list[bytes] = []

        class Owner:
            def stun_received(self, message: bytes, source: Address, local: Address) -> None:
                answers.append(message)

        asker.membership.endpoint.demux.register_transactions(b"test", Owner())
        message = StunMessage(StunClass.REQUEST, StunMethod.BINDING, b"test" + bytes(8))
        check = StunMessage(
            StunClass.REQUEST, StunMethod.BINDING, b"test" + bytes(8), ((6, b"gone:them"),)
        )
        for one in (encode_stun(message), encode_stun(check, key=b"x")):
            asker.membership.endpoint.sendto(one, relay.contact.address)
        await asyncio.sleep(1.0)
        (answer,) = answers
        assert decode_stun(answer).address(0x20) == Address(asker.host.addresses[0], 4001)
        assert relay.counters.refused == {"not_permitted": 1}


async def test_own_traffic_comes_first(loop: VirtualLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    async with relay_town(loop) as town:
        relay, _, b, at_a, at_b = await linked(town)
        (local,) = relay.membership.endpoint.addresses.values()
        port = relay.membership.endpoint.port_at(local)
        monkeypatch.setattr(type(port), "full", property(lambda _: True))
        send(at_a, b"not now", at_b.local)
        await asyncio.sleep(1.0)
        assert (b.arrived, relay.counters.refused["relay_gave_way"]) == ([], 1)


def test_without_settings_a_node_relays_2_mb_a_second_and_20_gb_a_day() -> None:
    settings = RelaySettings()
    assert settings.is_on
    quota, terms = settings.quota, settings.quota.terms
    assert (quota.rate_total, quota.bytes_a_day) == (2_000_000, 20_000_000_000)
    assert (terms.rate_total, terms.bytes_a_day) == (quota.rate_total, quota.bytes_a_day)


def test_settings_are_checked() -> None:
    for wrong in (
        {"rate": 0},
        {"ports": "127.0.0.1:1-2"},
        {"ports": "127.0.0.1", "secret": "x"},
        {"ports": "127.0.0.1:5-4", "secret": "x"},
        {"ports": "127.0.0.1:1-999", "secret": "x"},
    ):
        with pytest.raises(BadConfig):
            RelaySettings(**wrong)
    assert len(RelaySettings(ports="127.0.0.1:5000-5003", secret="x").relayed_addresses()) == 4
