"""What a path does to packets besides taking time: rate and queue of a line, and its faults.

A `RatedLine` is one direction of an access line: a sender of `rate` bytes a second behind a queue
that drops what does not fit (tail drop). `Faults` describe loss, bursts, reordering, duplicates,
corruption and a path that swallows large packets; a `FaultInjector` applies them.

Two concessions to determinism, because an ECDSA signature's length differs from run to run: a
line charges every DTLS handshake datagram as a full packet, and corruption hits those within
their first bytes.
"""

import random
from dataclasses import dataclass
from typing import Final

from simulations.internet.log import Fate, is_handshake

HEADERS_BYTES: Final = 28
"""IPv4 and UDP headers; an IPv6 packet has 20 bytes more."""
V6_EXTRA_BYTES: Final = 20
FULL_PACKET_BYTES: Final = 1500
QUEUE_BYTES: Final = 256 * 1024
"""A home router's buffer; at 10 Mbit/s it holds 200 ms."""
HANDSHAKE_CORRUPTED_BYTES: Final = 64


@dataclass(frozen=True, slots=True)
class Burst:
    """Gilbert and Elliott's two-state loss: `enter` and `leave` are chances per packet."""

    enter: float
    leave: float
    loss_inside: float = 1.0
    loss_outside: float = 0.0


@dataclass(frozen=True, slots=True)
class Faults:
    """Shares are of packets, 0 to 1. `mtu_bytes` counts the IP header; larger packets vanish."""

    loss: float = 0.0
    burst: Burst | None = None
    reorder: float = 0.0
    reorder_delay_s: float = 0.010
    duplicate: float = 0.0
    corrupt: float = 0.0
    mtu_bytes: int | None = None

    def __post_init__(self) -> None:
        for share in (self.loss, self.reorder, self.duplicate, self.corrupt):
            if not 0 <= share <= 1:
                raise ValueError("a fault's share lies between 0 and 1")


@dataclass(frozen=True, slots=True)
class Access:
    """An access line as a person orders it: bytes a second each way, None for unlimited."""

    up_bytes_s: float | None = None
    down_bytes_s: float | None = None
    queue_bytes: int = QUEUE_BYTES
    faults_up: Faults | None = None
    faults_down: Faults | None = None

    def __post_init__(self) -> None:
        for rate in (self.up_bytes_s, self.down_bytes_s):
            if rate is not None and rate <= 0:
                raise ValueError("a line's rate is above 0, or None for unlimited")


class RatedLine:
    """One direction of a rated line, first in first out."""

    __slots__ = ("_free_at_s", "_queue_bytes", "rate_bytes_s")

    def __init__(self, rate_bytes_s: float, queue_bytes: int) -> None:
        self.rate_bytes_s = rate_bytes_s
        self._queue_bytes = queue_bytes
        self._free_at_s = 0.0

    def carry(self, now: float, size_bytes: int) -> float | None:
        """When the last bit of a packet handed over `now` leaves; None if the queue is full."""
        start = max(now, self._free_at_s)
        waiting_bytes = (start - now) * self.rate_bytes_s
        if waiting_bytes and waiting_bytes + size_bytes > self._queue_bytes:
            return None
        self._free_at_s = start + size_bytes / self.rate_bytes_s
        return self._free_at_s

    def book(self, now: float, size_bytes: float) -> float:
        """When the last bit of so much leaves that is put on the line `now`, however full it is."""
        self._free_at_s = max(now, self._free_at_s) + size_bytes / self.rate_bytes_s
        return self._free_at_s

    def waiting_s(self, now: float) -> float:
        """How long a packet handed over now would wait."""
        return max(self._free_at_s - now, 0.0)


Copy = tuple[float, bytes]
"""(seconds, datagram): extra delay from a fault injector, time of leaving from a pipe."""


