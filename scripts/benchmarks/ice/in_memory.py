"""Pairs of our agents without sockets, in simulated time: what the agents themselves cost."""

import heapq
import random
from collections.abc import Callable

from protocol.addresses import Address
from protocol.ice.agent import IceAgent
from protocol.ice.candidates import CandidateKind, IceCredentials
from protocol.ice.events import PairSelected
from protocol.ice.settings import IceSettings
from protocol.ice.unproved import NetworkAllowance

_LATENCY_S = 0.05


class End:
    """One agent behind a router: it names its own address and the router's, and an IPv6 one."""

    def __init__(self, number: int, *, controlling: bool, allowance: NetworkAllowance) -> None:
        self.credentials = IceCredentials(f"u{number:07}", f"{number:024}")
        self.is_open = False
        self.agent = IceAgent(
            controlling=controlling,
            credentials=self.credentials,
            transaction_prefix=number.to_bytes(4),
            rng=random.Random(number),
            settings=IceSettings(),
            allowance=allowance,
        )
        self.inside = Address(f"192.168.{number % 250}.2", 4001)
        self.outside = Address(f"7.{number >> 8}.{number & 255}.1", 4001)
        self.six = Address(f"2001:db8:{number:x}::1", 4001)
        add = self.agent.add_local
        add(CandidateKind.HOST, self.inside, self.inside, 0.0)
        add(CandidateKind.SERVER_REFLEXIVE, self.outside, self.inside, 0.0)
        add(CandidateKind.HOST, self.six, self.six, 0.0)

    def start(self, other: "End", now: float) -> None:
        """Begin, with the other's candidates. IPv6 leads nowhere."""
        self.agent.start(other.credentials, now)
        self.agent.add_remote(CandidateKind.HOST, other.inside, now)
        self.agent.add_remote(CandidateKind.SERVER_REFLEXIVE, other.outside, now)
        self.agent.add_remote(CandidateKind.HOST, other.six, now)
        self.agent.end_of_candidates()


class World:
    """Delivers what agents send, and wakes them: one heap for all."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.datagrams = 0
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._order = 0
        self._ends: dict[Address, End] = {}

    def link(self, caller: End, callee: End) -> None:
        """Let two agents find their pair."""
        for end in (caller, callee):
            self._ends[end.outside] = end
        for end, other in ((callee, caller), (caller, callee)):
            end.start(other, self.now)
            self.settle(end)

    def at(self, when: float, action: Callable[[], None]) -> None:
        """Do it then."""
        self._order += 1
        heapq.heappush(self._queue, (when, self._order, action))

    def settle(self, end: End) -> None:
        """Send what an agent has to send, and note when it wants to be woken."""
        datagrams, events = end.agent.take()
        for event in events:
            end.is_open = end.is_open or (isinstance(event, PairSelected) and event.nominated)
        self.datagrams += len(datagrams)
        for data, base, remote, _ in datagrams:
            other = self._ends.get(remote)
            if other is not None and base == end.inside:
                self.at(self.now + _LATENCY_S, self._delivery(other, data, end.outside))
        wake_at = end.agent.wake_at
        if wake_at is not None:
            self.at(max(wake_at, self.now), self._waking(end))

    def _delivery(self, end: End, data: bytes, source: Address) -> Callable[[], None]:
        def deliver() -> None:
            end.agent.receive(data, source, end.inside, self.now)
            self.settle(end)

        return deliver

    def _waking(self, end: End) -> Callable[[], None]:
        def wake() -> None:
            at = end.agent.wake_at
            if at is not None and at <= self.now:
                end.agent.wake(self.now)
                self.settle(end)

        return wake

    def run(self, until: Callable[[], bool]) -> None:
        """Let time pass until something holds."""
        while self._queue and not until():
            when, _, action = heapq.heappop(self._queue)
            self.now = max(self.now, when)
            action()
