"""The way of a packet: out of its host, through boxes, across the internet, in again.

The common packet takes two steps, `send` and `_arrive`, one event in the loop's heap; each thing
that can happen to it besides (a rated line, faults, a NAT box, a partition) is one `is None` away.
Boxes translate outward when a packet is sent and inward when it arrives, so what they know is what
they knew at that time. Packets of one pair of hosts that leave together arrive in order, because
the loop breaks ties by number, unless faults reorder them.
"""

import random
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from simulations.internet.addresses import Endpoint, is_loopback
from simulations.internet.latency import Latency
from simulations.internet.log import NOT_DROPPED, EventLog, Fate, kind_of
from simulations.internet.nat import Nat
from simulations.internet.router import Faults, Pipe
from simulations.internet.space import Space
from simulations.internet.transport import Transport
from simulations.runtime.loop import VirtualLoop

if TYPE_CHECKING:
    from simulations.internet.host import Host

LOOPBACK_S: Final = 0.00002
FLOWS_MAX: Final = 100_000
"""Flows whose last arrival is remembered to keep jitter from reordering them."""


class Partition:
    """A cut of the internet into groups of hosts; hosts in no group form one more together."""

    def __init__(self, groups: Iterable[Iterable["Host"]]) -> None:
        self._group_of = {
            host.index: number for number, group in enumerate(groups) for host in group
        }

    def separates(self, a: "Host", b: "Host") -> bool:
        """Whether the cut runs between two hosts."""
        return self._group_of.get(a.index) != self._group_of.get(b.index)


NOWHERE: Final[Endpoint] = ("", 0)

Packet = tuple[Transport, Endpoint, bytes, Endpoint, Space, Partition | None]
"""(sender, source as seen in the space, datagram, destination, space, cut when it was sent)."""


