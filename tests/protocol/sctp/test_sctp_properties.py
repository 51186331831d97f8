"""Two associations on a bad path: messages arrive once, in order, and both sides close."""

import os
from collections import Counter
from collections.abc import Sequence
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from protocol.sctp import chunks
from protocol.sctp.association import Association
from protocol.sctp.config import AssociationConfig, Role
from protocol.sctp.events import ChannelClosed, ChannelOpened, Closed, Connected, Restarted
from protocol.sctp.packets import seal
from tests.protocol.sctp.model_link import (
    Bottleneck,
    Faults,
    Host,
    Pair,
    World,
    chunks_of,
    join,
    make_association,
)

SOAK_HOURS = 24
SOAK_PAUSES_S = (0.25,) if "MODSWARM_DENSE_SOAK" in os.environ else (0.05, 0.25, 1.0, 5.0, 60.0)
"""Between messages. Without the long ones a soak is a full day of traffic, and an hour of CPU."""

TERMS: tuple[dict[str, Any], ...] = (
    {"ordered": True},
    {"ordered": False},
    {"ordered": True, "max_retransmits": 1},
    {"ordered": False, "max_retransmits": 0},
    {"ordered": True, "max_lifetime_ms": 100},
    {"ordered": False, "max_lifetime_ms": 20},
)
"""Every kind of channel."""

faults = st.builds(
    Faults,
    loss=st.sampled_from([0.0, 0.01, 0.1, 0.3]),
    reorder=st.sampled_from([0.0, 0.05, 0.5]),
    reorder_s=st.sampled_from([0.001, 0.03, 0.2]),
    duplicate=st.sampled_from([0.0, 0.1]),
    corrupt=st.sampled_from([0.0, 0.02]),
)
sends = st.lists(
    st.tuples(
        st.booleans(),
        st.integers(0, len(TERMS) - 1),
        st.sampled_from([0, 1, 100, 1160, 1161, 5000, 70000]),
        st.booleans(),
    ),
    max_size=25,
)
relaxed = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


class Channel:
    """A channel between the hosts and what was sent on it in each direction."""

    def __init__(self, host: Host, index: int, **terms: Any) -> None:
        self.ordered = terms["ordered"]
        self.reliable = len(terms) == 1
        self.stream_id = host.association.open_channel(f"channel {index}", **terms)
        self.sent: dict[int, list[bytes]] = {0: [], 1: []}


def check_arrivals(pair: Pair, channels: list[Channel]) -> None:
    """Once each, in order where ordered, and all of them where reliable."""
    for channel in channels:
        for side, host in ((0, pair.server), (1, pair.client)):
            arrived, sent = host.messages(channel.stream_id), channel.sent[side]
            if channel.reliable:
                assert len(arrived) == len(sent)
            if channel.ordered:
                later = iter(sent)
                assert all(message in later for message in arrived)
            else:
                assert not Counter(arrived) - Counter(sent)


def run_and_heal(pair: Pair, seconds: float) -> None:
    """Let the faults work for a while, then let the path be good: luck must not decide a test."""
    pair.run(10)
    pair.forward.faults = pair.backward.faults = Faults()
    pair.run(seconds)


def open_all(pair: Pair, channels: list[Channel]) -> None:
    """Wait until the server has all channels; the path is good from the fifth second until then."""

    def opened() -> bool:
        announced = [event for event in pair.server.events if isinstance(event, ChannelOpened)]
        return len(announced) == len(channels)

    pair.client.flush()
    pair.world.run(pair.world.now + 5, opened)
    there, back = pair.forward.faults, pair.backward.faults
    pair.forward.faults = pair.backward.faults = Faults()
    pair.world.run(pair.world.now + 60, opened)
    pair.forward.faults, pair.backward.faults = there, back


@relaxed
@given(st.integers(0, 2**32), faults, faults, sends, st.booleans(), st.sampled_from([0.0, 0.002]))
def test_every_message_arrives_once_and_both_sides_close(
    seed: int,
    there: Faults,
    back: Faults,
    script: list[tuple[bool, int, int, bool]],
    own_peer: bool,
    wake_s: float,
) -> None:
    random = Random(seed)
    pair = join(
        World(),
        make_association(Role.CLIENT, seed, own_peer=own_peer),
        make_association(Role.SERVER, seed + 1, own_peer=own_peer),
        seed=seed,
        rtt_s=random.choice([0.0, 0.01, 0.1]),
        faults=there,
        back_faults=back,
        wake_s=wake_s,
    ).connect()
    channels = [Channel(pair.client, number, **terms) for number, terms in enumerate(TERMS)]
    open_all(pair, channels)
    for from_client, index, size, pause in script:
        channel = channels[index]
        host = pair.client if from_client else pair.server
        message = random.randbytes(size)
        channel.sent[0 if from_client else 1].append(message)
        host.association.send(channel.stream_id, message, pair.world.now)
        host.flush()
        if pause:
            pair.run(random.uniform(0, 0.05))
    pair.client.association.shutdown(pair.world.now)
    pair.client.flush()
    run_and_heal(pair, 200)
    check_arrivals(pair, channels)
    for host in (pair.client, pair.server):
        assert host.association.over
        assert sum(isinstance(event, Closed) for event in host.events) == 1
    assert pair.server.association.next_timer() is None
    assert pair.client.association.next_timer() is None


