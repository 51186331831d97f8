"""The file of all chunks, its ranges, and how an origin that fails is left alone."""

import contextlib
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import limits
from protocol.content.origins.answers import (
    NotThere,
    RangeBody,
    manifest_answer,
    range_answer,
    retry_after_s,
)
from protocol.content.origins.health import OriginHealth
from protocol.content.origins.layout import ChunkLayout, range_bytes
from protocol.content.origins.pace import RangePace
from protocol.content.rarity import RarestFirst
from protocol.content.swarm import Swarm
from protocol.errors import ModswarmError

LENGTHS = st.lists(st.integers(18, limits.SEALED_CHUNK_BYTES), min_size=1, max_size=60)


@given(LENGTHS, st.data())
def test_a_range_has_wanted_neighbours_alone_and_is_no_longer_than_it_may_be(
    lengths: list[int], data: st.DataObject
) -> None:
    layout = ChunkLayout(lengths)
    wanted = data.draw(st.sets(st.integers(0, len(lengths) - 1), min_size=1))
    chunk = data.draw(st.sampled_from(sorted(wanted)))
    most = data.draw(st.integers(1, 2**21))
    found = layout.run_around(chunk, wanted, most)
    numbers = range(found.first, found.end)
    assert chunk in numbers
    assert set(numbers) <= wanted
    assert found.start == sum(lengths[: found.first])
    assert found.size == sum(lengths[found.first : found.end]) == found.last_byte - found.start + 1
    assert found.size <= max(most, lengths[chunk])
    for beside in (found.first - 1, found.end):
        if beside in wanted:
            assert found.size + lengths[beside] > most, "a neighbour was left out"
    assert layout.total == sum(lengths)


@given(LENGTHS)
def test_all_chunks_are_the_whole_file(lengths: list[int]) -> None:
    layout = ChunkLayout(lengths)
    assert layout.run_around(0, range(len(lengths)), layout.total).size == layout.total


def test_ranges_are_between_one_and_four_mebibytes_and_two_fill_a_window() -> None:
    assert [range_bytes(size) for size in (0, 3 * 2**20, 2**30)] == [2**20, 3 * 2**19, 2**22]


@given(st.sets(st.integers(0, 199), min_size=1), st.integers(0, 199))
def test_neighbours_are_taken_from_a_place_on(waiting: set[int], start: int) -> None:
    rarest = RarestFirst(200, waiting, random.Random(1))
    expected = sorted(waiting, key=lambda chunk: (chunk < start, chunk))
    assert list(rarest.from_number(start)) == expected
    taken, _ = rarest.take(rarest.from_number(start), [10] * 200, 3, 1000)
    assert taken == expected[:3]
    assert len(rarest) == len(waiting) - len(taken)


def test_a_source_of_neighbours_is_asked_for_them_beside_one_of_any_chunks() -> None:
    swarm = Swarm([2**16] * 64, range(64), random.Random(1))
    swarm.join("origin", 0.0, complete=True)
    swarm.join("peer", 0.0, complete=True)
    first = swarm.requests("origin", 0.0, None, 40)
    assert first == list(range(40, 40 + len(first)))
    others = swarm.requests("peer", 0.0)
    assert not set(first) & set(others)


# Answers ----------------------------------------------------------------------------------

STATUSES = st.one_of(st.sampled_from([200, 206, 404, 416, 429, 503]), st.integers(100, 599))
FIELDS = st.dictionaries(
    st.sampled_from(
        ["Content-Length", "Content-Range", "Content-Encoding", "Retry-After", "Accept-Ranges"]
    ),
    st.one_of(
        st.text(max_size=30),
        st.from_regex(r"\Abytes [0-9]{1,4}-[0-9]{1,4}/([0-9]{1,4}|\*)\Z"),
        st.integers(0, 2000).map(str),
    ),
)


