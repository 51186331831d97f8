"""The window of TCP CUBIC (RFC 9438), for times when a queue is somebody else's.

A control that keeps queues short starves beside one that fills them. So while the path model sees a
standing queue that is not its own, its window follows the same law as its competitor's.
"""

_SCALE = 0.4
_DECREASE = 0.7
_RENO_GAIN = 3 * (1 - _DECREASE) / (1 + _DECREASE)
_GROWTH_MAX = 1.5


class CubicWindow:
    """A window in packets, begun at `window`."""

    __slots__ = ("_began_at", "_plateau", "_reno", "_until_plateau_s", "window")

    def __init__(self, window: float) -> None:
        self.window = window
        self._plateau = window
        self._begin(0.0)
        self._began_at = -1.0

    def _begin(self, now: float) -> None:
        self._began_at = now
        self._reno = self.window
        self._plateau = max(self._plateau, self.window)
        self._until_plateau_s = ((self._plateau - self.window) / _SCALE) ** (1 / 3)

    def on_ack(self, packets: float, now: float, rtt_s: float) -> None:
        """So many packets were acknowledged."""
        if self._began_at < 0:
            self._begin(now)
        self._reno += _RENO_GAIN * packets / self.window
        since_plateau_s = now + rtt_s - self._began_at - self._until_plateau_s
        target = self._plateau + _SCALE * since_plateau_s**3
        target = min(max(target, self.window), _GROWTH_MAX * self.window)
        self.window += (target - self.window) * packets / self.window
        self.window = max(self.window, self._reno)

    def on_loss(self, least: float) -> None:
        """Packets were lost in this round trip; the window does not fall below `least`."""
        shrinking = self.window < self._plateau
        self._plateau = self.window * (1 + _DECREASE) / 2 if shrinking else self.window
        self.window = max(self.window * _DECREASE, least)
        self._began_at = -1.0
