"""The flows of one host, which measure their round trips at the same time.

Where flows share a line, each takes the queue of the others for that of strangers, who would not
drain theirs. If all of them make room at once they see the path without a queue (as the flows of
BBR come to do by themselves, but only those that started together).
"""

from collections.abc import Callable


class RoundTripProbes:
    """Those that have joined and not left."""

    def __init__(self) -> None:
        self._flows: dict[object, Callable[[float], None]] = {}

    def join(self, flow: object, probe_round_trip: Callable[[float], None]) -> None:
        """This flow's is called from now on, with the time, when another begins."""
        self._flows[flow] = probe_round_trip

    def leave(self, flow: object) -> None:
        """This flow has ended; may be called again."""
        self._flows.pop(flow, None)

    def begun(self, flow: object, now: float) -> None:
        """Tell all others that this one begins."""
        for other, probe_round_trip in self._flows.items():
            if other is not flow:
                probe_round_trip(now)
