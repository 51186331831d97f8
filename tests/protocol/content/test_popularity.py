"""What counts as popular: distinct networks, on several days, whatever one network does."""

import random

from protocol import limits
from protocol.content.popularity import Ask, Popularity

MOD, OTHER = bytes(32), bytes(31) + b"1"


def network(number: int) -> bytes:
    return number.to_bytes(3, "big")


def mod(number: int) -> bytes:
    return number.to_bytes(32, "big")


def test_enough_networks_on_enough_days() -> None:
    popularity = Popularity()
    for number in range(limits.CACHE_ASKERS - 1):
        assert popularity.asked(network(number), MOD, 10)
    assert popularity.asked(network(0), MOD, 11)
    assert popularity.popular(11) == []
    popularity.asked(network(9), OTHER, 11)
    for number in range(limits.CACHE_ASKERS + 1):
        popularity.asked(network(number), OTHER, 11)
    assert popularity.popular(11) == [], "all on one day"
    popularity.asked(network(8), MOD, 11)
    assert popularity.popular(11) == [MOD]
    popularity.asked(network(8), OTHER, 12)
    assert popularity.popular(12) == [OTHER, MOD]
    assert popularity.popular(10 + limits.CACHE_WEEK_DAYS) == [OTHER], "of MOD two asks are left"
    assert popularity.askers(MOD, 10 + limits.CACHE_WEEK_DAYS) == {network(0), network(8)}


def test_many_ids_of_one_network_are_one_asker() -> None:
    popularity = Popularity()
    for day in range(7):
        for _ in range(1000):
            popularity.asked(network(1), MOD, day)
    assert len(popularity) == 1
    assert popularity.popular(6) == []


def test_what_one_network_asks_for_displaces_nothing_of_others() -> None:
    popularity = Popularity()
    for number in range(limits.CACHE_ASKERS):
        popularity.asked(network(number), MOD, 1)
    for number in range(3 * limits.ASKS_COUNTED):
        popularity.asked(network(99), mod(number + 5), 1)
    assert len(popularity) == limits.CACHE_ASKERS + limits.ASKS_OF_NETWORK
    popularity.asked(network(0), MOD, 2)
    assert popularity.popular(2) == [MOD]


def test_a_full_table_takes_of_those_who_asked_for_most() -> None:
    popularity = Popularity()
    for number in range(limits.CACHE_ASKERS):
        popularity.asked(network(number), MOD, 1)
    for number in range(2 * limits.ASKS_COUNTED):
        popularity.asked(network(10 + number % 2000), mod(number // 2000 + 5), 1)
    assert len(popularity) == limits.ASKS_COUNTED
    assert len(popularity.askers(MOD, 1)) == limits.CACHE_ASKERS


def test_asks_that_are_kept_and_read_again_count_the_same() -> None:
    rng = random.Random(5)
    popularity = Popularity()
    for step in range(3000):
        popularity.asked(network(rng.randrange(40)), mod(rng.randrange(200)), step // 200)
        if step % 50 == 0:
            popularity.forget(mod(rng.randrange(200)))
    again = Popularity(tuple(popularity))
    assert list(again) == list(popularity)
    assert again.popular(14) == popularity.popular(14) != []
    for both in (popularity, again):
        both.asked(network(3), mod(1000), 15)
        for number in range(limits.ASKS_OF_NETWORK - 1):
            both.asked(network(3), mod(2000 + number), 15)
    assert list(again) == list(popularity)
    for number in range(200):
        again.forget(mod(number))
    assert {ask.mod_id for ask in again} <= {mod(1000), *map(mod, range(2000, 2100))}


def test_an_ask_long_ago_is_no_second_day() -> None:
    popularity = Popularity([Ask(network(number), MOD, 1, 1) for number in range(9)])
    for number in range(9):
        popularity.asked(network(number), MOD, 20)
    assert popularity.popular(20) == []
