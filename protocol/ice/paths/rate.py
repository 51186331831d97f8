"""How much of its link's data one path has carried lately."""

from collections import deque
from typing import Final

_OVER_S: Final = 1.0
"""The time that the rate is measured over. After a pause as long it is measured anew."""

_NOTED: Final = 16
"""Counts that are remembered: more than come in that time."""


class CarriedRate:
    """Of one path, by what the link has counted so far each time that it looks."""

    __slots__ = ("_noted",)

    def __init__(self) -> None:
        self._noted: deque[tuple[float, int]] = deque(maxlen=_NOTED)

    def note(self, carried_bytes: int, now: float) -> None:
        """The path carries the link, which has carried so many bytes in all, by whichever path."""
        noted = self._noted
        if noted and now - noted[-1][0] > _OVER_S:
            noted.clear()
        noted.append((now, carried_bytes))
        while len(noted) > 2 and now - noted[1][0] >= _OVER_S:
            noted.popleft()

    def at(self, now: float) -> float | None:
        """Bytes a second; None if none were carried by this path within the last second."""
        if len(self._noted) < 2 or now - self._noted[-1][0] > _OVER_S:
            return None
        (since, before), (until, after) = self._noted[0], self._noted[-1]
        return (after - before) / (until - since) if until > since and after > before else None
