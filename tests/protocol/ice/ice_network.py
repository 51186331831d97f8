"""Agents on a network in memory and in simulated time: latency, loss, and boxes like NATs."""

import heapq
import ipaddress
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar, cast

import pytest

from protocol.addresses import Address
from protocol.errors import RemoteError
from protocol.ice.agent import IceAgent
from protocol.ice.candidates import CandidateKind, IceCredentials
from protocol.ice.events import IceDatagram, IceEvent, PairSelected
from protocol.ice.settings import IceSettings
from protocol.ice.unproved import NetworkAllowance
from protocol.turn.virtual import is_virtual

HOST = CandidateKind.HOST
REFLEXIVE = CandidateKind.SERVER_REFLEXIVE
RELAYED = CandidateKind.RELAYED

A = Address("5.0.0.1", 4001)
B = Address("6.0.0.1", 4001)
VIA_A = Address("100::a", 3478)
VIA_B = Address("100::b", 3478)
INSIDE_A = Address("192.168.1.2", 4001)
INSIDE_B = Address("192.168.2.2", 4001)
OUTSIDE_A = Address("7.0.0.1", 4001)
OUTSIDE_B = Address("8.0.0.1", 4001)
"""The addresses of two ends: public hosts, allocations at a relay, and inside and outside NATs."""

RTT_S = 0.1

_Event = TypeVar("_Event", bound=IceEvent)

_PRIVATE = ipaddress.ip_network("192.168.0.0/16")

Route = Callable[[Address, Address], float | None]
"""Seconds from one outside address to another, or None where nothing arrives."""


@dataclass
class Nat:
    """Endpoint-independent mapping that keeps the port, address- and port-dependent filtering.

    `dependent`: a mapping of its own for each remote address. `open`: no filtering. `hairpins`:
    what is sent to the box from inside comes back in, with the inside source if `shows_inside`.
    """

    host: str
    dependent: bool = False
    open: bool = False
    hairpins: bool = False
    shows_inside: bool = False
    offset: int = 0
    mappings: dict[tuple[Address, Address | None], Address] = field(default_factory=dict)
    allowed: set[tuple[Address, Address]] = field(default_factory=set)

    def out(self, source: Address, remote: Address) -> Address:
        key = (source, remote if self.dependent else None)
        if key not in self.mappings:
            port = source.port + self.offset + (len(self.mappings) if self.dependent else 0)
            self.mappings[key] = Address(self.host, port)
        outside = self.mappings[key]
        self.allowed.add((outside, remote))
        return outside

    def back(self, outside: Address, remote: Address) -> Address | None:
        """The inside address of what arrives, or None where the filter drops it."""
        if not self.open and (outside, remote) not in self.allowed:
            return None
        return next((key[0] for key, value in self.mappings.items() if value == outside), None)

    def inside(self, outside: Address) -> Address:
        return next(key[0] for key, value in self.mappings.items() if value == outside)

    def forget(self) -> None:
        """Lose all mappings; new ones get other ports."""
        self.mappings.clear()
        self.allowed.clear()
        self.offset += 1000


class End:
    """One agent with its ports, and what it told."""

    def __init__(self, name: str, agent: IceAgent, nat: Nat | None) -> None:
        self.name = name
        self.agent = agent
        self.nat = nat
        self.credentials = IceCredentials(f"{name}ufrag", name * 24)
        self.events: list[tuple[float, IceEvent]] = []
        self.refused: list[RemoteError] = []
        self.sent: list[tuple[float, IceDatagram]] = []

    def told(self, kind: type[_Event]) -> list[tuple[float, _Event]]:
        return [(at, event) for at, event in self.events if isinstance(event, kind)]

    @property
    def selections(self) -> list[tuple[float, Address, Address]]:
        return [(at, one.base, one.remote) for at, one in self.told(PairSelected)]

    def sent_to(self, remote: Address) -> list[IceDatagram]:
        return [datagram for _, datagram in self.sent if datagram.remote == remote]


def about(seconds: float) -> float:
    """Equal to sums of floats that come to so many seconds."""
    return cast("float", pytest.approx(seconds))


def _lan(nat: Nat | None) -> str:
    return "" if nat is None else nat.host