class FaultInjector:
    """One direction of a faulty path; it draws from the world's source for faults."""

    __slots__ = ("_faults", "_in_burst", "_rng")

    def __init__(self, faults: Faults, rng: random.Random) -> None:
        self._faults = faults
        self._rng = rng
        self._in_burst = False

    def strike(self, data: bytes) -> list[Copy]:
        """What arrives of one datagram: nothing, itself, or itself twice, late or damaged."""
        faults, draw = self._faults, self._rng.random
        if self._is_lost():
            return []
        if faults.corrupt and draw() < faults.corrupt:
            data = self._flip_bit(data)
        delay = faults.reorder_delay_s if faults.reorder and draw() < faults.reorder else 0.0
        if faults.duplicate and draw() < faults.duplicate:
            return [(delay, data), (delay, data)]
        return [(delay, data)]

    def _is_lost(self) -> bool:
        faults, draw = self._faults, self._rng.random
        burst = faults.burst
        if burst is not None:
            self._in_burst = draw() >= burst.leave if self._in_burst else draw() < burst.enter
            if draw() < (burst.loss_inside if self._in_burst else burst.loss_outside):
                return True
        return bool(faults.loss) and draw() < faults.loss

    def _flip_bit(self, data: bytes) -> bytes:
        length = min(len(data), HANDSHAKE_CORRUPTED_BYTES) if is_handshake(data) else len(data)
        bit = int(self._rng.random() * length * 8)  # one draw, whatever the length
        if not data:
            return data
        damaged = bytearray(data)
        damaged[bit >> 3] ^= 1 << (bit & 7)
        return bytes(damaged)


class Pipe:
    """One direction of an access line, or the core: the line, if it has a rate, then its faults."""

    __slots__ = ("_injector", "_line", "_mtu_bytes")

    def __init__(self, line: RatedLine | None, faults: Faults | None, rng: random.Random) -> None:
        self._line = line
        self._injector = None if faults is None else FaultInjector(faults, rng)
        self._mtu_bytes = None if faults is None else faults.mtu_bytes

    def waiting_s(self, now: float) -> float:
        """How long a packet handed over now would wait for those before it."""
        return 0.0 if self._line is None else self._line.waiting_s(now)

    @property
    def rate_bytes_s(self) -> float | None:
        """That of the line; None if it has none."""
        return None if self._line is None else self._line.rate_bytes_s

    def book(self, now: float, size_bytes: float) -> float:
        """When so much leaves that is no packet, and that no fault strikes."""
        return now if self._line is None else self._line.book(now, size_bytes)

    def carry(self, now: float, data: bytes, is_v6: bool) -> list[Copy] | Fate:
        """The copies that leave and when, at least one; or why none does."""
        size = len(data) + HEADERS_BYTES + (V6_EXTRA_BYTES if is_v6 else 0)
        if self._mtu_bytes is not None and size > self._mtu_bytes:
            return Fate.TOO_BIG
        leaves = now
        if self._line is not None:
            left = self._line.carry(now, FULL_PACKET_BYTES if is_handshake(data) else size)
            if left is None:
                return Fate.QUEUE_FULL
            leaves = left
        if self._injector is None:
            return [(leaves, data)]
        copies = self._injector.strike(data)
        return [(leaves + delay, copy) for delay, copy in copies] if copies else Fate.LOST


def pipes(access: Access | None, rng: random.Random) -> tuple[Pipe | None, Pipe | None]:
    """The two directions of an access line, up and down; None where nothing happens to packets."""
    if access is None:
        return None, None
    return (
        _pipe(access.up_bytes_s, access.queue_bytes, access.faults_up, rng),
        _pipe(access.down_bytes_s, access.queue_bytes, access.faults_down, rng),
    )


def _pipe(
    rate: float | None, queue_bytes: int, faults: Faults | None, rng: random.Random
) -> Pipe | None:
    if rate is None and faults is None:
        return None
    return Pipe(None if rate is None else RatedLine(rate, queue_bytes), faults, rng)
