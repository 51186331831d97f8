"""Which call of a peer gives its slot to another, once all slots are taken.

To come first is cheap, so it holds no slot: what counts is what a call has shown since.

1. Its peer has had the time that a check takes, and no pair of addresses works yet.
2. Its network has more calls under way than its share, of those whose peers have proved addresses.
3. It has had the time that a link takes, and is none yet.

In each the oldest goes first. A call of none of these stays, and the new one is refused.
"""

from collections import defaultdict
from collections.abc import Iterable

from node.links.pool.pending import PendingAnswer
from protocol import limits
from protocol.ice.unproved import network_of

_ROUND_TRIPS = 2
"""The answer has to reach the caller, and its check has to come, perhaps through a hole."""


def to_give_up(calls: Iterable[PendingAnswer], now: float) -> PendingAnswer | None:
    """The call whose slot is needed most; None if each may still come to something. `calls` are in
    the order of their beginning.
    """
    calls = list(calls)
    return _unproved(calls, now) or _of_largest_network(calls) or _slow(calls, now)


def _unproved(calls: list[PendingAnswer], now: float) -> PendingAnswer | None:
    overdue = (call for call in calls if call.proved is None and now >= _check_due_at(call))
    return next(overdue, None)


def _check_due_at(call: PendingAnswer) -> float:
    round_trip_s = min(2 * call.offer.answer_takes_s, limits.ROUND_TRIP_MS_MAX / 1000)
    return call.began_at + max(limits.LINK_PROOF_S, _ROUND_TRIPS * round_trip_s)


def _of_largest_network(calls: list[PendingAnswer]) -> PendingAnswer | None:
    by_network: dict[bytes, list[PendingAnswer]] = defaultdict(list)
    for call in calls:
        if call.proved is not None:
            by_network[network_of(call.proved)].append(call)
    largest = max(by_network.values(), key=len, default=[])
    return largest[0] if len(largest) > limits.LINK_ATTEMPTS_PER_NETWORK else None


def _slow(calls: list[PendingAnswer], now: float) -> PendingAnswer | None:
    return next((call for call in calls if now >= call.began_at + limits.LINK_SLOW_S), None)
