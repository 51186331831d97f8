"""The inner machines against slow and simple models of them."""

from collections import deque
from collections.abc import Iterable
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.sctp import limits
from protocol.sctp.chunks import FLAG_FIRST, FLAG_LAST, FLAG_UNORDERED, decode_sack, split_chunks
from protocol.sctp.config import AssociationConfig, Role
from protocol.sctp.core import Core
from protocol.sctp.errors import ProtocolViolation
from protocol.sctp.receive.reassembly import Reassembly
from protocol.sctp.receive.receiver import Receiver
from protocol.sctp.send.departure import Departure
from protocol.sctp.send.outqueue import Message, OutQueue
from protocol.sctp.send.rtt import RoundTrip
from protocol.sctp.send.scoreboard import ACKNOWLEDGED, IN_FLIGHT, LOST, Scoreboard
from protocol.sctp.timers import Timer, Timers

Fragment = tuple[int, int, int, int, int, bytes]
"""TSN, flags, stream, sequence, payload protocol, data."""


def cut(
    messages: list[tuple[int, int, bool]], first_tsn: int
) -> tuple[list[Fragment], list[bytes]]:
    """Return the fragments of messages (stream, number of fragments, unordered) and their data."""
    fragments: list[Fragment] = []
    sequences: dict[int, int] = {}
    whole = []
    tsn = first_tsn
    for index, (stream, count, unordered) in enumerate(messages):
        sequence = 0 if unordered else sequences.get(stream, 0)
        if not unordered:
            sequences[stream] = (sequence + 1) & 0xFFFF
        parts = [b"%d.%d;" % (index, part) for part in range(count)]
        whole.append(b"".join(parts))
        for part, data in enumerate(parts):
            flags = FLAG_UNORDERED * unordered
            flags |= FLAG_FIRST * (part == 0) | FLAG_LAST * (part == count - 1)
            fragments.append((tsn, flags, stream, sequence, 53, data))
            tsn += 1
    return fragments, whole


scripts = st.lists(
    st.tuples(st.integers(0, 2), st.integers(1, 6), st.booleans()), min_size=1, max_size=12
)


@settings(max_examples=200, deadline=None)
@given(scripts, st.integers(0, 2**32))
def test_reassembly_in_any_order_of_arrival(script: list[tuple[int, int, bool]], seed: int) -> None:
    fragments, whole = cut(script, 1000)
    delivered: list[tuple[int, bytes]] = []
    reassembly = Reassembly(10_000, lambda stream, _, data: delivered.append((stream, data)))
    Random(seed).shuffle(fragments)
    for index, fragment in enumerate(fragments):
        reassembly.add(*fragment)
        here = {tsn for tsn, *_ in fragments[: index + 1]}
        expected_unordered = expected_whole(script, here, unordered=True)
        assert len([1 for _, data in delivered if is_unordered(script, data)]) == expected_unordered
    assert sorted(data for _, data in delivered) == sorted(whole)
    for stream in range(3):
        ordered = [
            data
            for (number, _, unordered), data in zip(script, whole, strict=True)
            if number == stream and not unordered
        ]
        assert [d for s, d in delivered if s == stream and not is_unordered(script, d)] == ordered
    assert reassembly.held_bytes == 0
    assert reassembly.held_count == 0


def is_unordered(script: list[tuple[int, int, bool]], data: bytes) -> bool:
    return script[int(data.split(b".")[0])][2]


def expected_whole(script: list[tuple[int, int, bool]], here: set[int], unordered: bool) -> int:
    tsn, count = 1000, 0
    for _, fragments, is_free in script:
        if is_free == unordered and here.issuperset(range(tsn, tsn + fragments)):
            count += 1
        tsn += fragments
    return count


class CountingDeque(deque[bytes]):
    """Counts what is moved from one run of fragments to another."""

    moved = 0

    def extend(self, other: Iterable[bytes]) -> None:
        moving = list(other)
        CountingDeque.moved += len(moving)
        super().extend(moving)

    def extendleft(self, other: Iterable[bytes]) -> None:
        moving = list(other)
        CountingDeque.moved += len(moving)
        super().extendleft(moving)


