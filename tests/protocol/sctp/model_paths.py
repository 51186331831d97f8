"""Paths that take one another's place under an association, in virtual time."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from math import inf
from random import Random

from protocol.sctp.association import Association
from protocol.sctp.config import Role
from protocol.sctp.events import Connected, MessageReceived, PathNarrowed, PathProbed
from protocol.sctp.send.packetsize import PACKET_SIZES, PacketSize
from tests.protocol.sctp.model_link import (
    Bottleneck,
    Direction,
    Faults,
    Host,
    World,
    make_association,
)

MESSAGE_BYTES = 16384


@dataclass(frozen=True)
class Route:
    """A path, the same both ways: seconds, bytes a second, and what it does to packets.

    Packets of more than `mtu_bytes`, DTLS, UDP and IPv4 included, vanish.
    """

    rtt_s: float
    rate: float = 30e6
    queue_s: float = 0.1
    loss: float = 0.0
    mtu_bytes: float = inf


class RoutedDirection(Direction):
    """One way of a route."""

    def __init__(self, world: World, random: Random, route: Route) -> None:
        queue = Bottleneck(route.rate, max(route.rate * route.queue_s, 30_000))
        super().__init__(world, random, queue, route.rtt_s / 2, Faults(loss=route.loss))
        self.mtu_bytes = route.mtu_bytes

    def send(self, size: int, deliver: Callable[[], None]) -> None:
        """Carry a packet that is small enough."""
        if size <= self.mtu_bytes:
            super().send(size, deliver)


def message(number: int) -> bytes:
    """The message of a number; all are different, and of different sizes."""
    random = Random(number)
    size = MESSAGE_BYTES - random.randrange(MESSAGE_BYTES // 2)
    return number.to_bytes(8) + random.randbytes(8) + bytes(size - 16)


class MovingHost(Host):
    """A host that finds the size of packets as the native channel does, and checks each message."""

    def __init__(self, world: World, association: Association) -> None:
        super().__init__(world, association)
        self.size = PacketSize()
        self.stream_id = association.open_channel("data", negotiated_id=0)
        self.sent_messages = 0
        self.most_messages = 1 << 30
        self.heard_at: list[float] = []
        self.heard_bytes: list[int] = []
        self.narrowed_at: list[float] = []
        self.message_of = message
        self.most_outstanding_bytes = 0

    def feed(self) -> None:
        """Keep messages queued until all have been."""
        self.source = self._feed

    def _feed(self) -> None:
        association = self.association
        while (
            association.connected
            and self.sent_messages < self.most_messages
            and association.buffered_amount(self.stream_id) < 1 << 20
        ):
            association.send(self.stream_id, self.message_of(self.sent_messages), self.world.now)
            self.sent_messages += 1

    def _take_events(self) -> None:
        now = self.world.now
        for event in self.association.events():
            if isinstance(event, MessageReceived):
                assert event.data == self.message_of(len(self.heard_at))
                self.heard_at.append(now)
                self.heard_bytes.append(len(event.data))
            elif isinstance(event, Connected):
                if self.association._core.config.own_peer:
                    self.size.start(now)
            elif isinstance(event, PathProbed):
                self._adopt(self.size.probed(event.packet_bytes, now))
            elif isinstance(event, PathNarrowed):
                self.narrowed_at.append(now)
                self.size.narrowed(now, had_carried=event.had_carried)
            else:
                self.events.append(event)

    def _adopt(self, changed: bool) -> None:
        if changed:
            self.association.set_packet_bytes(self.size.packet_bytes)

    def flush(self) -> None:
        """Probe the path as well."""
        probe_bytes = self.size.due(self.world.now)
        if probe_bytes is not None:
            self.association.probe_path(probe_bytes)
        super().flush()
        sender = self.association.sender
        if sender is not None:
            held_bytes = sender.board.outstanding_bytes
            self.most_outstanding_bytes = max(self.most_outstanding_bytes, held_bytes)
        if self.size.next_at != inf:
            self.world.at(self.size.next_at, self._on_size_timer)

    def _on_size_timer(self) -> None:
        if self.size.next_at <= self.world.now:
            self.flush()

    def changed_path(self, round_trip_s: float | None) -> None:
        """Tell the association."""
        now = self.world.now
        self.association.path_changed(now, round_trip_s)
        self.size.path_changed(PACKET_SIZES)
        self._adopt(True)
        if self.association._core.config.own_peer:
            self.size.start(now)
        self.flush()

    def longest_stall_s(self, since_s: float, until_s: float) -> float:
        """The longest time without a message."""
        times = [since_s, *(at for at in self.heard_at if since_s <= at <= until_s), until_s]
        return max(later - sooner for sooner, later in pairwise(times))

    def bytes_between(self, since_s: float, until_s: float) -> int:
        """What was received in a time."""
        pairs = zip(self.heard_at, self.heard_bytes, strict=True)
        return sum(size for at, size in pairs if since_s <= at < until_s)


class Journey:
    """Two hosts that begin on one route, and move."""

    def __init__(self, route: Route, *, own_peer: bool = True, seed: int = 1) -> None:
        self.world = World()
        self._random = Random(seed)
        self.client = MovingHost(self.world, make_association(Role.CLIENT, seed, own_peer=own_peer))
        self.server = MovingHost(
            self.world, make_association(Role.SERVER, seed + 1000, own_peer=own_peer)
        )
        self.client.peer, self.server.peer = self.server, self.client
        self.route = route
        self._send_by(route)
        for host in (self.client, self.server):
            host.association.connect(0.0)
            host.flush()

    def _send_by(self, route: Route) -> None:
        self.route = route
        for host in (self.client, self.server):
            host.direction = RoutedDirection(self.world, self._random, route)

    def cut(self) -> None:
        """The route carries nothing any more."""
        for host in (self.client, self.server):
            assert host.direction is not None
            host.direction.down = True

    def narrow(self, mtu_bytes: float) -> None:
        """The route swallows larger packets from now on, both ways and without a word."""
        for host in (self.client, self.server):
            assert isinstance(host.direction, RoutedDirection)
            host.direction.mtu_bytes = mtu_bytes

    def mend(self) -> None:
        """The route carries packets again."""
        for host in (self.client, self.server):
            assert host.direction is not None
            host.direction.down = False

    def move(self, route: Route, *, known: bool = True) -> None:
        """Both ends send by another route; `known`: they have measured its round trip."""
        self._send_by(route)
        for host in (self.client, self.server):
            host.changed_path(route.rtt_s if known else None)

    def run(self, seconds: float) -> None:
        """Let time pass."""
        self.world.run(self.world.now + seconds)


def settle(journey: Journey) -> None:
    """Let all that was sent arrive, and see that it did."""
    for host in (journey.client, journey.server):
        host.most_messages = host.sent_messages
    journey.run(5.0)
    for sender, receiver in (
        (journey.client, journey.server),
        (journey.server, journey.client),
    ):
        assert sender.association.connected
        assert len(receiver.heard_at) == sender.sent_messages
        board = sender.association.sender
        assert board is not None
        assert board.idle
        assert board.board.flight_bytes == board.board.away_bytes == board.board.lost_bytes == 0
