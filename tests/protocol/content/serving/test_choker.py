"""The choker: who gives has most slots, networks by time, and little for what was had."""

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import limits
from protocol.content.serving.choker import Choker, LineTurn
from protocol.identity import PeerId
from protocol.places.tenure import RELAYED

STEP_S = 0.05
"""Between two looks of a link at whether its turn is over: two of these are a slice."""
PARTS = limits.LINE_TURNS
NETWORKS = tuple(bytes([81, 2, number]) for number in range(32))
ONE, OTHER = NETWORKS[:2]


def turn(
    number: int,
    network: bytes = b"",
    *,
    again: bool = False,
    gave: float = 0.0,
    is_new: bool = False,
) -> LineTurn:
    return LineTurn(PeerId(number.to_bytes(20)), network, again, gave, is_new)


class Race:
    """Links that always have work; each asks anew when its turn ends. Seconds held, by turn."""

    def __init__(self, *asking: LineTurn) -> None:
        self.turns = Choker()
        self.now = 0.0
        self.held: dict[LineTurn, None] = {}
        self.seconds: defaultdict[PeerId, float] = defaultdict(float)
        self.order: list[PeerId] = []
        self.stalled: set[PeerId] = set()
        for one in asking:
            self.turns.ask(one, 0.0)

    def run(self, seconds: float, comes: Callable[[], LineTurn | None] = lambda: None) -> None:
        """Let time pass; before each step a link may come."""
        for _ in range(round(seconds / STEP_S)):
            new = comes()
            if new is not None:
                self.turns.ask(new, self.now)
            for one in self.turns.begin(self.now):
                self.held[one] = None
                self.order.append(one.peer_id)
            self.now += STEP_S
            for one in tuple(self.held):
                self._go_on(one)

    def _go_on(self, one: LineTurn) -> None:
        if one.peer_id in self.stalled:
            return
        self.seconds[one.peer_id] += STEP_S
        if self.turns.is_over(one, self.now):
            self.leave(one)
            number = int.from_bytes(one.peer_id)
            anew = turn(number, one.network, again=one.again, gave=one.gave)
            self.turns.ask(anew, self.now)

    def leave(self, one: LineTurn) -> None:
        self.held.pop(one, None)
        self.turns.end(one, self.now)

    def part(self, *numbers: int) -> float:
        """Of the time of all turns."""
        return sum(self.seconds[PeerId(one.to_bytes(20))] for one in numbers) / self.now / PARTS


@pytest.mark.parametrize(
    "crowds", [[1, 1, 1], [1, 8, 1, 8], [1, 1, 1, 6], [1, 2, 3, 4, 5], [1] * 9 + [16]]
)
def test_no_network_starves_whatever_crowds_others_are(crowds: list[int]) -> None:
    """It gets its fair part, or all of the one turn that a link has at a time."""
    numbers = itertools.count()
    parties = [[turn(next(numbers), NETWORKS[at]) for _ in range(n)] for at, n in enumerate(crowds)]
    race = Race(*(one for party in parties for one in party))
    race.run(10.0)
    fair = PARTS * race.now / len(crowds)
    for party in parties:
        peers = [race.seconds[one.peer_id] for one in party]
        assert sum(peers) >= 0.9 * min(fair, len(peers) * race.now) - limits.LINE_SLICE_S
        assert max(peers) - min(peers) <= 3 * limits.LINE_SLICE_S


def test_peers_of_private_networks_are_parties_of_their_own() -> None:
    race = Race(*(turn(number) for number in range(7)), turn(7, ONE), turn(8, ONE))
    race.run(20.0)
    parts = [race.part(number) for number in range(7)] + [race.part(7, 8)]
    assert all(part == pytest.approx(1 / 8, rel=0.05) for part in parts)


