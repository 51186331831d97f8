"""What a node's network is, in words for a player, from what the node has found out about it."""

from dataclasses import dataclass
from enum import StrEnum

from protocol.causes.cause import Explanation
from protocol.reachability.network_view import FamilyView, MappingKind, NetworkView, Verdict

_CONTACTS_THAT_TELL = 3
"""When so many known nodes are all silent it is hardly they that are at fault."""


class UpnpAnswer(StrEnum):
    """What the router said when it was asked to forward a port. The value is the name in JSON."""

    OFF = "off"
    NOT_ASKED = "not_asked"
    NO_ANSWER = "no_answer"
    REFUSED = "refused"
    PRIVATE_OUTSIDE = "private_outside"
    """Its outside address is private: another NAT stands behind it."""
    FORWARDS = "forwards"


class NetworkKind(StrEnum):
    """What a network is to a player. The value is the name in JSON."""

    LOOPBACK = "loopback"
    NO_ADDRESS = "no_address"
    ALONE = "alone"
    FIRST = "first"
    UDP_BLOCKED = "udp_blocked"
    BY_STREAM = "by_stream"
    NOTHING_ANSWERS = "nothing_answers"
    HIDDEN = "hidden"
    UNREACHABLE = "unreachable"
    IPV6_ALONE = "ipv6_alone"
    PUBLIC = "public"
    OPENED_ROUTER = "opened_router"
    FORWARDING_UNTESTED = "forwarding_untested"
    FORWARDING_IN_VAIN = "forwarding_in_vain"
    DOUBLE_NAT = "double_nat"
    ROUTER = "router"
    COUNTING_ROUTER = "counting_router"
    RANDOM_ROUTER = "random_router"
    UNKNOWN_ROUTER = "unknown_router"
    FIREWALL = "firewall"
    LOCAL = "local"
    NOT_TESTED = "not_tested"

    @property
    def sentence(self) -> str:
        """What the network is."""
        return NETWORKS[self].sentence

    @property
    def advice(self) -> str:
        """What would help; empty where nothing needs to."""
        return NETWORKS[self].advice


_OPEN_IT = (
    "Switch on UPnP in the router, or forward the node's UDP port there, to be reached by all; "
    "where the provider has a router of its own behind that one (whose outside address is then "
    "private, or begins with 100.64 to 100.127), only IPv6 or a VPN helps with that."
)

NETWORKS: dict[NetworkKind, Explanation] = {
    NetworkKind.LOOPBACK: Explanation(
        "this node talks with nodes on this computer alone",
        "Start it with other --listen and --bootstrap addresses to talk with others.",
    ),
    NetworkKind.NO_ADDRESS: Explanation(
        "this computer has no network address", "Connect it to a network."
    ),
    NetworkKind.ALONE: Explanation(
        "the node knows no other node yet, so nothing can be found out",
        "Join through a friend's node with `modswarm run --bootstrap`.",
    ),
    NetworkKind.FIRST: Explanation(
        "the node knows no other node yet; the router forwards a port, by which friends can join",
        "Give a friend the line that `modswarm id` shows, for `modswarm run --bootstrap`.",
    ),
    NetworkKind.HIDDEN: Explanation(
        "this node hides its address: it is called through others, and every link of it goes "
        "through a relay",
        "Start it without --hide-address for direct links.",
    ),
    NetworkKind.UNREACHABLE: Explanation(
        "this node was started with --unreachable: it takes traffic only from addresses that it "
        "sent to, and asks no router",
        "Start it without --unreachable to be reached by others, if its network lets them.",
    ),
    NetworkKind.UDP_BLOCKED: Explanation(
        "none of the nodes that this one knows answers: most likely UDP is blocked in this network",
        "Allow UDP in the firewalls of this computer and of the network, or use another network "
        "or a VPN.",
    ),
    NetworkKind.BY_STREAM: Explanation(
        "no UDP passes in this network: the node goes by TLS streams to public nodes, which relay "
        "all its links",
        "Allow UDP in the firewalls of this computer and of the network for direct, faster links.",
    ),
    NetworkKind.NOTHING_ANSWERS: Explanation(
        "no other node answers: the few that are known do not run any more where they did, or UDP "
        "is blocked here",
        "Ask whether the bootstrap is running; if it is, allow UDP in the firewalls.",
    ),
    NetworkKind.IPV6_ALONE: Explanation(
        "this network has IPv6 alone, and nothing in it was found that translates to IPv4: links "
        "with peers that have IPv4 alone need a relay that has both",
        "A network that has IPv4, or a NAT64 with a prefix of 96 bits, leads to all of them.",
    ),
    NetworkKind.PUBLIC: Explanation("other nodes reach this one directly, unasked", ""),
    NetworkKind.OPENED_ROUTER: Explanation(
        "the router helps: it forwards a port, and other nodes reach this one unasked", ""
    ),
    NetworkKind.FORWARDING_UNTESTED: Explanation(
        "the router forwards a port, and whether others come in by it has not been found out yet",
        "Ask again in some minutes.",
    ),
    NetworkKind.FORWARDING_IN_VAIN: Explanation(
        "the router says that it forwards a port, and yet others do not come in",
        "Allow incoming UDP for modswarm in this computer's firewall, and look whether another "
        "router stands before the first.",
    ),
    NetworkKind.DOUBLE_NAT: Explanation(
        "there are two routers one behind the other, and the outer one does not help",
        "Let the outer router forward a UDP port, or let the inner one work as a bridge; behind "
        "a provider's router only IPv6 or a VPN help.",
    ),
    NetworkKind.ROUTER: Explanation(
        "a router stands before this node, and direct links through it are possible", _OPEN_IT
    ),
    NetworkKind.COUNTING_ROUTER: Explanation(
        "the router takes another port for each contact; direct links need its next one guessed, "
        "which mostly works",
        _OPEN_IT,
    ),
    NetworkKind.RANDOM_ROUTER: Explanation(
        "the router takes an unpredictable port for each contact; many links over IPv4 need a "
        "relay",
        _OPEN_IT,
    ),
    NetworkKind.UNKNOWN_ROUTER: Explanation(
        "a router seems to stand before this node, and its kind is not known yet",
        f"Ask again in some minutes. {_OPEN_IT}",
    ),
    NetworkKind.FIREWALL: Explanation(
        "only answers come in, as by a firewall; direct links are possible all the same",
        "Allow incoming UDP for modswarm in the firewall: then all nodes can reach this one.",
    ),
    NetworkKind.LOCAL: Explanation(
        "all contacts are in this computer's own network, so nothing is known of the way out",
        "Join through a node in another network to find it out.",
    ),
    NetworkKind.NOT_TESTED: Explanation(
        "whether others reach this node has not been found out yet",
        "Ask again in some minutes.",
    ),
}
"""A test wants one for every kind."""


