"""The places of a search for holders: a link counts against others only once its peer has served.

Calls under way and links on trial share one bound, links by which chunks have come have another.
Where calls and trials have reached theirs, the one whose time is over gives its place to the next
holder: a call that is slow, and a link that has brought no chunk. It is called again when all
others had their turn, and each turn is twice as long as the one before, until one was of SILENT_S:
so a slow line is told from a silent peer.

A trial that brought chunks ends with a place among those that serve. Where these are taken, too, it
is measured against the slowest of them, and the slower of the two gives way and rests: a holder
that serves keeps its place by what it brings, not by the time at which it came. So no holder keeps
those waiting that have not been tried, whether it sends nothing or little.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from math import inf
from typing import NamedTuple

from protocol import limits
from protocol.content.rate import RateMeter
from protocol.identity import PeerId


class GaveWay(NamedTuple):
    """A peer whose place is for another."""

    peer_id: PeerId
    rest_s: float | None
    """How long it is not called again, while those that serve leave no place; None: never again."""


@dataclass(slots=True)
class _Linked:
    """What a link has brought since it opened."""

    since: float
    came: int = 0
    """Bytes of which nothing is known yet."""
    served: int = 0
    """Bytes of chunks that were good."""
    meter: RateMeter = field(init=False)

    def __post_init__(self) -> None:
        self.meter = RateMeter(self.since, limits.STALL_S)


class HolderPlaces:
    """Who holds a place. Times are seconds of one monotonic clock, sizes are bytes."""

    def __init__(self) -> None:
        self._calling: dict[PeerId, float] = {}
        """Peers that are being called, and since when."""
        self._trying: dict[PeerId, _Linked] = {}
        """Linked peers that have sent no chunk, or for which there is no place among the next."""
        self._serving: dict[PeerId, _Linked] = {}
        self._turns: dict[PeerId, int] = {}
        """How often a peer gave its place and had sent no chunk."""
        self._rests: dict[PeerId, int] = {}
        """How often one did that had."""

    @property
    def has_room(self) -> bool:
        """Whether one more holder may be called."""
        return len(self._calling) + len(self._trying) < limits.PROVIDERS_TRIED

    @property
    def taken(self) -> int:
        """Holders that serve, are on trial or are called."""
        return len(self._calling) + len(self._trying) + len(self._serving)

    @property
    def all_serve(self) -> bool:
        """Whether there is no place for one more that serves."""
        return len(self._serving) >= limits.PROVIDERS_TRIED

    def call(self, peer_id: PeerId, now: float) -> None:
        """A holder is being called."""
        self._calling[peer_id] = now

    def linked(self, peer_id: PeerId, now: float) -> None:
        """A call has become a link."""
        self._calling.pop(peer_id, None)
        self._trying[peer_id] = _Linked(now)

    def heard(self, peer_id: PeerId, size: int) -> None:
        """A part of a manifest or a chunk came of this peer."""
        if (link := self._trying.get(peer_id)) is not None:
            link.came += size

    def proved(self, peer_id: PeerId, size: int, now: float) -> None:
        """A chunk that this peer sent was what was asked for."""
        link = self._trying.get(peer_id) or self._serving.get(peer_id)
        if link is not None:
            link.served += size
            link.meter.add(size, now)
            self._promote()

    def leave(self, peer_id: PeerId) -> None:
        """No link came of a call, or the download has no use for it."""
        for group in (self._calling, self._trying, self._serving):
            group.pop(peer_id, None)
        self._promote()

    def gives_way_at(self, now: float) -> float | None:
        """When a peer has had its time; None where there is room."""
        return min((until for until, _ in self._ends(now)), default=None)

    def give_way(self, now: float) -> GaveWay | None:
        """Take the place of one whose time is over."""
        until, peer_id = min(self._ends(now), default=(inf, PeerId(b"")))
        if now < until:
            return None
        link = self._trying.get(peer_id)
        if link is not None and link.served:
            return self._measure(peer_id, link, now)
        self.leave(peer_id)
        turns = self._turns[peer_id] = self._turns.get(peer_id, 0) + 1
        has_more = limits.HOLDER_PROOF_S * 2.0 ** (turns - 1) < limits.SILENT_S
        return GaveWay(peer_id, 0.0 if has_more else None)

    def _measure(self, peer_id: PeerId, link: _Linked, now: float) -> GaveWay:
        """The slower one of a trial that served and the slowest of those that serve."""
        rates = {served.meter.rate(now): one for one, served in self._serving.items()}
        loser = peer_id
        if link.meter.rate(now) > limits.HOLDER_FASTER * min(rates):
            loser = rates[min(rates)]
        self.leave(loser)
        rests = self._rests[loser] = self._rests.get(loser, 0) + 1
        return GaveWay(loser, limits.SILENT_S * 2.0 ** (rests - 1))

    def _promote(self) -> None:
        """Give free places among those that serve to trials that have brought chunks."""
        for peer_id, link in tuple(self._trying.items()):
            if link.served and not self.all_serve:
                self._serving[peer_id] = self._trying.pop(peer_id)

    def _ends(self, now: float) -> Iterator[tuple[float, PeerId]]:
        """Until when the peers keep the places of which there are no more."""
        if self.has_room:
            return
        for peer_id, since in self._calling.items():
            yield since + self._patience_s(peer_id, limits.LINK_SLOW_S), peer_id
        measured_s = self._measured_s(now)
        for peer_id, link in self._trying.items():
            trial_s = measured_s if link.served else self._trial_s(peer_id, link)
            yield link.since + trial_s, peer_id

    def _measured_s(self, now: float) -> float:
        """How long one that serves stays on trial: the longer the better the download goes."""
        served = chain(self._trying.values(), self._serving.values())
        rate = sum(link.meter.rate(now) for link in served if link.served)
        times = max(rate / limits.LATE_BYTES_PER_SECOND, 1.0)
        return min(times * limits.HOLDER_PROOF_S, limits.SILENT_S)

    def _trial_s(self, peer_id: PeerId, link: _Linked) -> float:
        coming_s = link.came / limits.HOLDER_PROOF_BYTES_PER_SECOND
        return self._patience_s(peer_id, min(limits.HOLDER_PROOF_S + coming_s, limits.STALL_S))

    def _patience_s(self, peer_id: PeerId, first_s: float) -> float:
        return min(first_s * 2.0 ** self._turns.get(peer_id, 0), limits.SILENT_S)
