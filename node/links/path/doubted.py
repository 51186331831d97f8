"""What a path does that is doubted: it checks its pairs, goes on by another, or asks for help."""

import logging
from math import inf
from typing import Final

from node.links.path.paths import LinkPaths
from node.links.path.traffic import PathTraffic
from node.links.path.watcher import PathWatcher
from node.links.relaying.run import RelayRun
from protocol import limits
from protocol.addresses import Address
from protocol.ice.agent import IceAgent
from protocol.identity import PeerId, peer_id_text
from protocol.overlay.contacts import Contact

_log = logging.getLogger(__name__)

_FLOWS_S: Final = 0.5
"""Data of the peer flow for so long after the path was told of some."""


class DoubtedPath(PathTraffic):
    """A base of `IcePath`, which ends it and drains its agent."""

    agent: IceAgent
    relays: RelayRun

    def __init__(self, paths: LinkPaths, peer: PeerId) -> None:
        super().__init__(paths)
        self._paths = paths
        self._peer = peer
        self._watcher: PathWatcher | None = None
        self._ended = ""
        self._slow_left = 0
        self._slow_at = -inf
        self._heard_at = self._unacknowledged_at = -inf

    def watch(self, watcher: PathWatcher) -> None:
        """Tell the watcher, from now on, what happens to the pair in use."""
        self._watcher = watcher
        if self.is_relayed:
            self._loop.call_soon(watcher.relayed)

    @property
    def ended(self) -> str:
        """Why the path has ended, if not because it was closed; else empty."""
        return self._ended

    def flush(self) -> None:
        """Send and tell what the agent has to send and to tell, and set its timer."""
        raise NotImplementedError

    # What data tell ---------------------------------------------------------------------------

    def doubt(self) -> None:
        """What was sent is not acknowledged: our mapping may be lost, so check the pair now."""
        self._unacknowledged_at = self._loop.time()
        self._check(is_sure=True)
        self._tell_doubt(self._loop.time())

    def data_lost(self) -> None:
        """For some timeouts nothing was acknowledged, though checks are answered: a path is what
        carries data, and not what carries checks.
        """
        if not self._ended and not self.leave_for_another() and self._watcher is not None:
            self._watcher.blocked()

    def data_slow(self) -> None:
        """What waits leaves below the least rate by a relay: go on by another, a few times in all.

        Where others are as slow, the line is what is slow; and so it is where the path is direct.
        """
        watcher = self._watcher
        if self._ended or not self.is_relayed or watcher is None:
            return
        self._slow_at = self._loop.time()
        if self._slow_left < limits.SLOW_RELAYS_LEFT:
            self._slow_left += self.leave_for_another() or watcher.slowed()

    def carries_since(self, since: float) -> bool:
        """Whether data of the peer arrive, and nothing of ours was left unacknowledged since then:
        on a slow line a check may be answered later than it takes to doubt the path.
        """
        flows = self._loop.time() <= self._heard_at + _FLOWS_S
        return flows and self._heard_at > since > self._unacknowledged_at

    def leave_for_another(self) -> bool:
        """Go on at once by a pair that is kept; False if there is none."""
        base = self.base
        has_left = self.agent.leave_selected(self._loop.time())
        if has_left and base is not None:
            _log.info("a path of %s loses data: it is left", peer_id_text(self._peer))
            self.relays.doubt(base)
        self.flush()
        return has_left

    def _fell_silent(self) -> None:
        self._check(is_sure=False)

    def _check(self, *, is_sure: bool) -> None:
        if not self._ended:
            self.agent.check_now(self._loop.time(), is_sure=is_sure)
            self.flush()

    def _flows(self) -> None:
        if not self._ended:
            self._heard_at = self._loop.time()
            self.agent.data_arrived(self._carried(), self._loop.time())
            self.flush()

    def _tell_doubt(self, since: float) -> None:
        if self._watcher is not None and not self._ended:
            self._watcher.doubted(since)

    def _look_for_spare(self) -> None:
        """A relayed link goes on by another relay if there is one: if there is none, say so."""
        if self._watcher is not None and self.lacks_spare:
            self._watcher.alone()

    @property
    def lacks_spare(self) -> bool:
        """Whether the link goes by a relay, and by no other path if that is gone."""
        return self.is_relayed and not self._ended and not self.agent.has_spare(self._loop.time())

    @property
    def spare_after_s(self) -> float:
        """How long to wait before another path is looked for, which would burden a slow line."""
        return max(0.0, self._slow_at + limits.PATH_PENALTY_S - self._loop.time())

    @property
    def relay(self) -> Contact | None:
        """The relay in use; None if the path is direct."""
        return self.relays.relay_at(self.base) if self.is_relayed else None

    # What a restart asks ----------------------------------------------------------------------

    def doubt_relay(self) -> Address | None:
        """Name the relay in use last from now on; its base, or None if the path is direct."""
        pair = self._pair
        if pair is None or not self.is_relayed:
            return None
        self.relays.doubt(pair.base)
        return pair.base

    def leave_blocked(self) -> None:
        """Give up the relay of the pair in use, before a restart; a direct path is kept."""
        if self._pair is not None and self.is_relayed:
            self.relays.drop(self._pair.base)
        else:
            self._paths.relays.doubt_direct(self._peer)
