"""What each peer was worth to this node: the only thing that keeps a place for long.

What counts is bytes that were verified, and bytes that a peer was sent for the first time: to fetch
the same again and again earns nothing. Both halve in HALF_LIFE_S, so that a place is kept by what
was done lately.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from protocol import limits
from protocol.identity import PeerId

HALF_LIFE_S: Final = 600.0


@dataclass(slots=True)
class _Credit:
    """`worth` was so much at a time, `brought` of it came at another.

    `served` has a bit for each chunk that was sent. So many bits are set, and so many bytes were
    sent for the first time, and again.
    """

    worth: float = 0.0
    at: float = 0.0
    brought: float = 0.0
    brought_at: float = 0.0
    served: bytearray = field(default_factory=bytearray)
    bits: int = 0
    first_bytes: int = 0
    again_bytes: int = 0

    def now(self, now: float) -> float:
        return _halved(self.worth, now - self.at)


def _halved(amount: float, seconds: float) -> float:
    return float(amount * 0.5 ** (seconds / HALF_LIFE_S))


def _bit(mod_id: bytes, chunk: int) -> int:
    return (int.from_bytes(mod_id[:4]) + chunk) % limits.CHUNKS_CREDITED


def no_standing(_peer_id: PeerId) -> float:
    """No peer is worth anything beforehand."""
    return 0.0


class Usefulness:
    """Credits in bytes, by peer. `standing` is what a peer is worth besides.

    The least useful is forgotten where there are more than PEERS_CREDITED.
    """

    def __init__(self, standing: Callable[[PeerId], float] = no_standing) -> None:
        self._standing = standing
        self._credits: dict[PeerId, _Credit] = {}

    def __len__(self) -> int:
        return len(self._credits)

    def received(self, peer_id: PeerId, size: int, now: float) -> None:
        """A peer sent so many bytes, which were verified."""
        credit = self._credit(peer_id, now)
        credit.worth, credit.at = credit.now(now) + size, now
        before = _halved(credit.brought, now - credit.brought_at)
        credit.brought, credit.brought_at = before + size, now

    def brought(self, peer_id: PeerId, now: float) -> float:
        """The verified bytes that a peer has sent lately; 0 of one that only took some."""
        credit = self._credits.get(peer_id)
        return 0.0 if credit is None else _halved(credit.brought, now - credit.brought_at)

    def gives(self, peer_id: PeerId, now: float) -> float:
        """The same of a peer that gives: GIVER_BYTES at least, and not far less than it takes."""
        brought = self.brought(peer_id, now)
        took = self._credits[peer_id].now(now) - brought if brought else 0.0
        gives = brought >= limits.GIVER_BYTES and took <= limits.GIVER_TAKES * brought
        return brought if gives else 0.0

    def is_new(self, peer_id: PeerId) -> bool:
        """Whether nothing is remembered of a peer."""
        return peer_id not in self._credits

    def served(self, peer_id: PeerId, mod_id: bytes, chunk: int, size: int, now: float) -> None:
        """A peer was sent a chunk of so many bytes; it counts once.

        Chunks that share a bit count once together: that earns less, never more.
        """
        credit = self._credit(peer_id, now)
        if not credit.served:
            credit.served = bytearray(limits.CHUNKS_CREDITED // 8)
        bit = _bit(mod_id, chunk)
        if not credit.served[bit // 8] >> bit % 8 & 1:
            credit.served[bit // 8] |= 1 << bit % 8
            credit.worth, credit.at = credit.now(now) + size, now
            credit.bits += 1
            credit.first_bytes += size
        else:
            credit.again_bytes += size

    def had(self, peer_id: PeerId, mod_id: bytes, chunk: int) -> bool:
        """Whether a peer was sent a chunk before.

        A quarter of what it got it may get again as if it had not: links break, and chunks share
        bits. Once a quarter of the bits are set this says no: so many chunks share them.
        """
        credit = self._credits.get(peer_id)
        if credit is None or not credit.served or 4 * credit.bits >= limits.CHUNKS_CREDITED:
            return False
        bit = _bit(mod_id, chunk)
        is_set = bool(credit.served[bit // 8] >> bit % 8 & 1)
        return is_set and 4 * credit.again_bytes >= credit.first_bytes

    def worth(self, peer_id: PeerId, now: float) -> float:
        """What a peer is worth now; 0 for a newcomer."""
        credit = self._credits.get(peer_id)
        return self._standing(peer_id) + (credit.now(now) if credit is not None else 0.0)

    def _credit(self, peer_id: PeerId, now: float) -> _Credit:
        credit = self._credits.get(peer_id)
        if credit is None:
            if len(self) >= limits.PEERS_CREDITED:
                del self._credits[min(self._credits, key=lambda one: self._credits[one].now(now))]
            credit = self._credits[peer_id] = _Credit(0.0, now)
        return credit
