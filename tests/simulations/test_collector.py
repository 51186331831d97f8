"""What a run does to Python's garbage collector ends with the run."""

import gc

from simulations.runtime.collector import collecting_rarely, freeze_survivors


def test_survivors_are_frozen_until_the_run_ends() -> None:
    thresholds, frozen = gc.get_threshold(), gc.get_freeze_count()
    with collecting_rarely():
        assert gc.get_threshold() != thresholds
        freeze_survivors()
        assert gc.get_freeze_count() > frozen
    assert gc.get_threshold() == thresholds
    assert gc.get_freeze_count() <= frozen  # Python 3.12 keeps some of its own there


def test_nothing_is_frozen_where_collecting_is_as_usual() -> None:
    before = gc.get_freeze_count()
    freeze_survivors()
    assert gc.get_freeze_count() == before
