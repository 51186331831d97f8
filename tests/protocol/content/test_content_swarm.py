"""The swarm's decisions, step by step, and as a machine that any script of events may drive."""

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
from protocol.content.swarm import StallVerdict, Swarm, window_bytes
from protocol.errors import Unexpected

A, B, C = "a", "b", "c"
MB = 2**20


def swarm_of(count: int, length: int = 80_000, missing: list[int] | None = None) -> Swarm:
    chunks = list(range(count)) if missing is None else missing
    return Swarm([length] * count, chunks, random.Random(1))


def finish(swarm: Swarm, source: str, chunks: list[int], now: float, length: int = 80_000) -> None:
    """All of these chunks come, and are right."""
    for chunk in chunks:
        swarm.heard(source, length, now)
        assert swarm.arrived(source, chunk)
        swarm.stored(chunk)


def test_only_what_is_missing_is_asked_for() -> None:
    swarm = swarm_of(10, missing=[3, 7])
    swarm.join(A, 0.0, complete=True)
    assert sorted(swarm.requests(A, 0.0)) == [3, 7]
    assert swarm.left == 2


def test_nothing_missing_is_complete() -> None:
    swarm = swarm_of(10, missing=[])
    assert swarm.left == 0
    assert swarm.is_gathered
    assert swarm.idle


def test_a_new_source_gets_a_small_window_and_a_fast_one_a_wide_one() -> None:
    swarm = swarm_of(4000)
    swarm.join(A, 0.0, complete=True)
    asked = swarm.requests(A, 0.0)
    assert len(asked) == 4  # 256 KiB and what begins within them
    assert swarm.requests(A, 0.0) == []
    for step in range(100):
        now = step / 10
        finish(swarm, A, asked, now)
        asked = swarm.requests(A, now)
        if swarm.left < 2000:
            break
    assert len(asked) * 80_000 > 3 * MB


def test_the_window() -> None:
    assert window_bytes(0) == limits.WINDOW_BYTES_MIN
    assert window_bytes(1e6) == 3_000_000
    assert window_bytes(1e9) == limits.WINDOW_BYTES_MAX


def test_all_windows_together_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "WINDOWS_BYTES", 500_000)
    swarm = swarm_of(100)
    for source in (A, B, C):
        swarm.join(source, 0.0, complete=True)
    asked = [chunk for source in (A, B, C) for chunk in swarm.requests(source, 0.0)]
    assert len(asked) == 7


def test_requests_are_bounded_in_number() -> None:
    swarm = swarm_of(5000, length=20)
    swarm.join(A, 0.0, complete=True)
    assert len(swarm.requests(A, 0.0)) == limits.REQUESTS_PER_STREAM
    assert swarm.requests(A, 0.0) == []


def test_two_sources_share_the_work() -> None:
    swarm = swarm_of(8)
    swarm.join(A, 0.0, complete=True)
    swarm.join(B, 0.0, complete=True)
    assert sorted(swarm.requests(A, 0.0) + swarm.requests(B, 0.0)) == list(range(8))
    assert swarm.is_gathered is False


def test_a_lost_source_leaves_its_requests_to_others() -> None:
    swarm = swarm_of(4)
    swarm.join(A, 0.0, complete=True)
    swarm.join(B, 0.0, complete=True)
    asked = swarm.requests(A, 0.0)
    assert swarm.requests(B, 0.0) == []
    swarm.leave(A)
    assert sorted(swarm.requests(B, 1.0)) == sorted(asked)
    assert swarm.sources == (B,)


def test_a_partial_source_is_asked_for_what_it_holds() -> None:
    swarm = swarm_of(20)
    swarm.join(A, 0.0, complete=False)
    assert swarm.requests(A, 0.0) == []
    swarm.holds(A, 8, bytes([0b01000000]))
    assert swarm.requests(A, 0.0) == [9]
    swarm.holds(A, 16, bytes([0b00010000]))
    assert swarm.requests(A, 0.0) == [19]
    assert swarm.requests(A, 0.0) == []


