"""By which way two hosts must link: the product's own table of kinds, asked about the lab's."""

from enum import Enum

from protocol.punching import pairs
from protocol.reachability.network_view import FilteringKind, MappingKind, NatKind
from scripts.lab.kinds import Filtering, Ipv6, Kind, Mapping, Twosome


class Way(Enum):
    """How a pair is linked."""

    DIRECT = "direct"
    RELAYED = "relayed"
    NONE = "none"


def way_of(path: str) -> Way:
    """That of a link, as its node tells it; what goes by a stream is not direct."""
    return Way.RELAYED if path == "stream" else Way(path)


_MAPPINGS = {
    Mapping.ENDPOINT_INDEPENDENT: MappingKind.ENDPOINT_INDEPENDENT,
    Mapping.SEQUENTIAL: MappingKind.SEQUENTIAL,
    Mapping.RANDOM: MappingKind.ENDPOINT_DEPENDENT,
}


def nat_kind(kind: Kind) -> NatKind:
    """What a node in such a network should find out about its IPv4."""
    if not kind.nats:
        return NatKind(MappingKind.NONE, FilteringKind.ENDPOINT_INDEPENDENT, True)
    keeps = kind.mapping is Mapping.ENDPOINT_INDEPENDENT
    takes_all = kind.maps_by_upnp or kind.filtering is Filtering.ENDPOINT_INDEPENDENT
    filtering = FilteringKind.ENDPOINT_INDEPENDENT if takes_all else FilteringKind.DEPENDENT
    step = 1 if kind.mapping is Mapping.SEQUENTIAL else 0
    return NatKind(_MAPPINGS[kind.mapping], filtering, keeps, step)


def means(caller: Kind, callee: Kind) -> str:
    """How the ends must meet, as the product's table names it; or `ipv6`, `family`, `blocked`."""
    if caller.blocked or callee.blocked:
        return "blocked"
    if Ipv6.NONE not in {caller.ipv6, callee.ipv6}:
        return "ipv6"
    if not (caller.ipv4 and callee.ipv4):
        return "family"
    return pairs.expected_way(nat_kind(caller), nat_kind(callee)).value


def may_search(caller: Kind, callee: Kind) -> bool:
    """Whether one of the two may try many ports.

    Also where the other's router lets all in, as long as its node has not found that out.
    """
    random = [kind for kind in (caller, callee) if kind.mapping is Mapping.RANDOM]
    direct = predicted(caller, callee) is Way.DIRECT and means(caller, callee) != "ipv6"
    return direct and len(random) == 1 and all(kind.nats for kind in (caller, callee))


_RESULTS = {"blocked": Way.RELAYED, "family": Way.RELAYED, pairs.Way.RELAY.value: Way.RELAYED}


def predicted(caller: Kind, callee: Kind) -> Way:
    """The way that a link between two kinds of networks must go."""
    return _RESULTS.get(means(caller, callee), Way.DIRECT)


def predicted_near(two: Twosome) -> Way:
    """The same for two hosts that are near one another."""
    return Way.RELAYED if two.relayed else Way.DIRECT
