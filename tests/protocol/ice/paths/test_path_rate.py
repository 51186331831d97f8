"""How much of its link's data a path has carried lately."""

import pytest

from protocol.ice.paths.rate import CarriedRate


def noted(*counts: tuple[float, int]) -> CarriedRate:
    rate = CarriedRate()
    for now, carried_bytes in counts:
        rate.note(carried_bytes, now)
    return rate


def test_a_path_that_carries_nothing_has_no_rate() -> None:
    assert CarriedRate().at(5.0) is None
    assert noted((5.0, 700)).at(5.0) is None, "what came before is not of this path"
    assert noted((5.0, 700), (5.25, 700)).at(5.25) is None


def test_the_rate_is_that_of_the_last_second() -> None:
    counts = [(number / 4, number * 1000 if number < 20 else number * 3000) for number in range(40)]
    assert noted(*counts).at(counts[-1][0]) == pytest.approx(12_000)


def test_a_rate_ends_with_the_data() -> None:
    rate = noted((5.0, 0), (5.25, 1000))
    assert rate.at(6.25) == pytest.approx(4000)
    assert rate.at(6.3) is None


def test_after_a_pause_the_rate_is_measured_anew() -> None:
    rate = noted((5.0, 0), (5.25, 1000))
    rate.note(1000, 60.0)
    assert rate.at(60.0) is None
    rate.note(2000, 60.5)
    assert rate.at(60.5) == pytest.approx(2000)


def test_two_counts_at_one_time_are_no_rate() -> None:
    assert noted((5.0, 0), (5.0, 1000)).at(5.0) is None
