"""Paths that begin to swallow large packets in mid-transfer, without a word (RFC 8899, 4.3)."""

from random import Random

import pytest

from protocol.sctp import chunks
from protocol.sctp.association import Association
from protocol.sctp.send.packetsize import PACKET_SIZES
from tests.protocol.sctp.model_link import Faults, chunks_of
from tests.protocol.sctp.model_paths import Journey, Route, settle

_SMALL, _LARGE = PACKET_SIZES[0], PACKET_SIZES[-1]
_ROUTE = Route(0.05, 1e6)


def _journey(route: Route, seconds: float = 1.0, *, both: bool = False, seed: int = 1) -> Journey:
    journey = Journey(route, seed=seed)
    for host in (journey.client, journey.server) if both else (journey.client,):
        host.feed()
    journey.run(seconds)
    assert journey.client.size.packet_bytes == _LARGE
    return journey


def _taps(journey: Journey) -> list[bytes]:
    """All that the client sends from now on."""
    sent: list[bytes] = []
    send = journey.client._send

    def note(datagram: bytes) -> None:
        sent.append(datagram)
        send(datagram)

    journey.client._send = note  # type: ignore[method-assign]
    return sent


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize(
    "route",
    [
        Route(0.005, 1e6),
        Route(0.04, 2e6),
        Route(0.08, 0.5e6, queue_s=0.25),
        Route(0.15, 1e6),
        Route(0.25, 1e6, queue_s=0.2),
        Route(0.04, 1e6, loss=0.03),
    ],
    ids=lambda route: f"{route.rtt_s}-{route.rate:g}-{route.loss}",
)
def test_a_transfer_goes_on_within_a_second(route: Route, both: bool) -> None:
    journey = _journey(route, 2.0, both=both)
    journey.narrow(1280)
    journey.run(4.0)
    for host in (journey.server, journey.client)[: 1 + both]:
        assert host.longest_stall_s(1.9, 5.0) <= 1.0
    assert journey.server.bytes_between(4.0, 6.0) >= 0.6 * 2.0 * route.rate
    assert journey.client.size.packet_bytes == _SMALL
    settle(journey)


def test_the_search_ends_with_what_the_path_still_carries() -> None:
    journey = _journey(Route(0.02, 0.3e6))
    journey.narrow(1440)
    journey.run(15.0)
    assert journey.client.size.packet_bytes == 1352
    assert journey.server.longest_stall_s(0.9, 16.0) <= 0.5
    assert len(journey.client.narrowed_at) == 1
    settle(journey)


def _short_message(number: int) -> bytes:
    return number.to_bytes(200)


def test_many_small_messages_go_on_as_well() -> None:
    """Each fits a small packet, but together they fill large ones."""
    journey = Journey(_ROUTE)
    for host in (journey.client, journey.server):
        host.message_of = _short_message
    journey.client.feed()
    journey.run(1.0)
    assert journey.client.size.packet_bytes == _LARGE
    journey.narrow(1280)
    journey.run(3.0)
    assert journey.server.longest_stall_s(0.9, 4.0) <= 0.5
    assert journey.server.bytes_between(2.0, 4.0) >= 0.5 * 2.0 * _ROUTE.rate
    settle(journey)


def test_a_large_message_now_and_then_is_late_by_less_than_a_second() -> None:
    journey = _journey(_ROUTE, 0.5)
    client = journey.client
    client.most_messages = client.sent_messages
    journey.run(2.0)
    journey.narrow(1280)
    late_s = []
    for _ in range(12):
        client.most_messages += 1
        client.flush()
        sent_at = journey.world.now
        journey.run(2.0)
        late_s.append(journey.server.heard_at[-1] - sent_at)
    assert len(journey.server.heard_at) == client.sent_messages
    assert max(late_s) <= 1.0
    assert max(late_s[-6:]) <= 0.1, "packets are small by then"


