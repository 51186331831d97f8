"""What a peer may make an association do, beyond what carries data or acknowledges ours.

A packet can have hundreds of chunks that cost much to read and nothing to send. So each burst is
charged for what it had, and earns by what came of it; the rest is paid from a token bucket.
"""

from protocol.sctp import chunks, limits
from protocol.sctp.errors import AssociationFlooded

WORK_OF_KIND = {
    chunks.DATA: 1,
    chunks.PIECE: 1,
    chunks.SACK: 1,
    chunks.RECONFIG: limits.WORK_OF_RESET,
    chunks.FORWARD_TSN: limits.WORK_OF_RESET,
    chunks.INIT: limits.WORK_OF_HANDSHAKE,
    chunks.COOKIE_ECHO: limits.WORK_OF_HANDSHAKE,
}
"""Work of a chunk by its type; of others WORK_OF_CONTROL."""


class WorkBudget:
    """Work is counted in chunks read, times are seconds of one monotonic clock.

    `charged` is work of the present burst.
    """

    __slots__ = ("_at", "_left", "_progress", "charged")

    def __init__(self) -> None:
        self.charged = 0
        self._left = float(limits.WORK_BURST)
        self._at = 0.0
        self._progress = 0

    def note(self, work: int) -> None:
        """Count work, which is paid for with its burst."""
        self.charged += work

    def charge(self, work: int) -> None:
        """The same; raises AssociationFlooded if no burst may cause so much."""
        self.charged += work
        if self.charged > limits.WORK_BURST:
            raise AssociationFlooded

    def settle(self, packets: int, progress: int, now: float) -> None:
        """Pay for a burst of so many packets.

        `progress` counts the bytes of new data and of acknowledged ones since the association
        began. Raises AssociationFlooded.
        """
        earned = max(progress - self._progress, 0) / limits.WORK_EARNED_BYTES
        refilled = max(now - self._at, 0.0) * limits.WORK_RATE
        left = self._left + earned + refilled - packets - self.charged
        self._left = min(left, limits.WORK_BURST)
        self._at, self._progress, self.charged = now, progress, 0
        if left < 0.0:
            raise AssociationFlooded
