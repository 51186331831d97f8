"""In which order the holders of a mod are called: by what they cannot choose for themselves.

Peers that are linked already come first, of these the ones whose availability filter has the mod,
then who brought most verified bytes lately, then the nearest. Then those that the mod's link names,
then those that brought this node verified bytes lately, most of them first, then those whose filter
has the mod, then those that a source named, then all others. Each of the other groups is a mix:
every third one was told by most contacts, every third is the nearest to this node, and every third
is drawn by chance. Near is who has the shortest round trip of those with whom one was measured: a
peer makes it longer, never shorter. Where none was, the XOR distance decides. Those that gave way
to others come last. Dates decide nothing, and a claim to have all of a mod only between equals.
"""

from dataclasses import dataclass
from enum import IntEnum
from math import inf

from protocol.identity import PeerId
from protocol.randomness import Random


class Standing(IntEnum):
    """What speaks for a holder; the lowest is called first."""

    LINKED = 0
    HINTED = 1
    HAS_SERVED = 2
    SAYS_YES = 3
    NAMED = 4
    UNKNOWN = 5
    UNREADABLE = 6
    SAYS_NO = 7
    GAVE_WAY = 8


@dataclass(slots=True)
class _Holder:
    standing: Standing
    told: int
    complete: bool
    brought: float = 0.0
    says_yes: bool = False
    round_trip_s: float = inf


class HolderOrder:
    """The holders that have not been called. Each is called once, but for `again`."""

    def __init__(self, own_id: PeerId, rng: Random) -> None:
        self._own_number = int.from_bytes(own_id)
        self._rng = rng
        self._waiting: dict[PeerId, _Holder] = {}
        self._known: set[PeerId] = {own_id}
        self._turn = 0
        self._picks = (self._most_told, self._nearest, self._any)

    def __len__(self) -> int:
        return len(self._waiting)

    def add(
        self,
        peer_id: PeerId,
        standing: Standing,
        *,
        told: int = 0,
        complete: bool = False,
        brought: float = 0.0,
        says_yes: bool = False,
        round_trip_s: float | None = None,
    ) -> None:
        """One more holder, that `told` contacts name; one that is known stays as it is.

        `brought`: the verified bytes that it has sent this node lately, of whatever mods.
        `says_yes`: whether its filter is known to have the mod. `round_trip_s`: that to it, in
        seconds, if it was measured.
        """
        if peer_id not in self._known:
            self._known.add(peer_id)
            if brought > 0:
                standing = min(standing, Standing.HAS_SERVED)
            far_s = inf if round_trip_s is None else round_trip_s
            self._waiting[peer_id] = _Holder(standing, told, complete, brought, says_yes, far_s)

    def again(self, peer_id: PeerId) -> None:
        """A holder that was called is called again, after all that wait."""
        self._waiting[peer_id] = _Holder(Standing.GAVE_WAY, told=0, complete=False)

    def next_unknown(self) -> PeerId | None:
        """A holder, by chance, of which it is not known what speaks for it."""
        unknown = [peer for peer, one in self._waiting.items() if one.standing is Standing.UNKNOWN]
        return self._any(unknown) if unknown else None

    def learn(self, peer_id: PeerId, standing: Standing) -> None:
        """What speaks for a holder is known now; nothing if it was called meanwhile."""
        if peer_id in self._waiting:
            self._waiting[peer_id].standing = standing

    def drop(self, peer_id: PeerId) -> bool:
        """Do not call a holder; False if it was called already."""
        return self._waiting.pop(peer_id, None) is not None

    def take(self) -> PeerId | None:
        """The holder to call now."""
        if not self._waiting:
            return None
        best = min(one.standing for one in self._waiting.values())
        group = [peer for peer, one in self._waiting.items() if one.standing is best]
        if best is Standing.HAS_SERVED:
            peer_id = max(group, key=lambda peer: self._waiting[peer].brought)
        elif best is Standing.LINKED:
            peer_id = max(group, key=self._promise)
        else:
            peer_id = self._picks[self._turn % len(self._picks)](group)
            self._turn += 1
        del self._waiting[peer_id]
        return peer_id

    def _promise(self, peer_id: PeerId) -> tuple[bool, float, float]:
        holder = self._waiting[peer_id]
        return holder.says_yes, holder.brought, -holder.round_trip_s

    def _most_told(self, group: list[PeerId]) -> PeerId:
        def told(peer_id: PeerId) -> tuple[int, bool]:
            return self._waiting[peer_id].told, self._waiting[peer_id].complete

        most = max(map(told, group))
        return self._any([peer_id for peer_id in group if told(peer_id) == most])

    def _nearest(self, group: list[PeerId]) -> PeerId:
        def distance(peer_id: PeerId) -> tuple[float, int]:
            xor = int.from_bytes(peer_id) ^ self._own_number
            return self._waiting[peer_id].round_trip_s, xor

        return min(group, key=distance)

    def _any(self, group: list[PeerId]) -> PeerId:
        return group[int(self._rng.random() * len(group))]
