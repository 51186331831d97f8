"""A path in virtual time for tests of the association: rate, queue, delay, loss, reordering.

One seed gives one history. Events at equal times happen in the order of their making, so packets
that leave together never overtake each other by accident.
"""

from collections.abc import Callable
from dataclasses import dataclass
from heapq import heappop, heappush
from math import inf
from random import Random

from protocol.sctp.association import Association, CongestionFactory
from protocol.sctp.chunks import split_chunks
from protocol.sctp.config import AssociationConfig, Role
from protocol.sctp.events import Event, MessageReceived
from protocol.sctp.packets import open_packet
from protocol.sctp.send.congestion import FixedWindow
from protocol.sctp.send.outqueue import Message
from protocol.sctp.send.pathmodel import PathModel

DATAGRAM_OVERHEAD_BYTES = 65
"""IPv4, UDP and a DTLS 1.2 record with AES-GCM around each SCTP packet."""


class World:
    """The clock and what is going to happen."""

    def __init__(self) -> None:
        self.now = 0.0
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._made = 0

    def at(self, when: float, action: Callable[[], None]) -> None:
        """Let something happen at a time, not before now."""
        self._made += 1
        heappush(self._agenda, (max(when, self.now), self._made, action))

    def run(self, until: float, stop: Callable[[], bool] = lambda: False) -> None:
        """Let time pass."""
        while self._agenda and self._agenda[0][0] <= until and not stop():
            self.now, _, action = heappop(self._agenda)
            action()
        if not stop():
            self.now = max(self.now, until)


class Bottleneck:
    """A queue that serves at `rate` bytes per second and drops what does not fit (tail drop)."""

    def __init__(self, rate: float = inf, queue_bytes: float = inf) -> None:
        self.rate = rate
        self.queue_bytes = queue_bytes
        self.dropped = 0
        self.delays: list[tuple[float, float]] = []
        self._free_at = 0.0

    def admit(self, size: int, now: float) -> float | None:
        """Return when a packet has been served, None if it is dropped."""
        if self.rate == inf:
            return now
        waiting_s = max(self._free_at - now, 0.0)
        if waiting_s * self.rate + size > self.queue_bytes:
            self.dropped += 1
            return None
        self.delays.append((now, waiting_s))
        self._free_at = now + waiting_s + size / self.rate
        return self._free_at

    def pause(self, seconds: float, now: float) -> None:
        """Serve nothing for a while; what waits and what comes is served afterwards."""
        self._free_at = max(self._free_at, now) + seconds

    def worst_delay_s(self, since: float = 0.0) -> float:
        """Longest wait in the queue."""
        return max((delay for at, delay in self.delays if at >= since), default=0.0)


@dataclass(frozen=True)
class Faults:
    """What a direction does to packets, each with its probability."""

    loss: float = 0.0
    reorder: float = 0.0
    reorder_s: float = 0.01
    duplicate: float = 0.0
    corrupt: float = 0.0


class Direction:
    """One way of a path: a bottleneck, then delay and faults."""

    def __init__(
        self,
        world: World,
        random: Random,
        bottleneck: Bottleneck,
        delay_s: float,
        faults: Faults = Faults(),
    ) -> None:
        self._world = world
        self._random = random
        self.bottleneck = bottleneck
        self.delay_s = delay_s
        self.faults = faults
        self.down = False
        self.sent = 0
        self.lost = 0

    def send(self, size: int, deliver: Callable[[], None]) -> None:
        """Carry a packet of a size in bytes on the wire, and call `deliver` when it arrives."""
        self.sent += 1
        faults, random = self.faults, self._random
        if self.down or (faults.loss and random.random() < faults.loss):
            self.lost += 1
            return
        served_at = self.bottleneck.admit(size, self._world.now)
        if served_at is None:
            return
        arrives_at = served_at + self.delay_s
        if faults.reorder and random.random() < faults.reorder:
            arrives_at += random.uniform(0.0, 2 * faults.reorder_s)
        self._world.at(arrives_at, deliver)
        if faults.duplicate and random.random() < faults.duplicate:
            self._world.at(arrives_at + random.uniform(0.0, faults.reorder_s), deliver)


