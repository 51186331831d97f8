"""How long a path is left alone that did not carry what it was to carry, although checks pass."""

from collections import OrderedDict
from math import inf
from typing import Final

from protocol import limits
from protocol.addresses import Address

_FORGOTTEN_S: Final = 600.0
"""A path that has been left alone for so long after its penalty begins anew with the shortest."""


class PathPenalties:
    """Of one link, by base and remote address; they outlive a restart of ICE.

    Each is twice as long as the one before, so a path that passes checks and no data makes the link
    change ever more rarely.
    """

    def __init__(self) -> None:
        self._barred: OrderedDict[tuple[Address, Address], tuple[float, float]] = OrderedDict()

    def bar(self, base: Address, remote: Address, least_s: float, now: float) -> None:
        """Leave a path alone for `least_s` seconds, or twice as long as last time if it is more."""
        last_s, until = self._barred.pop((base, remote), (0.0, -inf))
        if now >= until + _FORGOTTEN_S:
            last_s = 0.0
        penalty_s = min(max(least_s, 2 * last_s), limits.PATH_PENALTY_MAX_S)
        self._barred[base, remote] = penalty_s, now + penalty_s
        if len(self._barred) > limits.PATH_PENALTIES:
            self._barred.popitem(last=False)

    def barred_until(self, base: Address, remote: Address) -> float:
        """When the penalty of a path ends or ended; -inf if it never had one."""
        return self._barred.get((base, remote), (0.0, -inf))[1]
