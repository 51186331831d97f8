"""The wait before another attempt at a peer that could not be reached."""

from collections import OrderedDict
from dataclasses import dataclass
from math import inf

from node.links.settings import LinkSettings
from protocol.causes.cause import Cause
from protocol.errors import LinkFailed, ModswarmError, NetworkError, NotFound
from protocol.identity import PeerId
from protocol.randomness import Random

_PEERS_REMEMBERED = 1024


def pause_s(settings: LinkSettings, failures: int, rng: Random) -> float:
    """Seconds until the next attempt after so many failures, one at least.

    It doubles with each, up to a bound, and is spread over its upper half.
    """
    longest_s = min(
        settings.backoff_first_s * 2.0 ** min(failures - 1, 32),
        settings.backoff_max_s,
    )
    return longest_s * (0.5 + 0.5 * rng.random())


@dataclass(frozen=True, slots=True)
class _Failure:
    count: int
    at: float
    next_at: float
    kind: type[NetworkError]
    reason: str
    cause: Cause | None


class Backoff:
    """Failures of attempts by peer; times are seconds of the loop's clock."""

    def __init__(self, settings: LinkSettings, rng: Random) -> None:
        self._settings = settings
        self._rng = rng
        self._failures: OrderedDict[PeerId, _Failure] = OrderedDict()

    def check(self, peer_id: PeerId, now: float, patience_s: float = inf) -> None:
        """Raise LinkFailed, with the cause of the last failure, if it is too early for another.

        It is not once the last is older than `patience_s`. Raises NotFound if that was one, so
        that an unknown peer stays unknown.
        """
        failure = self._failures.get(peer_id)
        if failure is None:
            return
        next_at = min(failure.next_at, failure.at + patience_s)
        if now < next_at:
            wait_s = next_at - now
            reason = f"tried and failed, next attempt in {wait_s:.1f} s: {failure.reason}"
            raise failure.kind(reason, cause=failure.cause)

    def failed(self, peer_id: PeerId, now: float, error: ModswarmError) -> None:
        """Note a failure; the wait is as `pause_s` says."""
        previous = self._failures.pop(peer_id, None)
        count = previous.count + 1 if previous else 1
        cause = error.cause if isinstance(error, NetworkError) else None
        kind = NotFound if isinstance(error, NotFound) else LinkFailed
        wait_s = pause_s(self._settings, count, self._rng)
        self._failures[peer_id] = _Failure(count, now, now + wait_s, kind, str(error), cause)
        if len(self._failures) > _PEERS_REMEMBERED:
            self._failures.popitem(last=False)

    def succeeded(self, peer_id: PeerId) -> None:
        """Forget the failures of a peer to which there is a link now."""
        self._failures.pop(peer_id, None)
