"""What checks tell of a pair: its smoothed round trip, what that varies by, and loss."""

import pytest

from protocol.ice.paths.quality import PathQuality


def test_nothing_is_known_at_first() -> None:
    quality = PathQuality()
    assert (quality.round_trip_s, quality.loss) == (None, 0.0)
    assert quality.answer_s(0.1, 0.5) == 1.0


def test_the_round_trip_is_smoothed() -> None:
    quality = PathQuality()
    for round_trip_s in (0.1, 0.1, 0.18):
        quality.answered(round_trip_s, 1)
    assert quality.round_trip_s == pytest.approx(0.11)
    for _ in range(60):
        quality.answered(0.18, 1)
    assert quality.round_trip_s == pytest.approx(0.18, rel=0.01)
    assert quality.variation_s < 0.001


def test_an_answer_after_repetitions_tells_of_loss_and_of_no_round_trip() -> None:
    quality = PathQuality()
    quality.answered(0.1, 1)
    quality.answered(None, 3)
    assert quality.round_trip_s == 0.1
    assert quality.loss == pytest.approx(2 / 4)


def test_loss_is_that_of_the_last_16_datagrams() -> None:
    quality = PathQuality()
    quality.lost(1000)
    assert quality.loss == 1.0
    for _ in range(12):
        quality.answered(0.1, 1)
    assert quality.loss == pytest.approx(4 / 16)
    for _ in range(4):
        quality.answered(0.1, 1)
    assert quality.loss == 0.0


def test_an_answer_is_waited_for_by_what_the_round_trip_is_and_varies_by() -> None:
    quality = PathQuality()
    quality.answered(0.2, 1)
    assert quality.answer_s(0.1, 0.5) == pytest.approx(0.4)
    for _ in range(60):
        quality.answered(0.2, 1)
    assert quality.answer_s(0.1, 0.5) == pytest.approx(0.25)
    assert quality.answer_s(0.5, 0.5) == 0.5


def test_paths_are_compared_without_the_queue_of_their_own_data() -> None:
    assert PathQuality().least_s is None
    quality = PathQuality()
    for round_trip_s in (0.05, None, *(0.08 for _ in range(15))):
        quality.answered(round_trip_s, 1)
    assert quality.least_s == 0.05
    quality.answered(0.09, 1)
    assert quality.least_s == 0.08


def test_the_last_check_tells_whether_a_path_answers() -> None:
    quality = PathQuality()
    assert quality.answers
    quality.answered(0.1, 2)
    assert quality.answers
    quality.lost(1)
    assert not quality.answers
