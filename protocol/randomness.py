"""Where randomness comes in: the caller's source, the operating system's or a simulation's."""

from typing import Protocol


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