def test_reassembly_costs_the_same_per_fragment_in_the_worst_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Backwards, and every second one first: a scan for each would take hours."""
    monkeypatch.setattr("protocol.sctp.receive.reassembly.deque", CountingDeque)
    count = 100_000
    fragments, [whole] = cut([(0, count, False)], 0)
    for order in (list(reversed(range(count))), sorted(range(count), key=lambda n: n % 2)):
        CountingDeque.moved = 0
        delivered: list[bytes] = []
        reassembly = Reassembly(1 << 24, lambda _, __, data, done=delivered: done.append(data))  # type: ignore[misc]
        for index in order:
            reassembly.add(*fragments[index])
        assert delivered == [whole]
        assert CountingDeque.moved <= 2 * count


def test_reassembly_discards_what_a_new_message_cuts_off() -> None:
    delivered: list[bytes] = []
    reassembly = Reassembly(1000, lambda _, __, data: delivered.append(data))
    reassembly.add(1, FLAG_FIRST, 0, 0, 53, b"cut off")
    reassembly.add(2, FLAG_FIRST | FLAG_UNORDERED, 1, 0, 53, b"a")
    reassembly.add(3, FLAG_LAST | FLAG_UNORDERED, 1, 0, 53, b"b")
    assert delivered == [b"ab"]
    assert reassembly.stale_messages == 1
    assert reassembly.held_bytes == 0


def test_reassembly_skips_what_was_given_up_and_keeps_what_was_not() -> None:
    delivered: list[bytes] = []
    reassembly = Reassembly(1000, lambda _, __, data: delivered.append(data))
    reassembly.add(12, FLAG_FIRST | FLAG_LAST, 0, 1, 53, b"second")
    reassembly.add(14, FLAG_FIRST, 0, 3, 53, b"for")
    reassembly.add(16, FLAG_LAST, 0, 3, 53, b"th")
    reassembly.skip(10, 13, [(0, 2)])
    assert delivered == [b"second"]
    reassembly.add(15, 0, 0, 3, 53, b"ur")
    assert delivered == [b"second", b"forurth"]
    reassembly.skip(13, 13, [(0, 2)])
    assert reassembly.held_bytes == 0


def test_reassembly_skips_at_a_cost_that_no_peer_can_drive() -> None:
    """Ends without beginnings, and messages after a hole: each held once, never walked again."""
    delivered: list[bytes] = []
    reassembly = Reassembly(1000, lambda _, __, data: delivered.append(data))
    count = 60_000
    for tsn in range(2, count):
        reassembly.add(tsn, FLAG_LAST, 1, 0, 53, b"x")
    for sequence in range(30_001, count):
        reassembly.add(count + sequence, FLAG_FIRST | FLAG_LAST, 2, sequence, 53, b"x")
    for step in range(1, 30_000):
        reassembly.skip(step - 1, step, [(2, step)])
    assert reassembly.stale_messages == 30_000 - 2
    reassembly.skip(29_999, 2 * count, [])
    assert reassembly.held_count == count - 30_001, "the messages after the hole, and no end alone"


def test_reassembly_keeps_no_fragment_that_can_never_be_whole() -> None:
    reassembly = Reassembly(1000, lambda _, __, data: None)
    reassembly.add(11, FLAG_LAST, 0, 0, 53, b"end of what was given up", 11)
    reassembly.add(13, FLAG_LAST, 0, 1, 53, b"may be whole yet", 11)
    assert reassembly.stale_messages == 1
    assert reassembly.held_count == 1


def test_reassembly_refuses_to_grow_a_message_beyond_its_bound() -> None:
    reassembly = Reassembly(10, lambda _, __, data: None)
    reassembly.add(1, FLAG_FIRST, 0, 0, 53, b"123456")
    with pytest.raises(ProtocolViolation):
        reassembly.add(2, 0, 0, 0, 53, b"123456")
    reassembly = Reassembly(10, lambda _, __, data: None)
    reassembly.add(2, FLAG_LAST, 0, 0, 53, b"123456")
    with pytest.raises(ProtocolViolation):
        reassembly.add(1, FLAG_FIRST, 0, 0, 53, b"123456")


def make_receiver(first_tsn: int, delivered: list[bytes]) -> Receiver:
    core = Core(AssociationConfig(Role.CLIENT), Random(1))
    return Receiver(core, first_tsn, lambda _, __, data: delivered.append(data), lambda _: None)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.integers(0, 60), max_size=120),
    st.sampled_from([0, 100, 2**32 - 20]),
    st.booleans(),
)
def test_receiver_reports_exactly_what_is_here(
    offsets: list[int], first_tsn: int, unordered: bool
) -> None:
    delivered: list[bytes] = []
    receiver = make_receiver(first_tsn, delivered)
    here: set[int] = set()
    for offset in offsets:
        flags = FLAG_FIRST | FLAG_LAST | FLAG_UNORDERED
        receiver.on_data(flags, (first_tsn + offset) & 0xFFFFFFFF, 0, 0, 53, b"x")
        here.add(offset)
        cumulative = -1
        while cumulative + 1 in here:
            cumulative += 1
        [(_, _, value)] = split_chunks(receiver.sack())
        wire, _, gaps, _ = decode_sack(value)
        assert wire == (first_tsn + cumulative) & 0xFFFFFFFF
        reported = {
            cumulative + gap
            for low, high in zip(gaps[::2], gaps[1::2], strict=True)
            for gap in range(low, high + 1)
        }
        assert reported == {number for number in here if number > cumulative}
        assert all(b - a > 1 for a, b in zip(gaps[1::2], gaps[2::2], strict=False)), "blocks touch"
    assert len(delivered) == len(here)
    assert receiver.duplicate_chunks == len(offsets) - len(here)


def _move_now_and_then(board: Scoreboard, random: Random) -> None:
    if random.random() < 0.1:
        board.change_path(0.02)


def _flight_here(board: Scoreboard) -> int:
    """Bytes in flight that left by the present path, counted one by one."""
    first = board.cumulative + 1 - board.base
    rows = zip(board.chunks[first:], board.marks[first:], board.departures[first:], strict=True)
    return sum(
        len(chunk)
        for chunk, mark, departure in rows
        if mark == IN_FLIGHT and departure.path == board.path
    )


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32))
def test_scoreboard_accounts_for_every_byte(seed: int) -> None:
    random = Random(seed)
    board = Scoreboard(100)
    arrived: set[int] = set()
    cumulative, now = 99, 0.0
    for _ in range(60):
        now += 0.01
        action = random.randrange(5)
        _move_now_and_then(board, random)
        if action <= 1:
            count = random.randrange(1, 20)
            sizes = [random.randrange(16, 40) for _ in range(count)]
            board.chunks.extend(bytes(size) for size in sizes)
            board.packed(are_large=False)
            board.departed(count, sum(sizes), Departure(now, 0, 0.0, 0.0, False, False, board.path))
        elif action == 2:
            for tsn in range(cumulative + 1, board.next_tsn):
                if random.random() < 0.5:
                    arrived.add(tsn)
            while cumulative + 1 in arrived:
                cumulative += 1
            blocks = blocks_above(arrived, cumulative)
            shown = blocks[: random.randrange(len(blocks) + 1)]
            offsets = [edge - cumulative for block in shown for edge in block]
            board.acknowledge(cumulative, offsets, now, 0.01)
        elif action == 3:
            board.find_losses(now, now, random.choice((0.0, 0.02)))
        else:
            lost_tsn = board.next_lost()
            if lost_tsn is not None:
                assert lost_tsn not in arrived or lost_tsn > board.reported
                board.lost.popleft()
                board.departed_again(lost_tsn, Departure(now, 0, 0.0, 0.0, False, True, board.path))
            elif random.random() < 0.2:
                board.lose_all()
        first = board.cumulative + 1 - board.base
        by_mark = dict.fromkeys(range(4), 0)
        for chunk, mark in zip(board.chunks[first:], board.marks[first:], strict=True):
            by_mark[mark] += len(chunk)
        assert board.flight_bytes + board.away_bytes == by_mark[IN_FLIGHT]
        assert board.flight_bytes == _flight_here(board)
        assert board.lost_bytes == by_mark[LOST]
        assert board.outstanding == len(board.chunks) - first
        for index, mark in enumerate(board.marks[first:], first):
            assert mark != ACKNOWLEDGED or board.base + index in arrived
        lost = {
            tsn
            for tsn in board.lost
            if tsn > board.cumulative and board.marks[tsn - board.base] == LOST
        }
        assert lost == {
            board.base + index
            for index in range(first, len(board.marks))
            if board.marks[index] == LOST
        }


def blocks_above(arrived: set[int], cumulative: int) -> list[tuple[int, int]]:
    blocks: list[tuple[int, int]] = []
    for tsn in sorted(number for number in arrived if number > cumulative):
        if blocks and blocks[-1][1] + 1 == tsn:
            blocks[-1] = (blocks[-1][0], tsn)
        else:
            blocks.append((tsn, tsn))
    return blocks


def sent_board(count: int) -> Scoreboard:
    board = Scoreboard(0)
    board.chunks.extend([bytes(20)] * count)
    board.packed(are_large=False)
    board.departed(count, 20 * count, Departure(0.0, 0, 0.0, 0.0, False, False, 0))
    return board


@pytest.mark.parametrize(
    "offsets", [(3, 2), (0, 0), (2, 3, 3, 5), (5, 6, 2, 3), (2, 65535), (9, 12)]
)
def test_scoreboard_reads_no_gap_block_that_makes_no_sense(offsets: tuple[int, ...]) -> None:
    board = sent_board(10)
    board.acknowledge(-1, offsets, 0.1, 0.1)
    sane = 2 if offsets == (2, 3, 3, 5) or offsets == (5, 6, 2, 3) else 0
    assert board.marks.count(ACKNOWLEDGED) == sane


def test_scoreboard_tells_a_report_that_may_be_cut_from_one_that_is_not() -> None:
    for blocks, sent_before, hidden in ((20, 2.0, True), (20, 1.0, False), (5, 2.0, False)):
        board = Scoreboard(1)
        board.chunks.extend([b"x" * 100] * 60)
        board.packed(are_large=False)
        board.departed(60, 6000, Departure(1.0, 0, 0.0, 0.0, False, False, 0))
        offsets = [offset for block in range(blocks) for offset in (2 * block + 2,) * 2]
        board.acknowledge(0, offsets, 1.5, 0.1)
        assert board.hides(sent_before) is hidden
        assert board.may_be_cut is (blocks == 20)


def test_scoreboard_takes_back_what_a_peer_reneges_on() -> None:
    board = sent_board(4)
    board.acknowledge(-1, (1, 2), 0.1, 0.1)
    assert board.flight_bytes == 40
    board.lose_all()
    assert list(board.lost) == [0, 1, 2, 3]


def test_outqueue_serves_streams_in_turn_and_counts() -> None:
    queue = OutQueue()
    for text in (b"aa", b"b", b"c"):
        queue.push(1, Message(text, 53))
    queue.push(2, Message(b"dddd", 53, expires_at=1.0))
    queue.push(3, Message(b"e", 53, unordered=True))
    queue.set_threshold(1, 1)
    order = []
    while (message := queue.begin_message(2.0)) is not None:
        order.append((queue.stream_id, queue.sequence, message.data))
        queue.took(queue.stream_id, len(message.data))
        queue.end_message()
    assert order == [(1, 0, b"aa"), (3, 0, b"e"), (1, 1, b"b"), (1, 2, b"c")]
    assert (queue.total_bytes, queue.low, queue.empty) == (0, [1], True)


def test_timers_run_by_kind() -> None:
    timers = Timers()
    assert timers.next() is None
    timers.at[Timer.SACK] = 2.0
    timers.at[Timer.PROBE] = 1.0
    assert timers.next() == 1.0
    assert timers.take_due(0.5) == []
    assert timers.take_due(3.0) == [Timer.PROBE, Timer.SACK]
    assert timers.next() is None


def test_round_trip_section_6_3_1() -> None:
    round_trip = RoundTrip(0.2)
    assert round_trip.rto_s == limits.RTO_INITIAL_S
    round_trip.on_sample(0.1)
    assert round_trip.rto_s == pytest.approx(0.3)
    for _ in range(100):
        round_trip.on_sample(0.1)
    assert round_trip.rto_s == pytest.approx(0.2)
    for doubled in (0.4, 0.8, 1.6):
        round_trip.back_off()
        assert round_trip.rto_s == pytest.approx(doubled)
    for _ in range(20):
        round_trip.back_off()
    assert round_trip.rto_s == limits.RTO_MAX_S
    round_trip.reset_backoff()
    assert round_trip.rto_s == pytest.approx(0.2)