def corrupted(datagram: bytes, random: Random) -> bytes:
    """Return the datagram with one to four bytes changed, or cut short."""
    mutated = bytearray(datagram)
    if random.random() < 0.2:
        return bytes(mutated[: random.randrange(len(mutated) + 1)])
    for _ in range(random.randint(1, 4)):
        mutated[random.randrange(len(mutated))] ^= random.randint(1, 255)
    return bytes(mutated)


class Host:
    """An association with an application that keeps or counts what it receives.

    `wake_s` is how long arrivals gather before the host looks at them, as a busy event loop does.
    """

    def __init__(self, world: World, association: Association, wake_s: float = 0.0) -> None:
        self.world = world
        self.association = association
        self.direction: Direction | None = None
        self.peer: Host | None = None
        self.random = Random(0)
        self.wake_s = wake_s
        self.events: list[Event] = []
        self.keep_messages = True
        self.received_bytes = 0
        self.received_messages = 0
        self.source: Callable[[], None] | None = None
        self._arrived: list[bytes] = []
        self._woken = False
        self._timer_at = inf

    def arrive(self, datagram: bytes) -> None:
        """Take a datagram from the path."""
        self._arrived.append(datagram)
        if not self._woken:
            self._woken = True
            self.world.at(self.world.now + self.wake_s, self._wake)

    def _wake(self) -> None:
        self._woken = False
        arrived, self._arrived = self._arrived, []
        self.association.receive_burst(arrived, self.world.now)
        self.flush()

    def _on_timer(self) -> None:
        if self.world.now >= self._timer_at:
            self._timer_at = inf
            self.association.handle_timer(self.world.now)
            self.flush()

    def flush(self) -> None:
        """Let the application act, send what may leave, and set the timer."""
        association, now = self.association, self.world.now
        while True:
            self._take_events()
            if self.source is not None:
                self.source()
            datagrams = association.datagrams_to_send(now)
            if not datagrams:
                break
            for datagram in datagrams:
                self._send(datagram)
        timer_at = association.next_timer()
        if timer_at is not None and timer_at != self._timer_at:
            self._timer_at = timer_at
            self.world.at(timer_at, self._on_timer)

    def _take_events(self) -> None:
        for event in self.association.events():
            if isinstance(event, MessageReceived):
                self.received_bytes += len(event.data)
                self.received_messages += 1
                if not self.keep_messages:
                    continue
            self.events.append(event)

    def _send(self, datagram: bytes) -> None:
        direction, peer = self.direction, self.peer
        if direction is None or peer is None:
            return
        faults = direction.faults
        if faults.corrupt and self.random.random() < faults.corrupt:
            datagram = corrupted(datagram, self.random)
        direction.send(len(datagram) + DATAGRAM_OVERHEAD_BYTES, lambda: peer.arrive(datagram))

    def messages(self, stream_id: int) -> list[bytes]:
        """Return what has arrived on a stream, in order."""
        return [
            event.data
            for event in self.events
            if isinstance(event, MessageReceived) and event.stream_id == stream_id
        ]

    def send_forever(self, stream_id: int, message: bytes, ahead_bytes: int = 1 << 20) -> None:
        """Keep the stream's queue filled from now on."""
        association = self.association
        self.keep_messages = False

        def feed() -> None:
            while association.connected and association.buffered_amount(stream_id) < ahead_bytes:
                association.send(stream_id, message, self.world.now)

        self.source = feed


def make_association(
    role: Role,
    seed: int,
    congestion: CongestionFactory = PathModel,
    *,
    own_peer: bool = True,
    packet_bytes: int = 1188,
    max_message_bytes: int = 1 << 20,
    receive_window_bytes: int = 16 << 20,
) -> Association:
    """Return an association with settings fit for tests."""
    config = AssociationConfig(
        role,
        own_peer=own_peer,
        packet_bytes=packet_bytes,
        max_message_bytes=max_message_bytes,
        peer_max_message_bytes=max_message_bytes,
        receive_window_bytes=receive_window_bytes,
    )
    return Association(config, Random(seed), congestion)


