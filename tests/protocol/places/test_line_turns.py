"""What the turns of a line remember of those that used it."""

from protocol import limits
from protocol.identity import PeerId
from protocol.places.line_turns import LineTurn, LineTurns

HELD = limits.LINE_TURNS - 1
SHORT_S = 0.01


def turn_of(number: int) -> LineTurn:
    return LineTurn(PeerId(number.to_bytes(limits.ID_BYTES)), number.to_bytes(3), again=False)


def test_newcomers_that_come_in_a_row_leave_a_bounded_memory_and_who_used_most_stays_known() -> (
    None
):
    """The line is never idle, and each holds one short turn: 2 s of CPU for each identity."""
    turns, now = LineTurns(), 0.0
    greedy = turn_of(1)
    turns.ask(greedy)
    assert list(turns.begin(now)) == [greedy]
    held: list[LineTurn] = []
    for number in range(2, 3 * limits.PEER_BUDGETS):
        turn = turn_of(number)
        turns.ask(turn)
        assert list(turns.begin(now)) == [turn]
        held.append(turn)
        now += SHORT_S
        if number == 100:
            turns.end(greedy, now)
        if len(held) == HELD:
            turns.end(held.pop(0), now)
        assert len(turns._used_s) <= limits.PEER_BUDGETS
    for turn in held:
        turn.lapsed = True
    again, newcomer = turn_of(1), turn_of(2**20)
    turns.ask(again)
    turns.ask(newcomer)
    assert list(turns.begin(now)) == [newcomer, again]