class Carrier:
    """Moves datagrams between transports, and counts and logs what became of each."""

    def __init__(self, loop: VirtualLoop, latency: Latency, fault_rng: random.Random) -> None:
        self.loop = loop
        self.log = EventLog()
        self.public = Space("the public internet")
        self.delivered = 0
        self.dropped = {fate: 0 for fate in Fate if fate not in NOT_DROPPED}
        self._latency = latency
        self._rows = latency.rows
        self._fault_rng = fault_rng
        self._core: Pipe | None = None
        self._jitter_s = 0.0
        self._last_arrival: dict[tuple[int, Endpoint], float] = {}
        self._flows_sweep_at = FLOWS_MAX
        self._partition: Partition | None = None

    # conditions of the whole internet

    def set_faults(self, faults: Faults | None, *, jitter_s: float = 0.0) -> None:
        """Faults of every path across the public internet, and up to `jitter_s` more one way.

        Jitter never reorders packets of one flow.
        """
        self._core = None if faults is None else Pipe(None, faults, self._fault_rng)
        self._jitter_s = jitter_s

    def partition(self, *groups: Iterable["Host"]) -> None:
        """Cut the internet between groups of hosts; those in no group form one more together.

        Packets that were on their way are lost too.
        """
        self._partition = Partition(groups)
        self.note("partition")

    def heal(self) -> None:
        """Undo the partition; packets sent during it are lost all the same."""
        self._partition = None
        self.note("heal")

    def note(self, text: str) -> None:
        """Let a change of the internet's state enter the event log."""
        self.log.add_text(self.loop.now, Fate.CHANGED, text)

    # out

    def send(self, sender: Transport, data: bytes, destination: Endpoint) -> None:
        """Take a datagram from a socket; it arrives later, or never."""
        host, source = sender.host, sender.source
        host.sent_bytes += len(data)
        packet = (sender, source or NOWHERE, data, destination, sender.space, self._partition)
        if host.barred is not None:
            self._drop(host.barred, packet)
        elif source is None:
            self._send_from_nowhere(packet)
        elif host.up is None:
            self._route(packet, self.loop.now)
        else:
            self._through(host.up, packet, self.loop.now, self._route)

    def _send_from_nowhere(self, packet: Packet) -> None:
        """From a socket that is bound to loopback, or to an address that its host lost."""
        if is_loopback(packet[0].bound[0]) and is_loopback(packet[3][0]):
            self._route_nowhere(packet, self.loop.now)
        else:
            self._drop(Fate.STALE_ADDRESS, packet)

    def _route(self, packet: Packet, leaves: float) -> None:
        sender, source, data, destination, space, cut = packet
        owner = space.owners.get(destination[0])
        while owner is None:
            box = space.box
            if box is None or is_loopback(destination[0]):
                self._route_nowhere(packet, leaves)
                return
            outside = box.outbound(source, destination, leaves)
            if isinstance(outside, Fate):
                self._drop(outside, packet)
                return
            source, space = outside, box.outside
            packet = (sender, source, data, destination, space, cut)
            owner = space.owners.get(destination[0])
            if owner is box:
                self._turn_back(box, packet, leaves)
                return
            if box.up is not None:
                self._through(box.up, packet, leaves, self._route)
                return
        if space is not self.public:
            way = space.one_way_s
        elif owner is sender.host:
            way = LOOPBACK_S
        else:
            way = self._rows[sender.host.site][owner.site]
            if self._core is not None or self._jitter_s:
                self._cross_badly(packet, leaves, way)
                return
        self.loop.post_at(leaves + way, self._arrive, packet)

    def _through(
        self, pipe: Pipe, packet: Packet, at: float, onward: Callable[[Packet, float], None]
    ) -> None:
        """Put a packet through a pipe, and what leaves it on its way."""
        sender, source, data, destination, space, cut = packet
        carried = pipe.carry(at, data, sender.is_v6)
        if isinstance(carried, Fate):
            self._drop(carried, packet)
            return
        for leaves, copy in carried:
            onward((sender, source, copy, destination, space, cut), leaves)

    def _cross_badly(self, packet: Packet, leaves: float, way: float) -> None:
        """Across the public internet with jitter, which keeps a flow's order, and faults."""
        arrives = leaves + way
        if self._jitter_s:
            flow = packet[0].number, packet[3]
            arrives += self._fault_rng.random() * self._jitter_s
            arrives = max(arrives, self._last_arrival.get(flow, 0.0))
            self._last_arrival[flow] = arrives
            if len(self._last_arrival) > self._flows_sweep_at:
                self._forget_flows()
        if self._core is None:
            self.loop.post_at(arrives, self._arrive, packet)
        else:
            self._through(self._core, packet, arrives, self._arrive_at)

    def _forget_flows(self) -> None:
        now = self.loop.now
        self._last_arrival = {flow: at for flow, at in self._last_arrival.items() if at > now}
        self._flows_sweep_at = max(FLOWS_MAX, 2 * len(self._last_arrival))

    def _turn_back(self, box: Nat, packet: Packet, leaves: float) -> None:
        """A packet from behind a box to the box's own outside address (RFC 4787 6)."""
        if box.behaviour.hairpinning:
            self._enter_at(box)(packet, leaves + box.inside.one_way_s)
        else:
            self._drop(Fate.NO_HAIRPIN, packet)

    def _route_nowhere(self, packet: Packet, leaves: float) -> None:
        """No space on the way out has the destination: it is the host itself, or nobody."""
        sender, _, data, destination, space, cut = packet
        if not is_loopback(destination[0]):
            self._drop(Fate.UNROUTABLE, packet)
            return
        source = sender.bound
        if sender.is_wildcard:
            source = destination[0], source[1]
        here: Packet = (sender, source, data, destination, space, cut)
        self.loop.post_at(leaves + LOOPBACK_S, self._arrive_at_itself, here)

    # in

    def _arrive_at(self, packet: Packet, at: float) -> None:
        self.loop.post_at(at, self._arrive, packet)

    def _hand_over_at(self, packet: Packet, at: float) -> None:
        self.loop.post_at(at, self._hand_over, packet)

    def _enter_at(self, box: Nat) -> Callable[[Packet, float], None]:
        def onward(packet: Packet, at: float) -> None:
            self.loop.post_at(at, lambda arrived: self._enter(box, arrived), packet)

        return onward

    def _arrive(self, packet: Packet) -> None:
        """At the edge of the destination's space: at a host's line, or at a box."""
        destination, space = packet[3], packet[4]
        transport = space.sockets.get(destination)
        if transport is not None:
            if transport.host.down is None:
                self._deliver(packet, transport)
            else:
                self._through(transport.host.down, packet, self.loop.now, self._hand_over_at)
            return
        owner = space.owners.get(destination[0])
        if not isinstance(owner, Nat):
            self._drop(Fate.UNROUTABLE if owner is None else Fate.NO_SOCKET, packet)
        elif owner.down is None:
            self._enter(owner, packet)
        else:
            self._through(owner.down, packet, self.loop.now, self._enter_at(owner))

    def _enter(self, box: Nat, packet: Packet) -> None:
        sender, source, data, destination, _, cut = packet
        inside = box.inbound(destination, source, self.loop.now)
        if isinstance(inside, Fate):
            self._drop(inside, packet)
        else:
            self._arrive((sender, source, data, inside, box.inside, cut))

    def _hand_over(self, packet: Packet) -> None:
        """Past the host's line: the socket may have closed meanwhile."""
        transport = packet[4].sockets.get(packet[3])
        if transport is None:
            self._drop(Fate.NO_SOCKET, packet)
        else:
            self._deliver(packet, transport)

    def _arrive_at_itself(self, packet: Packet) -> None:
        transport = packet[0].host.listener(packet[3])
        if transport is None:
            self._drop(Fate.NO_SOCKET, packet)
        else:
            self._deliver(packet, transport)

    def _deliver(self, packet: Packet, transport: Transport) -> None:
        sender, source, data, _, _, cut = packet
        host = transport.host
        if host.barred is not None:
            self._drop(host.barred, packet)
            return
        if (cut is not None and cut.separates(sender.host, host)) or (
            self._partition is not None and self._partition.separates(sender.host, host)
        ):
            self._drop(Fate.PARTITIONED, packet)
            return
        if transport.remote is not None and transport.remote != source:
            self._drop(Fate.NO_SOCKET, packet)
            return
        self.delivered += 1
        host.received_bytes += len(data)
        self.log.add(self.loop.now, sender.number, transport.number, kind_of(data), Fate.DELIVERED)
        shown = (*source, 0, 0) if transport.is_v6 else source
        transport.context.run(transport.receive, data, shown)

    def _drop(self, fate: Fate, packet: Packet) -> None:
        sender, _, data, destination, _, _ = packet
        self.dropped[fate] += 1
        self.log.add(self.loop.now, sender.number, 0, kind_of(data), fate)
        self.log.add_text(self.loop.now, fate, f"{destination[0]} {destination[1]}")
