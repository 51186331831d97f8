"""The swarm's decisions, step by step."""

import random

import pytest

from protocol import limits
from protocol.content.rate import RateMeter
from protocol.content.source import SwarmSource
from protocol.content.swarm import StallVerdict, Swarm
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
        assert swarm.arrived(source, chunk, now)
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


def test_few_requests_for_many_chunks_are_made_of_a_fast_source() -> None:
    swarm = swarm_of(4000)
    swarm.join(A, 0.0, complete=True)
    owed = swarm.requests(A, 0.0)
    requests, now = 1, 0.0
    while owed:
        now += 0.001
        finish(swarm, A, [owed.pop(0)], now)
        more = swarm.requests(A, now)
        requests += bool(more)
        owed += more
        # Never is so little owed that the source could run dry before it is asked again.
        assert swarm.left == len(owed) or len(owed) >= 2
    assert swarm.left == 0
    assert requests < 150


@pytest.mark.parametrize("chunk_s", [0.0002, 0.001, 0.005, 0.05])
def test_who_owes_most_is_asked_as_if_its_window_were_counted(
    monkeypatch: pytest.MonkeyPatch, chunk_s: float
) -> None:
    def asked() -> list[tuple[float, list[int]]]:
        swarm = swarm_of(3000)
        swarm.join(A, 0.0, complete=True)
        owed, now, found = swarm.requests(A, 0.0), 0.0, []
        while owed:
            now += chunk_s
            finish(swarm, A, [owed.pop(0)], now)
            more = swarm.requests(A, now)
            owed += more
            found += [(now, more)] if more else []
        return found

    quickly, saved = asked(), []
    owes_most = vars(SwarmSource)["owes_most"].fget

    def counted(source: SwarmSource) -> bool:
        saved.append(owes_most(source))
        return False

    monkeypatch.setattr(SwarmSource, "owes_most", property(counted))
    assert asked() == quickly
    if chunk_s < 0.005:  # a line whose window is the widest
        assert saved.count(True) > len(saved) / 4


def test_the_window() -> None:
    whole = SwarmSource(A, [80_000], 0.0, complete=True)
    assert whole.window_bytes(0) == limits.WINDOW_BYTES_MIN
    assert whole.window_bytes(1e6) == 3_000_000
    assert whole.window_bytes(1e9) == limits.WINDOW_BYTES_MAX
    part = SwarmSource(A, [80_000], 0.0, complete=False)
    assert part.window_bytes(0) == limits.WINDOW_PARTIAL_BYTES_MIN
    assert part.window_bytes(1e6) == 1_000_000


def late_at(source: SwarmSource, after: float) -> float:
    """When a source that owes a chunk since then is late."""
    return next(after + n / 100 for n in range(10_000) if source.times_late(after + n / 100))


def test_a_partial_source_is_late_by_its_own_pace_or_that_of_the_others() -> None:
    whole, part, new = (
        SwarmSource(A, [80_000] * 9, 0.0, complete=complete) for complete in (True, False, False)
    )
    new.compare(40_000.0)
    part.announce(0, b"\xff")
    for source in (whole, part):
        source.ask([0, 1], 0.0)
        source.heard(80_000, 4.0)
        source.arrived(0, 4.0)
    new.ask([1], 4.0)
    assert late_at(whole, 4.0) == pytest.approx(4.48, abs=0.02)
    chunk_s = 80_000 / part.pace
    assert late_at(part, 4.0) == pytest.approx(4.4 + limits.LATE_PACE * chunk_s, abs=0.02)
    assert late_at(new, 4.0) == pytest.approx(4.4 + limits.LATE_PACE * 2.0, abs=0.02)


def test_a_source_that_joined_before_any_had_a_pace_is_judged_by_that_of_the_others() -> None:
    swarm = swarm_of(9)
    for name in (A, B):
        swarm.join(name, 0.0, complete=False)
    swarm.holds(A, 0, b"\x80")
    swarm.holds(B, 0, b"\x40")
    assert swarm.requests(A, 0.0) == [0]
    assert swarm.requests(B, 0.0) == [1]
    swarm.heard(A, 80_000, 2.0)
    swarm.arrived(A, 0, 2.0)
    swarm.holds(A, 0, b"\xc0")
    pace = RateMeter(0.0)
    pace.add(80_000, 2.0)
    late_s = limits.LATE_S + limits.LATE_PACE * 80_000 / pace.rate(2.0)
    assert swarm.requests(A, late_s - 0.5) == [], "a copy of what the other is about to send"
    assert swarm.requests(A, late_s + 0.5) == [1]


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
    swarm = swarm_of(20, 20_000)
    swarm.join(A, 0.0, complete=False)
    assert swarm.requests(A, 0.0) == []
    swarm.holds(A, 8, bytes([0b01000000]))
    assert swarm.requests(A, 0.0) == [9]
    swarm.holds(A, 16, bytes([0b00010000]))
    assert swarm.requests(A, 0.0) == [19]
    assert swarm.requests(A, 0.0) == []


