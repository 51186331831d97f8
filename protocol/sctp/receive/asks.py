"""How often the peer asks for SACKs (the I bit, RFC 7053), and so how long its packets may wait.

A peer of ours asks with the last packet of each burst, or of several, as its path wants it. Who
reads packets together had best read as often as it asks: then each read brings one burst and sends
one SACK. On a busy line bursts follow one another without a gap, so it does not matter where in a
burst a read falls: one that brings most of a burst is answered without being asked, for the ask
that is on its way.
"""

from math import inf
from typing import Final

_WEIGHT: Final = 1 / 8
"""Of the latest period in the averages."""
_MOST: Final = 0.6
"""Of the packets of a period: so many are answered unasked."""
_SOON: Final = 0.25
"""Of a period: so soon the rest of a burst is looked for."""
_AHEAD: Final = 0.9
"""Of a period: so soon the next burst is read. Bursts follow SACKs, and would grow."""
_PAUSE: Final = 4.0
"""Periods; what is longer is a pause and tells nothing of them."""


class Asks:
    """Follows the asks of one peer.

    `period_s` is the average time between two of them and `wait_s` how long what comes next may
    wait to be read; None: not known.
    """

    __slots__ = ("_asked", "_asked_at", "_packets", "_since", "period_s", "wait_s")

    def __init__(self) -> None:
        self.period_s: float | None = None
        self.wait_s: float | None = None
        self._packets = 0.0
        self._since = 0
        self._asked = False
        self._asked_at = -inf

    def read(self, packets: int, asks: int, now: float) -> bool:
        """Take that so many packets were read together; True: they are worth a SACK unasked."""
        self._since += packets
        unasked = not asks and self._asked and packets >= _MOST * self._packets > 0.0
        self._asked = asks > 0
        if asks:
            self._learn(asks, now)
        if self.period_s is None:
            self.wait_s = None
        else:
            self.wait_s = (_AHEAD if asks or unasked else _SOON) * self.period_s
        return unasked

    def _learn(self, asks: int, now: float) -> None:
        period_s, packets = (now - self._asked_at) / asks, self._since / asks
        self._asked_at, self._since = now, 0
        if self.period_s is not None and period_s < _PAUSE * self.period_s:
            self.period_s += _WEIGHT * (period_s - self.period_s)
            self._packets += _WEIGHT * (packets - self._packets)
        elif self.period_s is None and period_s != inf:
            self.period_s, self._packets = period_s, packets
        else:
            self.period_s, self._packets = None, 0.0
