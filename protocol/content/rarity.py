"""The chunks that no source has been asked for yet, rarest first.

Only partial sources count: a complete source has every chunk and so changes no order. Chunks of the
same rarity come in random order, so that many downloaders of one mod soon hold different parts.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Protocol

_FEW = 8
"""Where fewer than one of so many waits they are sorted, and not all numbers looked at."""


class Shuffler(Protocol):
    """The part of `random.Random` that is needed here."""

    def shuffle(self, x: list[int]) -> None:
        """Reorder a list in place."""


class _Bag:
    """Numbers with constant-time removal, taken from the end."""

    __slots__ = ("_places", "numbers")

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self._places: dict[int, int] = {}

    def add(self, number: int) -> None:
        self._places[number] = len(self.numbers)
        self.numbers.append(number)

    def remove(self, number: int) -> None:
        place = self._places.pop(number)
        last = self.numbers.pop()
        if last != number:
            self.numbers[place] = last
            self._places[last] = place


class RarestFirst:
    """The waiting chunks of one download. Chunks are numbers below `count`."""

    def __init__(self, count: int, waiting: Iterable[int], rng: Shuffler) -> None:
        self._partial_holders = [0] * count
        order = list(waiting)
        rng.shuffle(order)
        self._waiting: set[int] = set()
        self._levels: dict[int, _Bag] = {}
        for chunk in order:
            self.add(chunk)

    def __contains__(self, chunk: int) -> bool:
        return chunk in self._waiting

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, chunk: int) -> None:
        """Let a chunk wait; among its equals it is the next to be taken."""
        self._waiting.add(chunk)
        self._levels.setdefault(self._partial_holders[chunk], _Bag()).add(chunk)

    def remove(self, chunk: int) -> None:
        """A chunk that waits is no longer needed."""
        self._waiting.remove(chunk)
        level = self._partial_holders[chunk]
        bag = self._levels[level]
        bag.remove(chunk)
        if not bag.numbers:
            del self._levels[level]

    def count_holder(self, chunks: Iterable[int], change: int) -> None:
        """One partial source more (+1) or less (-1) holds these chunks."""
        for chunk in chunks:
            waits = chunk in self._waiting
            if waits:
                self.remove(chunk)
            self._partial_holders[chunk] += change
            if waits:
                self.add(chunk)

    def all(self) -> Iterator[int]:
        """Every chunk that waits, the rarest first. Nothing may change meanwhile."""
        for level in sorted(self._levels):
            yield from reversed(self._levels[level].numbers)

    def of(self, chunks: Iterable[int]) -> Iterator[int]:
        """Those of `chunks` that wait, the rarest first."""
        waiting = filter(self._waiting.__contains__, chunks)
        yield from sorted(waiting, key=self._partial_holders.__getitem__)

    def from_number(self, start: int) -> Iterator[int]:
        """Every chunk that waits by its number: those from `start` on, then those before.

        Nothing may change meanwhile.
        """
        if len(self._waiting) * _FEW < len(self._partial_holders):
            yield from sorted(self._waiting, key=lambda chunk: (chunk < start, chunk))
            return
        count = len(self._partial_holders)
        for chunk in chain(range(start, count), range(min(start, count))):
            if chunk in self._waiting:
                yield chunk

    def take(
        self, chunks: Iterable[int], lengths: Sequence[int], most: int, budget_bytes: int
    ) -> tuple[list[int], bool]:
        """Remove up to `most` of these waiting chunks, as long as bytes are left.

        Returns those, and whether they are all of `chunks`.
        """
        taken: list[int] = []
        is_all = True
        for chunk in chunks:
            if len(taken) >= most or budget_bytes <= 0:
                is_all = False
                break
            taken.append(chunk)
            budget_bytes -= lengths[chunk]
        for chunk in taken:
            self.remove(chunk)
        return taken, is_all