def test_a_partial_source_cannot_hold_more_than_there_is() -> None:
    swarm = swarm_of(20, 20_000)
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
    assert swarm.arrived(A, asked[0], 1.0)
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
        swarm.arrived(A, other, 1.0)
    assert swarm.arrived(A, asked[0], 1.0)
    with pytest.raises(Unexpected):
        swarm.arrived(A, asked[0], 1.0)


def test_a_stalled_source_gives_way_to_others() -> None:
    swarm = swarm_of(4)
    swarm.join(A, 0.0, complete=True)
    asked = swarm.requests(A, 0.0)
    swarm.join(B, 0.0, complete=True)
    assert swarm.review(limits.STALL_S - 1) == []
    now = limits.STALL_S + 1
    assert swarm.review(now) == [(A, StallVerdict.PAUSED)]
    assert swarm.requests(A, now) == []
    assert sorted(swarm.requests(B, now)) == sorted(asked)


def test_what_a_paused_source_still_sends_is_welcome() -> None:
    swarm = swarm_of(2)
    swarm.join(A, 0.0, complete=True)
    first, second = swarm.requests(A, 0.0)
    swarm.join(B, 0.0, complete=True)
    now = limits.STALL_S + 1
    swarm.review(now)
    assert len(swarm.requests(B, now)) == 2
    assert swarm.arrived(A, first, 1.0)
    swarm.stored(first)
    assert not swarm.arrived(B, first, 1.0)
    assert swarm.arrived(B, second, 1.0)
    swarm.stored(second)
    assert not swarm.arrived(A, second, 1.0)
    assert swarm.left == 0


def paused_and_taken_over() -> tuple[Swarm, int]:
    """A was asked for a chunk and paused, B was asked then, and now A's copy comes."""
    swarm = swarm_of(1)
    swarm.join(A, 0.0, complete=True)
    swarm.requests(A, 0.0)
    swarm.join(B, 0.0, complete=True)
    now = limits.STALL_S + 1
    swarm.review(now)
    (chunk,) = swarm.requests(B, now)
    assert swarm.arrived(A, chunk, 1.0)
    return swarm, chunk


def test_a_source_that_was_asked_in_vain_may_leave() -> None:
    swarm, chunk = paused_and_taken_over()
    swarm.leave(B)
    assert swarm.is_gathered
    swarm.stored(chunk)
    assert swarm.left == 0


def test_a_source_that_owes_a_chunk_is_not_asked_for_it_twice() -> None:
    swarm, chunk = paused_and_taken_over()
    assert swarm.mismatched(chunk) == A
    assert swarm.requests(B, 30.0) == []
    assert swarm.arrived(B, chunk, 1.0)
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
        swarm.arrived(A, asked[0], 1.0)


def test_a_source_alone_is_not_paused_but_counts_as_gone_at_last() -> None:
    swarm = swarm_of(4)
    swarm.join(A, 0.0, complete=True)
    swarm.requests(A, 0.0)
    gone = limits.SILENT_S + 80_000 / limits.LEAST_BYTES_PER_SECOND
    assert swarm.review(gone - 1) == []
    assert swarm.review(gone + 1) == [(A, StallVerdict.SILENT)]
    assert swarm.sources == ()


def test_bytes_now_and_then_win_no_time() -> None:
    swarm = swarm_of(4)
    swarm.join(A, 0.0, complete=True)
    swarm.requests(A, 0.0)
    gone = limits.SILENT_S + 80_000 / limits.LEAST_BYTES_PER_SECOND
    for second in range(int(gone)):
        swarm.heard(A, 1, float(second))
        assert swarm.review(float(second)) == []
    assert swarm.review(gone + 1) == [(A, StallVerdict.SILENT)]


LATE_S = limits.LATE_S + 80_000 / limits.LATE_BYTES_PER_SECOND


