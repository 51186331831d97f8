"""The places that links and calls take at this node, for `protocol.places.tenure`."""

import asyncio
from collections.abc import Callable

from node.links.link import Link
from node.links.pool.pending import PendingAnswer, PendingConnect
from protocol import limits
from protocol.identity import PeerId
from protocol.places.calls import believed_safe_s, safe_s
from protocol.places.tenure import Place, PlaceRule
from protocol.places.usefulness import Usefulness
from protocol.places.visits import Visits

_PROVED = 1.0
"""The worth of a call whose peer has answered a check: more than that of an unproved one, 0."""


def link_rule(max_links: int) -> PlaceRule:
    """For a pool with so many links."""
    kept = max_links // limits.LINKS_KEPT_PART
    return PlaceRule(max_links, kept, kept, limits.LINKS_PER_NETWORK)


def answer_rule() -> PlaceRule:
    """For calls of peers: half of the places are for those that have proved no address yet."""
    places = limits.LINK_ATTEMPTS
    return PlaceRule(places, places // 2, 0, limits.LINK_ATTEMPTS_PER_NETWORK)


def call_rule() -> PlaceRule:
    """For calls of this node."""
    return PlaceRule(limits.LINK_CALLS, 0, 0, 0)


class PlaceBook:
    """What is held, in the terms of the rules; `usefulness` says what its holders are worth.

    `is_wanted`: whether this node wants a link to a peer, and calls it; `is_held`: whether the link
    is not to be closed as idle.
    """

    def __init__(
        self,
        usefulness: Usefulness,
        tenure_s: float,
        is_wanted: Callable[[PeerId], bool],
        is_held: Callable[[PeerId], bool],
    ) -> None:
        self._usefulness = usefulness
        self._is_wanted = is_wanted
        self.is_held = is_held
        self._tenure_s = tenure_s
        self._loop = asyncio.get_running_loop()
        self._linked, self._called = Visits(), Visits()

    def opened(self, link: Link) -> None:
        """A link has taken its place."""
        if link.direction == "incoming":
            network = link.network
            self._linked.add(link.peer_id, network, self._loop.time())

    def answering(self, peer_id: PeerId) -> None:
        """A call of a peer has taken its place."""
        self._called.add(peer_id, b"", self._loop.time())

    def link(self, link: Link) -> Place:
        """The place of an open link."""
        until = link.opened_at + self._tenure_s
        network = link.network
        return Place(
            link.peer_id,
            network,
            self._worth(link.peer_id),
            safe_until=until,
            due_at=until,
            ours=link.direction == "outgoing",
            visits=self._linked.times(link.peer_id, network, self._loop.time()),
            wanted=self._is_wanted(link.peer_id),
        )

    def link_wanted(self, peer_id: PeerId, *, ours: bool, network: bytes = b"") -> Place:
        """The place that a link would take; `network` is where its peer is, if that is proved."""
        visits = self._linked.times(peer_id, network, self._loop.time()) + 1
        ours = ours or self._is_wanted(peer_id)
        return Place(peer_id, network, self._worth(peer_id), ours=ours, visits=visits)

    def answer_wanted(self, peer_id: PeerId) -> Place:
        """The place that a call of a peer would take."""
        visits = self._called.times(peer_id, b"", self._loop.time()) + 1
        return Place(peer_id, b"", self._worth(peer_id), visits=visits)

    def answer(self, call: PendingAnswer) -> Place:
        """The place of a call of a peer that is being answered."""
        worth = self._worth(call.peer_id)
        visits = self._called.times(call.peer_id, b"", self._loop.time())
        network = call.proved_network
        if network is not None:
            until = call.began_at + limits.LINK_SLOW_S
            return Place(call.peer_id, network, worth + _PROVED, until, until, visits=visits)
        round_trip_s = 2 * call.offer.answer_takes_s
        return Place(
            call.peer_id,
            b"",
            worth,
            safe_until=call.began_at + believed_safe_s(round_trip_s),
            due_at=call.began_at + safe_s(round_trip_s),
            visits=visits,
        )

    def call(self, call: PendingConnect) -> Place:
        """The place of a call of this node; one that was answered has come further."""
        until = call.began_at + limits.LINK_SLOW_S
        worth = self._worth(call.peer_id) + _PROVED * call.answered
        return Place(call.peer_id, b"", worth, safe_until=until, due_at=until, ours=True)

    def _worth(self, peer_id: PeerId) -> float:
        return self._usefulness.worth(peer_id, self._loop.time())
