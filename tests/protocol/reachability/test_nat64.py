"""IPv4 literals in IPv6 form (RFC 6052)."""

import pytest

from protocol.addresses import Address
from protocol.reachability.nat64 import embedded, synthesised


@pytest.mark.parametrize(
    ("v4", "v6"), [("192.0.2.33", "64:ff9b::c000:221"), ("1.2.3.4", "64:ff9b::102:304")]
)
def test_an_address_goes_there_and_back(v4: str, v6: str) -> None:
    assert synthesised(Address(v4, 4001)) == Address(v6, 4001)
    assert embedded(Address(v6, 4001)) == Address(v4, 4001)


@pytest.mark.parametrize("host", ["2001:db8::1", "64:ff9c::1", "64:ff9b:1::1", "192.0.2.33"])
def test_other_addresses_hold_none(host: str) -> None:
    assert embedded(Address(host, 4001)) is None
