"""One timer of a node for all that wakes at times of its own, and for its ports while data arrive.

To wake up costs a node more than to read a packet. So while data flow it wakes up once for a burst:
the user of a port says at each burst how long the next may wait (`hold`), and for so long the port
does not wake the loop; then all held ports are read. A port whose read brings no data, or of which
nothing is said, wakes the loop at once again: so do idle links, and the first packet after silence.

A hold is cut short where the node's ports together bring more than the kernel may have to keep, and
is not made where it would join less than two datagrams or where the node is mostly awake anyway.
It is as good as none (`prompt`) while an answer is awaited or a link wants nothing to wait: a port
is shared, and what holds it must not cost others a round trip.

Timers of links that send come somewhat late (`leaves`), so that those of many links come together.
"""

import asyncio
from collections.abc import Callable
from heapq import heapify, heappop, heappush
from math import inf
from typing import Final, Protocol

from node.counters import Counters
from node.net.udp.port import Arrival, PortUser

Wake = Callable[[], None]

_SWEPT_AT: Final = 64
"""A heap of fewer entries is not worth a search for those that no longer matter."""

HOLD_MIN_S: Final = 0.001
"""epoll counts whole milliseconds."""
HOLD_MAX_S: Final = 0.025
"""SACKs are as late as this at most."""

PROMPT_S: Final = 0.002
"""How long what others wait for may wait at most."""
PROMPT_FOR_S: Final = 0.1
"""Most answers take no longer; those that do are late by a quarter at most."""

_HOLD_BYTES: Final = 2**16
"""So much may wait in the kernel, whose buffers hold 100 packets where they were not enlarged."""

_RUSH_RATE: Final = _HOLD_BYTES / (3 * HOLD_MIN_S)
"""Bytes a second from which on a node is mostly awake: packets arrive while it reads others, and to
sleep beside that would only cost speed."""

_WORTH_DATAGRAMS: Final = 2.0
"""A hold that brings fewer saves no wake-up."""

