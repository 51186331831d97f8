"""A relay by pairs: what it forwards, what it refuses, and that nothing else can be reached."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import limits
from protocol.addresses import Address
from protocol.errors import NotPermitted, RelayFailed
from protocol.stun.attributes import Attribute, ErrorCode, encode_xor_address
from protocol.stun.message import StunClass, StunMessage, StunMethod, decode_stun, encode_stun
from protocol.turn.events import Allocated, AllocationLost, PeerRefused, TurnState
from protocol.turn.terms import RelayQuota
from protocol.turn.virtual import preferred_channel, relayed_address
from tests.protocol.turn.turn_world import A_ID, B_ID, C_ID, RELAY, RELAY_ID, A, B, C, World


def test_an_allocation_takes_one_round_trip_with_a_grant() -> None:
    world = World()
    client = world.client(A_ID, A)
    assert client.requests == [StunMethod.ALLOCATE]
    assert client.events == [Allocated(relayed_address(RELAY_ID, A_ID), A)]
    assert world.server.table.count(world.now) == 1


def test_both_clients_bind_one_number_and_a_joined_buffer_goes_through_untouched() -> None:
    world = World()
    a, b = world.pair()
    data = bytes(range(250)) * 4 * 20 + b"the short last one"
    a.send(data, b.relayed, 1000)
    last = world.sent_on[-1]
    assert (last.remote, last.local, last.size) == (B, RELAY, 1004)
    assert len(last.parts) == 1, "it was not even taken apart"
    number = preferred_channel(a.relayed, b.relayed).to_bytes(2)
    assert bytes(last.parts[0][:2]) == number
    assert b.arrived == [(data, 1000, a.relayed)]
    b.send(b"back", a.relayed)
    assert a.arrived == [(b"back", 4, b.relayed)]


def test_another_number_of_the_peer_changes_the_headers_alone() -> None:
    world = World()
    a = world.client(A_ID, A)
    b_relayed = relayed_address(RELAY_ID, B_ID)
    # The number that the pair prefers is taken at A by another peer.
    number = preferred_channel(a.relayed, b_relayed)
    other = next(
        peer
        for peer in (relayed_address(RELAY_ID, one.to_bytes(20)) for one in range(100_000))
        if preferred_channel(a.relayed, peer) == number
    )
    a.permit(other)
    a.permit(b_relayed)
    b = world.client(B_ID, B)
    b.permit(a.relayed)
    data = b"x" * 1000 * 30 + b"end"
    a.send(data, b.relayed, 1000)
    assert len(world.sent_on[-1].parts) == 2 * 31
    assert b.arrived == [(data, 1000, a.relayed)]


def test_until_the_peer_has_a_channel_it_gets_indications() -> None:
    world = World()
    a, b = world.client(A_ID, A), world.client(B_ID, B)
    a.permit(b.relayed)
    world.lost = lambda datagram: datagram[0] == 1  # responses to B's ChannelBind
    b.permit(a.relayed)
    world.lost = lambda _: False
    b.send(b"as an indication", a.relayed)
    assert a.arrived == [(b"as an indication", 16, b.relayed)]
    (gathered,) = b.turn.outgoing(b"one more", 8, a.relayed)
    assert decode_stun(b"".join(gathered.parts)).kind == StunClass.INDICATION


def test_data_in_indications_only_where_both_permit() -> None:
    world = World()
    a, b = world.client(A_ID, A), world.client(B_ID, B)
    a.permit(b.relayed)
    a.send(b"unasked", b.relayed)
    assert (b.arrived, world.refused) == ([], ["not_permitted"])


def test_nothing_but_the_two_allocations_can_be_reached() -> None:
    """No address outside, of whatever kind, gets a byte: there is no open proxy."""
    world = World()
    a, b = world.pair()
    world.sent_on.clear()
    victims = [
        Address("8.8.8.8", 53),
        Address("127.0.0.1", 4001),
        Address("192.168.1.1", 80),
        Address("169.254.169.254", 80),
        Address("2001:4860:4860::8888", 53),
        Address("::1", 4001),
        Address("64:ff9b::808:808", 53),
        Address("100:0:0:1::1", 3478),
        RELAY,
        B,
        a.relayed,
    ]
    for victim in victims:
        a.permit(victim)
        refusal = a.events.pop()
        assert refusal == PeerRefused(victim, ErrorCode.FORBIDDEN), victim
        with pytest.raises(NotPermitted):
            a.send(b"out", victim)
        transaction = bytes(12)
        attributes = (
            (int(Attribute.XOR_PEER_ADDRESS), encode_xor_address(victim, transaction)),
            (int(Attribute.DATA), b"out"),
        )
        message = StunMessage(StunClass.INDICATION, StunMethod.SEND, transaction, attributes)
        world.to_relay(encode_stun(message), A)
    assert {send.remote for send in world.sent_on} == {A}, "only answers to the one who asked"
    a.send(b"the pair still works", b.relayed)
    assert b.arrived[-1][0] == b"the pair still works"


def test_a_third_client_reaches_no_side_of_a_pair() -> None:
    world = World()
    a, b = world.pair()
    c = world.client(C_ID, C)
    c.permit(a.relayed)
    c.permit(b.relayed)
    c.send(b"unasked", a.relayed)
    c.send(b"unasked", b.relayed)
    assert a.arrived == b.arrived == []


@given(st.binary(max_size=100), st.binary(max_size=8))
def test_channel_data_of_any_bytes_reaches_nobody_else(data: bytes, head: bytes) -> None:
    world = World()
    a, b = world.pair()
    c = world.client(C_ID, C)
    world.sent_on.clear()
    for source in (A, C, Address("203.0.116.7", 9)):
        world.to_relay(b"\x40" + head + data, source)
    assert {send.remote for send in world.sent_on} <= {B}
    assert c.arrived == a.arrived == []
    assert b.turn.state is TurnState.ALLOCATED


def test_buffers_of_several_channels_are_told_apart() -> None:
    world = World()
    a, b = world.pair()
    c = world.client(C_ID, C)
    a.permit(c.relayed)
    c.permit(a.relayed)
    to_b = b"".join(b"".join(one.parts) for one in a.turn.outgoing(b"b" * 100, 100, b.relayed))
    to_c = b"".join(b"".join(one.parts) for one in a.turn.outgoing(b"c" * 100, 100, c.relayed))
    world.to_relay(to_b + to_c + to_b, A, 104)
    assert [one[0] for one in b.arrived] == [b"b" * 100] * 2
    assert [one[0] for one in c.arrived] == [b"c" * 100]


def test_across_families_and_to_the_newest_of_two_allocations() -> None:
    world = World()
    a, b = world.pair()
    moved = Address("2001:db8:1::7", 4001)
    newer = world.client(B_ID, moved)
    newer.permit(a.relayed)
    a.send(b"to the newest", b.relayed)
    assert [one[0] for one in newer.arrived] == [b"to the newest"]
    newer.turn.release(world.now)
    newer.run()
    a.send(b"to the other", b.relayed)
    assert [one[0] for one in b.arrived] == [b"to the other"]


# Bounds -----------------------------------------------------------------------------------


def lost_with(world: World, peer_id: bytes, address: Address) -> str:
    events = world.client(peer_id, address).events
    return next((one.reason for one in events if isinstance(one, AllocationLost)), "")


def test_allocations_are_bounded_by_peer_network_and_in_all() -> None:
    world = World(quota=RelayQuota(allocations=2 + 8 + 7))
    for number in range(1, limits.RELAY_ALLOCATIONS_PER_PEER + 1):
        assert not lost_with(world, A_ID, Address(f"203.0.{number}.1", 4001))
    assert "486" in lost_with(world, A_ID, Address("203.0.9.1", 4001))
    for number in range(limits.RELAY_ALLOCATIONS_PER_NETWORK[3]):
        assert not lost_with(world, bytes((50 + number,)) * 20, Address(f"8.8.8.{number}", 1))
    assert "486" in lost_with(world, bytes((80,)) * 20, Address("8.8.8.200", 1))
    for number in range(7):
        assert not lost_with(world, bytes((81 + number,)) * 20, Address(f"8.8.9.{number}", 1))
    assert "508" in lost_with(world, bytes((90,)) * 20, Address("8.8.9.9", 1))
    world.now += limits.RELAY_ALLOCATION_S + 1
    assert not lost_with(world, A_ID, Address("203.0.9.1", 4001)), "the others have expired"


@pytest.mark.parametrize(
    ("prefix", "form"),
    [(8, "2a02:8108:1:2::{:x}"), (6, "2a02:8108:1:{:x}::1"), (4, "2a02:8108:{:x}::1")],
    ids=["/64", "/48", "/32"],
)
def test_one_network_of_ipv6_has_no_more_than_its_part_of_a_relay(prefix: int, form: str) -> None:
    world = World()
    most = limits.RELAY_ALLOCATIONS_PER_NETWORK[prefix]
    for number in range(most):
        assert not lost_with(world, bytes((50 + number,)) * 20, Address(form.format(number), 1))
    assert "486" in lost_with(world, bytes((200,)) * 20, Address(form.format(most), 1))
    assert not lost_with(world, bytes((201,)) * 20, Address("2a03::1", 1))
    assert not lost_with(world, bytes((202,)) * 20, Address("8.8.8.8", 1))


def test_a_few_networks_whose_allocations_chat_do_not_keep_an_honest_pair_out() -> None:
    """None of theirs idles, so those with most give way, and of theirs what carries least."""
    world = World()
    sybils = []
    for number in range(limits.RELAY_ALLOCATIONS):
        address = Address(f"5.{number % 8}.0.{number}", 1)
        sybils.append(world.client(bytes((50 + number,)) * 20, address))
    for one, other in zip(sybils[::2], sybils[1::2], strict=True):
        one.permit(other.relayed)
        other.permit(one.relayed)
        one.send(b"", other.relayed)
        other.send(b"", one.relayed)
    world.pass_time(limits.RELAY_UNUSED_S + 1)
    busy = sybils[16:]
    for one, other in zip(busy[::2], busy[1::2], strict=True):
        one.send(b"more", other.relayed)
        other.send(b"more", one.relayed)
    a, b = world.pair()
    a.send(b"a link", b.relayed)
    b.send(b"and back", a.relayed)
    assert (a.arrived[-1][0], b.arrived[-1][0]) == (b"and back", b"a link")
    table = world.server.table
    assert table.count(world.now) == limits.RELAY_ALLOCATIONS
    assert all(table.has_client(one.address, world.now) for one in busy)
    for number in range(8):
        late = Address(f"5.{number}.0.250", 1)
        was = table.has_client(A, world.now), table.has_client(B, world.now)
        lost_with(world, bytes((200 + number,)) * 20, late)
        assert was == (True, True), "who has most cannot push out those with few"


def test_idle_allocations_of_many_networks_do_not_keep_an_honest_pair_out() -> None:
    world = World()
    a, b = world.pair()
    a.send(b"a link that is in use", b.relayed)
    sybils = []
    for number in range(limits.RELAY_ALLOCATIONS - 2):
        address = Address(f"8.8.{number}.8", 1)
        sybils.append(world.client(bytes((50 + number,)) * 20, address))
    assert "508" in lost_with(world, C_ID, C), "each may still become a link"
    world.pass_time(limits.RELAY_UNUSED_S + 1)
    b.send(b"and back", a.relayed)
    d_id, d = bytes((200,)) * 20, Address("203.0.200.7", 4001)
    del world.clients[C]
    one, other = world.client(C_ID, C), world.client(d_id, d)
    one.permit(other.relayed)
    other.permit(one.relayed)
    one.send(b"a second link", other.relayed)
    assert [data for data, *_ in other.arrived] == [b"a second link"]
    assert world.server.table.count(world.now) == limits.RELAY_ALLOCATIONS
    a.send(b"goes on", b.relayed)
    assert b.arrived[-1][0] == b"goes on"


def test_what_carries_data_is_never_displaced_and_what_is_silent_for_a_minute_is() -> None:
    world = World(quota=RelayQuota(allocations=2))
    a, b = world.pair()
    for _ in range(5):
        world.pass_time(limits.RELAY_IDLE_S / 2)
        a.send(b"a check", b.relayed)
        b.send(b"its answer", a.relayed)
        assert "508" in lost_with(world, C_ID, C)
    world.pass_time(limits.RELAY_IDLE_S + 1)
    b.send(b"still here", a.relayed)
    assert not lost_with(world, C_ID, C)
    served = [world.server.table.has_client(one, world.now) for one in (A, B, C)]
    assert served == [False, True, True]
    world.refused.clear()
    b.send(b"to the one that is gone", a.relayed)
    assert world.refused == ["not_permitted"], "no way leads to it any more"


def test_a_peer_that_restarted_twice_need_not_wait_until_its_allocations_expire() -> None:
    world = World()
    ports = [Address(A.host, 5000 + number) for number in range(4)]
    for address in ports[: limits.RELAY_ALLOCATIONS_PER_PEER]:
        assert not lost_with(world, A_ID, address)
        world.now += 1
    world.now += limits.RELAY_UNUSED_S
    assert not lost_with(world, A_ID, ports[3])
    assert not world.server.table.has_client(ports[0], world.now), "the oldest of its own"


def test_rates_and_bytes_of_a_day_are_bounded() -> None:
    quota = RelayQuota(rate_total=2_000_000, bytes_a_day=6_000_000)
    world = World(quota=quota)
    a, b = world.pair()
    chunk = bytes(50_000)

    def pour(seconds: float) -> int:
        before = len(b.arrived)
        for _ in range(round(seconds * 100)):
            a.send(chunk, b.relayed, 1000)
            world.now += 0.01
        return sum(len(data) for data, _, _ in b.arrived[before:])

    within = pour(1.0)
    assert 0.8 * quota.rate_each < within < 1.5 * quota.rate_each
    pour(3.0)
    most = quota.bytes_a_day / 4 + limits.RELAY_BURST_BYTES_MIN
    today = world.server.meter.today(world.now)
    assert 0.9 * most < today <= most, "half of the first half, and a burst of what time brings"
    assert pour(1.0) < 1000
    world.now += 86_400
    world.pass_time(0)
    assert world.server.meter.today(world.now) == 0
    a, b = world.pair()
    pour(2.0)
    assert world.server.meter.today(world.now) > today - limits.RELAY_BURST_BYTES_MIN


def test_no_allocation_is_made_for_what_could_not_be_forwarded() -> None:
    world = World(quota=RelayQuota(bytes_a_day=2 * limits.RELAY_BURST_BYTES_MIN))
    a, b = world.pair()
    a.send(bytes(50_000), b.relayed, 1000)
    assert b.arrived
    assert "508" in lost_with(world, C_ID, C)


@pytest.mark.parametrize("data", [b"", b"x", b"four"])
@pytest.mark.parametrize("has_channel", [True, False])
def test_what_is_counted_is_what_leaves_with_its_headers(data: bytes, has_channel: bool) -> None:
    """Small data cost most of all; none leave for nothing."""
    world = World(quota=RelayQuota(rate_total=2_000_000))
    a, b = world.pair()
    target = world.server.table.at(b.relayed, world.now)[0]
    if not has_channel:
        target.channels.clear()
        world.server.forwarder.changed()
    sent = world.sent_on
    transaction = bytes(12)
    attributes = (
        (int(Attribute.XOR_PEER_ADDRESS), encode_xor_address(b.relayed, transaction)),
        (int(Attribute.DATA), data),
    )
    indication = encode_stun(
        StunMessage(StunClass.INDICATION, StunMethod.SEND, transaction, attributes)
    )
    number = preferred_channel(a.relayed, b.relayed).to_bytes(2)
    channel_data = number + len(data).to_bytes(2) + data
    for datagram in (indication, channel_data):
        sent.clear()
        before = world.server.meter.today(world.now)
        for _ in range(20_000):
            world.to_relay(datagram, A)
        left = sum(28 + sum(map(len, one.parts)) for one in sent if one.remote == B)
        counted = world.server.meter.today(world.now) - before
        assert left <= counted <= left * 1.05
        assert counted <= limits.RELAY_BURST_BYTES_MIN
        assert set(world.refused) == {"rate_limited"}
        world.now += 1.0


def test_a_joined_burst_beyond_the_rate_is_cut_to_what_fits() -> None:
    quota = RelayQuota(rate_total=2_000_000)
    world = World(quota=quota)
    a, b = world.pair()
    for _ in range(10):  # 500 kB at once, of which the bucket holds 250 kB or the least burst
        a.send(bytes(50_000), b.relayed, 1000)
    sizes = [len(data) for data, _, _ in b.arrived]
    burst = max(quota.rate_each * limits.RELAY_BURST_S, limits.RELAY_BURST_BYTES_MIN)
    assert burst - 1032 * 2 < sum(sizes) * 1.032 <= burst
    assert all(size % 1000 == 0 for size in sizes), "cut between two datagrams"
    assert 0 < sizes[-1] < 50_000
    world.now += 0.1
    a.send(bytes(50_000), b.relayed, 1000)
    assert len(b.arrived[-1][0]) == 50_000


def test_permissions_and_channels_of_an_allocation_are_bounded() -> None:
    world = World()
    a = world.client(A_ID, A)
    peers = [relayed_address(RELAY_ID, bytes((9, one)) * 10) for one in range(40)]
    for peer in peers[: limits.RELAY_CHANNELS]:
        a.permit(peer)
    with pytest.raises(RelayFailed):
        a.permit(peers[-1])
    assert len(a.turn.peers) == limits.RELAY_CHANNELS
    a.turn.forget(peers[0])
    a.permit(peers[-1])
    assert a.events[-1] == PeerRefused(peers[-1], ErrorCode.INSUFFICIENT_CAPACITY)


def test_two_relays_have_no_allocations_at_each_other() -> None:
    world = World(our_relays=frozenset({A}))
    assert "403" in lost_with(world, A_ID, A)
    assert not lost_with(world, B_ID, B)