def test_a_network_has_one_slot_while_others_want_one_and_all_where_none_do() -> None:
    crowd = [turn(number, ONE) for number in range(8)]
    turns = Choker()
    for one in crowd:
        turns.ask(one, 0.0)
    assert list(turns.begin(0.0)) == crowd[: limits.LINE_TURNS]
    turns = Choker()
    other = turn(9, OTHER)
    for one in (*crowd, other):
        turns.ask(one, 0.0)
    assert list(turns.begin(0.0)) == [crowd[0], other]


@pytest.mark.parametrize("network", [None, ONE])
def test_identities_that_come_without_an_end_hold_up_no_one(network: bytes | None) -> None:
    """Each time one comes for the first time, with a network of its own or one for all."""
    numbers = itertools.count(100)

    def comes() -> LineTurn:
        number = next(numbers)
        return turn(number, network or number.to_bytes(3))

    race = Race(turn(1, OTHER), turn(2, NETWORKS[2]))
    for one in LeavesAfterOne(race, 100, comes):
        race.run(STEP_S, one)
    # Two come in the time of a slice and each stays for two: no more than four beside these two.
    assert race.part(1, 2) >= 2 / 6


class LeavesAfterOne:
    """Links that come, two in a slice's time, and go after one turn; as many as steps."""

    def __init__(self, race: Race, first: int, comes: Callable[[], LineTurn]) -> None:
        self._race, self._first, self._comes = race, first, comes

    def __iter__(self) -> Iterator[Callable[[], LineTurn]]:
        for _ in range(600):
            yield self._comes
            for one in tuple(self._race.turns.waiting):
                if int.from_bytes(one.peer_id) >= self._first and self._race.seconds[one.peer_id]:
                    self._race.leave(one)


def test_a_flood_of_new_networks_leaves_a_waiting_one_its_place() -> None:
    """And those that had the line for themselves before come again with the rest."""
    race = Race(*(turn(number, NETWORKS[number]) for number in range(4)))
    race.run(30.0)
    asked = turn(50, NETWORKS[5])
    race.turns.ask(asked, race.now)
    before = len(race.order)
    numbers = itertools.count(100)
    for _ in range(40):
        for number in itertools.islice(numbers, 10):
            race.turns.ask(turn(number, number.to_bytes(3)), race.now)
        race.run(STEP_S)
    assert race.order[before:].index(asked.peer_id) <= 2 * PARTS
    assert set(race.order[before:]) >= {PeerId(n.to_bytes(20)) for n in range(4)}


def test_who_gives_nothing_has_one_slot_while_those_that_give_want_them() -> None:
    givers = [turn(number, NETWORKS[number], gave=1e6) for number in range(6)]
    others = [turn(10 + number, NETWORKS[10 + number]) for number in range(12)]
    race = Race(*others, *givers)
    race.run(20.0)
    assert race.part(*range(10, 22)) == pytest.approx(1 / PARTS, rel=0.05)
    least = min(race.seconds[one.peer_id] for one in others)
    assert least >= 0.8 * race.now / len(others), "they take turns in it"


def test_who_gives_twice_as_much_has_half_as_much_more() -> None:
    givers = [turn(number, NETWORKS[number], gave=1e6 * (1 + number % 2)) for number in range(8)]
    race = Race(*givers)
    race.run(30.0)
    much, little = (race.part(*range(first, 8, 2)) for first in (1, 0))
    assert much / little == pytest.approx(2 / 1.5, rel=0.1)


def test_slots_that_no_giver_wants_are_for_anyone() -> None:
    race = Race(turn(0, ONE, gave=1e6), *(turn(n, NETWORKS[n]) for n in range(10, 20)))
    race.run(20.0)
    assert race.part(0) == pytest.approx(1 / PARTS, rel=0.05), "a link has one turn at a time"
    assert race.part(*range(10, 20)) == pytest.approx(3 / PARTS, rel=0.05)


