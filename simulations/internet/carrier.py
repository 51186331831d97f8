"""The way of a packet: out of its host, through boxes, across the internet, in again.

The common packet takes two steps, `send` and `_arrive`, one event in the loop's heap; each thing
that can happen to it besides (a rated line, faults, a NAT box, a partition) is one `is None` away.
Each router takes one off a time to live: a box is one, and the public internet is one as well, the
least there can be, so that an opener with TTL 2 from a public host reaches the box of its peer.
Boxes translate outward when a packet is sent and inward when it arrives, so what they know is what
they knew at that time. Packets of one pair of hosts that leave together arrive in order, because
the loop breaks ties by number, unless faults reorder them.
"""

import random
from collections.abc import Callable, Iterable
from typing import Final

from simulations.internet.addresses import (
    NAT64_PREFIX,
    HostPort,
    embedded_v4,
    is_loopback,
    synthesised_v6,
)
from simulations.internet.boxes.behaviour import Hairpinning
from simulations.internet.host import Host, Socket
from simulations.internet.latency import Latency
from simulations.internet.lines import Faults, Pipe
from simulations.internet.log import KIND_OF_FIRST_BYTE, NOT_DROPPED, EventLog, Fate, Kind, kind_of
from simulations.internet.packet import Packet, Partition
from simulations.internet.space import Box, Space
from simulations.runtime.loop import VirtualLoop

LOOPBACK_S: Final = 0.00002
FLOWS_MAX: Final = 100_000
"""Flows whose last arrival is remembered to keep jitter from reordering them."""
NO_SOURCE: Final[HostPort] = ("", 0)
"""The source of a packet whose socket is at none of its host's addresses."""


