"""The largest packet that a path carries whole, found by probing (RFC 8899, 5).

The search begins at the top: most paths carry a full Ethernet frame, and are known within one round
trip. A size whose probes are not answered is too large, and the next smaller one is tried. Later
the search begins anew, for paths change. A path that begins to swallow large packets says nothing
of it, and shows in what is acknowledged (4.3). Times are seconds.
"""

from math import inf

from protocol.sctp import limits

PACKET_SIZES = (1188, 1352, 1392, 1412, 1424, 1432)
"""SCTP packets that fit, under DTLS (37 bytes) and UDP: the smallest IPv6 path, a WireGuard tunnel,
1460 bytes as mobile networks have them, Ethernet's 1500 under IPv6 or in a tunnel, DSL's 1492, and
1500."""

LOOPBACK_SIZES = (*PACKET_SIZES, limits.PACKET_BYTES_MAX)
"""A loopback interface carries 16384 bytes (macOS) or 65536 (Linux), which no other path does."""


def packet_sizes(is_loopback: bool) -> tuple[int, ...]:
    """Those that a path may carry."""
    return LOOPBACK_SIZES if is_loopback else PACKET_SIZES


_PROBES_PER_SIZE = 3
"""MAX_PROBES."""
_PROBE_S = 1.0
"""PROBE_TIMER; less than the 15 s of the RFC, since data flows meanwhile and tells of the path."""
_RAISE_S = 600.0
"""PMTU_RAISE_TIMER."""
_AFTER_BLACK_HOLE_S = 60.0
_LOST_MIN = 4
_TESTS = 2


class PacketSize:
    """`packet_bytes` is known to arrive; `next_at` is when to ask `due` again."""

    __slots__ = (
        "_candidates",
        "_doubted",
        "_narrow_at",
        "_sizes",
        "_tries",
        "_wait_s",
        "next_at",
        "packet_bytes",
    )

    def __init__(self, sizes: tuple[int, ...] = PACKET_SIZES) -> None:
        self._sizes = sizes
        self._candidates: list[int] = []
        self._tries = 0
        self._doubted = 0
        self._narrow_at = -inf
        self._wait_s = 0.0
        self.packet_bytes = sizes[0]
        self.next_at = inf

    def start(self, now: float) -> None:
        """Begin to search now, from the largest size on."""
        self._candidates = [size for size in self._sizes if size > self.packet_bytes]
        self._tries = 0
        self.next_at = now if self._candidates else inf

    def path_changed(self, sizes: tuple[int, ...]) -> None:
        """Another path may carry these; the smallest fits every one, and `start` finds the rest."""
        self._sizes = sizes
        self.packet_bytes = sizes[0]
        self._narrow_at = -inf
        self._wait_s = 0.0
        self.give_up()

    def due(self, now: float) -> int | None:
        """The size of the probe to send now, if one is due."""
        if now < self.next_at:
            return None
        if not self._candidates:
            self.start(now)
        elif self._tries == _PROBES_PER_SIZE:
            if self._candidates.pop() == self._doubted:
                self._narrow_at, self._doubted = now, 0
            self._tries = 0
        if not self._candidates:
            self.next_at = now + _RAISE_S
            return None
        self._tries += 1
        self.next_at = now + _PROBE_S
        return self._candidates[-1]

    def probed(self, packet_bytes: int, now: float) -> bool:
        """A probe of this size arrived; whether `packet_bytes` has grown by that."""
        if packet_bytes not in self._sizes or packet_bytes <= self.packet_bytes:
            return False
        self.packet_bytes = packet_bytes
        self._candidates = []
        self.next_at = inf if packet_bytes == self._sizes[-1] else now + _RAISE_S
        return True

    def lost(self, now: float) -> bool:
        """Nothing arrives any more (4.3): back to the smallest; whether that is a change."""
        if self.packet_bytes == self._sizes[0]:
            return False
        self.packet_bytes = self._sizes[0]
        self._candidates = []
        self.next_at = now + _AFTER_BLACK_HOLE_S
        return True

    def narrowed(self, now: float, *, had_carried: bool) -> None:
        """Large packets seem to be swallowed (4.3): back to the smallest.

        A probe of the same size asks at once whether losses only looked so. But where the size had
        probes pass and no data (not `had_carried`), or the path has narrowed before and not long
        ago, the search waits, each time twice as long.
        """
        recurs = not had_carried or now - self._narrow_at < _RAISE_S
        self._wait_s = min(max(2 * self._wait_s, _AFTER_BLACK_HOLE_S), _RAISE_S) if recurs else 0.0
        self._doubted, self.packet_bytes = self.packet_bytes, self._sizes[0]
        self._candidates = [
            size for size in self._sizes if self.packet_bytes < size <= self._doubted
        ]
        self._tries = 0
        self.next_at = now + self._wait_s

    def give_up(self) -> None:
        """Search no more: probes cannot be kept whole here."""
        self._candidates = []
        self.next_at = inf


class LargePackets:
    """What became of packets larger than those that every path carries, by when they left.

    Where some were lost in a row there is doubt: size may be the reason, or a pause of the path,
    which takes small ones as well. So two chunks are repeated in large packets once a small one has
    arrived that left after the last large one to do so. If these are lost too, size is the reason:
    where a tenth is lost that happens by chance after one pause in a hundred.

    `has_arrived`: one has since the packets grew, so that not only probes of the size pass.
    """

    __slots__ = ("_arrived_at", "_lost", "_lost_alive", "_small_at", "_tests", "has_arrived")

    def __init__(self) -> None:
        self.has_arrived = False
        self.forget(-inf)

    def forget(self, now: float) -> None:
        """What has left until now tells nothing of what comes."""
        self._arrived_at = now
        self._small_at = inf
        self._lost = self._lost_alive = self._tests = 0

    def grow(self) -> None:
        """Packets are larger from now on."""
        self.has_arrived = False

    def arrived(self, left_at: float, *, is_large: bool) -> None:
        """A packet that left then has arrived."""
        if is_large:
            self.forget(max(left_at, self._arrived_at))
            self.has_arrived = True
        elif left_at > self._arrived_at:
            self._small_at = min(self._small_at, left_at)

    def lost(self, left_at: float) -> None:
        """One that left then has been lost."""
        if left_at > self._arrived_at:
            self._lost += 1
            self._lost_alive += left_at >= self._small_at

    def are_doubtful(self, in_flight: int = 0) -> bool:
        """Whether so many were lost, counting these, that what is repeated should leave small."""
        return self._lost + in_flight >= _LOST_MIN

    def take_test(self) -> bool:
        """Whether one more should leave to tell whether size is the reason."""
        wanted = self.are_doubtful() and self._small_at < inf and self._tests < _TESTS
        self._tests += wanted
        return wanted

    @property
    def are_swallowed(self) -> bool:
        """Whether size is the reason, as far as can be told."""
        return self.are_doubtful() and self._lost_alive >= _TESTS
