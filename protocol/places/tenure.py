"""Which of the places that peers hold at a node goes to a peer that asks, once all are taken.

To come first is cheap, and so is to keep sending: neither keeps a place. What keeps it is what its
holder was worth to this node, and for a while its tenure, in which it may show its worth.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

from protocol import limits
from protocol.errors import Busy
from protocol.identity import PeerId
from protocol.overlay.networks import counted_network, networks_at

RELAYED: Final = b"relayed"
"""The network of all peers behind relays: theirs is not known, and those of relays are many for
anyone. No packed prefix has this length.
"""


def network_of(host: str) -> bytes:
    """The /24 or /48 of a public IP literal, packed; empty for a private one, without bound."""
    return counted_network(networks_at(ip_address(host).packed))


@dataclass(frozen=True, slots=True)
class Place:
    """A place that is held, or is asked for. Times are seconds of one monotonic clock.

    `worth` is what the holder was worth to this node so far; that of a newcomer is 0. The place
    goes to no other before `safe_until`, and until `due_at` that of another goes first. `ours`:
    this node asked for it. An empty `network` has no bound. `visits` counts how often the holder
    came lately, this time included; 0 if that does not matter. `wanted`: this node needs just this
    holder, so it gives way to no other.
    """

    holder: PeerId
    network: bytes
    worth: float
    safe_until: float = 0.0
    due_at: float = 0.0
    ours: bool = False
    visits: int = 0
    wanted: bool = False


def _came_more(holder: Place, asking: Place) -> bool:
    return not asking.ours and holder.visits > asking.visits


@dataclass(frozen=True, slots=True)
class PlaceRule:
    """`places` in all. Others never have those `for_own`, nor those of more worth the ones
    `for_newcomers`, and one network keeps `per_network` against others, RELAYED that of
    RELAYED_NETWORKS.

    - A newcomer takes a newcomer's place, or that of the least useful where newcomers are few.
    - A peer of use also takes the place of a holder of less use.
    - This node's own take the place of the least useful.
    - A network that has its part takes only of its own, and what it has beyond has no tenure.
    - Neither has who came more often than who asks.
    - Who is wanted counts as this node's own, and keeps the place against all.
    """

    places: int
    for_newcomers: int
    for_own: int
    per_network: int

    def giving_way(self, taken: Sequence[Place], asking: Place, now: float) -> Place | None:
        """The place of another that `asking` gets; None where there is room. Raises Busy."""
        own = [one for one in taken if one.ours or one.wanted]
        others = [one for one in taken if not (one.ours or one.wanted)]
        if self._has_room(len(own), len(others), asking):
            return None
        crowds = Counter(one.network for one in others if one.network)
        if not asking.ours and crowds[asking.network] >= self._part(asking.network):
            same = [one for one in others if one.network == asking.network]
            sought = [one for one in same if one.worth <= asking.worth]
        else:
            crowded = {network for network, held in crowds.items() if held > self._part(network)}
            beyond = [one for one in others if one.network in crowded]
            if beyond and not asking.ours:
                return min(beyond, key=lambda one: (one.worth, -crowds[one.network], one.due_at))
            sought = self._sought(own, others, asking)
        sought = [one for one in sought if not one.wanted]
        free = [one for one in sought if now >= one.safe_until or _came_more(one, asking)]
        if not free:
            free_at = [one.safe_until for one in sought]
            raise Busy(min(free_at, default=now + limits.BUSY_RETRY_S) - now)
        return min(
            free,
            key=lambda one: (
                one.worth,
                now < one.due_at and not _came_more(one, asking),
                -one.visits,
                -crowds[one.network],
                one.due_at,
            ),
        )

    def _part(self, network: bytes) -> int:
        """What a network keeps against others."""
        return self.per_network * (limits.RELAYED_NETWORKS if network == RELAYED else 1)

    def _has_room(self, own: int, others: int, asking: Place) -> bool:
        bound = self.for_newcomers if asking.ours else self.for_own
        held = own if asking.ours else others
        return own + others < self.places and held < self.places - bound

    def _sought(self, own: list[Place], others: list[Place], asking: Place) -> list[Place]:
        """Those whose places `asking` may get, if their time is over."""
        if asking.ours:
            return own if len(own) >= self.places - self.for_newcomers else [*own, *others]
        newcomers = [one for one in others if not one.worth]
        if len(newcomers) < self.for_newcomers:
            return others
        return [one for one in others if one.worth < asking.worth or not one.worth]
