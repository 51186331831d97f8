"""Peers that the sources of a download named as holders: whom to call, and whose word to take.

A name is a claim that costs its source nothing and a call some seconds. So each source has few
names under way until one of them was linked, those of all sources take turns, no peer is called
twice for being named, and a source has no say any more once many of its names were dead.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from protocol import limits
from protocol.identity import PeerId


@dataclass(slots=True)
class _Namer:
    """One source, and what became of its names."""

    waiting: dict[PeerId, None] = field(default_factory=dict)
    called: int = 0
    """Calls under way by its word."""
    linked: int = 0
    dead: int = 0

    @property
    def has_say(self) -> bool:
        return self.dead < limits.NAMES_DEAD + self.linked

    @property
    def may_call(self) -> bool:
        is_known = self.linked > 0 or self.called < limits.FELLOWS_CALLED_OF_ONE
        return bool(self.waiting) and self.has_say and is_known


class NamedHolders:
    """The names of one download. `own_id` is never called."""

    def __init__(self, own_id: PeerId) -> None:
        self._namers: dict[PeerId, _Namer] = {}
        self._known: dict[PeerId, PeerId | None] = {own_id: None}
        """Who was named, or need not be, and the source whose word counts for it."""

    @property
    def some(self) -> bool:
        """Whether there is one to call."""
        return any(namer.may_call for namer in self._namers.values())

    def name(self, by: PeerId, peers: Iterable[PeerId]) -> None:
        """A source names these."""
        namer = self._namers.setdefault(by, _Namer())
        self._known.setdefault(by, None)
        for peer_id in peers:
            waiting = sum(len(one.waiting) for one in self._namers.values())
            full = waiting >= limits.NAMES_WAITING or len(namer.waiting) >= limits.PEERS_NAMED
            if full or len(self._known) >= limits.NAMES_TRIED or not namer.has_say:
                return
            if peer_id not in self._known:
                self._known[peer_id] = by
                namer.waiting[peer_id] = None

    def take(self) -> PeerId | None:
        """The one to call now: of the source by whose word fewest calls are under way."""
        able = [namer for namer in self._namers.values() if namer.may_call]
        if not able:
            return None
        namer = min(able, key=lambda one: (one.called, one.dead))
        peer_id = next(iter(namer.waiting))
        del namer.waiting[peer_id]
        namer.called += 1
        return peer_id

    def linked(self, peer_id: PeerId) -> None:
        """There is a link to a peer, which any source may have named."""
        if (namer := self._settled(peer_id)) is not None:
            namer.linked += 1

    def failed(self, peer_id: PeerId) -> None:
        """No link came of a call."""
        if (namer := self._settled(peer_id)) is not None:
            namer.dead += 1

    def _settled(self, peer_id: PeerId) -> _Namer | None:
        """The source that answers for a peer, once."""
        by = self._known.get(peer_id)
        if by is None:
            return None
        self._known[peer_id] = None
        namer = self._namers[by]
        if peer_id in namer.waiting:
            del namer.waiting[peer_id]
        else:
            namer.called -= 1
        return namer