class Network:
    """Runs agents. `lost` decides by sender, datagram and time what does not arrive."""

    def __init__(self, latency_s: float = 0.05) -> None:
        self.now = 1000.0
        self.latency_s = latency_s
        self.route: Route = lambda _source, _remote: self.latency_s
        self.lost: Callable[[End, IceDatagram], bool] = lambda _end, _datagram: False
        self.ends: dict[tuple[str, Address], End] = {}
        self.nats: dict[str, Nat] = {}
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._order = 0
        self._all: list[End] = []

    def at(self, delay_s: float, action: Callable[[], None]) -> None:
        self._order += 1
        heapq.heappush(self._queue, (self.now + delay_s, self._order, action))

    def add(
        self,
        name: str,
        *,
        controlling: bool,
        settings: IceSettings | None = None,
        nat: Nat | None = None,
        seed: int = 1,
        goes_by_stream: Callable[[Address], bool] = lambda _base: False,
    ) -> End:
        agent = IceAgent(
            controlling=controlling,
            credentials=IceCredentials(f"{name}ufrag", name * 24),
            transaction_prefix=name.encode().ljust(4, b".")[:4],
            rng=random.Random(f"{name}{seed}"),
            settings=settings or IceSettings(),
            allowance=NetworkAllowance(),
            goes_by_stream=goes_by_stream,
        )
        end = End(name, agent, nat)
        self._all.append(end)
        if nat is not None:
            self.nats[nat.host] = nat
        return end

    def bind(self, end: End, base: Address) -> None:
        lan = "" if is_virtual(base) else _lan(end.nat)
        self.ends[lan, base] = end

    # Running --------------------------------------------------------------------------------

    def run(self, seconds: float) -> None:
        """Let time pass, event by event."""
        until = self.now + seconds
        self.settle()
        while True:
            wakes = [end.agent.wake_at for end in self._all]
            due = min((at for at in wakes if at is not None), default=until)
            due = min(due, self._queue[0][0] if self._queue else until)
            if due >= until:
                break
            self.now = max(self.now, due)
            if self._queue and self._queue[0][0] <= self.now:
                heapq.heappop(self._queue)[2]()
            else:
                for end in self._all:
                    at = end.agent.wake_at
                    if at is not None and at <= self.now:
                        end.agent.wake(self.now)
            self.settle()
        self.now = until

    def settle(self) -> None:
        """Send what agents have to send, and note what they tell."""
        for end in self._all:
            output = end.agent.take()
            end.events += [(self.now, event) for event in output.events]
            for datagram in output.datagrams:
                end.sent.append((self.now, datagram))
                self._send(end, datagram)

    def _send(self, end: End, datagram: IceDatagram) -> None:
        """An address that is bound in the sender's LAN is reached there, and by no NAT."""
        source, remote = datagram.base, datagram.remote
        near = self.ends.get((_lan(end.nat), remote))
        if near is None and end.nat is not None and not is_virtual(source):
            source = end.nat.out(source, remote)
        if datagram.ttl is not None or self.lost(end, datagram):
            return
        if near is None and ipaddress.ip_address(remote.host) in _PRIVATE:
            return
        delay_s = self.route(source, remote)
        if delay_s is None:
            return
        if near is not None:
            self.at(delay_s, lambda: self.deliver(near, datagram.data, source, remote))
        else:
            self.at(delay_s, lambda: self._arrive(datagram.data, source, remote))

    def _arrive(self, data: bytes, source: Address, remote: Address) -> None:
        """A datagram comes to an outside address: a host's, a relay's or a NAT's."""
        nat = self.nats.get(remote.host)
        local: Address | None = remote
        if nat is not None:
            local = nat.back(remote, source)
            if source.host == nat.host:
                local = local if nat.hairpins else None
                source = nat.inside(source) if nat.shows_inside else source
        end = None if local is None else self.ends.get((_lan(nat), local))
        if end is not None and local is not None:
            self.deliver(end, data, source, local)

    def deliver(self, end: End, data: bytes, source: Address, local: Address) -> None:
        try:
            end.agent.receive(data, source, local, self.now)
        except RemoteError as error:
            end.refused.append(error)


def connect(
    network: Network,
    caller: End,
    callee: End,
    callers: Iterable[tuple[CandidateKind, Address, Address]],
    callees: Iterable[tuple[CandidateKind, Address, Address]],
    *,
    skew_s: float = 0.0,
    budget_bytes: int = 1200,
    hold_off_s: float = 0.0,
    waits_for_direct: bool = True,
) -> None:
    """Give each the other's candidates; the callee begins at once, the caller after `skew_s`.

    The callee holds off its direct checks for `hold_off_s`.
    """
    callers, callees = list(callers), list(callees)
    for end, own in ((caller, callers), (callee, callees)):
        for kind, address, base in own:
            network.bind(end, base)
            end.agent.add_local(kind, address, base, network.now)

    def start(end: End, other: End, theirs: list[tuple[CandidateKind, Address, Address]]) -> None:
        end.agent.start(
            other.credentials,
            network.now,
            budget_bytes=budget_bytes,
            hold_off_until=network.now + hold_off_s if end is callee else 0.0,
            waits_for_direct=waits_for_direct,
        )
        for kind, address, _ in theirs:
            end.agent.add_remote(kind, address, network.now)
        end.agent.end_of_candidates()

    start(callee, caller, callers)
    network.at(skew_s, lambda: start(caller, callee, callees))


def linked(network: Network) -> tuple[End, End]:
    """Two public hosts, 5 s after they have begun."""
    a = network.add("a", controlling=True)
    b = network.add("b", controlling=False)
    connect(network, a, b, [(HOST, A, A)], [(HOST, B, B)])
    network.run(5)
    return a, b
