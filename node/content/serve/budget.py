"""What one peer may ask of this node for content, whatever links it comes by.

An honest peer asks once for a chunk that is then sent to it, and for little else. So each chunk
that was sent pays for a request, and others come at a bounded rate.
"""

from protocol import limits
from protocol.content import frames
from protocol.content.frames import ContentRequest
from protocol.errors import OverLimit
from protocol.rate_limit import RateLimit


class PeerBudget:
    """The requests and the streams of one peer. `now` is monotonic seconds."""

    def __init__(self) -> None:
        self._requests = RateLimit(
            limits.CONTENT_REQUESTS_PER_SECOND, limits.CONTENT_REQUESTS_BURST
        )
        self._opens = RateLimit(limits.OPENS_PER_SECOND, limits.OPENS_BURST)

    def charge(self, request: ContentRequest, now: float) -> None:
        """Count a request; raises OverLimit."""
        chunks = len(request.chunks) if isinstance(request, frames.GetChunks) else 0
        if not self._requests.take(now, 1 + chunks // limits.CHUNKS_PER_REQUEST_UNIT):
            raise OverLimit("more requests than one peer may make")

    def chunk_sent(self) -> None:
        """A chunk that was asked for was sent: that pays for another request."""
        self._requests.give_back()

    def wait_to_open(self, now: float) -> float:
        """Count a stream; returns the seconds until it may be opened."""
        wait_s = self._opens.wait_s(now)
        self._opens.take(now + wait_s)
        return wait_s


class PeerBudgets:
    """Those of the peers that asked last."""

    def __init__(self) -> None:
        self._budgets: dict[bytes, PeerBudget] = {}

    def of(self, peer_id: bytes) -> PeerBudget:
        """The budget of a peer."""
        budget = self._budgets.pop(peer_id, None) or PeerBudget()
        self._budgets[peer_id] = budget
        if len(self._budgets) > limits.PEER_BUDGETS:
            del self._budgets[next(iter(self._budgets))]
        return budget
