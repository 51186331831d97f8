"""The next turn of a search: never of who asked first, nor again of the same while others wait."""

import random
from collections import Counter

from protocol import limits
from protocol.identity import PeerId
from protocol.places.turns import SearchOrder, TurnWanted

NETWORK, OTHER = bytes(3), bytes([1, 2, 3])


def peer(number: int) -> PeerId:
    return PeerId(bytes([number]) * 20)


def order(useful: int | None = None, seed: int = 1) -> SearchOrder:
    return SearchOrder(
        lambda peer_id, _now: float(useful is not None and peer_id == peer(useful)),
        random.Random(seed),
    )


def wanted(number: int, network: bytes = b"", *, ours: bool = False) -> TurnWanted:
    return TurnWanted(peer(number), network, ours)


def test_a_peer_comes_again_only_after_the_others() -> None:
    waiting = [wanted(number) for number in range(4)]
    turns = order()
    had = [turns.choose(waiting, float(now)) for now in range(8)]
    assert Counter(had) == dict.fromkeys(waiting, 2)
    assert set(had[:4]) == set(waiting)


def test_a_network_comes_again_only_after_the_others_and_private_ones_have_no_bound() -> None:
    crowd = [wanted(number, NETWORK) for number in range(8)]
    one = wanted(9, OTHER)
    turns = order()
    assert one in {turns.choose([*crowd, one], float(now)) for now in range(2)}
    private = [wanted(number) for number in range(8)]
    turns = order()
    turns.choose(private[:1], 0.0)
    assert turns.choose(private[:2], 1.0) is private[1]


def test_a_network_that_was_seen_later_counts() -> None:
    turns = order()
    turns.count_network(NETWORK, 0.0)
    assert turns.choose([wanted(1, NETWORK), wanted(2, OTHER)], 1.0).peer_id == peer(2)


def test_of_equals_the_most_useful_comes_first_whatever_its_neighbours_had() -> None:
    crowd = [wanted(number, NETWORK) for number in range(8)]
    for seed in range(8):
        turns = order(useful=7, seed=seed)
        turns.count_network(NETWORK, 0.0)
        assert turns.choose(crowd, 1.0).peer_id == peer(7)
        assert turns.choose([*crowd, wanted(9)], 2.0).peer_id == peer(9)


def test_chance_decides_among_newcomers() -> None:
    waiting = [wanted(number) for number in range(4)]
    firsts = Counter(order(seed=seed).choose(waiting, 0.0) for seed in range(200))
    assert min(firsts[one] for one in waiting) > 25


def test_calls_of_ours_and_of_peers_come_by_turns() -> None:
    turns = order()
    waiting = [wanted(1, ours=True), *(wanted(number) for number in range(2, 9))]
    had = [turns.choose(waiting, float(now)).ours for now in range(6)]
    assert had == [True, False] * 3


def test_turns_are_forgotten_by_time_and_where_they_are_too_many() -> None:
    turns = order()
    first, second = wanted(1), wanted(2)
    assert turns.choose([first], 0.0) is first
    assert turns.choose([first, second], 1.0) is second
    later = 1.0 + limits.SEARCH_TURN_REMEMBERED_S
    assert {order_of(turns, later), order_of(turns, later)} == {peer(1), peer(2)}
    turns = order()
    for number in range(2 * limits.SEARCH_TURNS_REMEMBERED):
        turns.count_network(number.to_bytes(3), 0.0)
    assert len(turns._counts) == len(turns._had) == limits.SEARCH_TURNS_REMEMBERED


def order_of(turns: SearchOrder, now: float) -> PeerId:
    return turns.choose([wanted(1), wanted(2)], now).peer_id
