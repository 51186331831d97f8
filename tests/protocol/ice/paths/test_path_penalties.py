"""A path that carried no data is left alone, longer each time, and not for ever."""

from math import inf

from protocol import limits
from protocol.addresses import Address
from protocol.ice.paths.penalties import PathPenalties

BASE, REMOTE = Address("5.0.0.1", 4001), Address("6.0.0.1", 4001)


def test_each_penalty_is_twice_as_long_up_to_a_bound() -> None:
    penalties = PathPenalties()
    now, lengths = 0.0, []
    assert penalties.barred_until(BASE, REMOTE) == -inf
    for _ in range(7):
        penalties.bar(BASE, REMOTE, 30.0, now)
        lengths.append(penalties.barred_until(BASE, REMOTE) - now)
        now = penalties.barred_until(BASE, REMOTE) + 1
    assert lengths == [30, 60, 120, 240, 480, limits.PATH_PENALTY_MAX_S, limits.PATH_PENALTY_MAX_S]


def test_a_path_that_did_well_for_long_begins_anew() -> None:
    penalties = PathPenalties()
    penalties.bar(BASE, REMOTE, 30.0, 0.0)
    penalties.bar(BASE, REMOTE, 30.0, 40.0)
    assert penalties.barred_until(BASE, REMOTE) == 100.0
    penalties.bar(BASE, REMOTE, 30.0, 700.0)
    assert penalties.barred_until(BASE, REMOTE) == 730.0


def test_a_bounded_number_of_paths_is_remembered() -> None:
    penalties = PathPenalties()
    for port in range(1, limits.PATH_PENALTIES + 2):
        penalties.bar(BASE, Address(REMOTE.host, port), 30.0, 0.0)
    assert penalties.barred_until(BASE, Address(REMOTE.host, 1)) == -inf
    assert penalties.barred_until(BASE, Address(REMOTE.host, 2)) == 30.0
