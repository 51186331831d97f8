"""Which chunks of the version before help to make which chunks of a new one.

What a reader lacks are the chunks of the new version that the base does not have; what they
resemble is mostly what the base has and the new version does not. Where all of both fits into one
part there is nothing to choose. Else each lacking chunk is expected where the base's counterpart
would lie: as far behind the last shared chunk as in the new version, or as far from the beginning
of the file of the same path, else name, else kind and size.
"""

from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

from protocol import limits
from protocol.content.patching.part import Runs, runs_of

_SPLIT_BYTES = limits.PATCH_PART_BYTES * 3 // 4
"""What one of several parts yields: less than what it refers to, as counterparts move."""
_SLACKS = (2**40, 2**24, 2**22, 2**20, 2**18, 2**16, 0)
"""How far around the expected places chunks of the base are taken, at most: as many as fit."""


@dataclass(frozen=True, slots=True)
class PatchSide:
    """One of the two versions: its files and its chunks, as its manifest has them."""

    files: Sequence[tuple[str, int]]
    """Paths and sizes, in the order of paths."""
    addresses: Sequence[bytes]
    lengths: Sequence[int]
    order: Sequence[int]


@dataclass(frozen=True, slots=True)
class PlannedPart:
    """What one part is to be made of, and what it yields."""

    base: Runs
    chunks: Runs


def plan_parts(base: PatchSide, new: PatchSide) -> list[PlannedPart]:
    """The parts of a patch, in their order; none if the base has every chunk."""
    base_numbers = {address: number for number, address in enumerate(base.addresses)}
    shared = array("q", (base_numbers.get(address, -1) for address in new.addresses))
    del base_numbers
    lacking = [number for number, twin in enumerate(shared) if twin < 0]
    if not lacking:
        return []
    candidates = _Candidates(base, new, shared)
    if _fits(lacking, new.lengths) and candidates.fit:
        return [PlannedPart(runs_of(candidates.numbers), runs_of(lacking))]
    places = _expected_places(base, new, shared)
    return [
        PlannedPart(runs_of(candidates.near(places, new.lengths, group)), runs_of(group))
        for group in _groups(lacking, new.lengths)
    ]


def _fits(numbers: Sequence[int], lengths: Sequence[int]) -> bool:
    size = sum(lengths[number] for number in numbers)
    return size <= limits.PATCH_PART_BYTES and len(numbers) <= limits.PATCH_PART_CHUNKS


def _groups(numbers: Sequence[int], lengths: Sequence[int]) -> Iterator[list[int]]:
    group: list[int] = []
    size = 0
    for number in numbers:
        full = size + lengths[number] > _SPLIT_BYTES or len(group) == limits.PATCH_PART_CHUNKS
        if group and full:
            yield group
            group, size = [], 0
        group.append(number)
        size += lengths[number]
    yield group