def test_newcomers_go_first_in_the_optimistic_slot_and_keep_no_other_out_of_it() -> None:
    """One comes in each slice, for one turn; three that give nothing wait as well."""
    numbers = itertools.count(100)
    givers = [turn(number, NETWORKS[number], gave=1e6) for number in range(6)]
    waiting = [turn(10 + number, NETWORKS[10 + number]) for number in range(3)]
    race = Race(*givers, *waiting)
    race.run(5.0)
    came = []

    def comes() -> LineTurn | None:
        number = next(numbers)
        if number % 2:
            return None
        came.append(turn(number, number.to_bytes(3), is_new=True))
        return came[-1]

    first = len(race.order)
    race.run(2.0, comes)
    begun = race.order[first:]
    newcomers = {one for one in begun if int.from_bytes(one) >= 100}
    others = len([one for one in begun if int.from_bytes(one) >= 10]) - len(newcomers)
    assert begun.index(came[0].peer_id) <= 2 * PARTS
    assert abs(len(newcomers) - others) <= 2


def test_what_was_had_goes_last_and_yet_gets_its_part() -> None:
    first = [turn(number, NETWORKS[number]) for number in range(6)]
    again = [turn(10 + number, NETWORKS[10 + number], again=True) for number in range(10)]
    race = Race(*again, *first)
    race.run(20.0)
    part = race.part(*range(10, 20))
    assert part == pytest.approx(1 / limits.LINE_AGAIN_EACH / PARTS, rel=0.2)
    assert min(race.seconds[one.peer_id] for one in again) >= 20.0 * PARTS * part / 10 * 0.5


def test_what_was_had_ends_for_what_was_not_at_once() -> None:
    turns = Choker()
    again, first = turn(1, ONE, again=True), turn(2, OTHER)
    turns.ask(again, 0.0)
    assert list(turns.begin(0.0)) == [again]
    assert not turns.is_over(again, 5.0)
    turns.ask(first, 5.0)
    assert list(turns.begin(5.0)) == [first]
    assert turns.is_over(again, 5.0)
    turns.end(again, 5.0)
    turns.ask(turn(1, ONE, again=True), 5.0)
    assert not turns.is_over(first, 9.0), "what was had waits for it"


def test_who_takes_nothing_holds_up_others_for_a_second_and_its_network_for_ten() -> None:
    stalled = [turn(number, ONE) for number in range(2)]
    race = Race(*stalled)
    race.stalled = {one.peer_id for one in stalled}
    race.run(STEP_S)
    neighbour = turn(9, ONE)
    others = [turn(20 + number, NETWORKS[2 + number]) for number in range(6)]
    for one in (neighbour, *others):
        race.turns.ask(one, race.now)
    race.run(limits.LINE_LAPSE_S)
    assert all(one.lapsed for one in stalled)
    race.run(limits.LINE_FORGOTTEN_S)
    before = race.seconds[neighbour.peer_id]
    race.run(20.0)
    assert race.seconds[neighbour.peer_id] - before >= 20.0 * PARTS / 7 * 0.9


LAPSES_S = 2 * (limits.LINE_LAPSE_S + limits.LINE_SLICE_S)
"""Two turns that take nothing lapse after the other two of all have."""


@pytest.mark.parametrize(
    ("network", "least_s", "most_s"),
    [(ONE, limits.LINE_FORGOTTEN_S, 2 * limits.LINE_FORGOTTEN_S), (RELAYED, 0.0, LAPSES_S)],
)
def test_those_behind_relays_wait_for_no_other_that_takes_nothing(
    network: bytes, least_s: float, most_s: float
) -> None:
    """Neighbours share a line, which may be what is slow; two behind relays share nothing."""
    stalled = [turn(number, network) for number in range(PARTS)]
    race = Race(*stalled, turn(8, OTHER))
    race.stalled = {one.peer_id for one in stalled}
    race.run(STEP_S)
    person = turn(9, network)
    race.turns.ask(person, race.now)
    began = race.now
    while not race.seconds[person.peer_id]:
        race.run(STEP_S)
    assert least_s <= race.now - began <= most_s + STEP_S


