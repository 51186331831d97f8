"""Offers that name addresses in an honest caller's network: its own checks are answered by ours."""

from protocol import limits
from protocol.addresses import Address
from protocol.ice.unproved import NetworkAllowance, UnprovedBudget

CHECK_BYTES = 100
HONEST = Address("5.6.7.8", 4001)


def fill(allowance: NetworkAllowance, now: float) -> int:
    """Offers, each with eight addresses in the network; the checks that they bring it."""
    checks = 0
    for _ in range(2 * limits.ICE_CHECKS_PER_NETWORK):
        budget = UnprovedBudget(limits.ICE_UNPROVED_BYTES, allowance)
        for number in range(limits.CANDIDATES):
            checks += budget.take(Address(f"5.6.7.{100 + number}", 9), CHECK_BYTES, now)
    return checks


def test_an_address_that_sent_its_own_check_gets_ours_whatever_others_named() -> None:
    allowance = NetworkAllowance()
    assert fill(allowance, 0.0) == limits.ICE_CHECKS_PER_NETWORK
    honest = UnprovedBudget(limits.ICE_UNPROVED_BYTES, allowance)
    assert not honest.take(HONEST, CHECK_BYTES, 0.0)
    for _ in range(3):
        honest.heard(HONEST, 0, 0.0)
        assert honest.take(HONEST, CHECK_BYTES, 0.0)
        assert not honest.take(HONEST, CHECK_BYTES, 0.0), "no check is followed by two"


def test_checks_in_the_name_of_a_victim_bring_it_no_more_than_they_are() -> None:
    allowance = NetworkAllowance()
    fill(allowance, 0.0)
    sent = got = 0
    for _ in range(50):
        budget = UnprovedBudget(limits.ICE_UNPROVED_BYTES, allowance)
        for _ in range(20):
            sent += CHECK_BYTES
            budget.heard(HONEST, 0, 0.0)
            while budget.take(HONEST, CHECK_BYTES, 0.0):
                got += CHECK_BYTES
    assert got <= sent
