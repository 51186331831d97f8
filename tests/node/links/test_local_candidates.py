"""The candidates of a node: of its bound sockets, useful ones first, and as many as fit."""

import pytest

from node.counters import Counters
from node.environment import Environment
from node.links.path.local_candidates import LocalCandidates
from node.links.path.paths import LinkPaths
from node.links.settings import LinkSettings
from node.net.endpoint import Endpoint
from protocol import limits
from protocol.addresses import Address
from protocol.ice.candidates import CandidateKind, LocalCandidate
from protocol.reachability.network_view import (
    FamilyView,
    NetworkView,
    ReflexiveAddress,
    UpnpMapping,
)

V4, V6 = Address("0.0.0.0", 4001), Address("::", 4002)
HOSTS = [
    "192.0.2.7",
    "2001:db8::7",
    "10.0.0.3",
    "127.0.0.1",
    "::1",
    "fe80::1",
    "fe80::2%eth0",
    "169.254.1.1",
    "0.0.0.0",
    "not an address",
]
OUTSIDE, OTHER = Address("198.51.100.1", 4001), Address("198.51.100.1", 7000)
HOST, REFLEXIVE = CandidateKind.HOST, CandidateKind.SERVER_REFLEXIVE


def candidates(
    bound: dict[int, Address], hosts: list[str], view: NetworkView | None = None
) -> list[LocalCandidate]:
    return LocalCandidates(bound, lambda: hosts, lambda: view or NetworkView()).now()


def test_a_socket_on_all_addresses_has_those_that_lead_anywhere() -> None:
    assert candidates({4: V4, 6: V6}, HOSTS) == [
        LocalCandidate(HOST, Address("192.0.2.7", 4001), V4),
        LocalCandidate(HOST, Address("2001:db8::7", 4002), V6),
        LocalCandidate(HOST, Address("10.0.0.3", 4001), V4),
    ]
    assert [one.address.family for one in candidates({6: V6}, HOSTS)] == [6]


@pytest.mark.parametrize("host", ["127.0.0.1", "192.0.2.7"])
def test_a_socket_on_one_address_has_that_one(host: str) -> None:
    bound = Address(host, 5)
    assert candidates({4: bound}, HOSTS) == [LocalCandidate(HOST, bound, bound)]


def test_a_machine_without_a_network_has_none() -> None:
    assert candidates({4: V4}, ["127.0.0.1", "::1"]) == []
    assert candidates({}, HOSTS) == []


def seen(*addresses: Address) -> FamilyView:
    return FamilyView(reflexive=tuple(ReflexiveAddress(one, proved=True) for one in addresses))


def test_addresses_that_only_others_see_follow_with_the_base_behind_them() -> None:
    forwarded = UpnpMapping(Address("198.51.100.1", 4444), proved=False)
    view = NetworkView({4: seen(OUTSIDE, Address("192.0.2.7", 4001), OTHER)}, upnp=forwarded)
    found = candidates({4: V4}, ["192.0.2.7"], view)
    assert found[0] == LocalCandidate(HOST, Address("192.0.2.7", 4001), V4)
    assert found[1:] == [
        LocalCandidate(REFLEXIVE, one, V4) for one in (forwarded.address, OUTSIDE, OTHER)
    ]


def test_of_very_many_addresses_the_first_are_named_and_the_reflexive_ones() -> None:
    hosts = [f"10.0.{n}.1" for n in range(30)]
    found = candidates({4: V4}, hosts, NetworkView({4: seen(OUTSIDE, OTHER)}))
    assert len(found) == limits.CANDIDATES
    assert [one.address for one in found[-2:]] == [OUTSIDE, OTHER]
    assert [one.address.host for one in found[:-2]] == hosts[: limits.CANDIDATES - 2]


@pytest.mark.parametrize("hidden", [False, True])
async def test_a_node_that_hides_its_address_has_no_candidate_of_its_own(hidden: bool) -> None:
    environment = Environment(host_addresses=lambda: ["192.0.2.7"], udp_socket=None)
    endpoint = Endpoint(Counters(), environment)
    endpoint.addresses[4] = V4
    paths = LinkPaths(endpoint, environment, LinkSettings(relayed_only=hidden))
    assert bool(paths.candidates()) is not hidden