def test_a_partial_source_cannot_hold_more_than_there_is() -> None:
    swarm = swarm_of(20)
    swarm.join(A, 0.0, complete=False)
    swarm.holds(A, 16, bytes([0xFF]))  # the last bits of the last byte mean nothing
    with pytest.raises(Unexpected):
        swarm.holds(A, 24, bytes([0x80]))
    assert sorted(swarm.requests(A, 0.0)) == [16, 17, 18, 19]


def test_rare_chunks_first() -> None:
    swarm = swarm_of(16)
    for source in (A, B):
        swarm.join(source, 0.0, complete=False)
    swarm.holds(A, 0, b"\xff\xff")
    swarm.holds(B, 0, b"\xff\x00")
    assert set(swarm.requests(A, 0.0)) <= set(range(8, 16))
    swarm.leave(B)


def test_a_source_that_lacks_a_chunk_is_not_asked_again() -> None:
    swarm = swarm_of(1)
    swarm.join(A, 0.0, complete=True)
    assert swarm.requests(A, 0.0) == [0]
    swarm.lacks(A, [0])
    assert swarm.requests(A, 0.0) == []
    assert swarm.idle
    swarm.join(B, 0.0, complete=True)
    assert swarm.requests(B, 0.0) == [0]
    with pytest.raises(Unexpected):
        swarm.lacks(B, [5])


def test_a_wrong_chunk_bans_its_sender_only() -> None:
    swarm = swarm_of(4)
    swarm.join(A, 0.0, complete=True)
    swarm.join(B, 0.0, complete=True)
    asked = swarm.requests(A, 0.0)
    assert swarm.arrived(A, asked[0])
    assert swarm.mismatched(asked[0]) == A
    assert swarm.banned == {A}
    assert not swarm.join(A, 1.0, complete=True)
    assert sorted(swarm.requests(B, 1.0)) == [0, 1, 2, 3]


def test_what_was_not_asked_for_is_refused() -> None:
    swarm = swarm_of(10)
    swarm.join(A, 0.0, complete=True)
    asked = swarm.requests(A, 0.0)
    other = next(chunk for chunk in range(10) if chunk not in asked)
    assert not swarm.expects(A, other)
    with pytest.raises(Unexpected):
        swarm.arrived(A, other)
    assert swarm.arrived(A, asked[0])
    with pytest.raises(Unexpected):
        swarm.arrived(A, asked[0])


def test_a_stalled_source_gives_way_to_others() -> None:
    swarm = swarm_of(4)
    swarm.join(A, 0.0, complete=True)
    asked = swarm.requests(A, 0.0)
    swarm.join(B, 0.0, complete=True)
    assert swarm.review(limits.STALL_S - 1) == []
    now = limits.STALL_S + 1
    assert swarm.review(now) == [(A, StallVerdict.BENCHED)]
    assert swarm.requests(A, now) == []
    assert sorted(swarm.requests(B, now)) == sorted(asked)


def test_what_a_benched_source_still_sends_is_welcome() -> None:
    swarm = swarm_of(2)
    swarm.join(A, 0.0, complete=True)
    first, second = swarm.requests(A, 0.0)
    swarm.join(B, 0.0, complete=True)
    now = limits.STALL_S + 1
    swarm.review(now)
    assert len(swarm.requests(B, now)) == 2
    assert swarm.arrived(A, first)
    swarm.stored(first)
    assert not swarm.arrived(B, first)
    assert swarm.arrived(B, second)
    swarm.stored(second)
    assert not swarm.arrived(A, second)
    assert swarm.left == 0