_RATE_OVER_S: Final = 0.02
"""Rates are averages of about so long."""


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
    """Calls each `wake` at the time last set for it, or soon after it, and reads held ports.

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
        self._fired_at = -inf
        self._spacing_s = 0.0
        self._busy = False
        self._reading: HeldPort | None = None
        self._wait_s = 0.0
        self._held: dict[HeldPort, float] = {}
        self._prompt_until = -inf
        self._measured_at = -inf
        self._measured = 0, 0
        self._rate = self._datagram_rate = 0.0

    # Times ----------------------------------------------------------------------------------

    def set(self, wake: Wake, at: float | None) -> None:
        """Call `wake` once, at that time or soon after it; None: not at all."""
        if at is None:
            self._times.pop(wake, None)
        elif self._times.get(wake) != at:
            self._times[wake] = at
            self._entries += 1
            heappush(self._heap, (at, self._entries, wake))
            if len(self._heap) > _SWEPT_AT + 2 * len(self._times):
                self._sweep()
            if at < self._fires_at and not self._busy:
                self._arm()

    def leaves(self, spacing_s: float) -> None:
        """A link sends by times that may come so much later, to be met with those of others."""
        self._spacing_s = min(self._spacing_s, spacing_s) if self._spacing_s else spacing_s

    def _sweep(self) -> None:
        times = self._times
        self._heap = [entry for entry in self._heap if times.get(entry[2]) == entry[0]]
        heapify(self._heap)

    def _wake_due(self, now: float) -> None:
        """Call what is due and not set anew by another; if one raises, the others' turn is next."""
        times, heap = self._times, self._heap
        due: dict[Wake, float] = {}
        while heap and heap[0][0] <= now:
            at, _, wake = heappop(heap)
            if times.get(wake) == at:
                due[wake] = at
        try:
            for wake, at in tuple(due.items()):
                del due[wake]
                if times.get(wake) == at:
                    del times[wake]
                    wake()
        finally:
            for wake, at in due.items():
                if times.get(wake) == at:
                    del times[wake]
                    self.set(wake, at)

    # Ports ----------------------------------------------------------------------------------

    def hand_over(self, port: HeldPort, user: PortUser, burst: list[Arrival]) -> None:
        """Give a burst of a port to its user, whose `hold` then concerns this port."""
        before, self._busy = self._busy, True
        self._reading, self._wait_s = port, inf
        try:
            user.burst_received(burst)
        finally:
            if self._reading is port:
                self._reading = None
                self._let_wait(port, self._wait_s)
            self._busy = before
            if not before:
                self._arm()

    def hold(self, wait_s: float) -> None:
        """What arrives next on the port that is being read may wait so long, and no longer.

        Of several waits the shortest counts. Less than HOLD_MIN_S is none: `prompt`.
        """
        if wait_s < HOLD_MIN_S:
            self.prompt()
        else:
            self._measure(self._loop.time())
            self._wait_s = min(self._wait_s, wait_s)

    def prompt(self) -> None:
        """Something is awaited: for PROMPT_FOR_S nothing waits longer than PROMPT_S."""
        now = self._loop.time()
        self._prompt_until = now + PROMPT_FOR_S
        latest = now + PROMPT_S
        if self._held and max(self._held.values()) > latest:
            self._held = {port: min(until, latest) for port, until in self._held.items()}
            if not self._busy:
                self._arm()

    def _let_wait(self, port: HeldPort, wait_s: float) -> None:
        """Hold the port for so long, as far as it is of use; inf: not at all."""
        if wait_s != inf:
            now = self._loop.time()
            most_s = PROMPT_S if now < self._prompt_until else HOLD_MAX_S
            wait_s = min(wait_s, most_s, _HOLD_BYTES / (self._rate + 1.0))
            worth = wait_s >= HOLD_MIN_S and self._datagram_rate * wait_s >= _WORTH_DATAGRAMS
            if worth and self._rate <= _RUSH_RATE:
                if port not in self._held:
                    port.hold()
                self._held[port] = now + wait_s
                return
        self._let_go(port)

    def _let_go(self, port: HeldPort) -> None:
        if self._held.pop(port, None) is not None:
            port.release()

    def forget(self, port: HeldPort) -> None:
        """The port is closing."""
        self._held.pop(port, None)
        if self._reading is port:
            self._reading = None

    def _measure(self, now: float) -> None:
        took_s = now - self._measured_at
        if took_s <= 0.0:
            return
        counters = self._counters
        received, datagrams = counters.bytes_received, counters.datagrams_received
        weight = took_s / (took_s + _RATE_OVER_S) if took_s != inf else 0.0
        self._rate += ((received - self._measured[0]) / took_s - self._rate) * weight
        self._datagram_rate += (
            (datagrams - self._measured[1]) / took_s - self._datagram_rate
        ) * weight
        self._measured = received, datagrams
        self._measured_at = now

    def _poll(self, now: float) -> None:
        """Read the ports that have waited; one that brings nothing waits no more."""
        for port in tuple(self._held):
            if self._held.get(port, inf) <= now:  # and not closed by what another has brought
                try:
                    port.poll()
                finally:
                    if self._held.get(port, inf) <= now:
                        self._let_go(port)

    # The timer ------------------------------------------------------------------------------

    def _fire(self) -> None:
        self._handle, self._fires_at = None, inf
        self._busy, self._spacing_s = True, 0.0
        self._fired_at = now = self._loop.time()
        try:
            self._poll(now)
            self._wake_due(now)
        finally:
            self._busy = False
            self._arm()

    def _arm(self) -> None:
        """Have the loop call at the next time, or when a port has waited."""
        times, heap = self._times, self._heap
        while heap and times.get(heap[0][2]) != heap[0][0]:
            heappop(heap)
        at = max(heap[0][0], self._fired_at + self._spacing_s) if heap else inf
        at = min(at, *self._held.values()) if self._held else at
        if at != self._fires_at:
            if self._handle is not None:
                self._handle.cancel()
            self._fires_at = at
            self._handle = None if at == inf else self._loop.call_at(at, self._fire)
