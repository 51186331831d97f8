"""In which order a peer's addresses are checked."""

from node.links.path.remote_candidates import in_order
from protocol.addresses import Address
from protocol.description import IceCandidate
from protocol.ice.candidates import CandidateKind

LAN = IceCandidate(CandidateKind.HOST, Address("192.168.1.2", 4001))
GLOBAL = IceCandidate(CandidateKind.HOST, Address("2a00:10::2", 4001))
OUTSIDE = IceCandidate(CandidateKind.SERVER_REFLEXIVE, Address("5.10.1.2", 4001))
THEIRS = [LAN, GLOBAL, OUTSIDE]


def test_private_addresses_of_another_network_come_last() -> None:
    assert in_order(THEIRS, [Address("31.10.1.2", 4001)]) == [GLOBAL, OUTSIDE, LAN]


def test_in_the_same_network_private_addresses_keep_their_place() -> None:
    assert in_order(THEIRS, [Address("5.10.1.2", 4002)]) == THEIRS


def test_where_a_network_is_unknown_the_order_stays() -> None:
    assert in_order(THEIRS, []) == THEIRS
    assert in_order([LAN, GLOBAL], [Address("31.10.1.2", 4001)]) == [LAN, GLOBAL]