class Carrier:
    """Moves datagrams between sockets, and counts and logs what became of each."""

    def __init__(
        self, loop: VirtualLoop, log: EventLog, latency: Latency, fault_rng: random.Random
    ) -> None:
        self.public = Space("the public internet")
        self.delivered = 0
        self.dropped = {fate: 0 for fate in Fate if fate not in NOT_DROPPED}
        self._loop = loop
        self._log = log
        self._rows = latency.rows
        self._fault_rng = fault_rng
        self._core: Pipe | None = None
        self._jitter_s = 0.0
        self._last_arrival: dict[tuple[int, HostPort], float] = {}
        self._flows_sweep_at = FLOWS_MAX
        self._partition: Partition | None = None
        self._tamper: Callable[[bytes], bytes | None] | None = None
        self._sieves: dict[tuple[int, int], Callable[[bytes], bool]] = {}

    # conditions of the whole internet

    def set_faults(self, faults: Faults | None, *, jitter_s: float = 0.0) -> None:
        """Faults of every path across the public internet, and up to `jitter_s` more one way.

        Jitter never reorders packets of one flow.
        """
        self._core = None if faults is None else Pipe(None, faults, self._fault_rng)
        self._jitter_s = jitter_s

    def tamper(self, change: Callable[[bytes], bytes | None]) -> None:
        """Let `change` say what is sent in place of each datagram; None for nothing at all."""
        self._tamper = change

    def sieve(self, sender: Host, receiver: Host, passes: Callable[[bytes], bool] | None) -> None:
        """Let `passes` say which datagrams of one host arrive at another; None lets all pass again.

        What a relay forwards between the two is the relay's, and passes.
        """
        ends = sender.index, receiver.index
        if passes is None:
            self._sieves.pop(ends, None)
        else:
            self._sieves[ends] = passes
        text = f"sieve {sender.name} {receiver.name} {passes is not None}"
        self._log.add_text(self._loop.now, Fate.CHANGED, text)

    def partition(self, *groups: Iterable[Host]) -> None:
        """Cut the internet between groups of hosts; those in no group form one more together.

        Packets that were on their way are lost too.
        """
        self._partition = Partition(groups)
        self._log.add_text(self._loop.now, Fate.CHANGED, "partition")

    def heal(self) -> None:
        """Undo the partition; packets sent during it are lost all the same."""
        self._partition = None
        self._log.add_text(self._loop.now, Fate.CHANGED, "heal")

    def one_way_s(self, sender: Host, receiver: Host) -> float:
        """How long a packet of one host takes to another's line, across the public internet."""
        return LOOPBACK_S if sender is receiver else self._rows[sender.site][receiver.site]

    def core(self) -> Pipe | None:
        """What the public internet does to packets besides taking time; None: nothing."""
        return self._core

    def separates(self, one: Host, other: Host) -> bool:
        """Whether a partition is between two hosts now."""
        return self._partition is not None and self._partition.separates(one, other)

    # out

    def send(
        self, sender: Socket, data: bytes, destination: HostPort, ttl: int | None = None
    ) -> None:
        """Take a datagram from a socket; it arrives later, or never."""
        if self._tamper is not None:
            changed = self._tamper(data)
            if changed is None:
                return
            data = changed
        host, source = sender.host, sender.source
        host.sent_bytes += len(data)
        packet = Packet(
            sender, source or NO_SOURCE, data, destination, sender.behind, self._partition, ttl
        )
        if host.barred is not None:
            self._drop(host.barred, packet)
        elif source is None:
            self._send_without_source(packet)
        elif host.up is None:
            self._route(packet, self._loop.now)
        else:
            self._through(host.up, packet, self._loop.now, self._route)

    def _send_without_source(self, packet: Packet) -> None:
        """From a socket that is bound to loopback, or to an address that its host lost."""
        if is_loopback(packet.sender.bound[0]) and is_loopback(packet.destination[0]):
            self._route_nowhere(packet, self._loop.now)
        else:
            self._drop(Fate.STALE_ADDRESS, packet)

    def _route(self, packet: Packet, leaves: float) -> None:
        behind, destination = packet.behind, packet.destination
        space = self.public if behind is None else behind.inside
        owner = space.owners.get(destination[0])
        while owner is None:
            if behind is None or is_loopback(destination[0]):
                self._route_nowhere(packet, leaves)
                return
            box = behind
            if packet.ttl is not None and self._ends_at_router(packet):
                return
            if box.translator is not None and destination[0].startswith(NAT64_PREFIX):
                box = box.translator
                destination = packet.destination = embedded_v4(destination[0]), destination[1]
            source = packet.source
            outside = box.outbound(source, destination, leaves)
            if isinstance(outside, Fate):
                self._drop(outside, packet)
                return
            behind, space = box.behind, box.outside
            packet.source, packet.behind = outside, behind
            owner = space.owners.get(destination[0])
            if owner is box:
                self._turn_back(box, packet, source, leaves)
                return
            if box.up is not None:
                self._through(box.up, packet, leaves, self._route)
                return
        if behind is not None:
            way = space.one_way_s
        else:
            host = packet.sender.host
            if owner is host:
                way = LOOPBACK_S
            else:
                if packet.ttl is not None and self._ends_at_router(packet):
                    return
                way = self._rows[host.site][owner.site]
                if self._core is not None or self._jitter_s:
                    self._cross_badly(packet, leaves, way)
                    return
        self._loop.post_at(leaves + way, self._arrive, packet)

    def _through(
        self, pipe: Pipe, packet: Packet, at: float, onward: Callable[[Packet, float], None]
    ) -> None:
        """Put a packet through a pipe, and what leaves it on its way."""
        carried = pipe.carry(at, packet.data, packet.sender.is_v6)
        if isinstance(carried, Fate):
            self._drop(carried, packet)
            return
        sender, source, destination = packet.sender, packet.source, packet.destination
        for leaves, data in carried:
            behind, cut, ttl = packet.behind, packet.cut, packet.ttl
            onward(Packet(sender, source, data, destination, behind, cut, ttl), leaves)

    def _cross_badly(self, packet: Packet, leaves: float, way: float) -> None:
        """Across the public internet with jitter, which keeps a flow's order, and faults."""
        arrives = leaves + way
        if self._jitter_s:
            flow = packet.sender.number, packet.destination
            arrives += self._fault_rng.random() * self._jitter_s
            arrives = max(arrives, self._last_arrival.get(flow, 0.0))
            self._last_arrival[flow] = arrives
            if len(self._last_arrival) > self._flows_sweep_at:
                self._forget_flows()
        if self._core is None:
            self._loop.post_at(arrives, self._arrive, packet)
        else:
            self._through(self._core, packet, arrives, self._arrive_at)

    def _forget_flows(self) -> None:
        now = self._loop.now
        self._last_arrival = {flow: at for flow, at in self._last_arrival.items() if at > now}
        self._flows_sweep_at = max(FLOWS_MAX, 2 * len(self._last_arrival))

    def _turn_back(self, box: Box, packet: Packet, inside: HostPort, leaves: float) -> None:
        """A packet from behind a box to the box's own outside address (RFC 4787 6)."""
        if not box.hairpinning:
            self._drop(Fate.NO_HAIRPIN, packet)
            return
        if packet.ttl is not None:
            packet.ttl += 1  # one router, that it leaves and enters through
        shown = inside if box.hairpinning == Hairpinning.INSIDE_SOURCE else None
        at = leaves + box.inside.one_way_s
        self._loop.post_at(at, lambda arrived: self._enter(box, arrived, shown), packet)

    def _ends_at_router(self, packet: Packet) -> bool:
        """Take one off the TTL of a packet that has one, at a router, and drop it at 0.

        A router does so before it translates (RFC 1812 5.3.1): no mapping comes of what it drops.
        """
        assert packet.ttl is not None
        packet.ttl -= 1
        if packet.ttl > 0:
            return False
        self._drop(Fate.TTL_EXPIRED, packet)
        return True

    def _route_nowhere(self, packet: Packet, leaves: float) -> None:
        """No space on the way out has the destination: it is the sender's host, or no host."""
        address, sender = packet.destination[0], packet.sender
        if not is_loopback(address):
            self._drop(Fate.UNROUTABLE, packet)
            return
        source = (address, sender.bound[1]) if sender.is_wildcard else sender.bound
        packet.source = source
        self._loop.post_at(leaves + LOOPBACK_S, self._arrive_at_itself, packet)

    # in

    def _arrive_at(self, packet: Packet, at: float) -> None:
        self._loop.post_at(at, self._arrive, packet)

    def _hand_over_at(self, packet: Packet, at: float) -> None:
        self._loop.post_at(at, self._hand_over, packet)

    def _enter_at(self, box: Box) -> Callable[[Packet, float], None]:
        def onward(packet: Packet, at: float) -> None:
            self._loop.post_at(at, lambda arrived: self._enter(box, arrived), packet)

        return onward

    def _arrive(self, packet: Packet) -> None:
        """At the edge of the destination's space: at a host's line, or at a box."""
        behind = packet.behind
        space = self.public if behind is None else behind.inside
        owner = space.owners.get(packet.destination[0])
        if isinstance(owner, Host):
            socket = owner.listening.get(packet.destination)
            if socket is None:
                self._drop(Fate.NO_SOCKET, packet)
            elif owner.down is None:
                self._deliver(packet, socket)
            else:
                self._through(owner.down, packet, self._loop.now, self._hand_over_at)
        elif not isinstance(owner, Box):
            self._drop(Fate.UNROUTABLE, packet)
        elif owner.down is None:
            self._enter(owner, packet)
        else:
            self._through(owner.down, packet, self._loop.now, self._enter_at(owner))

    def _enter(self, box: Box, packet: Packet, shown: HostPort | None = None) -> None:
        """Inward through a box; `shown` is the source seen inside, if it is not the packet's."""
        inside = box.inbound(packet.destination, packet.source, self._loop.now)
        if isinstance(inside, Fate):
            self._drop(inside, packet)
        else:
            if shown is not None:
                packet.source = shown
            elif box.is_translator:
                packet.source = synthesised_v6(packet.source[0]), packet.source[1]
            packet.destination, packet.behind = inside, box
            if packet.ttl is None or not self._ends_at_router(packet):
                self._arrive(packet)

    def _hand_over(self, packet: Packet) -> None:
        """Past the host's line: the socket may have closed, or the host moved, meanwhile."""
        space = self.public if packet.behind is None else packet.behind.inside
        owner = space.owners.get(packet.destination[0])
        socket = owner.listening.get(packet.destination) if isinstance(owner, Host) else None
        if socket is None:
            self._drop(Fate.NO_SOCKET, packet)
        else:
            self._deliver(packet, socket)

    def _arrive_at_itself(self, packet: Packet) -> None:
        socket = packet.sender.host.listener(packet.destination)
        if socket is None:
            self._drop(Fate.NO_SOCKET, packet)
        else:
            self._deliver(packet, socket)

    def _deliver(self, packet: Packet, socket: Socket) -> None:
        host, sender, cut = socket.host, packet.sender, packet.cut
        if host.barred is not None:
            self._drop(host.barred, packet)
            return
        if (cut is not None and cut.separates(sender.host, host)) or self.separates(
            sender.host, host
        ):
            self._drop(Fate.PARTITIONED, packet)
            return
        source, data = packet.source, packet.data
        if self._sieves:
            passes = self._sieves.get((sender.host.index, host.index))
            if passes is not None and not passes(data):
                self._drop(Fate.LOST, packet)
                return
        if socket.remote is not None and socket.remote != source:
            self._drop(Fate.NO_SOCKET, packet)
            return
        self.delivered += 1
        host.received_bytes += len(data)
        kind = KIND_OF_FIRST_BYTE[data[0]] if data else Kind.EMPTY
        self._log.add(self._loop.now, sender.number, socket.number, kind, Fate.DELIVERED)
        shown = (*source, 0, 0) if socket.is_v6 else source
        socket.context.run(socket.receive, data, shown)

    def _drop(self, fate: Fate, packet: Packet) -> None:
        self.dropped[fate] += 1
        number, destination = packet.sender.number, packet.destination
        self._log.add(self._loop.now, number, 0, kind_of(packet.data), fate)
        self._log.add_text(self._loop.now, fate, f"{destination[0]} {destination[1]}")