def test_what_a_late_source_owes_is_asked_of_ever_more_sources() -> None:
    swarm = swarm_of(1)
    others = [f"other {number}" for number in range(30)]
    for name in (A, *others):
        swarm.join(name, 0.0, complete=True)
    assert swarm.requests(A, 0.0) == [0]

    def asked(now: float) -> int:
        return sum(bool(swarm.requests(name, now)) for name in others)

    once, twice = limits.ASKED_AT_ONCE[1:3]
    assert asked(0.9 * LATE_S) == 0
    assert asked(1.1 * LATE_S) == once - 1
    assert asked(1.2 * LATE_S) == 0
    assert asked(2.05 * LATE_S) == twice - once
    assert swarm.arrived(others[3], 0, 2.2 * LATE_S)
    assert not swarm.arrived(A, 0, 2.3 * LATE_S)
    swarm.stored(0)
    assert swarm.left == 0


def test_late_sources_leave_copies_for_others() -> None:
    swarm = swarm_of(1)
    times, most = len(limits.ASKED_AT_ONCE) - 1, limits.ASKED_AT_ONCE[-1]
    names = [f"source {number}" for number in range(most + 1)]
    for name in names:
        swarm.join(name, 0.0, complete=True)
    late = (times + 0.1) * LATE_S
    asked = [bool(swarm.requests(name, late if at else 0.0)) for at, name in enumerate(names)]
    assert asked == [True] * most + [False]
    assert swarm.requests(names[-1], late + 1.1 * LATE_S) == [0]


def test_those_that_hold_nothing_are_not_asked_one_after_the_other() -> None:
    swarm = swarm_of(1)
    names = [f"source {number}" for number in range(100)]
    for name in names:
        swarm.join(name, 0.0, complete=True)

    def rounds() -> int:
        """How often sources are asked and lack it, all that may be asked at once each time."""
        for count in range(len(names)):
            asked = [name for name in swarm.sources if swarm.requests(name, 0.0)]
            if not asked:
                return count
            for name in asked:
                swarm.lacks(name, [0])
        return len(names)

    assert rounds() <= 8


def test_a_source_with_nothing_to_do_for_long_gets_what_others_owe_in_time() -> None:
    swarm = swarm_of(4)
    for name in (A, B):
        swarm.join(name, 0.0, complete=True)
    owed = swarm.requests(A, 0.0)
    assert swarm.requests(B, 0.0) == []
    first, second, *rest = owed
    finish(swarm, A, [first], 0.4)
    finish(swarm, A, [second], 0.8)
    assert swarm.requests(B, limits.SPARE_S - 0.01) == []
    assert swarm.requests(B, limits.SPARE_S + 0.01) == rest[::-1]  # what would come last first


def test_time_with_nothing_to_do_counts_in_all_but_not_while_chunks_wait() -> None:
    swarm = swarm_of(6)
    swarm.join(A, 0.0, complete=True)
    swarm.join(B, 0.0, complete=False)
    swarm.requests(A, 0.0)
    assert swarm.requests(B, 0.0) == []
    swarm.join(C, 5.0, complete=True)
    waited = swarm.requests(C, 5.0)  # until now they waited, and B held none of them
    assert len(waited) == 2
    assert swarm.requests(B, 5.0) == []
    swarm.leave(A)
    swarm.join(A, 5.0, complete=True)
    owed = swarm.requests(A, 5.0)
    assert swarm.requests(B, 5.0) == []
    finish(swarm, A, owed[:1], 5.4)
    finish(swarm, C, waited[:1], 5.4)
    finish(swarm, A, owed[1:2], 5.8)
    finish(swarm, C, waited[1:], 5.8)
    swarm.holds(B, 0, b"\xff")
    assert swarm.requests(B, 5.0 + limits.SPARE_S - 0.1) == []
    assert sorted(swarm.requests(B, 5.0 + limits.SPARE_S + 0.1)) == sorted(owed[2:])


def test_those_who_put_off_chunks_together_leave_one_for_a_source_with_nothing_to_do() -> None:
    swarm = swarm_of(1)
    others = [f"other {number}" for number in range(limits.ASKED_AT_ONCE[2] - 1)]
    for name in (A, *others, B):
        swarm.join(name, 0.0, complete=True)
    assert swarm.requests(A, 0.0) == [0]
    for name in (*others, B):
        assert swarm.requests(name, 0.0) == []
    now = limits.SPARE_S + limits.SPARE_MORE_S
    assert all(swarm.requests(name, now) == [0] for name in others)
    assert swarm.requests(B, now) == []
    assert swarm.requests(B, now + limits.SPARE_MORE_S) == [0]