@dataclass
class Pair:
    """Two hosts and the two directions between them."""

    world: World
    client: Host
    server: Host
    forward: Direction
    backward: Direction

    def connect(self) -> "Pair":
        """Let both begin at once."""
        for host in (self.client, self.server):
            host.association.connect(self.world.now)
            host.flush()
        return self

    def run(self, seconds: float) -> None:
        """Let time pass."""
        self.world.run(self.world.now + seconds)


def join(
    world: World,
    client: Association,
    server: Association,
    *,
    seed: int = 1,
    rtt_s: float = 0.05,
    forward: Bottleneck | None = None,
    faults: Faults | None = None,
    back_faults: Faults | None = None,
    wake_s: float = 0.0,
) -> Pair:
    """Connect two associations by a path; `faults` go from client to server."""
    random = Random(seed)
    one, two = Host(world, client, wake_s), Host(world, server, wake_s)
    there = Direction(world, random, forward or Bottleneck(), rtt_s / 2, faults or Faults())
    back = Direction(world, random, Bottleneck(), rtt_s / 2, back_faults or Faults())
    one.direction, one.peer, one.random = there, two, random
    two.direction, two.peer, two.random = back, one, random
    return Pair(world, one, two, there, back)


def exchange(one: Association, two: Association, now: float = 0.0) -> None:
    """Carry datagrams between two associations at one instant until both are silent."""
    for _ in range(10_000):
        there, back = one.datagrams_to_send(now), two.datagrams_to_send(now)
        if not there and not back:
            return
        two.receive_burst(there, now)
        one.receive_burst(back, now)
    raise AssertionError("the associations never fall silent")


def established(
    own_peer: bool = True, *, seed: int = 1, receive_window_bytes: int = 16 << 20
) -> tuple[Association, Association]:
    """Return two associations after their handshake, with the events of it drained."""
    client = make_association(
        Role.CLIENT, seed, own_peer=own_peer, receive_window_bytes=receive_window_bytes
    )
    server = make_association(
        Role.SERVER, seed + 1, own_peer=own_peer, receive_window_bytes=receive_window_bytes
    )
    client.connect(0.0)
    server.connect(0.0)
    exchange(client, server)
    assert client.connected
    assert server.connected
    client.events()
    server.events()
    return client, server


def _unlimited(packet_bytes: int, offset: int) -> FixedWindow:
    return FixedWindow(1 << 30)


def wide_open(own_peer: bool = True) -> tuple[Association, Association]:
    """Return an established pair without congestion control."""
    client = make_association(Role.CLIENT, 1, _unlimited, own_peer=own_peer)
    server = make_association(Role.SERVER, 2, _unlimited, own_peer=own_peer)
    client.connect(0.0)
    exchange(client, server)
    client.events()
    server.events()
    return client, server


def chunks_of(datagrams: list[bytes]) -> list[tuple[int, int, bytes]]:
    """Return all chunks in these datagrams."""
    return [chunk for datagram in datagrams for chunk in split_chunks(open_packet(datagram)[3])]


def raw_send(association: Association, stream_id: int, payload: int, data: bytes) -> None:
    """Queue a message past all checks, as a bad peer would."""
    association._core.queue.push(stream_id, Message(data, payload))


def messages(association: Association) -> list[bytes]:
    return [event.data for event in association.events() if isinstance(event, MessageReceived)]


def drain(
    one: Association, two: Association, seconds: float = 3.0, *, start_s: float = 0.0
) -> None:
    """Let time pass at both ends, with no delay between them."""
    now = start_s
    while now < start_s + seconds:
        exchange(one, two, now)
        now += 0.05
        one.handle_timer(now)
        two.handle_timer(now)