@relaxed
@given(st.integers(0, 2**32), faults, faults, sends)
def test_closing_channels_loses_nothing_and_frees_their_streams(
    seed: int, there: Faults, back: Faults, script: list[tuple[bool, int, int, bool]]
) -> None:
    pair = join(
        World(),
        make_association(Role.CLIENT, seed),
        make_association(Role.SERVER, seed + 1),
        seed=seed,
        faults=there,
        back_faults=back,
    ).connect()
    random = Random(seed)
    for _ in range(2):
        pair.forward.faults, pair.backward.faults = there, back
        for host in (pair.client, pair.server):
            host.events.clear()
        channels = [Channel(pair.client, number, ordered=True) for number in range(len(TERMS))]
        open_all(pair, channels)
        for from_client, index, size, _ in script:
            message = random.randbytes(size)
            channels[index].sent[0 if from_client else 1].append(message)
            host = pair.client if from_client else pair.server
            host.association.send(channels[index].stream_id, message, pair.world.now)
        for number, channel in enumerate(channels):
            host = pair.client if number % 2 else pair.server
            host.association.close_channel(channel.stream_id)
        pair.client.flush()
        pair.server.flush()
        run_and_heal(pair, 100)
        check_arrivals(pair, channels)
        for host in (pair.client, pair.server):
            closed = [event.stream_id for event in host.events if isinstance(event, ChannelClosed)]
            assert sorted(closed) == sorted(channel.stream_id for channel in channels)


@relaxed
@given(st.integers(0, 2**32), faults, faults, st.booleans())
def test_a_peer_that_begins_anew_is_noticed_and_served(
    seed: int, there: Faults, back: Faults, busy: bool
) -> None:
    world = World()
    first = make_association(Role.SERVER, seed + 1)
    pair = join(
        world,
        make_association(Role.CLIENT, seed),
        first,
        seed=seed,
        faults=there,
        back_faults=back,
    ).connect()
    stream_id = pair.client.association.open_channel("before")
    if busy:
        pair.client.association.send(stream_id, bytes(200_000), world.now)
    pair.run(Random(seed).uniform(0.5, 30))
    pair.server.association = make_association(Role.SERVER, seed + 2)
    pair.server.events.clear()
    pair.server.association.connect(world.now)
    pair.server.flush()
    run_and_heal(pair, 100)
    assert pair.server.association.connected
    assert any(isinstance(event, Connected) for event in pair.server.events)
    assert pair.client.association.connected
    if any(isinstance(event, Restarted) for event in pair.client.events):
        assert ChannelClosed(stream_id) in pair.client.events
    after = pair.client.association.open_channel("after")
    pair.client.association.send(after, b"again", world.now)
    pair.client.flush()
    pair.run(120)
    assert pair.server.messages(after)[-1:] == [b"again"]


def tap(host: Host, is_server: bool, taken: list[tuple[bool, bytes]]) -> None:
    receive = host.association.receive_burst

    def record(datagrams: Sequence[bytes], now: float) -> None:
        taken.extend((is_server, datagram) for datagram in datagrams)
        receive(datagrams, now)

    host.association.receive_burst = record  # type: ignore[method-assign]


def captures(seed: int, own_peer: bool) -> list[tuple[bool, bytes]]:
    """Return datagrams of a short life: handshake, channels, data, loss, resets, shutdown."""
    taken: list[tuple[bool, bytes]] = []
    pair = join(
        World(),
        make_association(Role.CLIENT, seed, own_peer=own_peer),
        make_association(Role.SERVER, seed + 1, own_peer=own_peer),
        seed=seed,
        faults=Faults(loss=0.1),
        back_faults=Faults(loss=0.05),
    )
    for host, is_server in ((pair.client, False), (pair.server, True)):
        tap(host, is_server, taken)
    pair.connect()
    client = pair.client.association
    streams = [client.open_channel("a"), client.open_channel("b", ordered=False, max_retransmits=0)]
    for number in range(20):
        client.send(streams[number % 2], bytes(number * 300), pair.world.now)
        pair.client.flush()
        pair.run(0.01)
    pair.run(5)
    client.set_packet_bytes(1400)
    client.send(streams[0], bytes(5000), pair.world.now)
    pair.forward.down = True
    pair.client.flush()
    pair.forward.down = False
    client.set_packet_bytes(512)
    pair.run(3)
    kinds = {kind for kind, _, _ in chunks_of([datagram for _, datagram in taken])}
    assert (chunks.PIECE in kinds) == own_peer
    client.close_channel(streams[0])
    client.probe_path(1200)
    pair.client.flush()
    pair.run(5)
    client.shutdown(pair.world.now)
    pair.client.flush()
    pair.run(20)
    return taken


