"""IPv4 literals in IPv6 form (RFC 6052), and the prefix that a network's DNS tells (RFC 7050)."""

import pytest

from protocol.addresses import Address
from protocol.reachability.nat64 import Nat64Prefix, prefix_told_by

WELL_KNOWN = Nat64Prefix(bytes.fromhex("0064ff9b0000000000000000"))


@pytest.mark.parametrize(
    ("v4", "v6"), [("192.0.2.33", "64:ff9b::c000:221"), ("1.2.3.4", "64:ff9b::102:304")]
)
def test_an_address_goes_there_and_back(v4: str, v6: str) -> None:
    assert WELL_KNOWN.synthesised(v4) == v6
    assert WELL_KNOWN.embedded(Address(v6, 4001)) == Address(v4, 4001)


@pytest.mark.parametrize("host", ["2001:db8::1", "64:ff9c::1", "64:ff9b:1::1", "192.0.2.33"])
def test_other_addresses_hold_none(host: str) -> None:
    assert WELL_KNOWN.embedded(Address(host, 4001)) is None


def test_the_well_known_prefix_is_told_by_the_two_addresses_of_the_name() -> None:
    assert prefix_told_by(["64:ff9b::c000:aa"]) == WELL_KNOWN


def test_a_network_may_have_a_prefix_of_its_own() -> None:
    prefix = prefix_told_by(["2001:db8::1", "2001:db8:64::192.0.0.171"])
    assert prefix is not None
    assert prefix.synthesised("1.2.3.4") == "2001:db8:64::102:304"


@pytest.mark.parametrize("hosts", [[], ["2001:db8::1"], ["2001:db8:c000:aa::"]])
def test_without_a_prefix_of_96_bits_there_is_none(hosts: list[str]) -> None:
    assert prefix_told_by(hosts) is None
