"""Turns at the connections to a server: whose request is next, and which one has to end for it."""

import random
from collections import Counter, defaultdict

import pytest

from protocol import limits
from protocol.content.origins.connection_turns import ConnectionTurn, ConnectionTurns, TurnShare

MOST = limits.ORIGIN_CONNECTIONS
TURN_S = limits.ORIGIN_TURN_S


def share(weight: int = 1) -> TurnShare:
    return TurnShare(lambda: weight)


def begun(turns: ConnectionTurns, one: TurnShare, count: int, now: float) -> list[ConnectionTurn]:
    """So many requests of a download, each of which has a connection at once."""
    for _ in range(count):
        turns.ask(one)
    found = [turns.begin(now) for _ in range(count)]
    return [turn for turn in found if turn is not None and turn.share is one]


def test_a_download_alone_has_all_connections_for_as_long_as_it_likes() -> None:
    turns, one = ConnectionTurns(MOST), share()
    assert len(begun(turns, one, MOST, 0.0)) == MOST
    turns.ask(one)
    assert turns.begin(0.0) is None
    assert turns.give_way(1000.0) is None
    assert not turns.others_wait(one)


def test_a_newcomer_gets_the_connection_whose_turn_is_over() -> None:
    turns, first, newcomer = ConnectionTurns(MOST), share(), share()
    held = begun(turns, first, MOST, 0.0)
    turns.ask(first)
    turns.ask(newcomer)
    assert turns.others_wait(first)
    assert turns.give_way(TURN_S * 0.9) is None
    over = turns.give_way(TURN_S)
    assert over in held
    assert turns.give_way(TURN_S) is None, "one is enough for one"
    assert over is not None
    turns.leave(over, TURN_S)
    given = turns.begin(TURN_S)
    assert given is not None
    assert given.share is newcomer


