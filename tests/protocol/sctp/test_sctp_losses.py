"""Losses: found by time, repeated, probed for, and not seen where there are none (RFC 8985)."""

from itertools import pairwise

from protocol.sctp import chunks, limits
from protocol.sctp.config import Role
from protocol.sctp.events import Closed
from tests.protocol.sctp.model_link import (
    Bottleneck,
    Faults,
    Pair,
    World,
    chunks_of,
    join,
    make_association,
)


def lossy(faults: Faults, *, seed: int = 1, own_peer: bool = True, **settings: object) -> Pair:
    pair = join(
        World(),
        make_association(Role.CLIENT, seed, own_peer=own_peer),
        make_association(Role.SERVER, seed + 1, own_peer=own_peer),
        seed=seed,
        faults=faults,
        **settings,  # type: ignore[arg-type]
    ).connect()
    pair.run(2)
    return pair


def drop_next(pair: Pair, count: int) -> None:
    """Lose the next packets from the client."""
    send = pair.forward.send
    left = [count]

    def dropping(size: int, deliver: object) -> None:
        if left[0]:
            left[0] -= 1
        else:
            send(size, deliver)  # type: ignore[arg-type]

    pair.forward.send = dropping  # type: ignore[method-assign]


def test_section_7_2_4_a_hole_is_filled_after_a_round_trip_and_without_a_timeout() -> None:
    pair = lossy(Faults())
    stream_id = pair.client.association.open_channel("c")
    pair.client.flush()
    pair.run(1)
    began = pair.world.now
    drop_next(pair, 1)
    pair.client.association.send(stream_id, bytes(8000), began)
    pair.client.flush()
    pair.world.run(began + 5, lambda: pair.server.received_messages == 1)
    sender = pair.client.association.sender
    assert sender is not None
    assert pair.world.now - began < 0.05 * 2.5
    assert (sender.repeated_chunks, sender.timeouts, sender.tail_probes) == (1, 0, 0)


def test_rfc_8985_a_lost_tail_is_probed_and_not_timed_out() -> None:
    pair = lossy(Faults(), own_peer=False)
    stream_id = pair.client.association.open_channel("c")
    pair.run(1)
    began = pair.world.now
    drop_next(pair, 3)
    pair.client.association.send(stream_id, bytes(3000), began)
    pair.client.flush()
    pair.world.run(began + 5, lambda: pair.server.received_messages == 1)
    sender = pair.client.association.sender
    assert sender is not None
    assert (sender.tail_probes, sender.timeouts) == (1, 0)
    assert pair.world.now - began < limits.RTO_MIN_FOREIGN_S


def test_sending_does_not_postpone_the_probe() -> None:
    """A sender that re-arms the probe's timer with each packet never probes."""
    pair = lossy(Faults())
    client = pair.client.association
    stream_id = client.open_channel("c")
    pair.run(1)
    pair.forward.down = True
    for _ in range(20):
        client.send(stream_id, bytes(100), pair.world.now)
        pair.client.flush()
        pair.run(0.02)
    assert client.sender is not None
    assert client.sender.tail_probes >= 1


def test_section_6_3_3_timeouts_back_off_and_at_last_give_up() -> None:
    pair = lossy(Faults())
    client = pair.client.association
    stream_id = client.open_channel("c")
    pair.run(1)
    pair.forward.down = True
    client.send(stream_id, bytes(100), pair.world.now)
    times: list[float] = []
    send = pair.forward.send

    def noting(size: int, deliver: object) -> None:
        if size > 150:
            times.append(pair.world.now)
        send(size, deliver)  # type: ignore[arg-type]

    pair.forward.send = noting  # type: ignore[method-assign]
    pair.client.flush()
    pair.run(200)
    waits = [later - earlier for earlier, later in pairwise(times[1:])]
    assert len(waits) >= limits.RETRANSMITS_MAX - 1
    assert all(later >= earlier * 0.99 for earlier, later in pairwise(waits))
    assert waits[3] > 3.9 * waits[1]
    assert max(waits) <= limits.RTO_MAX_S * 1.01
    assert pair.client.events[-1] == Closed("The peer does not answer any more.", False, False)


def test_a_path_that_stalls_and_returns_repeats_little() -> None:
    """The originals arrive after a spurious timeout: they are not sent a second time."""
    pair = lossy(Faults(), forward=Bottleneck(1_250_000))
    client = pair.client.association
    stream_id = client.open_channel("c")
    pair.client.send_forever(stream_id, bytes(16384), 200_000)
    pair.client.flush()
    pair.run(3)
    assert client.sender is not None
    repeated = client.sender.repeated_chunks
    pair.forward.bottleneck.pause(1.5, pair.world.now)
    pair.run(5)
    assert client.sender.timeouts >= 1
    assert client.sender.repeated_chunks - repeated < 20


def test_a_reordering_path_is_learned() -> None:
    pair = lossy(Faults(reorder=0.05, reorder_s=0.02), forward=Bottleneck(1_250_000, 125_000))
    client = pair.client.association
    stream_id = client.open_channel("c")
    pair.client.send_forever(stream_id, bytes(16384), 200_000)
    pair.client.flush()
    pair.run(5)
    assert client.sender is not None
    early = client.sender.repeated_chunks
    pair.run(10)
    sent = client.sender.sent_chunks
    assert client.sender.repeated_chunks - early < sent * 0.002


def test_a_heartbeat_keeps_an_idle_association_and_finds_a_dead_peer() -> None:
    pair = lossy(Faults())
    pair.run(300)
    assert pair.client.association.connected
    assert 18 <= pair.forward.sent <= 60
    pair.forward.down = pair.backward.down = True
    pair.run(500)
    closed = [event for event in pair.client.events if isinstance(event, Closed)]
    assert closed == [Closed("The peer does not answer heartbeats.", False, False)]


def test_a_packet_lost_twice_is_found_lost_twice() -> None:
    pair = lossy(Faults(), forward=Bottleneck(1_250_000, 60_000))
    client = pair.client.association
    stream_id = client.open_channel("c")
    pair.client.send_forever(stream_id, bytes(16384), 200_000)
    pair.client.flush()
    pair.run(2)
    send, unlucky = pair.client._send, [0]
    assert client.sender is not None
    victim = client.sender.board.next_tsn + 100

    def losing(datagram: bytes) -> None:
        tsns = [
            int.from_bytes(value[:4])
            for kind, _, value in chunks_of([datagram])
            if kind == chunks.DATA
        ]
        if victim & 0xFFFFFFFF in tsns and unlucky[0] < 2:
            unlucky[0] += 1
        else:
            send(datagram)

    pair.client._send = losing  # type: ignore[method-assign]
    pair.run(3)
    assert unlucky[0] == 2
    assert client.sender.timeouts == 0
    assert client.sender.board.cumulative > victim