@dataclass(frozen=True, slots=True)
class NetworkSigns:
    """What a node knows when it is asked what its network is.

    `asked`: nodes that it knows of, from bootstraps and its last run. `contacts`: those that
    answer, and `distant` those of them that are on the internet. `hidden` and `unreachable`: it was
    started so. `by_stream`: it goes by TLS streams, as UDP is silent.
    """

    view: NetworkView
    upnp: UpnpAnswer
    on_loopback: bool
    has_address: bool
    asked: int
    contacts: int
    distant: int
    hidden: bool = False
    unreachable: bool = False
    by_stream: bool = False


def network_kind(signs: NetworkSigns) -> NetworkKind:
    """The kind of network that these are the signs of."""
    if signs.on_loopback:
        return NetworkKind.LOOPBACK
    if not signs.has_address:
        return NetworkKind.NO_ADDRESS
    if not signs.contacts:
        return _without_contacts(signs)
    if signs.by_stream:
        return NetworkKind.BY_STREAM
    if signs.hidden:
        return NetworkKind.HIDDEN
    if signs.unreachable:
        return NetworkKind.UNREACHABLE
    if signs.view.needs_nat64 and 4 not in signs.view.families:
        return NetworkKind.IPV6_ALONE
    if signs.view.verdict is Verdict.PUBLIC:
        opened = signs.upnp is UpnpAnswer.FORWARDS
        return NetworkKind.OPENED_ROUTER if opened else NetworkKind.PUBLIC
    family = _telling_family(signs.view)
    if family is None:
        return NetworkKind.NOT_TESTED if signs.distant else NetworkKind.LOCAL
    if signs.upnp is UpnpAnswer.FORWARDS:
        in_vain = family.verdict is Verdict.NOT_PUBLIC
        return NetworkKind.FORWARDING_IN_VAIN if in_vain else NetworkKind.FORWARDING_UNTESTED
    if signs.upnp is UpnpAnswer.PRIVATE_OUTSIDE:
        return NetworkKind.DOUBLE_NAT
    return _BY_MAPPING[family.nat.mapping]


def _without_contacts(signs: NetworkSigns) -> NetworkKind:
    if not signs.asked:
        opened = signs.upnp is UpnpAnswer.FORWARDS
        return NetworkKind.FIRST if opened else NetworkKind.ALONE
    is_telling = signs.asked >= _CONTACTS_THAT_TELL
    return NetworkKind.UDP_BLOCKED if is_telling else NetworkKind.NOTHING_ANSWERS


def _telling_family(view: NetworkView) -> FamilyView | None:
    """The family that something stands before, IPv4 first; None if none is known to have that."""
    found = (view.families[family] for family in sorted(view.families))
    return next(
        (one for one in found if one.is_mapped or one.verdict is Verdict.NOT_PUBLIC),
        None,
    )


_BY_MAPPING: dict[MappingKind, NetworkKind] = {
    MappingKind.NONE: NetworkKind.FIREWALL,
    MappingKind.ENDPOINT_INDEPENDENT: NetworkKind.ROUTER,
    MappingKind.SEQUENTIAL: NetworkKind.COUNTING_ROUTER,
    MappingKind.ENDPOINT_DEPENDENT: NetworkKind.RANDOM_ROUTER,
    MappingKind.UNKNOWN: NetworkKind.UNKNOWN_ROUTER,
}
