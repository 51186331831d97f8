"""What contacts choose, how often they send and what their filters claim, decides nothing."""

import pytest

from protocol import availability, limits
from protocol.availability import Availability
from protocol.errors import Malformed
from protocol.overlay.routing import RoutingTable
from tests.hostile.lookups.far_contacts import far_contact

K = 4


def test_a_filter_that_says_yes_to_all_is_refused() -> None:
    (honest,) = availability.build([bytes((number,)) * 32 for number in range(16)])
    assert Availability.decode(honest.encode()) == honest
    for size in limits.SHARD_SIZES:
        (full,) = availability.build([number.to_bytes(32) for number in range(size)])
        assert Availability.decode(full.encode()) == full
        everything = Availability(0, 0, size, b"\xff" * len(full.bits))
        with pytest.raises(Malformed, match="more than"):
            Availability.decode(everything.encode())


def test_one_network_does_not_hold_all_that_wait_for_a_place() -> None:
    table = RoutingTable(bytes(20), k=K)
    for number in range(K):
        table.answered(far_contact(number, f"5.5.{number}.1"), 0.0)
    honest = far_contact(50, "8.8.8.8")
    table.answered(honest, 1.0)
    for number in range(100, 140):
        table.answered(far_contact(number, "6.6.6.6"), 2.0)
    (bucket,) = table.buckets.values()
    assert honest in bucket.waiting.values()
    assert len(bucket.waiting) == 1 + limits.NETWORK_IN_BUCKET[3]


def test_who_sends_most_requests_is_neither_saved_first_nor_a_witness() -> None:
    table = RoutingTable(bytes(20), k=K)
    known = [far_contact(number, f"5.5.{number}.1") for number in range(K)]
    for at, one in enumerate(known):
        table.answered(one, float(at))
    for _ in range(10):
        table.asked_by(known[2], 100.0, proved=True)
    table.failed(known[0])
    assert [entry.contact for entry in table.longest_known()] == [*known[1:], known[0]]
