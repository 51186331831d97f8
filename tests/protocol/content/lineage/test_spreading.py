"""Followers that hear of a version at once look it up at different times, the first of them few."""

import itertools
import random

import pytest

from protocol import limits
from protocol.content.lineage.spreading import look_up_pause_s

FOLLOWERS = 1000


@pytest.mark.parametrize("has_fellows", [False, True])
def test_those_who_look_up_grow_in_number_from_few(has_fellows: bool) -> None:
    rng, most_s = random.Random(1), limits.FOLLOW_SPREAD_S[has_fellows]
    pauses = [look_up_pause_s(rng, has_fellows=has_fellows) for _ in range(FOLLOWERS)]
    assert min(pauses) >= 0
    assert max(pauses) <= most_s
    tenths = [most_s * number / 10 for number in range(11)]
    by_then = [sum(pause <= tenth for pause in pauses) for tenth in tenths]
    assert by_then[2] <= 10, "a handful calls the publisher before others have it"
    for before, after in itertools.pairwise(by_then[4:]):
        assert 1.5 * before <= after <= 3 * before, "as many more as may have it by then"


def test_a_follower_without_fellows_waits_for_none_of_them() -> None:
    alone_s, most_s = limits.FOLLOW_SPREAD_S
    assert alone_s < 5.0 < most_s
