"""Whom a holder names to those that fetch a mod from it: others that it has sent chunks of it.

Those that were named least come first, so that no getter is called by all others.
"""

from collections.abc import Collection

from protocol import limits
from protocol.identity import PeerId


class Naming:
    """The getters of each mod that have chunks of it, and how often each was named."""

    def __init__(self) -> None:
        self._getters: dict[bytes, dict[PeerId, int]] = {}

    def served(self, mod_id: bytes, peer_id: PeerId) -> bool:
        """A peer was sent a chunk; whether it is the first that is known of it."""
        getters = self._getters.setdefault(mod_id, {})
        is_new = peer_id not in getters
        getters.setdefault(peer_id, 0)
        return is_new

    def left(self, mod_id: bytes, peer_id: PeerId) -> None:
        """A peer does not fetch a mod here any more."""
        getters = self._getters.get(mod_id, {})
        getters.pop(peer_id, None)
        if not getters:
            self._getters.pop(mod_id, None)

    def choose(self, mod_id: bytes, asker: PeerId, told: Collection[PeerId]) -> tuple[PeerId, ...]:
        """Whom to name to one that fetches a mod and was told of others; this counts as said."""
        getters = self._getters.get(mod_id, {})
        able = [peer for peer in getters if peer != asker and peer not in told]
        chosen = sorted(able, key=getters.__getitem__)[: limits.PEERS_NAMED]
        for peer_id in chosen:
            getters[peer_id] += 1
        return tuple(chosen)
