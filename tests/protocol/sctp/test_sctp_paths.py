"""Paths that change under a transfer: stalls, rates, and every byte once and in order."""

from math import inf
from random import Random

import pytest

from protocol.sctp import limits
from protocol.sctp.send.packetsize import PACKET_SIZES
from tests.protocol.sctp.model_paths import Journey, Route, settle

_RELAYED = Route(0.12, 10e6)
_DIRECT = Route(0.04, 30e6)
_SLOW = Route(0.08, 1e6, queue_s=0.25)


def _journey(route: Route, seconds: float, *, own_peer: bool = True) -> Journey:
    journey = Journey(route, own_peer=own_peer)
    journey.client.feed()
    journey.run(seconds)
    return journey


@pytest.mark.parametrize("own_peer", [True, False])
@pytest.mark.parametrize("known", [True, False])
def test_a_relayed_transfer_goes_on_directly_without_a_stall(own_peer: bool, known: bool) -> None:
    journey = _journey(_RELAYED, 3.0, own_peer=own_peer)
    sender = journey.client.association.sender
    assert sender is not None
    receiver = journey.server.association.receiver
    assert receiver is not None
    journey.move(_DIRECT, known=known)
    assert sender.congestion.window_bytes <= 10 * PACKET_SIZES[-1]
    journey.run(0.75)
    assert journey.server.longest_stall_s(2.8, 3.75) <= 0.1
    assert journey.server.bytes_between(3.5, 3.75) >= 0.8 * 0.25 * _DIRECT.rate
    assert receiver.duplicate_chunks == 0, "what was late on the old path is not lost"
    settle(journey)


def test_a_slower_path_is_not_flooded() -> None:
    journey = _journey(_DIRECT, 1.0)
    journey.move(_SLOW)
    journey.run(1.5)
    assert journey.server.longest_stall_s(0.9, 2.5) <= 0.15
    assert journey.server.bytes_between(1.5, 2.5) >= 0.7 * _SLOW.rate
    settle(journey)


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("gone_s", [0.15, 1.0])
def test_the_rate_is_back_some_round_trips_after_an_outage(gone_s: float, known: bool) -> None:
    journey = _journey(_DIRECT, 1.0)
    journey.cut()
    journey.run(gone_s)
    moved_s = journey.world.now
    journey.move(_DIRECT, known=known)
    journey.run(1.0)
    heard = [at for at in journey.server.heard_at if at > moved_s]
    assert heard[0] - moved_s <= 0.1
    after_s = moved_s + 0.75
    assert journey.server.bytes_between(after_s, after_s + 0.25) >= 0.8 * 0.25 * _DIRECT.rate
    settle(journey)


def test_packets_begin_small_on_a_new_path_and_an_old_probe_proves_nothing() -> None:
    journey = _journey(_DIRECT, 0.5)
    client = journey.client
    assert client.size.packet_bytes == PACKET_SIZES[-1]
    client.association.probe_path(PACKET_SIZES[-1])
    client.flush()
    journey.move(Route(0.04, 3e6, mtu_bytes=1400))
    assert client.size.packet_bytes == PACKET_SIZES[0]
    journey.run(0.5)
    assert client.size.packet_bytes == PACKET_SIZES[0]
    assert journey.server.longest_stall_s(0.4, 1.0) <= 0.1
    settle(journey)


@pytest.mark.parametrize("seed", range(6))
def test_whatever_paths_follow_one_another_every_byte_arrives_once(seed: int) -> None:
    random = Random(seed)
    journey = Journey(Route(0.05, 2e6), seed=seed, own_peer=seed % 3 > 0)
    journey.client.feed()
    journey.server.feed()
    for _ in range(12):
        journey.run(random.uniform(0.02, 0.8))
        if random.random() < 0.3:
            journey.narrow(random.choice((1500, 1440, 1280)))
            journey.run(random.uniform(0.0, 0.8))
        if random.random() < 0.4:
            journey.cut()
            journey.run(random.uniform(0.0, 1.0))
        route = Route(
            random.uniform(0.005, 0.2),
            random.uniform(0.3e6, 3e6),
            queue_s=random.uniform(0.05, 0.3),
            loss=random.choice((0.0, 0.0, 0.01, 0.03)),
            mtu_bytes=random.choice((inf, 1500, 1492, 1400, 1280)),
        )
        journey.move(route, known=random.random() < 0.7)
    last_s = journey.world.now
    journey.run(2.0)
    for host in (journey.client, journey.server):
        assert host.longest_stall_s(last_s, last_s + 2.0) <= 1.5
        assert host.most_outstanding_bytes <= limits.RECEIVE_WINDOW_BYTES
    settle(journey)


def test_a_transfer_outlives_more_paths_in_a_row_that_carry_nothing_than_timeouts_are_borne() -> (
    None
):
    """It ended after the eleventh, though no peer was silent on any of them for long."""
    journey = _journey(_RELAYED, 1.0)
    for _ in range(limits.RETRANSMITS_MAX + 2):
        journey.move(_RELAYED)
        journey.cut()
        journey.run(1.0)
    assert journey.client.association.connected
    journey.move(_DIRECT)
    settle(journey)