def test_late_sources_get_no_copies() -> None:
    swarm = swarm_of(2, length=300_000)
    for name in (A, B, C):
        swarm.join(name, 0.0, complete=True)
    assert swarm.requests(A, 0.0)
    assert swarm.requests(B, 0.0)
    now = 1.1 * (limits.LATE_S + 0.3)
    assert swarm.requests(B, now) == []
    assert len(swarm.requests(C, now)) == 1


def test_a_chunk_is_contested_while_another_source_sends_it_too() -> None:
    swarm = swarm_of(1)
    for name in (A, B):
        swarm.join(name, 0.0, complete=True)
    swarm.requests(A, 0.0)
    assert not swarm.is_contested(0)
    assert swarm.requests(B, 1.1 * LATE_S) == [0]
    assert swarm.is_contested(0)
    swarm.leave(B)
    assert not swarm.is_contested(0)


def test_a_wrong_copy_is_asked_for_again() -> None:
    swarm = swarm_of(1)
    for name in (A, B, C):
        swarm.join(name, 0.0, complete=True)
    swarm.requests(A, 0.0)
    assert swarm.requests(B, 1.1 * LATE_S) == [0]
    assert swarm.arrived(B, 0, 1.2 * LATE_S)
    assert swarm.mismatched(0) == B
    assert swarm.requests(C, 1.3 * LATE_S) == [0]


def test_when_all_are_paused_they_are_asked_all_the_same() -> None:
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
    finish(swarm, B, swarm.requests(B, 0.0), 0.2)
    swarm.heard(A, 20_000, 0.3)
    assert swarm.review(limits.BEHIND_S - 0.1) == []
    now = limits.BEHIND_S + 0.1
    assert swarm.review(now) == [(A, StallVerdict.PAUSED)]
    assert sorted(swarm.requests(B, now)) == sorted(slow)


def test_a_slow_source_gives_way_once_and_is_asked_again_as_soon_as_it_confirms() -> None:
    swarm = swarm_of(8)
    swarm.join(A, 0.0, complete=True)
    slow = swarm.requests(A, 0.0)
    swarm.join(B, 0.0, complete=True)
    finish(swarm, B, swarm.requests(B, 0.0), 0.2)
    now = limits.BEHIND_S + 0.1
    assert swarm.review(now) == [(A, StallVerdict.PAUSED)]
    swarm.cancelled(A)
    swarm.lacks(B, swarm.requests(B, now))
    assert sorted(swarm.requests(A, now)) == sorted(slow)
    assert swarm.review(now + limits.BEHIND_S + 0.1) == []


def test_no_source_that_has_served_nothing_takes_over_from_a_slow_one() -> None:
    swarm = swarm_of(4)
    swarm.join(A, 0.0, complete=True)
    swarm.requests(A, 0.0)
    swarm.join(B, 0.0, complete=True)
    for second in range(1, int(limits.STALL_S)):
        swarm.heard(A, 10_000, float(second))
        assert swarm.review(float(second)) == []


def test_a_fast_source_keeps_what_it_was_asked_for() -> None:
    swarm = swarm_of(8)
    swarm.join(A, 0.0, complete=True)
    slow = swarm.requests(A, 0.0)
    swarm.join(B, 0.0, complete=True)
    finish(swarm, B, swarm.requests(B, 0.0), 0.2)
    for number, chunk in enumerate(slow):
        now = 0.2 * (number + 1)
        finish(swarm, A, [chunk], now)
        assert swarm.review(now) == []


def test_a_fast_source_that_stops_gives_way_soon() -> None:
    swarm = swarm_of(20_000)
    swarm.join(A, 0.0, complete=True)
    swarm.join(B, 0.0, complete=True)
    for step in range(1, 11):
        for name in (A, B):
            finish(swarm, name, swarm.requests(name, step / 10), step / 10)
    assert swarm.requests(A, 1.0)
    assert swarm.requests(B, 1.0)
    finish(swarm, B, swarm.requests(B, 2.0), 2.0)
    assert swarm.review(1.0 + limits.STALL_PROVED_S - 0.1) == []
    assert (A, StallVerdict.PAUSED) in swarm.review(1.0 + limits.STALL_PROVED_S + 1.0)
