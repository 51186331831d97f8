"""The largest packet that a path carries whole, found by probing (RFC 8899, 5).

The search begins at the top: most paths carry a full Ethernet frame, and are known within one round
trip. A size whose probes are not answered is too large, and the next smaller one is tried. Later
the search begins anew, for paths change. Times are seconds.
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


class PacketSize:
    """`packet_bytes` is known to arrive; `next_at` is when to ask `due` again."""

    __slots__ = ("_candidates", "_sizes", "_tries", "next_at", "packet_bytes")

    def __init__(self, sizes: tuple[int, ...] = PACKET_SIZES) -> None:
        self._sizes = sizes
        self._candidates: list[int] = []
        self._tries = 0
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
        self.give_up()

    def due(self, now: float) -> int | None:
        """The size of the probe to send now, if one is due."""
        if now < self.next_at:
            return None
        if not self._candidates:
            self.start(now)
        elif self._tries == _PROBES_PER_SIZE:
            self._candidates.pop()
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

    def give_up(self) -> None:
        """Search no more: probes cannot be kept whole here."""
        self._candidates = []
        self.next_at = inf
