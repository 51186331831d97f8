"""Which of the places that peers hold at a node goes to a newcomer, once all are taken.

To come first is cheap, and so is to keep sending: neither keeps a place. What keeps it is what its
holder was worth to this node, and for a while its tenure, in which a newcomer may show its worth.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

from protocol import limits
from protocol.errors import Busy
from protocol.identity import PeerId
from protocol.overlay.networks import networks_at

_COUNTED_BYTES: Final = (3, 6)
"""The /24 of IPv4 and the /48 of IPv6: those behind one are taken for one holder."""


def network_of(host: str) -> bytes:
    """The /24 or /48 of a public IP literal, packed; empty for a private one, without bound."""
    networks = networks_at(ip_address(host).packed)
    return next((one for one in networks if len(one) in _COUNTED_BYTES), b"")


@dataclass(frozen=True, slots=True)
class Place:
    """A place that is held, or is asked for. Times are seconds of one monotonic clock.

    `worth` is what the holder was worth to this node so far; that of a stranger, a peer of no use
    yet, is 0. The place goes to no other before `safe_until`, and until `due_at` that of another
    goes first. `ours`: this node asked for it. An empty `network` has no bound.
    """

    holder: PeerId
    network: bytes
    worth: float
    safe_until: float = 0.0
    due_at: float = 0.0
    ours: bool = False


@dataclass(frozen=True, slots=True)
class PlaceRule:
    """`places` in all. Others never have those `for_own`, nor those of more worth the ones
    `for_strangers`, and one network keeps `per_network` against others.

    - A stranger takes a stranger's place, or that of the least useful where strangers are few.
    - A peer of use also takes the place of a holder of less use.
    - This node's own take the place of the least useful.
    - A network that has its part takes only of its own, and what it has beyond has no tenure.
    """

    places: int
    for_strangers: int
    for_own: int
    per_network: int

    def giving_way(self, taken: Sequence[Place], newcomer: Place, now: float) -> Place | None:
        """The place of another that the newcomer gets; None where there is room. Raises Busy."""
        own = [one for one in taken if one.ours]
        others = [one for one in taken if not one.ours]
        if self._has_room(len(own), len(others), newcomer):
            return None
        crowds = Counter(one.network for one in others if one.network)
        if not newcomer.ours and crowds[newcomer.network] >= self.per_network:
            same = [one for one in others if one.network == newcomer.network]
            wanted = [one for one in same if one.worth <= newcomer.worth]
        else:
            crowded = {network for network, held in crowds.items() if held > self.per_network}
            beyond = [one for one in others if one.network in crowded]
            if beyond and not newcomer.ours:
                return min(beyond, key=lambda one: (one.worth, -crowds[one.network], one.due_at))
            wanted = self._wanted(own, others, newcomer)
        free = [one for one in wanted if now >= one.safe_until]
        if not free:
            free_at = [one.safe_until for one in wanted]
            raise Busy(min(free_at, default=now + limits.BUSY_RETRY_S) - now)
        return min(
            free, key=lambda one: (one.worth, now < one.due_at, -crowds[one.network], one.due_at)
        )

    def _has_room(self, own: int, others: int, newcomer: Place) -> bool:
        bound = self.for_strangers if newcomer.ours else self.for_own
        held = own if newcomer.ours else others
        return own + others < self.places and held < self.places - bound

    def _wanted(self, own: list[Place], others: list[Place], newcomer: Place) -> list[Place]:
        """Those whose places this newcomer may get, if their time is over."""
        if newcomer.ours:
            return own if len(own) >= self.places - self.for_strangers else [*own, *others]
        strangers = [one for one in others if not one.worth]
        if len(strangers) < self.for_strangers:
            return others
        return [one for one in others if one.worth < newcomer.worth or not one.worth]