def test_a_peer_behind_a_relay_that_holds_turns_for_long_waits_as_long_for_others() -> None:
    """It takes a little now and then: its turns do not lapse, and each is nine slices long."""
    slow = [turn(number, RELAYED) for number in range(8)]
    quick = turn(9, RELAYED)
    race = Race(*slow, quick, turn(10, OTHER), turn(11, OTHER))
    slow_ids = {one.peer_id for one in slow}
    for step in range(1200):
        race.stalled = slow_ids if step % 18 else set()
        race.run(STEP_S)
    held_each_s = race.now * limits.LINE_TURNS_BEHIND_RELAYS / (len(slow) + 1)
    assert race.seconds[quick.peer_id] >= 0.5 * held_each_s  # it waits for turns to end, too


def test_the_time_that_is_charged_ends_when_a_turn_lapses() -> None:
    """So a slow peer, whose turns lapse, waits for others a second and not until it has taken."""
    race = Race(*(turn(number, NETWORKS[number]) for number in range(4)))
    slow = turn(9, NETWORKS[9])
    race.stalled = {slow.peer_id}
    race.turns.ask(slow, race.now)
    race.run(20.0)
    assert slow.lapsed
    race.leave(slow)
    used_s = race.turns._parties._used_s[slow.network] - slow.place
    assert limits.LINE_LAPSE_S <= used_s <= limits.LINE_LAPSE_S + limits.LINE_SLICE_S
    race.stalled.clear()
    race.turns.ask(turn(9, NETWORKS[9]), race.now)
    race.run(2 * limits.LINE_SLICE_S + STEP_S)
    assert race.seconds[slow.peer_id] > 0


def test_what_is_remembered_is_bounded_and_gone_with_the_last_turn() -> None:
    """Newcomers come in a row, each for a turn; who used most stays known."""
    turns = Choker()
    greedy, *held, waits = (turn(number, NETWORKS[number]) for number in range(PARTS + 1))
    for one in (greedy, *held, waits):
        turns.ask(one, 0.0)
    list(turns.begin(0.0))
    now = 1e4
    turns.end(greedy, now)
    list(turns.begin(now))
    for number in range(100, 3 * limits.LINE_NETWORKS):
        one, now = turn(number, number.to_bytes(3)), now + 1.0
        turns.ask(one, now)
        assert one in turns.begin(now)
        turns.end(one, now + STEP_S)
        assert len(turns._parties) <= limits.LINE_NETWORKS
    assert len(turns._parties) > limits.LINE_NETWORKS / 2
    assert greedy.party in turns._parties
    for one in (*held, waits):
        turns.end(one, now)
    assert not turns._parties
    assert not turns._behind_relays
    assert not turns.waiting
    assert not turns.are_others(None)


@given(
    st.lists(
        st.tuples(st.sampled_from("abel"), st.integers(0, 11), st.booleans(), st.booleans()),
        max_size=120,
    )
)
@settings(deadline=None, derandomize=True)
def test_any_order_of_calls_keeps_the_bounds_and_gives_the_same_again(
    steps: list[tuple[str, int, bool, bool]],
) -> None:
    assert list(played(steps)) == list(played(steps))


def played(steps: list[tuple[str, int, bool, bool]]) -> Iterator[int]:
    """The numbers of the links whose turns begin, one after another."""
    turns, now = Choker(), 0.0
    asked: dict[int, LineTurn] = {}
    held: dict[int, LineTurn] = {}
    for what, number, again, long in steps:
        now += 1.5 if long else STEP_S
        if what == "a" and number not in asked | held:
            asked[number] = turn(number, NETWORKS[number % 4], again=again)
            turns.ask(asked[number], now)
        elif what == "e" and number in asked | held:
            turns.end((asked if number in asked else held).pop(number), now)
        elif what == "l" and number in held:
            turns.is_over(held[number], now)
        for one in turns.begin(now):
            begun = int.from_bytes(one.peer_id)
            held[begun] = asked.pop(begun)
            yield begun
        live = [one for one in held.values() if not one.lapsed]
        assert len(live) <= limits.LINE_TURNS
        assert set(turns.waiting) == set(asked.values())
        assert live or not asked, "the line is never idle while one waits"
