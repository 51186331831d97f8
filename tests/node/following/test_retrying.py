"""What could not be had is tried again after pauses, which no news ends."""

from node.following.retrying import Retrying
from protocol import limits

ONE, TWO = b"1" * 32, b"2" * 32


def test_pauses_grow_and_end_with_a_version_that_is_had() -> None:
    retrying = Retrying()
    assert retrying.wait_s(ONE, 5.0) == 0
    pauses, now = [], 0.0
    for _ in range(8):
        retrying.failed(ONE, now)
        pauses.append(retrying.wait_s(ONE, now))
        now += pauses[-1]
        assert retrying.wait_s(ONE, now) == 0
    first = limits.FOLLOW_AGAIN_S
    assert pauses[:3] == [first, 2 * first, 4 * first]
    assert pauses[-1] == limits.FOLLOW_POLL_S
    retrying.forget()
    assert retrying.wait_s(ONE, now) == 0
    longer = Retrying(limits.FORK_AGAIN_S)
    for _ in range(20):
        longer.failed(ONE, now)
    assert longer.wait_s(ONE, now) == limits.FORK_AGAIN_S


def test_many_versions_that_are_not_there_are_no_faster() -> None:
    """A publisher signs one record after another, each of another mod that no peer has."""
    retrying, now, tried = Retrying(), 0.0, 0
    while now < 3600:
        retrying.failed(tried.to_bytes(32), now)
        tried += 1
        now += retrying.wait_s(tried.to_bytes(32), now)
    assert tried <= 22
    retrying.forget()
    retrying.failed(ONE, now)
    assert retrying.wait_s(TWO, now) == limits.FOLLOW_OTHER_S
