"""When a version that could not be had is tried again: never at once, whatever is told of it."""

from math import inf
from typing import Final

from protocol import limits

_DOUBLINGS: Final = 16
"""The longest pause is reached before, and 2.0**1024 is no float."""


class Retrying:
    """Of one lineage. Times are seconds of any clock that only goes forward.

    A record may name what no peer serves, and a publisher may sign many of them: the pauses grow
    with each failure, and news ends none of them. A version that was not tried yet waits less.
    """

    def __init__(self, most_s: float = limits.FOLLOW_POLL_S) -> None:
        """`most_s`: the longest pause."""
        self._most_s = most_s
        self._failures = 0
        self._failed = b""
        self._at = -inf

    def failed(self, mod_id: bytes, now: float) -> None:
        """This version could not be had, or was given up for a newer one."""
        self._failures += 1
        self._failed, self._at = mod_id, now

    def forget(self) -> None:
        """It was had, or a person asks for it: nothing is waited for."""
        self._failures, self._failed, self._at = 0, b"", -inf

    def wait_s(self, mod_id: bytes, now: float) -> float:
        """For how long a version is not tried; 0 if it may be tried now."""
        if not self._failures:
            return 0.0
        first_s = limits.FOLLOW_AGAIN_S if mod_id == self._failed else limits.FOLLOW_OTHER_S
        return max(0.0, self._at + grown_s(first_s, self._failures, self._most_s) - now)


def grown_s(first_s: float, failures: int, most_s: float) -> float:
    """The pause after so many failures in a row, at least one: twice as long after each."""
    return min(first_s * 2.0 ** min(failures - 1, _DOUBLINGS), most_s)
