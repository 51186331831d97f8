"""Where randomness comes in: the caller's source, the operating system's or a simulation's."""

from collections.abc import Sequence
from typing import Protocol, TypeVar

_Item = TypeVar("_Item")


class Random(Protocol):
    """What `random.Random` and `secrets.SystemRandom` both offer."""

    def randbytes(self, n: int, /) -> bytes:
        """`n` random bytes."""
        ...

    def getrandbits(self, k: int, /) -> int:
        """An integer of `k` random bits."""
        ...

    def random(self) -> float:
        """A float in [0, 1)."""
        ...


def sample(rng: Random, items: Sequence[_Item], count: int) -> list[_Item]:
    """`count` different ones of the items, or all if there are fewer, in random order."""
    drawn = list(items)
    for place in range(min(count, len(drawn))):
        other = place + int(rng.random() * (len(drawn) - place))
        drawn[place], drawn[other] = drawn[other], drawn[place]
    return drawn[:count]
