"""The order in which holders are called: nothing that a holder claims puts it before all others."""

from random import Random

from protocol.content.holders.order import HolderOrder, Standing

OWN = bytes(20)


def peer(number: int) -> bytes:
    return number.to_bytes(20)


def taken(order: HolderOrder) -> list[int]:
    found = []
    while (peer_id := order.take()) is not None:
        found.append(int.from_bytes(peer_id))
    return found


def test_what_speaks_for_a_holder_goes_before_all_else() -> None:
    order = HolderOrder(OWN, Random(1))
    for number, standing in enumerate(reversed(Standing), start=1):
        order.add(peer(number), standing, told=number, complete=True)
    assert taken(order) == [9, 8, 7, 6, 5, 4, 3, 2, 1]


def test_who_brought_most_is_called_before_those_of_whom_nothing_is_known() -> None:
    order = HolderOrder(OWN, Random(1))
    for number in range(10, 40):
        order.add(peer(number), Standing.SAYS_YES, told=9, complete=True)
    for number in (50, 51, 52):
        order.add(peer(number), Standing.UNKNOWN, brought=float(number))
    order.add(peer(60), Standing.HINTED, brought=1.0)
    order.add(peer(61), Standing.LINKED, brought=99.0)
    assert taken(order)[:5] == [61, 60, 52, 51, 50]


def test_equal_holders_are_a_mix_of_what_was_told_most_the_nearest_and_chance() -> None:
    firsts = set()
    for seed in range(40):
        order = HolderOrder(OWN, Random(seed))
        for number in range(10, 70):
            order.add(peer(number), Standing.UNKNOWN, told=number == 50)
        first_three = [int.from_bytes(order.take() or b"") for _ in range(3)]
        assert first_three[:2] == [50, 10]
        firsts.add(first_three[2])
    assert len(firsts) > 20, "the third is drawn"


def test_the_nearest_is_who_has_the_shortest_round_trip_of_those_that_were_measured() -> None:
    order = HolderOrder(OWN, Random(1))
    for number in range(10, 70):
        order.add(peer(number), Standing.UNKNOWN, told=number == 50)
    order.add(peer(200), Standing.UNKNOWN, round_trip_s=0.2)
    order.add(peer(201), Standing.UNKNOWN, round_trip_s=0.1)
    first = [int.from_bytes(order.take() or b"") for _ in range(8)]
    assert [first[turn] for turn in (0, 1, 4, 7)] == [50, 201, 200, 10]


def test_linked_peers_come_by_their_filters_then_by_what_they_brought_and_then_by_distance() -> (
    None
):
    order = HolderOrder(OWN, Random(1))
    order.add(peer(1), Standing.LINKED)
    order.add(peer(2), Standing.LINKED, round_trip_s=0.2)
    order.add(peer(3), Standing.LINKED, round_trip_s=0.1)
    order.add(peer(4), Standing.LINKED, round_trip_s=0.9, brought=1.0)
    order.add(peer(5), Standing.LINKED, says_yes=True)
    assert taken(order) == [5, 4, 3, 2, 1]


def test_a_claim_to_have_all_of_it_counts_only_between_equals() -> None:
    order = HolderOrder(OWN, Random(1))
    order.add(peer(9), Standing.UNKNOWN, told=2)
    for number in range(100, 160):
        order.add(peer(number), Standing.UNKNOWN, told=1, complete=True)
    assert order.take() == peer(9)


def test_a_holder_is_called_once_and_never_this_node() -> None:
    order = HolderOrder(OWN, Random(1))
    order.add(OWN, Standing.LINKED)
    order.add(peer(1), Standing.UNKNOWN)
    order.add(peer(1), Standing.LINKED)
    assert taken(order) == [1]
    order.add(peer(1), Standing.LINKED)
    order.learn(peer(1), Standing.SAYS_YES)
    assert (order.take(), order.drop(peer(1)), len(order)) == (None, False, 0)


def test_what_filters_say_is_learnt_while_others_are_called() -> None:
    order = HolderOrder(OWN, Random(1))
    for number in range(1, 30):
        order.add(peer(number), Standing.UNKNOWN)
    asked = set()
    while (peer_id := order.next_unknown()) is not None:
        asked.add(peer_id)
        order.learn(peer_id, Standing.SAYS_YES if peer_id == peer(20) else Standing.SAYS_NO)
    assert len(asked) == 29
    assert order.drop(peer(2))
    assert order.take() == peer(20)
    assert 2 not in taken(order)