def resealed(datagram: bytes) -> bytes:
    """Return the datagram with a checksum that fits again, so that its chunks are read."""
    return seal(datagram[:8], datagram[12:])


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 3), st.booleans())
def test_no_bytes_raise_anything(luck: int, seed: int, own_peer: bool) -> None:
    random = Random(luck)
    taken = (
        captures(seed, own_peer) if (seed, own_peer) not in CAPTURES else CAPTURES[seed, own_peer]
    )
    CAPTURES[seed, own_peer] = taken
    # The same seeds give the same tags, so a capture is understood as if it were live.
    victims = {
        True: make_association(Role.SERVER, seed + 1, own_peer=own_peer),
        False: make_association(Role.CLIENT, seed, own_peer=own_peer),
    }
    now = 0.0
    for victim in victims.values():
        victim.connect(now)
        victim.datagrams_to_send(now)
    for to_server, datagram in taken:
        now += 0.001
        victim = victims[to_server]
        mutated = bytearray(datagram)
        for _ in range(random.choice((0, 0, 0, 1, 2))):
            position = random.randrange(12, len(mutated))
            mutated[position] = random.choice((0, 1, 127, 128, 255, mutated[position] ^ 1))
        if random.random() < 0.05:
            del mutated[random.randrange(12, len(mutated)) :]
        victim.receive(resealed(bytes(mutated)), now)
        victim.events()
        victim.datagrams_to_send(now)
        if random.random() < 0.05:
            timer_at = victim.next_timer()
            if timer_at is not None:
                now = max(now, timer_at)
                victim.handle_timer(now)
    for victim in victims.values():
        receiver = victim.receiver
        if receiver is not None:
            assert receiver.window_bytes >= 0
            assert receiver.gaps <= 4096


CAPTURES: dict[tuple[int, bool], list[tuple[bool, bytes]]] = {}


@given(st.binary(max_size=200))
@example(b"")
def test_noise_is_dropped_and_counted(noise: bytes) -> None:
    association = Association(AssociationConfig(Role.CLIENT), Random(1))
    association.connect(0.0)
    association.receive(noise, 0.0)
    assert association.counters.total() == 1


class Soaked:
    """One end of a soak: sends at random, and expects what the other end sent."""

    def __init__(self, host: Host, stream_id: int, seed: int) -> None:
        self.host = host
        self._stream_id = stream_id
        self._random = Random(seed)
        self.sent = 0
        self.due: list[bytes] = []
        """What the other end has still to receive."""

    def send(self) -> None:
        message = self._random.randbytes(self._random.choice((10, 1000, 30_000)))
        if self.host.association.buffered_amount(self._stream_id) < 100_000:
            self.host.association.send(self._stream_id, message, self.host.world.now)
            self.due.append(message)
            self.sent += 1
            self.host.flush()

    def check(self, due: list[bytes]) -> None:
        arrived = self.host.messages(self._stream_id)
        assert arrived == due[: len(arrived)]
        del due[: len(arrived)]
        self.host.events.clear()

    def held(self) -> int:
        """What it remembers of the past."""
        association = self.host.association
        assert association.sender is not None
        assert association.receiver is not None
        reassembly = association.receiver.reassembly
        board, receiver = association.sender.board, association.receiver
        return (
            len(board.chunks)
            + len(board._suspects)
            + len(board._resent)
            + receiver.gaps
            + reassembly.held_count
            + len(association.counters)
            + len(association._liveness._pending)
        )


@pytest.mark.parametrize("own_peer", [True, False])
@pytest.mark.timeout(0)
def test_soak_at_one_percent_loss(own_peer: bool) -> None:
    world = World()
    pair = join(
        world,
        make_association(Role.CLIENT, 5, own_peer=own_peer),
        make_association(Role.SERVER, 6, own_peer=own_peer),
        faults=Faults(loss=0.01, reorder=0.01, duplicate=0.001),
        back_faults=Faults(loss=0.01),
        forward=Bottleneck(250_000, 25_000),
    ).connect()
    stream_id = pair.client.association.open_channel("soak")
    pair.run(2)
    client, server = Soaked(pair.client, stream_id, 1), Soaked(pair.server, stream_id, 2)
    random = Random(9)
    while world.now < SOAK_HOURS * 3600:
        client.send()
        server.send()
        pair.run(random.choice(SOAK_PAUSES_S))
        server.check(client.due)
        client.check(server.due)
        pair.forward.bottleneck.delays.clear()
    pair.run(10)
    server.check(client.due)
    client.check(server.due)
    assert client.held() + server.held() < 2000
    pair.client.association.shutdown(world.now)
    pair.client.flush()
    pair.run(60)
    assert not client.due
    assert not server.due
    assert pair.client.association.over
    assert pair.server.association.over
    assert min(client.sent, server.sent) > 2000
