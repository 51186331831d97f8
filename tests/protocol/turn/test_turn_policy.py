"""Which peers the relayed ports of foreign clients may reach."""

import pytest

from protocol.addresses import Address
from protocol.errors import RelayRefusal
from protocol.turn.policy import PeerPolicy

OWN = Address("198.51.100.1", 4001)


def policy(*, private: bool) -> PeerPolicy:
    return PeerPolicy(lambda: frozenset({OWN, Address("127.0.0.1", 4001)}), private=private)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "10.0.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "::1",
        "fe80::1",
        "fc00::1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::1",
        "2001:0:1::1",
        "100::1",
        OWN.host,
    ],
)
def test_addresses_that_are_not_global_unicast_or_our_own_are_refused(host: str) -> None:
    with pytest.raises(RelayRefusal):
        policy(private=False).check_peer(Address(host, 9))


def test_global_addresses_are_reached_and_private_ones_where_configured() -> None:
    policy(private=False).check_peer(Address("8.8.8.8", 53))
    policy(private=False).check_peer(Address("2a00::1", 53))
    policy(private=True).check_peer(Address("10.0.0.1", 53))
    policy(private=True).check_peer(Address("127.0.0.1", 4002))


def test_own_ports_and_virtual_addresses_never_are() -> None:
    for peer in (OWN, Address("127.0.0.1", 4001), Address("100::1", 3478)):
        with pytest.raises(RelayRefusal):
            policy(private=True).check_peer(peer)
