"""Whether the selected path may be dead: from when on it is doubted until it answers."""

from math import inf


class PathDoubt:
    """`since` is when the doubt began, inf if there is none. A path that has not answered by
    `decides_at` is left for one that has.
    """

    def __init__(self) -> None:
        self.since = inf
        self.decides_at = inf
        self._is_sure = False

    def begin(self, now: float, decides_at: float, *, is_sure: bool) -> bool:
        """Doubt the path, or go on doubting it; whether the doubt is new.

        `is_sure`: data tell of it. A check alone may have been lost, as datagrams are.
        """
        self._is_sure = self._is_sure or is_sure
        if self.since != inf:
            self.decides_at = min(self.decides_at, decides_at)
            return False
        self.since, self.decides_at = now, decides_at
        return True

    def end(self) -> None:
        """The path has answered, or is not in use any more."""
        self.since = self.decides_at = inf
        self._is_sure = False

    def is_silent(self, now: float, heard_at: float) -> bool:
        """Whether the path counts for dead. While data arrive by it, at `heard_at` last, a lost
        check does not make it so.
        """
        return now >= self.decides_at and (self._is_sure or heard_at < self.since)
