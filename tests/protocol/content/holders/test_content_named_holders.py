"""Names of holders: whose word is taken, for how many calls, and whom a holder names to whom."""

from hypothesis import given
from hypothesis import strategies as st

from protocol import limits
from protocol.content.holders.named import NamedHolders
from protocol.content.holders.naming import Naming
from protocol.identity import PeerId

OWN = PeerId(bytes(20))
MOD = bytes(32)


def peer(number: int) -> PeerId:
    return PeerId(number.to_bytes(20))


def peers(first: int, count: int) -> list[PeerId]:
    return [peer(number) for number in range(first, first + count)]


SOURCE, OTHER = peer(10_001), peer(10_002)


def taken(names: NamedHolders, most: int = 1000) -> list[PeerId]:
    found: list[PeerId] = []
    while len(found) < most and (one := names.take()) is not None:
        found.append(one)
    return found


def test_a_name_is_called_once_whoever_repeats_it() -> None:
    names = NamedHolders(OWN)
    names.name(SOURCE, [peer(1), peer(1), OWN, SOURCE])
    names.name(OTHER, [peer(1), peer(2), SOURCE])
    assert taken(names) == [peer(1), peer(2)]
    names.failed(peer(1))
    names.name(OTHER, [peer(1)])
    assert taken(names) == []


def test_few_are_called_by_one_word_until_one_of_its_names_is_linked() -> None:
    names = NamedHolders(OWN)
    names.name(SOURCE, peers(1, 10))
    assert taken(names) == peers(1, limits.FELLOWS_CALLED_OF_ONE)
    names.linked(peer(2))
    assert taken(names) == peers(1, 10)[limits.FELLOWS_CALLED_OF_ONE :]


def test_who_names_the_dead_loses_its_say_and_holds_up_no_other() -> None:
    names = NamedHolders(OWN)
    names.name(SOURCE, peers(1, limits.PEERS_NAMED))
    names.name(OTHER, peers(101, 3))
    assert taken(names, 2) == [peer(1), peer(101)], "by turns"
    called = 0
    for _ in range(limits.PEERS_NAMED):
        one = names.take()
        if one is not None and one < peer(100):
            called += 1
            names.failed(one)
    assert called <= limits.NAMES_DEAD + limits.FELLOWS_CALLED_OF_ONE
    names.name(SOURCE, peers(50, 5))
    names.linked(peer(101))
    assert all(one > peer(100) for one in taken(names))


def test_who_names_the_living_keeps_it() -> None:
    names = NamedHolders(OWN)
    for first in range(1, 200, 2):
        names.name(SOURCE, peers(first, 2))
        dead, live = taken(names)
        names.linked(live)
        names.failed(dead)
    assert not names.some


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(1, 5000), st.integers(1, 16))))
def test_what_waits_is_bounded(said: list[tuple[int, int, int]]) -> None:
    names = NamedHolders(OWN)
    for by, first, count in said:
        names.name(peer(20_000 + by), peers(first, count))
    assert len(taken(names)) <= limits.NAMES_WAITING


def test_getters_are_named_to_one_another_the_least_named_first() -> None:
    naming = Naming()
    getters = peers(1, 40)
    assert all(naming.served(MOD, one) for one in getters)
    assert not naming.served(MOD, peer(1)), "it was known"
    told = {one: naming.choose(MOD, one, ()) for one in getters}
    assert all(one not in named for one, named in told.items())
    assert {len(named) for named in told.values()} == {limits.PEERS_NAMED}
    times = [sum(one in named for named in told.values()) for one in getters]
    assert max(times) - min(times) <= 2
    again = naming.choose(MOD, peer(1), told[peer(1)])
    assert not set(again) & set(told[peer(1)])


def test_who_left_is_named_no_more() -> None:
    naming = Naming()
    naming.served(MOD, peer(1))
    naming.served(MOD, peer(2))
    naming.left(MOD, peer(2))
    naming.left(MOD, peer(3))
    assert naming.choose(MOD, peer(9), ()) == (peer(1),)
    assert naming.choose(bytes(31) + b"1", peer(9), ()) == ()
    naming.left(MOD, peer(1))
    assert naming.served(MOD, peer(1)), "nothing is kept of a mod that no one fetches"