@pytest.mark.parametrize("loss", [0.05, 0.1])
@pytest.mark.parametrize("seed", range(3))
def test_random_losses_never_look_like_that(loss: float, seed: int) -> None:
    journey = _journey(Route(0.04, 1e6), seed=seed)
    for host in (journey.client, journey.server):
        assert host.direction is not None
        host.direction.faults = Faults(loss=loss)
    journey.run(20.0)
    assert journey.client.narrowed_at == []
    assert journey.client.size.packet_bytes == _LARGE
    assert journey.server.bytes_between(1.0, 21.0) >= 0.5 * 20 * 1e6


@pytest.mark.parametrize("seed", range(3))
def test_bursts_of_losses_never_look_like_that(seed: int) -> None:
    """Up to a round trip of packets is lost in a row, each half second."""
    random = Random(seed)
    journey = _journey(Route(0.04, 1e6), seed=seed)
    for _ in range(40):
        journey.run(random.uniform(0.1, 0.9))
        journey.cut()
        journey.run(random.uniform(0.002, 0.04))
        journey.mend()
    assert journey.client.narrowed_at == []
    assert journey.client.size.packet_bytes == _LARGE


def test_pauses_of_the_path_do_not_look_like_that() -> None:
    """What is repeated first after them is small, but large packets pass as well."""
    journey = _journey(_ROUTE)
    for pause_s in (0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0):
        journey.cut()
        journey.run(pause_s)
        journey.mend()
        journey.run(3.0)
    assert journey.client.narrowed_at == []
    settle(journey)


def test_a_chunk_too_large_for_the_path_leaves_in_pieces_alone() -> None:
    journey = _journey(_ROUTE)
    sent = _taps(journey)
    journey.narrow(1280)
    journey.run(1.0)
    client = journey.client
    (narrowed_at,) = client.narrowed_at
    assert 1.0 < narrowed_at < 1.5
    sent.clear()
    journey.run(0.05)
    assert max(map(len, sent)) <= _SMALL
    settle(journey)


@pytest.mark.parametrize("own_peer", [True, False])
def test_a_peer_that_takes_no_pieces_gets_none(
    own_peer: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if own_peer:
        supported = ((chunks.PARAMETER_SUPPORTED_CHUNKS, bytes((chunks.RECONFIG,))),)
        monkeypatch.setattr("protocol.sctp.control.handshake._SUPPORTED", supported)
    journey = Journey(_ROUTE, own_peer=own_peer)
    journey.client.feed()
    journey.run(0.5)
    journey.client.association.set_packet_bytes(_LARGE)
    journey.run(0.5)
    sent = _taps(journey)
    journey.narrow(1280)
    journey.run(3.0)
    assert chunks.PIECE not in {kind for kind, _, _ in chunks_of(sent)}
    assert max(map(len, sent[-10:])) <= _LARGE
    journey.narrow(1500)
    journey.run(10.0)
    settle(journey)


def _lost_flight(journey: Journey) -> Association:
    """The client's association, with much lost that was cut for large packets."""
    journey.narrow(1280)
    journey.run(0.05)
    association = journey.client.association
    assert association.sender is not None
    association.sender.board.lose_all()
    return association


def test_pieces_exceed_the_datagrams_asked_for_by_those_of_one_chunk_at_most() -> None:
    association = _lost_flight(_journey(_ROUTE))
    association.set_packet_bytes(512)
    now = 1.05
    counts = set()
    for _ in range(10):
        datagrams = association.datagrams_to_send(now, 5)
        counts.add(len(datagrams))
        assert all(len(datagram) <= 512 for datagram in datagrams)
    assert counts <= set(range(5, 8)) | {0}
    assert max(counts) > 5


def test_what_a_peer_said_of_pieces_survives_its_cookie() -> None:
    journey = _journey(_ROUTE, 0.5)
    for host in (journey.client, journey.server):
        peer = host.association._handshake.peer
        assert peer is not None
        assert peer.takes_pieces
