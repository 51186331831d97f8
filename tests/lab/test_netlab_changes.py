"""How the lab measures a transfer whose path changes."""

import pytest

from scripts.lab.changes import CHANGES, Watched, chosen, kinds


def test_a_stall_is_the_longest_time_in_which_nothing_came_after_the_event() -> None:
    seen = [(0.0, 10, "relayed"), (4.0, 20, "relayed"), (5.0, 20, "direct"), (6.0, 30, "direct")]
    watched = Watched([*seen, (6.5, 40, "direct"), (9.0, 40, "direct")])
    assert watched.stall_s(3.5) == pytest.approx(2.0)
    assert watched.stall_s(5.5) == pytest.approx(0.5)
    assert watched.stall_s(7.0) == 0.0, "all had come by then"
    assert watched.ways == ["relayed", "direct"]


def test_no_two_changes_share_routers() -> None:
    assert [kind.name for kind in kinds(CHANGES)] == [change.name for change in CHANGES]
    assert len({change.name for change in CHANGES}) == len(CHANGES)


def test_changes_are_chosen_by_name() -> None:
    assert chosen(None) == list(CHANGES)
    assert [one.name for one in chosen("cable-pulled,relay-killed")] == [
        "relay-killed",
        "cable-pulled",
    ]
    with pytest.raises(SystemExit, match="no change 'cable'"):
        chosen("cable")
