"""Whose turn comes next at something that several use one after another: who used it least.

Who was away begins behind those whose turn comes next: else new users, one after another, would
hold up the others for ever.
"""

from protocol import limits
from protocol.places.forgetting import forget_least


class TimeShares:
    """The seconds that each user had while others waited; at most `most` users are remembered."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._used_s: dict[bytes, float] = {}
        self._least_s = 0.0

    def __len__(self) -> int:
        return len(self._used_s)

    def __contains__(self, user: bytes) -> bool:
        return user in self._used_s

    def place(self, user: bytes) -> float:
        """The place in the order of one that asks; the least comes first."""
        used_s = self._used_s.get(user, 0.0)
        return used_s if used_s > self._least_s else self._least_s + limits.LINE_SLICE_S

    def began(self, place: float) -> None:
        """The turn of one with such a place has come."""
        self._least_s = max(self._least_s, place)

    def charge(self, user: bytes, place: float, held_s: float) -> None:
        """A turn of such a place counts for so long."""
        self._used_s[user] = max(place, self._used_s.get(user, 0.0)) + held_s
        forget_least(self._used_s, self._most)

    def clear(self) -> None:
        """All begin alike."""
        self._used_s.clear()
        self._least_s = 0.0
