"""One timer of a node for all that wakes at times of its own, and for its ports while data arrive.

While packets flow, a node that woke up for each of them would spend its time on waking up. So it
wakes up on a beat instead: it reads its ports empty, sends what is due, and sleeps until the next
beat, in the manner of NAPI. Ports that are held by the beat do not wake the loop. Where no data
arrive, or the round trip is too short for a beat to be small beside it, each arrival wakes the loop
at once. The times of SACKs are what a sender knows of its path: read on a beat of a quarter of the
round trip they show a rate some percent too high, and the queue of the line fills. So beats are
shorter while data leave, and there are none where they would bring less than two datagrams.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from heapq import heapify, heappop, heappush
from math import inf
from typing import Final, Protocol

from node.counters import Counters
from node.net.udp.port import Arrival, PortUser

Wake = Callable[[], None]

_SWEPT_AT: Final = 64
"""A heap of fewer entries is not worth a search for those that no longer matter."""

BEAT_MIN_S: Final = 0.001
"""epoll counts whole milliseconds."""
BEAT_MAX_S: Final = 0.005
_BEAT_FIRST_S: Final = 0.002
_SHARE_OF_ROUND_TRIP: Final = 4
_SHARE_WHILE_SENDING: Final = 16
"""At least so many beats fit into a round trip."""

_BEAT_BYTES: Final = 3 * 2**14
"""So much a beat moves, if its bounds allow: more would save little beside what the bytes cost."""

_RUSH_RATE: Final = _BEAT_BYTES / (2 * BEAT_MIN_S)
"""Bytes a second from which on a node is mostly awake: packets arrive while it reads others, and to
sleep beside that would only cost speed."""

_WORTH_DATAGRAMS: Final = 2.0
_NOT_WORTH_S: Final = 0.1
"""Beats that bring fewer on average save no wake-up; they are tried again so much later."""

_RATE_OVER_S: Final = 0.02
"""The rate is an average of about so long."""

_STRETCH: Final = 1.25
"""A deadline is waited for instead of beating twice, if it is so much of a beat away at most."""

_REMEMBERED_S: Final = 0.1
"""What the rate was counts for so long."""

_RELAXED: Final = 1.01

LASTS_S: Final = 0.01
"""The beat goes on so long after data flowed: at low rates a beat may find nothing."""


class HeldPort(Protocol):
    """A port as the beat sees it; `hold`, any number of `poll`, `release`, and again."""

    def hold(self) -> None:
        """Hand over nothing but in `poll`."""
        ...

    def poll(self) -> None:
        """Hand over what has arrived, up to a bound."""
        ...

    def release(self) -> None:
        """Hand over what arrives at once, in a later turn of the loop."""
        ...


class Beat:
    """Calls each `wake` at the time last set for it, or at the first beat after that.

    Times are the loop's own clock. `counters` tell how much the node's ports move.
    """

    def __init__(self, counters: Counters) -> None:
        self._loop = asyncio.get_running_loop()
        self._counters = counters
        self._times: dict[Wake, float] = {}
        self._heap: list[tuple[float, int, Wake]] = []
        self._entries = 0
        self._handle: asyncio.TimerHandle | None = None
        self._fires_at = inf
        self._firing = False
        self._reading: HeldPort | None = None
        self._held: dict[HeldPort, None] = {}
        self._beat_s = _BEAT_FIRST_S
        self._longest_s = BEAT_MAX_S
        self._beaten_at = -inf
        self._read = 0, 0
        self._rate = 0.0
        self._datagram_rate = 0.0
        self._burst_s = BEAT_MAX_S
        self._flows_until = -inf
        self._rushes_until = -inf

    # Times ----------------------------------------------------------------------------------

    def set(self, wake: Wake, at: float | None) -> None:
        """Call `wake` once, at that time or the beat after it; None: not at all."""
        if at is None:
            self._times.pop(wake, None)
        elif self._times.get(wake) != at:
            self._times[wake] = at
            self._entries += 1
            heappush(self._heap, (at, self._entries, wake))
            if len(self._heap) > _SWEPT_AT + 2 * len(self._times):
                self._sweep()
            if at < self._fires_at and not self._firing:
                self._arm()

    def _sweep(self) -> None:
        times = self._times
        self._heap = [entry for entry in self._heap if times.get(entry[2]) == entry[0]]
        heapify(self._heap)

    def _wake_due(self) -> None:
        """Call what is due; what one raises keeps the others waiting for no more than a beat."""
        now, times, heap = self._loop.time(), self._times, self._heap
        due: deque[Wake] = deque()
        while heap and heap[0][0] <= now:
            at, _, wake = heappop(heap)
            if times.get(wake) == at:
                del times[wake]
                due.append(wake)
        try:
            while due:
                due.popleft()()
        finally:
            for wake in due:
                self.set(wake, self._times.get(wake, now))

    # Flow -----------------------------------------------------------------------------------

    def hand_over(self, port: HeldPort, user: PortUser, burst: list[Arrival]) -> None:
        """Give a burst of a port to its user, whose `arrives` then concerns this port."""
        self._reading = port
        try:
            user.burst_received(burst)
        finally:
            self._reading = None

    def arrives(self, now: float, round_trip_s: float | None) -> None:
        """Data arrive on a path with this round trip: beat, and hold the port that is being read.

        On a path that is too short for that, or of which nothing is known, every arrival counts.
        """
        longest_s = (round_trip_s or 0.0) / _SHARE_OF_ROUND_TRIP
        if longest_s < BEAT_MIN_S:
            self._rush(now + LASTS_S)
        if now < self._rushes_until:
            return
        self._flow(now)
        self._longest_s = min(self._longest_s, longest_s)
        self._burst_s = min(self._burst_s, longest_s)
        self._hold()

    def leaves(self, now: float, round_trip_s: float | None, burst_s: float) -> None:
        """Data leave by deadlines; so much later each may come, to leave in one burst.

        That is at most a share of the round trip, and nothing where that is too short or unknown.
        """
        longest_s = (round_trip_s or 0.0) / _SHARE_OF_ROUND_TRIP
        if longest_s < BEAT_MIN_S:
            return
        self._flow(now)
        self._burst_s = min(self._burst_s, burst_s, longest_s)
        jitter_s = longest_s * _SHARE_OF_ROUND_TRIP / _SHARE_WHILE_SENDING
        self._longest_s = min(self._longest_s, max(jitter_s, BEAT_MIN_S))
        if now >= self._rushes_until:
            self._hold()

    def _hold(self) -> None:
        """Hold the port that is being read, if one is."""
        self._beat_s = min(self._beat_s, self._longest_s)
        port = self._reading
        if port is not None and port not in self._held:
            self._held[port] = None
            port.hold()
            if not self._firing:
                self._arm()

    def _flow(self, now: float) -> None:
        if now >= self._flows_until:
            self._beat_s, self._longest_s, self._burst_s = _BEAT_FIRST_S, BEAT_MAX_S, BEAT_MAX_S
            if now - self._beaten_at > _REMEMBERED_S:
                self._rate = _BEAT_BYTES / _BEAT_FIRST_S
                self._datagram_rate = 2 * _WORTH_DATAGRAMS / BEAT_MIN_S
            self._beaten_at = now
            self._read = self._counters.bytes_received, self._counters.datagrams_received
        self._flows_until = now + LASTS_S

    def forget(self, port: HeldPort) -> None:
        """The port is closing."""
        self._held.pop(port, None)

    def _rush(self, until: float) -> None:
        """Let every arrival count for a while."""
        self._rushes_until = until
        self._release()

    def _release(self) -> None:
        held, self._held = self._held, {}
        for port in held:
            port.release()

    def _adapt(self, now: float) -> None:
        """Choose when the next beat comes, or that none does."""
        took_s = now - self._beaten_at
        weight = took_s / (took_s + _RATE_OVER_S)
        counters, before = self._counters, self._read
        self._read = read = counters.bytes_received, counters.datagrams_received
        rate, datagram_rate = (
            (new - old) / (took_s or inf) for new, old in zip(read, before, strict=True)
        )
        self._rate += (rate - self._rate) * weight
        self._datagram_rate += (datagram_rate - self._datagram_rate) * weight
        self._beaten_at = now
        self._beat_s = min(max(_BEAT_BYTES / (self._rate + 1.0), BEAT_MIN_S), self._longest_s)
        if now >= self._flows_until:
            self._flows_until = -inf
            self._release()
        elif self._held and rate > _RUSH_RATE:
            self._rush(now + LASTS_S)
        elif self._held and self._datagram_rate * self._beat_s < _WORTH_DATAGRAMS:
            self._rush(now + _NOT_WORTH_S)
        # The path that asked for short ones may have ceased to flow, while others go on.
        self._longest_s = min(self._longest_s * _RELAXED, BEAT_MAX_S)
        self._burst_s = min(self._burst_s * _RELAXED, BEAT_MAX_S)

    # The timer ------------------------------------------------------------------------------

    def _fire(self) -> None:
        self._handle, self._fires_at = None, inf
        self._firing = True
        now = self._loop.time()
        try:
            for port in tuple(self._held):
                if port in self._held:  # and not closed by what another has brought
                    port.poll()
            self._wake_due()
        finally:
            self._firing = False
            if self._flows_until != -inf:
                self._adapt(now)
            self._arm()

    def _arm(self) -> None:
        """Have the loop call at the next deadline or beat."""
        times, heap = self._times, self._heap
        while heap and times.get(heap[0][2]) != heap[0][0]:
            heappop(heap)
        at = heap[0][0] if heap else inf
        if self._flows_until != -inf:
            at = max(at, self._beaten_at + self._burst_s)
            if self._held and at > self._beaten_at + self._beat_s * _STRETCH:
                at = self._beaten_at + self._beat_s
        if at < self._fires_at:
            if self._handle is not None:
                self._handle.cancel()
            self._fires_at = at
            self._handle = self._loop.call_at(at, self._fire)
