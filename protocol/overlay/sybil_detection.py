"""Sybil detection: the network's size, and whether a key has implausibly many contacts near it.

Ids are spread evenly, so among N contacts the k-th nearest to a key is about k / N of the id space
away. An adversary that hides the records under a key puts contacts of its own nearer to it than all
others, which is visible: k contacts where a network of this size would have a small part of one
(Sridhar et al., Content Censorship in the InterPlanetary File System, NDSS 2024, 5).
"""

import math
from collections.abc import Sequence
from statistics import median

from protocol import limits
from protocol.overlay.contacts import Contact
from protocol.randomness import Random, sample

_ID_BITS = 8 * limits.ID_BYTES
_SPACE = float(1 << _ID_BITS)
_PART_BITS = (limits.SIZE_SAMPLES - 1).bit_length()
_PART_SHIFT = _ID_BITS - _PART_BITS
_EIGHTH_BITS = _PART_BITS - 3
_EIGHTH_SHIFT = _ID_BITS - 3
_GAMMA_MEDIAN = 1 / 3
"""The median of the k-th nearest's distance is about (k - 1/3) / N (Gamma distribution)."""


def radius(target: int, closest: Sequence[Contact]) -> float:
    """The distance of the farthest of `closest` from `target`, as a share of the id space."""
    return max(contact.number ^ target for contact in closest) / _SPACE


def chance_of(count: int, expected: float) -> float:
    """The probability of at least `count` contacts where `expected` are (Poisson)."""
    if expected <= 0.0:
        return 0.0 if count else 1.0
    term = math.exp(-expected)
    below = 0.0
    for number in range(count):
        below += term
        term *= expected / (number + 1)
    return max(0.0, 1.0 - below)


class NetworkSize:
    """The number of contacts in the network, from the radii of lookups for different targets.

    The median of SIZE_SAMPLES parts of all ids counts, in each that of its last lookup: so sybils
    around a few targets do not change it, also where many lookups led to them. A key is judged by
    lookups in other eighths of the ids, as those that are near it meet the same sybils.
    """

    def __init__(self, k: int = limits.K) -> None:
        self._k = k
        self._radii: dict[int, float] = {}
        """By part, which is the leading bits of a target."""

    def note(self, target: int, closest: Sequence[Contact]) -> None:
        """A lookup ran to its end and found `closest`."""
        if len(closest) >= self._k:
            self._radii[target >> _PART_SHIFT] = radius(target, closest[: self._k])

    def samples(self, *, without: int) -> int:
        """How many lookups the estimate rests on."""
        return len(self._apart(without))

    def estimate(self, *, without: int) -> float:
        """The number of contacts as lookups far from a target show it; needs one at least."""
        return (self._k - _GAMMA_MEDIAN) / median(self._apart(without))

    def is_apart(self, number: int, target: int) -> bool:
        """Whether what is near a number says nothing of sybils near a target."""
        return number >> _EIGHTH_SHIFT != target >> _EIGHTH_SHIFT

    def hint(self, number: int, named: Sequence[Contact]) -> float:
        """The number of contacts as one of them tells by naming those near it; 0 for too few."""
        distances = sorted({one.number ^ number for one in named} - {0})
        if len(distances) < self._k:
            return 0.0
        return (self._k - _GAMMA_MEDIAN) * _SPACE / distances[self._k - 1]

    def targets(self, count: int, rng: Random, *, without: int) -> list[bytes]:
        """So many random ids, lookups of which add a sample each for this target."""
        parts = [
            part
            for part in range(limits.SIZE_SAMPLES)
            if part not in self._radii and part >> _EIGHTH_BITS != without >> _EIGHTH_SHIFT
        ]
        drawn = sample(rng, parts, count)
        return [_id_in(part, rng.randbytes(limits.ID_BYTES)) for part in drawn]

    def _apart(self, target: int) -> list[float]:
        eighth = target >> _EIGHTH_SHIFT
        return [one for part, one in self._radii.items() if part >> _EIGHTH_BITS != eighth]

    def radius(self, own_number: int) -> int:
        """The distance of the k-th nearest contact in a network of this size; 0 if unknown."""
        if self.samples(without=own_number) < limits.SIZE_SAMPLES_VERDICT:
            return 0
        return int(min(1.0, self._k / self.estimate(without=own_number)) * _SPACE)


def _id_in(part: int, drawn: bytes) -> bytes:
    number = part << _PART_SHIFT | int.from_bytes(drawn) >> _PART_BITS
    return number.to_bytes(limits.ID_BYTES)


def region_bits(contacts: float, k: int = limits.K) -> int:
    """How many leading bits the contacts in the region around a key share with it.

    The region is the smallest that holds k contacts on average, so that it has k to 2 k.
    """
    return max(0, int(math.log2(max(1.0, contacts / k))))


def region_targets(target: int, bits: int) -> list[int]:
    """The targets of lookups that find the region around a key, but for the nearest to it.

    One target lies in each half, quarter and so on that does not hold the key itself: lookups of
    these do not lead to the sybils around the key.
    """
    deepest = min(bits + limits.REGION_PARTS, _ID_BITS)
    return [target ^ 1 << (_ID_BITS - 1 - bit) for bit in range(bits, deepest)]


def is_in_region(contact: Contact, target: int, bits: int) -> bool:
    """Whether a contact shares the region's leading bits."""
    return (contact.number ^ target) >> (_ID_BITS - bits) == 0