@given(STATUSES, FIELDS)
def test_any_answer_is_judged_by_the_range_or_refused_by_name(
    status: int, fields: dict[str, str]
) -> None:
    layout = ChunkLayout([100] * 10)
    asked = layout.span(2, 5)
    with contextlib.suppress(ModswarmError, NotThere):
        found = range_answer(status, fields, asked, layout.total)
        assert (
            found.size == layout.total
            if found.body is RangeBody.WHOLE
            else found.size <= asked.size
        )
        assert (status == 200) is (found.body is RangeBody.WHOLE)
    assert 0 <= retry_after_s(fields) <= limits.ORIGIN_REST_MAX_S
    with contextlib.suppress(ModswarmError, NotThere):
        size = manifest_answer(status, fields).size
        assert size is None or 0 < size <= limits.MANIFEST_BYTES


# Rests ------------------------------------------------------------------------------------


def test_three_failures_in_a_row_are_a_rest_that_grows_within_bounds() -> None:
    health, now, rests = OriginHealth(), 0.0, []
    for _ in range(12):
        for number in range(limits.ORIGIN_FAILURES):
            now += limits.ORIGIN_RETRY_S
            is_over = health.failed(now, 1.0, "down", for_good=False)
            assert is_over is (number == limits.ORIGIN_FAILURES - 1)
        rests.append(health.rests_until - now)
        now = health.rests_until
    assert rests[0] == limits.ORIGIN_REST_S
    assert rests == sorted(rests)
    assert rests[-1] == limits.ORIGIN_REST_MAX_S


def test_parts_that_fail_together_are_one_failure_and_an_answer_ends_the_row() -> None:
    health = OriginHealth()
    assert not any(health.failed(5.0, 0.0, "down", for_good=False) for _ in range(9))
    assert not health.failed(7.0, 0.0, "down", for_good=False)
    health.answered()
    assert not health.failed(9.0, 0.0, "down", for_good=False)
    assert not health.failed(11.0, 0.0, "down", for_good=False)
    assert health.failed(13.0, 0.0, "down", for_good=False)


@pytest.mark.parametrize(("chance", "rest_s"), [(0.0, 60.0), (1.0, 120.0)])
def test_what_no_try_mends_rests_at_once_by_chance(chance: float, rest_s: float) -> None:
    health = OriginHealth()
    assert health.failed(1.0, chance, "down", for_good=True)
    assert (health.rests_until, health.why) == (1.0 + rest_s, "down")
    health.failed(2.0, 0.0, "down", for_good=False, after_s=1000.0)
    assert health.rests_until == 1002.0


# The next range ---------------------------------------------------------------------------


def test_the_next_range_is_asked_for_as_the_one_before_ends() -> None:
    pace, now = RangePace(0.0), 0.0
    assert pace.wants(now)
    pace.asked(4 * 2**20)
    pace.answered(0.02)
    assert not pace.wants(now)
    for _ in range(32):
        now += 2**16 / 12_500_000
        pace.came(2**16, now)
        pace.settled(2**16)
    assert not pace.wants(now), "2 MiB are to come, and an answer takes 20 ms"
    pace.settled(7 * 2**18)
    assert pace.wants(now)


def test_a_fast_far_line_is_asked_for_several_ranges_and_short_ones_side_by_side() -> None:
    pace, now = RangePace(0.0), 0.0
    for _ in range(100):
        now += 2**18 / 125_000_000
        pace.came(2**18, now)
    pace.answered(0.1)
    pace.asked(3 * 4 * 2**20)
    assert pace.wants(now)
    few = RangePace(0.0)
    for _ in range(4):
        assert few.wants(0.0)
        few.asked(2**16)


def test_a_range_is_half_a_turn_long_where_others_wait() -> None:
    pace, now = RangePace(0.0), 0.0
    assert pace.turn_bytes(now) == 0
    for _ in range(1000):
        now += 0.1
        pace.came(6_000, now)
    assert pace.turn_bytes(now) == pytest.approx(60_000 * limits.ORIGIN_TURN_S / 2, rel=0.05)
