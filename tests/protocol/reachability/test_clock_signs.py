"""Signs that a clock is off: one voice of each network, and more than half of those that spoke."""

import pytest

from protocol import limits
from protocol.reachability.clock_signs import ClockSign, ClockSigns, ClockVerdict, ClockView

NOTHING = ClockVerdict.NO_SIGN
KEYS = [bytes([number]) * 20 for number in range(9)]


def network(number: int) -> bytes:
    return bytes((11, number // 256, number % 256))


def signs(
    *given: tuple[ClockSign, int], key: bytes = b"", at: float = 0.0
) -> tuple[ClockSigns, int]:
    """So many networks gave each of these signs; with how many networks there are."""
    heard, number = ClockSigns(), 0
    for sign, count in given:
        for _ in range(count):
            heard.note(network(number), sign, at, key=key)
            number += 1
    return heard, number


def verdict_of(*given: tuple[ClockSign, int], key: bytes = b"") -> ClockVerdict:
    return signs(*given, key=key)[0].view(0.0).verdict


def send_from_future(heard: ClockSigns, *, networks: int, keys: int) -> None:
    """Each of so many networks sends what is in the future under each of so many keys."""
    for key in KEYS[:keys]:
        for number in range(networks):
            heard.note(network(number), ClockSign.SENT_FROM_FUTURE, 0.0, key=key)


@pytest.mark.parametrize(
    ("said", "right", "verdict"),
    [
        (0, 0, NOTHING),
        (0, 9, NOTHING),
        (1, 0, ClockVerdict.PERHAPS_AHEAD),
        (2, 0, ClockVerdict.PERHAPS_AHEAD),
        (3, 0, ClockVerdict.AHEAD),
        (1, 1, ClockVerdict.PERHAPS_AHEAD),
        (1, 2, NOTHING),
        (3, 3, ClockVerdict.PERHAPS_AHEAD),
        (4, 3, ClockVerdict.AHEAD),
        (20, 21, NOTHING),
    ],
)
def test_most_networks_decide_and_few_are_quoted(
    said: int, right: int, verdict: ClockVerdict
) -> None:
    assert verdict_of((ClockSign.REFUSED_AS_FUTURE, said), (ClockSign.TAKEN, right)) is verdict


def test_the_view_says_how_many_said_so_of_how_many() -> None:
    heard, _ = signs((ClockSign.REFUSED_AS_FUTURE, 4), (ClockSign.TAKEN, 2))
    assert heard.view(0.0) == ClockView(ClockVerdict.AHEAD, 4, 6)
    heard, _ = signs((ClockSign.REFUSED_AS_FUTURE, 2), (ClockSign.TAKEN, 7))
    assert heard.view(0.0) == ClockView(NOTHING, 0, 9)


def test_a_network_has_one_voice_its_latest_however_often_it_speaks() -> None:
    heard, _ = signs((ClockSign.TAKEN, 2))
    for at in range(100):
        heard.note(network(7), ClockSign.REFUSED_AS_FUTURE, at)
    assert heard.view(100.0) == ClockView(NOTHING, 0, 3)
    for number in range(3):
        heard.note(network(number), ClockSign.REFUSED_AS_FUTURE, 100.0)
    assert heard.view(100.0) == ClockView(ClockVerdict.AHEAD, 4, 4)
    for number in range(3):
        heard.note(network(number), ClockSign.TAKEN, 200.0)
    assert heard.view(200.0).verdict is NOTHING, "the clock was set"


def test_a_clock_that_is_far_behind_is_shown_by_refusals_as_well() -> None:
    assert verdict_of((ClockSign.REFUSED_AS_EXPIRED, 3)) is ClockVerdict.BEHIND
    assert verdict_of((ClockSign.REFUSED_AS_EXPIRED, 2)) is ClockVerdict.PERHAPS_BEHIND


def test_what_contacts_took_says_nothing_of_what_they_sent() -> None:
    """A clock that is a few minutes behind dates nothing in the future of others."""
    heard, _ = signs((ClockSign.TAKEN, 20))
    send_from_future(heard, networks=3, keys=3)
    assert heard.view(0.0) == ClockView(ClockVerdict.BEHIND, 3, 3)


def test_one_publisher_that_dates_ahead_sets_no_clock_back_by_those_who_keep_its_record() -> None:
    heard, _ = signs((ClockSign.SENT_FROM_FUTURE, 20), key=KEYS[0])
    assert heard.view(0.0) == ClockView(ClockVerdict.PERHAPS_BEHIND, 20, 20)
    for number in range(9):
        heard.note(network(0), ClockSign.SENT_FROM_FUTURE, 0.0, key=KEYS[number])
    assert heard.view(0.0) == ClockView(ClockVerdict.PERHAPS_BEHIND, 20, 20), "nor by one contact"
    send_from_future(heard, networks=3, keys=4)
    assert heard.view(0.0) == ClockView(ClockVerdict.BEHIND, 20, 20)


def test_signs_of_both_directions_tell_nothing() -> None:
    heard, _ = signs((ClockSign.REFUSED_AS_FUTURE, 3))
    send_from_future(heard, networks=3, keys=3)
    assert heard.view(0.0).verdict is NOTHING


def test_a_certain_direction_outweighs_a_quoted_one() -> None:
    heard, _ = signs((ClockSign.REFUSED_AS_FUTURE, 3))
    heard.note(network(9), ClockSign.SENT_FROM_FUTURE, 0.0, key=KEYS[0])
    assert heard.view(0.0).verdict is ClockVerdict.AHEAD


def test_what_was_said_long_ago_is_forgotten() -> None:
    heard, _ = signs((ClockSign.REFUSED_AS_FUTURE, 3))
    assert heard.view(limits.CLOCK_VOICE_S - 1).verdict is ClockVerdict.AHEAD
    assert heard.view(limits.CLOCK_VOICE_S) == ClockView()


def test_no_more_voices_are_kept_than_bounded_and_the_oldest_goes() -> None:
    heard, count = signs((ClockSign.REFUSED_AS_FUTURE, 10 * limits.CLOCK_VOICES))
    assert heard.view(0.0).heard == limits.CLOCK_VOICES
    for number in range(limits.CLOCK_VOICES):
        heard.note(network(count + number), ClockSign.TAKEN, 1.0)
    assert heard.view(1.0) == ClockView(NOTHING, 0, limits.CLOCK_VOICES)
