"""Rate limits by key keep what is in use: those that are full again are forgotten."""

import pytest

from protocol import limits
from protocol.errors import RateLimited
from protocol.rate_limit import KeyedRateLimit, SharedRateLimit


def test_buckets_that_are_full_again_are_forgotten() -> None:
    limit = KeyedRateLimit(rate=1.0, burst=4.0)
    most = 0
    for second in range(1000):
        limit.charge(f"host {second}", float(second))
        most = max(most, len(limit))
    assert most <= 3


def test_a_bucket_that_is_not_full_yet_is_kept() -> None:
    limit = KeyedRateLimit(rate=1.0, burst=4.0)
    for _ in range(4):
        limit.charge("greedy", 0.0)
    for index in range(100):
        limit.charge(f"host {index}", 0.01 * index)
    assert len(limit) == 101
    limit.charge("greedy", 1.0)
    with pytest.raises(RateLimited):
        limit.charge("greedy", 1.0)


def test_keys_of_which_nothing_was_taken_in_the_period_are_forgotten() -> None:
    limit = SharedRateLimit(most=8, period_s=10.0, part=2)
    most = 0
    for second in range(1000):
        limit.charge(f"kind {second}", "holder", float(second))
        most = max(most, len(limit))
    assert 10 <= most <= 11


def test_a_key_of_the_period_is_kept() -> None:
    limit = SharedRateLimit(most=2, period_s=10.0, part=1)
    limit.charge("kind", "one", 0.0)
    for index in range(100):
        limit.charge(f"other {index}", "one", 9.0)
    with pytest.raises(RateLimited):
        limit.charge("kind", "one", 9.9)
    limit.charge("kind", "one", 10.1)


def test_no_more_than_so_many_buckets_are_kept() -> None:
    limit = KeyedRateLimit(rate=0.001, burst=4.0)
    for index in range(limits.HOSTS_RATE_LIMITED + 10):
        limit.charge(f"host {index}", 0.0)
    assert len(limit) == limits.HOSTS_RATE_LIMITED
