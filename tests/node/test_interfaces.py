"""A machine's own addresses: the one that others reach it by stands first among many."""

import random

import pytest

from node.interfaces import (
    InterfaceAddress,
    InterfaceKind,
    by_usefulness,
    families_of,
    host_addresses,
    kind_of,
)
from protocol.addresses import is_loopback

HOME = "192.168.1.17"
HOME_V6 = "2001:db8:1::17"


def crowded() -> list[InterfaceAddress]:
    """A machine with loopback, a network, ten of Docker, virtual machines and VPNs."""
    named = [
        ("127.0.0.1", "lo"),
        ("::1", "lo"),
        ("fe80::1", "eth0"),
        *((f"172.{16 + n}.0.1", f"br-{n:012x}") for n in range(10)),
        *((f"fd00:{n}::1", f"br-{n:012x}") for n in range(4)),
        ("172.17.0.1", "docker0"),
        ("192.168.122.1", "virbr0"),
        ("192.168.56.1", "VirtualBox Host-Only Ethernet Adapter"),
        ("172.30.0.1", "vEthernet (WSL)"),
        ("10.8.0.2", "tun0"),
        ("100.64.3.4", "tailscale0"),
        ("10.2.0.2", "WireGuard Tunnel"),
        ("fd7a::1", "tailscale0"),
        (HOME, "eth0"),
        (HOME_V6, "eth0"),
        ("2001:db8:1::aaaa", "eth0"),
        ("2001:db8:1::bbbb", "eth0"),
        ("192.168.7.7", "wlan0"),
    ]
    return [InterfaceAddress(*one) for one in named]


@pytest.mark.parametrize("seed", range(5))
def test_the_addresses_that_lead_out_stand_first_wherever_they_were(seed: int) -> None:
    found = crowded()
    random.Random(seed).shuffle(found)
    ranked = by_usefulness(found, [HOME_V6, HOME])
    assert len(found) >= 30
    assert set(ranked[:2]) == {HOME, HOME_V6}
    assert ranked[2] == "192.168.7.7"
    assert set(ranked[3:5]) == {"2001:db8:1::aaaa", "2001:db8:1::bbbb"}
    assert set(ranked[-3:]) == {"127.0.0.1", "::1", "fe80::1"}
    assert set(ranked[-7:-3]) == {"10.8.0.2", "100.64.3.4", "10.2.0.2", "fd7a::1"}
    assert sorted(ranked) == sorted({one.ip for one in found})


def test_without_a_route_networks_still_come_before_bridges_and_tunnels() -> None:
    ranked = by_usefulness(crowded(), [])
    assert ranked[:3] == [HOME, HOME_V6, "192.168.7.7"]


def test_a_route_through_a_tunnel_is_still_the_way_out() -> None:
    assert by_usefulness(crowded(), ["10.8.0.2"])[0] == "10.8.0.2"


def test_an_address_of_two_interfaces_stands_there_once() -> None:
    twice = [InterfaceAddress(HOME, "br-1"), InterfaceAddress(HOME, "eth0")]
    assert by_usefulness(twice, []) == [HOME]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("eth0", InterfaceKind.NETWORK),
        ("enp3s0", InterfaceKind.NETWORK),
        ("wlp2s0", InterfaceKind.NETWORK),
        ("en0", InterfaceKind.NETWORK),
        ("Intel(R) Wi-Fi 6 AX201 160MHz", InterfaceKind.NETWORK),
        ("br0", InterfaceKind.NETWORK),
        ("docker0", InterfaceKind.BRIDGE),
        ("veth12ab", InterfaceKind.BRIDGE),
        ("bridge100", InterfaceKind.BRIDGE),
        ("Hyper-V Virtual Ethernet Adapter", InterfaceKind.BRIDGE),
        ("wg0", InterfaceKind.TUNNEL),
        ("utun3", InterfaceKind.TUNNEL),
        ("ZeroTier Virtual Port", InterfaceKind.TUNNEL),
        ("TAP-Windows Adapter V9", InterfaceKind.TUNNEL),
    ],
)
def test_names_tell_what_an_interface_leads_to(name: str, kind: InterfaceKind) -> None:
    assert kind_of(name) is kind


@pytest.mark.parametrize(
    ("addresses", "families"),
    [
        (["192.168.1.2", "2001:db8::1"], {4, 6}),
        (["192.168.1.2", "fd00::1", "fe80::1%eth0"], {4}),
        (["2001:db8::1", "127.0.0.1"], {6}),
        (["127.0.0.1", "::1"], {4}),
        ([], {4}),
    ],
)
def test_a_machine_has_the_families_that_lead_anywhere(
    addresses: list[str], families: set[int]
) -> None:
    assert families_of(addresses) == families


def test_this_machine_has_its_loopback_and_no_address_twice() -> None:
    found = host_addresses()
    assert any(map(is_loopback, found))
    assert len(set(found)) == len(found)
