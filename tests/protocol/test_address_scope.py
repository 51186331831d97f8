"""Which of a machine's addresses others may reach it by."""

import ipaddress

import pytest
from hypothesis import example, given

from protocol.addresses import is_global, is_loopback, is_shareable
from protocol.overlay.networks import networks_at
from simulations.internet.addresses import is_loopback as is_simulated_loopback
from tests.hosts import HOSTS, Literal

NOWHERE = ("224.1.1.1", "239.255.255.250", "240.0.0.1", "255.255.255.255", "ff02::1", "ff0e::1")


@pytest.mark.parametrize("host", [*NOWHERE, "127.0.0.1", "10.0.0.1", "192.0.0.8", "::", "fd00::1"])
def test_what_is_no_machine_of_the_internet_is_not_global(host: str) -> None:
    assert not is_global(host)
    assert not networks_at(ipaddress.ip_address(host).packed)


@pytest.mark.parametrize("host", ["5.0.1.1", "8.8.8.8", "2a00::1"])
def test_addresses_of_the_internet_are_global(host: str) -> None:
    assert is_global(host)
    assert networks_at(ipaddress.ip_address(host).packed)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1"])
def test_loopback_is_not_shareable(host: str) -> None:
    assert is_loopback(host)
    assert not is_shareable(host)


@pytest.mark.parametrize(
    "host",
    ["169.254.1.1", "fe80::1", "fe80::1%eth0", "0.0.0.0", "0.1.2.3", "::", "name", *NOWHERE],
)
def test_addresses_that_lead_others_nowhere_are_not_shareable(host: str) -> None:
    assert not is_shareable(host)
    assert not is_loopback(host)


@pytest.mark.parametrize("host", ["192.0.2.1", "10.0.0.1", "2001:db8::1", "::1234", "fd00::1"])
def test_addresses_of_networks_are_shareable(host: str) -> None:
    assert is_shareable(host)
    assert not is_loopback(host)


@given(HOSTS)
@example(ipaddress.ip_address("127.255.255.255"))
@example(ipaddress.ip_address("::1"))
def test_the_simulated_internet_knows_the_same_loopback(host: Literal) -> None:
    assert is_simulated_loopback(str(host)) == is_loopback(str(host))
