"""Candidates of both sides, and their priorities (RFC 8445, 5.1)."""

import ipaddress
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import Final, NamedTuple

from protocol.addresses import Address, is_loopback
from protocol.turn.virtual import is_virtual

_COMPONENT: Final = 1

_LOCAL_PREFERENCE_MAX: Final = 65535


_LOCAL_NETWORKS: Final = tuple(
    map(ipaddress.ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"))
)


class CandidateKind(IntEnum):
    """How an address was learned. Peer-reflexive ones come from checks, and are never sent."""

    HOST = 0
    SERVER_REFLEXIVE = 1
    RELAYED = 2
    PEER_REFLEXIVE = 3


_TYPE_PREFERENCES: Final = {
    CandidateKind.HOST: 126,
    CandidateKind.PEER_REFLEXIVE: 110,
    CandidateKind.SERVER_REFLEXIVE: 100,
    CandidateKind.RELAYED: 0,
}
"""RFC 8445, 5.1.2.2."""


class IceCredentials(NamedTuple):
    """User name fragment and password of one side (RFC 8445, 5.3)."""

    ufrag: str
    password: str


@dataclass(frozen=True, slots=True)
class LocalCandidate:
    """An address of ours that the peer may reach, and the base that it leads to."""

    kind: CandidateKind
    address: Address
    base: Address


@dataclass(frozen=True, slots=True)
class RemoteCandidate:
    """An address of the peer: told by it, or learned from its checks."""

    kind: CandidateKind
    address: Address
    priority: int


def priority(kind: int, position: int) -> int:
    """The ICE priority of the candidate at this place of its description (RFC 8445, 5.1.2.1)."""
    local_preference = _LOCAL_PREFERENCE_MAX - position
    return _TYPE_PREFERENCES[CandidateKind(kind)] << 24 | local_preference << 8 | 256 - _COMPONENT


@lru_cache(maxsize=4096)
def is_local_network(host: str) -> bool:
    """Whether an IP literal is one of a local network (RFC 1918, RFC 4193)."""
    literal = ipaddress.ip_address(host)
    return any(literal in network for network in _LOCAL_NETWORKS)


def is_relay_priority(value: int) -> bool:
    """Whether the type preference in a PRIORITY is that of relayed candidates."""
    return value >> 24 == _TYPE_PREFERENCES[CandidateKind.RELAYED]


def pair_priority(controlling: int, controlled: int) -> int:
    """The priority of a pair from those of its candidates (RFC 8445, 6.1.2.3)."""
    low, high = sorted((controlling, controlled))
    return (low << 32) + 2 * high + (controlling > controlled)


def may_pair(base: Address, base_kind: CandidateKind, remote: Address) -> bool:
    """Whether checks may go from a base to an address of the peer (RFC 8445, 6.1.2.2).

    Virtual relayed addresses are reached from one another alone, and so are loopback addresses: a
    peer must not make us send to what listens on our own loopback.
    """
    return may_pair_heard(base, base_kind, remote) and (
        is_loopback(base.host) == is_loopback(remote.host)
    )


def may_pair_heard(base: Address, base_kind: CandidateKind, source: Address) -> bool:
    """The same for an address from which a check has come to that base.

    A peer on this machine may send from any of its addresses to loopback, and the reverse.
    """
    virtual = base_kind is CandidateKind.RELAYED and is_virtual(base)
    return base.family == source.family and virtual == is_virtual(source)
