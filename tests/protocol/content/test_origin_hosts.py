"""Which addresses strangers may name: those of machines on the internet, in whatever form."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.content.origins.public_hosts import why_not_public

PUBLIC = [
    *("1.1.1.1", "100.63.255.255", "100.128.0.0", "172.15.255.255", "172.32.0.0", "192.0.1.0"),
    *("2606:4700::1111", "2a00::1", "64:ff9b::1.1.1.1", "2002:101:101::1", "::ffff:1.1.1.1"),
]
PRIVATE_V4 = [
    *("0.0.0.0", "10.0.0.1", "100.64.0.1", "100.127.255.255", "127.0.0.1", "127.255.255.255"),
    *("169.254.169.254", "172.16.0.1", "172.31.255.255", "192.168.0.1", "224.0.0.1"),
    *("255.255.255.255", "240.0.0.1", "198.18.0.1", "192.0.0.170"),
]
PRIVATE_V6 = [
    *("::", "::1", "::127.0.0.1", "fe80::1", "fe80::1%eth0", "2606:4700::1%eth0", "fec0::1"),
    *("fc00::1", "fd00::1", "ff02::1", "64:ff9b:1::1", "100::1", "2001::1", "2001:db8::1"),
    *("3fff::1", "5f00::1", "4000::1"),
]


@pytest.mark.parametrize("host", PUBLIC)
def test_a_machine_of_the_internet_may_be_named(host: str) -> None:
    assert why_not_public(host) is None


@pytest.mark.parametrize("host", [*PRIVATE_V4, *PRIVATE_V6])
def test_any_other_may_not(host: str) -> None:
    assert why_not_public(host)


@pytest.mark.parametrize("host", PRIVATE_V4)
def test_no_form_of_ipv6_hides_a_private_address(host: str) -> None:
    packed = "".join(f"{int(part):02x}" for part in host.split("."))
    words = f"{packed[:4]}:{packed[4:]}"
    for form in (f"::ffff:{words}", f"64:ff9b::{words}", f"2002:{words}::1", f"::{words}"):
        assert why_not_public(form), form


OWN = ("192.168.1.5", "1.1.1.1", "2606:4700:0:1::5", "fe80::1%eth0", "::1")


@pytest.mark.parametrize(
    "host",
    ["1.1.1.1", "2606:4700:0:1::1", "::ffff:1.1.1.1", "64:ff9b::1.1.1.1", "2002:101:101::1"],
)
def test_what_is_of_the_own_network_may_not_be_named_either(host: str) -> None:
    """A router at its outer address, or what its firewall hides."""
    assert why_not_public(host, OWN) == "this machine's own network"
    assert why_not_public(host) is None


@pytest.mark.parametrize("host", ["1.1.1.2", "2606:4700:0:2::1", "2606:4700::1"])
def test_neighbours_of_the_own_network_may_be_named(host: str) -> None:
    assert why_not_public(host, OWN) is None


@given(st.ip_addresses())
def test_what_python_calls_private_is_not_public(address: object) -> None:
    if not address.is_global or address.is_multicast:  # type: ignore[attr-defined]
        assert why_not_public(str(address)) or str(address).startswith(
            ("64:ff9b::", "2002:", "::ffff")
        )


@given(st.text(max_size=40))
def test_what_is_no_address_is_no_answer(text: str) -> None:
    try:
        why_not_public(text)
    except ValueError:
        return
