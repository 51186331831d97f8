"""What a holder of all of a mod shows to each of several getters, so that it sends little twice.

One getter alone may ask for everything. Several would ask the holder for the same chunks, as they
cannot know what it is sending to the others. So each is shown a few units at a time (as BEP 16
does), those first that were shown to none, then those that were shown or sent least lately, and
takes the rest from its fellows. No getter waits for that: who has asked for most of what it
was shown, or has no use for it, is shown more, in larger and larger portions, until it has been
shown all. One that takes what it was sent before is shown all at once, and others get what it
was shown as if it were new.
"""

from collections import OrderedDict
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from itertools import islice

from protocol import limits
from protocol.content.rate import RateMeter
from protocol.randomness import Random


@dataclass(slots=True)
class _Getter:
    """What one was shown. Units are numbers; times are seconds."""

    shown: set[int] = field(default_factory=set)
    unsent: set[int] = field(default_factory=set)
    portion: int = limits.SEED_UNITS_SHOWN
    shown_at: float = 0.0
    asked: bool = True
    """Whether it has asked for something since it was shown some."""

    def lacks(self, units: Iterable[int]) -> bool:
        """Whether it was not shown some of these."""
        return any(unit not in self.shown for unit in units)


class Seeding:
    """One mod of so many chunks, and the getters that are shown parts of it."""

    def __init__(self, chunks: int, rng: Random, now: float) -> None:
        self._chunks = chunks
        per_unit = -(-chunks // limits.SEED_UNITS)
        self._unit = 1 if per_unit <= 1 else -(-per_unit // 8) * 8
        """Chunks in a unit: one, or whole bytes of a bit field."""
        units = list(range(-(-chunks // self._unit)))
        units.sort(key=lambda _: rng.random())
        self._count = len(units)
        self._new: OrderedDict[int, None] = OrderedDict((unit, None) for unit in units)
        """Units that are with no getter, and that none is about to ask for."""
        self._shown: OrderedDict[int, None] = OrderedDict()
        """Units that some were shown and none was sent, first those that were shown longest ago."""
        self._sent: OrderedDict[int, None] = OrderedDict()
        """Those that were sent, the same."""
        self._getters: dict[Hashable, _Getter] = {}
        self._pace = RateMeter(now)
        """Of chunks that were sent, to any getter."""

    def join(self, getter: Hashable, now: float) -> None:
        """One more is to be shown parts."""
        self._getters[getter] = _Getter(shown_at=now)

    def leave(self, getter: Hashable) -> None:
        """One is gone."""
        gone = self._getters.pop(getter, None)
        if gone is not None:
            self._release(gone)

    def _release(self, known: _Getter) -> None:
        """What it was shown and has not got is new again to others."""
        for unit in sorted(known.unsent):
            if self._shown.pop(unit, unit) is None:
                self._new[unit] = None
        known.unsent.clear()

    def asked(self, getter: Hashable) -> None:
        """One has asked for chunks."""
        if (known := self._getters.get(getter)) is not None:
            known.asked = True

    def sent(self, getter: Hashable, chunk: int, now: float) -> None:
        """A chunk was sent to one, of those that are shown parts or another."""
        self._pace.add(1, now)
        unit = chunk // self._unit
        if 0 <= unit < self._count:
            self._move(unit, self._sent)
        if (known := self._getters.get(getter)) is not None:
            known.unsent.discard(unit)

    def is_due(self, getter: Hashable, wanted: int, now: float, *, idle: bool) -> bool:
        """Whether one that still wants so many chunks is to be shown more.

        What another was shown before it is shown only if the line is `idle`, or once the others
        might have got theirs.
        """
        known = self._getters.get(getter)
        if known is None or len(known.shown) == self._count:
            return False
        if not known.shown:
            return True  # a newcomer does not wait for others
        since_s = now - known.shown_at
        is_large = known.portion > limits.SEED_UNITS_SHOWN
        is_short = wanted <= (known.portion * self._unit // 2 if is_large else 0)
        is_unused = since_s >= limits.SEED_UNUSED_S
        if not is_short or not (known.asked or is_unused):
            return False
        if len(known.unsent) > known.portion // 2 and not (is_unused or idle):
            return False  # what it asked for is being read, or waits for its turn of the line
        return bool(self._new) or idle or since_s >= self._patience_s(now)

    def _patience_s(self, now: float) -> float:
        """Half of the time that it takes to send what was shown to some and sent to none."""
        left = len(self._shown) * self._unit
        first_s, most_s = limits.SEED_AGAIN_S
        return min(max(first_s, left / max(2 * self._pace.rate(now), 0.1)), most_s)

    def show(self, getter: Hashable, now: float, *, alone: bool) -> list[tuple[int, bytes]]:
        """The next portion, or all if there is no other getter: first chunks and their bits."""
        known = self._getters[getter]
        since_s = now - known.shown_at
        if not known.asked:
            known.portion = min(4 * known.portion, limits.SEED_UNITS)
        elif known.shown and since_s < limits.SEED_QUICK_S:
            known.portion = min(2 * known.portion, limits.SEED_UNITS)
        elif since_s > limits.SEED_SLOW_S:
            known.portion = max(known.portion // 2, limits.SEED_UNITS_SHOWN // 2)
        units = self._next(known, self._count if alone else known.portion)
        known.shown.update(units)
        if known.asked:
            for unit in units:
                self._move(unit, self._sent if unit in self._sent else self._shown)
            known.unsent.update(units)
        else:  # it has what it was shown before, or takes nothing
            self._release(known)
        known.shown_at, known.asked = now, False
        return self._bits(units)

    def show_rest(self, getter: Hashable, now: float) -> list[tuple[int, bytes]]:
        """All that one was not shown yet, if it takes what it had: others get that as if new."""
        known = self._getters.get(getter)
        if known is None:
            return []
        known.asked = False
        return self.show(getter, now, alone=True)

    def _move(self, unit: int, group: OrderedDict[int, None]) -> None:
        for other in self._groups():
            other.pop(unit, None)
        group[unit] = None

    def _groups(self) -> tuple[OrderedDict[int, None], ...]:
        return self._new, self._shown, self._sent

    def _next(self, known: _Getter, most: int) -> list[int]:
        groups = [group for group in self._groups() if known.lacks(group)]
        if most < self._count:
            del groups[1:]  # what is new is not mixed with what another was shown
        units = (unit for group in groups for unit in group if unit not in known.shown)
        return list(islice(units, most))

    def _bits(self, units: list[int]) -> list[tuple[int, bytes]]:
        """Bit fields of these units, in order."""
        found: dict[int, int] = {}
        for unit in units:
            first = unit * self._unit
            if self._unit == 1:
                found[first // 8] = found.get(first // 8, 0) | 0x80 >> (first & 7)
            else:
                beyond = max(0, first + self._unit - self._chunks)
                found[first // 8] = ((1 << self._unit) - 1) >> beyond << beyond
        size = max(self._unit // 8, 1)
        return _joined(sorted((8 * at, bits.to_bytes(size)) for at, bits in found.items()))


def _joined(fields: list[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
    """Fields that follow one another as one."""
    found: list[tuple[int, bytes]] = []
    for first, bits in fields:
        if found and found[-1][0] + 8 * len(found[-1][1]) == first:
            found[-1] = found[-1][0], found[-1][1] + bits
        else:
            found.append((first, bits))
    return found
