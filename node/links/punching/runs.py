"""The punching of one link: that of its attempt, and of each restart of its ICE."""

from node.links.punching.run import PunchRun
from protocol.addresses import Address


class PunchRuns:
    """At most the newest is under way; of older ones one may have the socket in use."""

    def __init__(self) -> None:
        self._runs: list[PunchRun] = []

    def add(self, run: PunchRun) -> None:
        """One more, once those before it have ended."""
        self._runs.append(run)

    def end(self, kept: Address | None) -> None:
        """Punch no more; of all sockets of searches only the one at `kept` stays open."""
        for run in self._runs:
            run.end(kept)
        self._runs = [run for run in self._runs if run.has_socket or run is self._runs[-1]]

    async def close(self) -> None:
        """End everything, the socket that carried the link included."""
        for run in self._runs:
            await run.close()
