"""Ways to peers that were called before: the next call goes out at once, beside its lookup."""

from collections import OrderedDict
from collections.abc import Iterable
from typing import NamedTuple

from protocol import limits
from protocol.identity import PeerId
from protocol.overlay.contacts import Contact


class KnownWay(NamedTuple):
    """A peer's public key, and what reached it: registrars, or the peer itself; best first."""

    public_key: bytes
    relays: tuple[Contact, ...]


class KnownWays:
    """The last WAYS_KNOWN peers whose answers came, each for WAY_KNOWN_S."""

    def __init__(self, capacity: int = limits.WAYS_KNOWN) -> None:
        self._capacity = capacity
        self._known: OrderedDict[PeerId, tuple[float, KnownWay]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def note(
        self, peer_id: PeerId, public_key: bytes, relays: Iterable[Contact], now: float
    ) -> None:
        """An answer came by the first of these; the others say that they reach the peer."""
        kept = tuple(dict.fromkeys(relays))[: limits.WAYS_AT_ONCE]
        self._known.pop(peer_id, None)
        self._known[peer_id] = (now, KnownWay(public_key, kept))
        if len(self._known) > self._capacity:
            self._known.popitem(last=False)

    def forget(self, peer_id: PeerId) -> None:
        """A call by these failed."""
        self._known.pop(peer_id, None)

    def left(self, contact: Contact) -> None:
        """A contact leaves: it reaches no peer any more, nor is it reached itself."""
        self.forget(contact.peer_id)
        for peer_id, (at, way) in list(self._known.items()):
            if contact in way.relays:
                relays = tuple(one for one in way.relays if one != contact)
                self._known[peer_id] = at, way._replace(relays=relays)

    def way_to(self, peer_id: PeerId, now: float) -> KnownWay | None:
        """What reached the peer lately."""
        at, way = self._known.get(peer_id, (now, None))
        if now - at >= limits.WAY_KNOWN_S:
            self.forget(peer_id)
            return None
        return way