class _Candidates:
    """The chunks of the base that a part may refer to, by number, which is also by place."""

    def __init__(self, base: PatchSide, new: PatchSide, shared: Sequence[int]) -> None:
        kept = set(shared)
        like = _files_like_new_ones(base, new)
        starts = _starts(base)
        places = _places(base)
        wanted = [
            number
            for number in range(len(base.addresses))
            if number not in kept or any(_is_within(places[number], starts, file) for file in like)
        ]
        self.numbers = array("I", wanted)
        self._lengths = base.lengths
        self._starts = array("Q", (places[number] for number in wanted))
        self._sums = array("Q", accumulate((base.lengths[number] for number in wanted), initial=0))
        self.fit = _fits(wanted, base.lengths)

    def near(
        self, places: Sequence[int], lengths: Sequence[int], group: Sequence[int]
    ) -> Sequence[int]:
        """As many as a part may have, around the places where a group of chunks is expected."""
        expected = sorted((places[one], lengths[one]) for one in group if places[one] >= 0)
        for slack in _SLACKS:
            spans = self._spans(expected, slack)
            size = sum(self._sums[end] - self._sums[start] for start, end in spans)
            count = sum(end - start for start, end in spans)
            if size <= limits.PATCH_PART_BYTES and count <= limits.PATCH_PART_CHUNKS:
                break
        near = [self.numbers[place] for start, end in spans for place in range(start, end)]
        size = 0
        for count, number in enumerate(near[: limits.PATCH_PART_CHUNKS]):
            size += self._lengths[number]
            if size > limits.PATCH_PART_BYTES:
                return near[:count]
        return near[: limits.PATCH_PART_CHUNKS]

    def _spans(self, expected: Sequence[tuple[int, int]], slack: int) -> list[tuple[int, int]]:
        """Candidates that may overlap the expected places, as ranges that ascend and are apart."""
        spans: list[tuple[int, int]] = []
        for place, length in expected:
            first = bisect_left(self._starts, place - slack - limits.CHUNK_BYTES_MAX + 1)
            end = bisect_left(self._starts, place + length + slack)
            if spans and first <= spans[-1][1]:
                spans[-1] = (spans[-1][0], max(spans[-1][1], end))
            elif first < end:
                spans.append((first, end))
        return spans


def _starts(side: PatchSide) -> Sequence[int]:
    """Where each file begins in the byte stream, and its end."""
    return array("Q", accumulate((size for _, size in side.files), initial=0))


def _places(side: PatchSide) -> Sequence[int]:
    """Where each chunk first is in the byte stream."""
    places = array("Q")
    end = 0
    for number in side.order:
        if number == len(places):
            places.append(end)
        end += side.lengths[number]
    return places


def _is_within(place: int, starts: Sequence[int], file: int) -> bool:
    return starts[file] <= place < starts[file + 1]


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _files_like_new_ones(base: PatchSide, new: PatchSide) -> list[int]:
    """Files of the base with the name of a new one elsewhere: copies that were then changed."""
    before = {path for path, _ in base.files}
    added = {_name(path) for path, _ in new.files if path not in before}
    return [number for number, (path, _) in enumerate(base.files) if _name(path) in added]


def _counterparts(base: PatchSide, new: PatchSide) -> dict[int, int]:
    """The file of the base that a file of the new version is probably made of, by numbers."""
    by_path = {path: number for number, (path, _) in enumerate(base.files)}
    by_name = {_name(path): number for number, (path, _) in enumerate(base.files)}
    paths = {path for path, _ in new.files}
    gone: dict[str, list[int]] = {}
    for number, (path, _) in enumerate(base.files):
        if path not in paths:
            gone.setdefault(_kind(path), []).append(number)
    found = {}
    for number, (path, size) in enumerate(new.files):
        twin = by_path.get(path, by_name.get(_name(path)))
        if twin is None and (alike := gone.get(_kind(path))):
            twin = min(alike, key=lambda one: abs(base.files[one][1] - size))
        if twin is not None:
            found[number] = twin
    return found


def _kind(path: str) -> str:
    return _name(path).rpartition(".")[2].lower()


def _expected_places(base: PatchSide, new: PatchSide, shared: Sequence[int]) -> Sequence[int]:
    """Where in the base's stream the counterpart of each chunk would lie; -1 where it has none."""
    base_places, base_starts, starts = _places(base), _starts(base), _starts(new)
    twins = _counterparts(base, new)
    places = array("q")
    at, file, drift = 0, -1, 0
    is_anchored = False
    for number in new.order:
        before = file
        while file + 1 < len(new.files) and starts[file + 1] <= at:
            file += 1
        if file != before and file in twins:
            drift, is_anchored = base_starts[twins[file]] - starts[file], True
        twin = shared[number]
        if twin >= 0:
            drift, is_anchored = base_places[twin] - at, True
        if number == len(places):
            places.append(max(0, at + drift) if is_anchored else -1)
        at += new.lengths[number]
    return places
