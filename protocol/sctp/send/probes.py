"""The flows of one host, which measure their round trips at the same time.

On a line that several of them share, each takes the queue of the others for one that other hosts
keep. Where all of them make room at once they see the path without a queue: flows of BBR come to do
that by themselves, but only those that started together.
"""

from typing import Protocol
from weakref import WeakSet


class ProbingFlow(Protocol):
    """A congestion control that measures its round trip now and then."""

    def probe_round_trip(self, now: float) -> None:
        """Do so as well: another flow begins to."""
        ...


class RoundTripProbes:
    """Those that have joined, for as long as they are in use elsewhere: a peer can end them."""

    def __init__(self) -> None:
        self._flows: WeakSet[ProbingFlow] = WeakSet()

    def join(self, flow: ProbingFlow) -> None:
        """This flow is told from now on."""
        self._flows.add(flow)

    def begun(self, flow: ProbingFlow, now: float) -> None:
        """Tell all others that this one begins."""
        for other in self._flows:
            if other is not flow:
                other.probe_round_trip(now)