def benched_and_taken_over() -> tuple[Swarm, int]:
    """A was asked for a chunk and benched, B was asked then, and now A's copy comes."""
    swarm = swarm_of(1)
    swarm.join(A, 0.0, complete=True)
    swarm.requests(A, 0.0)
    swarm.join(B, 0.0, complete=True)
    now = limits.STALL_S + 1
    swarm.review(now)
    (chunk,) = swarm.requests(B, now)
    assert swarm.arrived(A, chunk)
    return swarm, chunk


def test_who_was_asked_in_vain_may_leave() -> None:
    swarm, chunk = benched_and_taken_over()
    swarm.leave(B)
    assert swarm.is_gathered
    swarm.stored(chunk)
    assert swarm.left == 0


def test_who_still_owes_a_chunk_is_not_asked_for_it_twice() -> None:
    swarm, chunk = benched_and_taken_over()
    assert swarm.mismatched(chunk) == A
    assert swarm.requests(B, 30.0) == []
    assert swarm.arrived(B, chunk)
    swarm.stored(chunk)
    assert swarm.left == 0


def test_after_a_confirmed_cancel_nothing_more_is_expected() -> None:
    swarm = swarm_of(4)
    swarm.join(A, 0.0, complete=True)
    asked = swarm.requests(A, 0.0)
    swarm.join(B, 0.0, complete=True)
    swarm.review(limits.STALL_S + 1)
    swarm.cancelled(A)
    assert not swarm.expects(A, asked[0])
    with pytest.raises(Unexpected):
        swarm.arrived(A, asked[0])


def test_a_source_alone_is_not_benched_but_counts_as_gone_at_last() -> None:
    swarm = swarm_of(4)
    swarm.join(A, 0.0, complete=True)
    swarm.requests(A, 0.0)
    assert swarm.review(limits.SILENT_S - 1) == []
    assert swarm.review(limits.SILENT_S + 1) == [(A, StallVerdict.SILENT)]
    assert swarm.sources == ()


def test_when_all_are_benched_they_are_asked_all_the_same() -> None:
    swarm = swarm_of(4)
    swarm.join(A, 0.0, complete=True)
    swarm.requests(A, 0.0)
    swarm.join(B, 0.0, complete=True)
    swarm.review(limits.STALL_S + 1)
    swarm.cancelled(A)
    swarm.leave(B)
    assert len(swarm.requests(A, limits.STALL_S + 2)) == 4


def test_an_idle_source_takes_over_from_a_slow_one_at_the_end() -> None:
    swarm = swarm_of(8)
    swarm.join(A, 0.0, complete=True)
    slow = swarm.requests(A, 0.0)
    swarm.join(B, 0.0, complete=True)
    finish(swarm, B, swarm.requests(B, 0.0), 0.5)
    for second in range(1, 9):
        swarm.heard(A, 100, float(second))
        assert swarm.review(float(second)) == []
    swarm.heard(A, 100, limits.STALL_S + 0.5)
    assert swarm.review(limits.STALL_S + 1) == [(A, StallVerdict.BENCHED)]
    assert sorted(swarm.requests(B, limits.STALL_S + 1)) == sorted(slow)


def test_a_fast_source_keeps_what_it_was_asked_for() -> None:
    swarm = swarm_of(8)
    swarm.join(A, 0.0, complete=True)
    swarm.requests(A, 0.0)
    swarm.join(B, 0.0, complete=True)
    finish(swarm, B, swarm.requests(B, 0.0), 0.5)
    for second in range(1, 20):
        swarm.heard(A, 50_000, float(second))
        assert swarm.review(float(second)) == []


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
        del self.peers[name]

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
                assert chunk not in set(other.queue) - other.released, "asked of two live sources"
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
            wanted = self.swarm.arrived(name, chunk)
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
                self.peers.pop(name, None)
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
        for name, reproach in self.swarm.review(self.now):
            if reproach is StallVerdict.SILENT:
                del self.peers[name]
            else:
                peer = self.peers[name]
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
                self.swarm.arrived(name, chunk)

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