def test_downloads_with_as_much_as_others_take_nothing_from_one_another() -> None:
    turns, one, other = ConnectionTurns(MOST), share(), share()
    for who in (one, other):
        begun(turns, who, MOST // 2, 0.0)
        turns.ask(who)
    assert turns.give_way(100 * TURN_S) is None


def test_a_download_with_fewer_by_two_gets_one() -> None:
    turns, many, few = ConnectionTurns(MOST), share(), share()
    begun(turns, many, MOST - 1, 0.0)
    begun(turns, few, 1, 0.0)
    turns.ask(few)
    over = turns.give_way(TURN_S)
    assert over is not None
    assert over.share is many


def test_a_turn_that_brought_nothing_is_longer_the_next_time_but_not_beside_a_newcomer() -> None:
    turns, now = ConnectionTurns(1), 0.0
    one, other = share(), share()
    turns.ask(one)
    turns.begin(now)
    turns.ask(other)
    lasted = []
    for _ in range(8):
        began = now
        while (over := turns.give_way(now)) is None:
            now += TURN_S / 4
        lasted.append(now - began)
        turns.ask(over.share)
        turns.leave(over, now)
        assert turns.begin(now) is not None
    assert lasted[:2] == [TURN_S, TURN_S]
    assert lasted[-1] >= 8 * TURN_S, "no server would get to its first byte"
    turns.ask(share())
    assert turns.give_way(now + TURN_S) is not None


def test_long_answers_end_by_themselves_and_leave_a_connection_to_others() -> None:
    turns, last = ConnectionTurns(MOST), share()
    for _ in range(MOST):
        turns.ask(share(), is_long=True)
    assert all(turns.begin(0.0) for _ in range(MOST - 1))
    assert turns.begin(0.0) is None
    (short,) = begun(turns, share(), 1, 0.0)
    turns.ask(last)
    over = turns.give_way(TURN_S)
    assert over is short, "a long one would be in vain if it ended early"
    assert not turns.keep(over, is_long=True)
    assert turns.keep(over, is_long=False)


@pytest.mark.parametrize("weights", [(1,) * 5, (1,) * 12, (4, 4, 4, 4, 4, 1), (16, 4, 4, 4, 4, 4)])
def test_time_at_the_connections_goes_by_weight_and_all_have_some(weights: tuple[int, ...]) -> None:
    """Whoever came first, and however long the requests of each would last."""
    rng = random.Random(7)
    turns = ConnectionTurns(MOST)
    shares = [share(weight) for weight in weights]
    ends: dict[ConnectionTurn, float] = {}
    had: Counter[int] = Counter()
    waits: dict[int, float] = defaultdict(float)
    asked = {id(turns.ask(one)): 0.0 for one in shares for _ in range(MOST)}
    lengths = {one: rng.choice((0.3, 1.0, 60.0)) * TURN_S for one in shares}
    now, step = 0.0, TURN_S / 10
    while now < 200 * TURN_S:
        while (turn := turns.begin(now)) is not None:
            number = shares.index(turn.share)
            waits[number] = max(waits[number], now - asked.pop(id(turn), now))
            ends[turn] = now + lengths[turn.share]
            turn.brought()
        over = turns.give_way(now)
        if over is not None:
            ends[over] = now
        for turn in [turn for turn, end in ends.items() if end <= now]:
            had[shares.index(turn.share)] += round((now - turn.since) / step)
            del ends[turn]
            turns.leave(turn, now)
            turns.ask(turn.share)
        now += step
    least = min(had[number] / weight for number, weight in enumerate(weights))
    most = max(had[number] / weight for number, weight in enumerate(weights) if weight != 16)
    assert most <= 2 * least
    if max(weights) == 16:
        assert had[0] >= 1.8 * max(had[number] for number in range(1, len(weights)))


def test_a_short_turn_costs_less_than_a_whole_one() -> None:
    """A quarter of a turn at a time, a download has four for each whole one of another."""
    turns, now = ConnectionTurns(1), 0.0
    lasts = {share(): TURN_S / 4, share(): TURN_S}
    for one in lasts:
        turns.ask(one)
    had = Counter[TurnShare]()
    for _ in range(100):
        turn = turns.begin(now)
        assert turn is not None
        had[turn.share] += 1
        turns.ask(turn.share)
        now += lasts[turn.share]
        turns.leave(turn, now)
    short, whole = (had[one] for one in lasts)
    assert 3.5 < short / whole < 4.5


def test_a_newcomer_waits_for_a_turn_however_many_were_before() -> None:
    """And once more for the few chunks of a small mod, whose manifest it has then."""
    turns, now = ConnectionTurns(MOST), 0.0
    for _ in range(40):
        turns.ask(share())

    def begun_next() -> ConnectionTurn | None:
        """What a moment brings; all others bring something, and ask again."""
        nonlocal now
        now += TURN_S / 10
        over = turns.give_way(now)
        if over is not None:
            over.brought()
            turns.leave(over, now)
            turns.ask(over.share)
        return turns.begin(now)

    for moments in (200, *range(60, 100)):
        for _ in range(moments):
            begun_next()
        newcomer = share()
        for _ in range(2):
            asked_at, asked = now, turns.ask(newcomer)
            while begun_next() is not asked:
                assert now - asked_at < 2 * TURN_S
            asked.brought()
            turns.leave(asked, now + TURN_S / 20)


def test_a_turn_that_ends_for_a_lighter_download_is_given_to_it() -> None:
    """And not to one more request of the heavier, whose part it is to have more."""
    turns, heavy, light = ConnectionTurns(2), share(16), share()
    now = 0.0
    for _ in range(3):
        had = turns.ask(light)
        assert turns.begin(now) is had
        now += TURN_S
        turns.leave(had, now)
    begun(turns, heavy, 2, now)
    turns.ask(heavy)
    asked = turns.ask(light)
    assert turns.give_way(now + TURN_S) is None, "it has had three turns"
    now += 40 * TURN_S
    over = turns.give_way(now)
    assert over is not None
    turns.leave(over, now)
    assert turns.begin(now) is asked
