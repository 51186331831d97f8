"""The swarm as a machine that any script of events may drive."""

import random
from collections import deque
from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from protocol import limits
from protocol.content.swarm import StallVerdict, Swarm
from protocol.errors import Unexpected


@dataclass
class _Peer:
    """What the test knows of a source."""

    complete: bool
    lies: bool
    held: set[int]
    queue: deque[int] = field(default_factory=deque)
    """Asked and not sent, in order."""
    released: set[int] = field(default_factory=set)
    """Of the queue, what the swarm took back and a cancel has not been confirmed for."""
    cancelling: bool = False
    has_sent: bool = False
    """Whether a chunk of it has arrived."""
    progressed: float = 0.0
    """When it was asked while it owed nothing, or sent a chunk."""
    spare_s: float = 0.0
    """For how long it owed nothing."""


HONEST = "honest"

COUNT = 24


class SwarmMachine(RuleBasedStateMachine):
    """Sources come, go, stall, lie and lack chunks; one honest source stays to the end."""

    @initialize(seed=st.integers(0, 2**32), had=st.sets(st.integers(0, COUNT - 1), max_size=8))
    def begin(self, seed: int, had: set[int]) -> None:
        rng = random.Random(seed)
        self.lengths = [rng.choice([100, 20_000, 80_000, 250_000]) for _ in range(COUNT)]
        self.missing = set(range(COUNT)) - had
        self.swarm = Swarm(self.lengths, sorted(self.missing), rng)
        self.now = 100.0
        self.peers: dict[str, _Peer] = {}
        self.arrived: dict[int, str] = {}
        self.stored: set[int] = set()
        self.banned: set[str] = set()
        self.in_vain: set[int] = set()
        """Chunks that a source was asked for and owes no more, and that have not arrived since."""
        self._join(HONEST, _Peer(complete=True, lies=False, held=set(range(COUNT))))

    def _join(self, name: str, peer: _Peer) -> None:
        assert self.swarm.join(name, self.now, complete=peer.complete) == (name not in self.banned)
        if name in self.banned:
            return
        self.peers[name] = peer
        if not peer.complete:
            self.swarm.holds(name, 0, self._bits(peer.held))

    def _bits(self, held: set[int]) -> bytes:
        bits = "".join("1" if chunk in held else "0" for chunk in range(COUNT))
        return int(bits, 2).to_bytes(COUNT // 8)

    def _others(self) -> list[str]:
        return sorted(name for name in self.peers if name != HONEST)

    def _pick(self, data: st.DataObject, names: list[str]) -> str:
        return data.draw(st.sampled_from(names))

    @rule(
        number=st.integers(0, 4),
        complete=st.booleans(),
        lies=st.booleans(),
        held=st.sets(st.integers(0, COUNT - 1)),
    )
    def join(self, number: int, complete: bool, lies: bool, held: set[int]) -> None:
        name = f"peer {number}"
        if name not in self.peers:
            held = set(range(COUNT)) if complete else held
            self._join(name, _Peer(complete, lies, held))

    @precondition(lambda self: self._others())
    @rule(data=st.data(), held=st.sets(st.integers(0, COUNT - 1)))
    def hold(self, data: st.DataObject, held: set[int]) -> None:
        name = self._pick(data, self._others())
        self.swarm.holds(name, 0, self._bits(held))
        if not self.peers[name].complete:
            self.peers[name].held |= held

    @precondition(lambda self: self._others())
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        name = self._pick(data, self._others())
        self.swarm.leave(name)
        self._forget(name)

    def _forget(self, name: str) -> None:
        self.in_vain |= self._owed(self.peers.pop(name))

    def _owed(self, peer: _Peer) -> set[int]:
        return set(peer.queue) - peer.released

    @rule(data=st.data())
    def request(self, data: st.DataObject) -> None:
        self._request(self._pick(data, sorted(self.peers)))

    def _request(self, name: str) -> None:
        peer = self.peers[name]
        chunks = self.swarm.requests(name, self.now)
        assert len(chunks) == len(set(chunks))
        if chunks:
            assert not peer.cancelling
        for chunk in chunks:
            assert chunk in self.missing - self.stored - set(self.arrived)
            assert chunk in peer.held
            for other in self.peers.values():
                is_in_time = self.now - other.progressed <= limits.LATE_S
                is_doubtful = chunk in self.in_vain and not other.has_sent
                if is_in_time and not is_doubtful and peer.spare_s < limits.SPARE_S:
                    assert chunk not in self._owed(other), "asked of two that are in time"
        if chunks and not self._owed(peer):
            peer.progressed = self.now
        peer.queue.extend(chunks)
        asked_bytes = sum(self.lengths[chunk] for chunk in peer.queue)
        assert asked_bytes <= limits.WINDOW_BYTES_MAX + max(self.lengths)

    @precondition(lambda self: any(peer.queue for peer in self.peers.values()))
    @rule(data=st.data(), count=st.integers(1, 6))
    def deliver(self, data: st.DataObject, count: int) -> None:
        names = sorted(name for name, peer in self.peers.items() if peer.queue)
        self._deliver(self._pick(data, names), count)

    def _deliver(self, name: str, count: int) -> None:
        peer = self.peers[name]
        for _ in range(min(count, len(peer.queue))):
            chunk = peer.queue.popleft()
            peer.released.discard(chunk)
            assert self.swarm.expects(name, chunk)
            self.swarm.heard(name, self.lengths[chunk], self.now)
            wanted = self.swarm.arrived(name, chunk, self.now)
            peer.progressed, peer.has_sent = self.now, True
            self.in_vain.discard(chunk)
            assert wanted == (chunk not in self.stored and chunk not in self.arrived)
            if wanted:
                self.arrived[chunk] = name
                for other in self.peers.values():
                    if chunk in other.queue:  # it comes for nothing now
                        other.released.add(chunk)

    @precondition(lambda self: any(peer.queue for peer in self.peers.values()))
    @rule(data=st.data())
    def lack(self, data: st.DataObject) -> None:
        names = [name for name in self._others() if self.peers[name].queue]
        if names:
            name = self._pick(data, names)
            peer = self.peers[name]
            chunk = peer.queue.popleft()
            peer.released.discard(chunk)
            peer.held.discard(chunk)
            self.in_vain.add(chunk)
            self.swarm.lacks(name, [chunk])

    @precondition(lambda self: self.arrived)
    @rule()
    def store(self) -> None:
        for chunk, name in tuple(self.arrived.items()):
            del self.arrived[chunk]
            liar = name != HONEST and (name in self.banned or self._lies(name))
            if liar:
                assert self.swarm.mismatched(chunk) == name
                self.banned.add(name)
                self.in_vain.add(chunk)
                if name in self.peers:
                    self._forget(name)
            else:
                self.swarm.stored(chunk)
                self.stored.add(chunk)

    def _lies(self, name: str) -> bool:
        peer = self.peers.get(name)
        return peer is not None and peer.lies

    @rule(seconds=st.floats(0, 40))
    def wait(self, seconds: float) -> None:
        self._wait(seconds)

    def _wait(self, seconds: float) -> None:
        self.now += seconds
        for peer in self.peers.values():
            peer.spare_s += seconds if not self._owed(peer) else 0.0
        for name, verdict in self.swarm.review(self.now):
            if verdict is StallVerdict.SILENT:
                self._forget(name)
            else:
                peer = self.peers[name]
                self.in_vain |= self._owed(peer)
                peer.cancelling = True
                peer.released |= set(peer.queue)
        if HONEST not in self.peers:
            self._join(HONEST, _Peer(complete=True, lies=False, held=set(range(COUNT))))

    @precondition(lambda self: any(peer.cancelling for peer in self.peers.values()))
    @rule(data=st.data())
    def confirm(self, data: st.DataObject) -> None:
        names = sorted(name for name, peer in self.peers.items() if peer.cancelling)
        self._confirm(self._pick(data, names))

    def _confirm(self, name: str) -> None:
        self.peers[name].cancelling = False
        self.peers[name].released.clear()
        self.peers[name].queue.clear()
        self.swarm.cancelled(name)

    @rule(data=st.data(), chunk=st.integers(0, COUNT - 1))
    def send_unasked(self, data: st.DataObject, chunk: int) -> None:
        name = self._pick(data, sorted(self.peers))
        if chunk not in self.peers[name].queue:
            assert not self.swarm.expects(name, chunk)
            with pytest.raises(Unexpected):
                self.swarm.arrived(name, chunk, self.now)

    @invariant()
    def counts_agree(self) -> None:
        if not hasattr(self, "swarm"):
            return
        assert self.swarm.left == len(self.missing - self.stored)
        assert set(self.swarm.sources) == set(self.peers)
        assert self.swarm.banned == self.banned

    def teardown(self) -> None:
        """All others fall silent: the honest source alone brings the rest."""
        if not hasattr(self, "swarm"):
            return
        for _ in range(300):
            if not self.swarm.left:
                break
            self.store()
            if self.peers[HONEST].cancelling:
                self._confirm(HONEST)
            self._deliver(HONEST, COUNT)
            self._request(HONEST)
            self._wait(1.0)
        assert self.swarm.left == 0
        assert self.swarm.is_gathered


SwarmMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)

TestSwarmMachine = SwarmMachine.TestCase
