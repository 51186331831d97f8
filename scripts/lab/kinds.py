"""The kinds of networks that the lab builds, in the terms of RFC 4787."""

from dataclasses import dataclass
from enum import Enum

MAPPING_S = 30
"""How long a router keeps a mapping that no packet uses: short, as many home routers do."""


class Mapping(Enum):
    """RFC 4787, 4.1. `SEQUENTIAL` is address and port-dependent, each mapping one port further."""

    ENDPOINT_INDEPENDENT = "endpoint-independent"
    SEQUENTIAL = "sequential"
    RANDOM = "random"


class Filtering(Enum):
    """RFC 4787, 5."""

    ENDPOINT_INDEPENDENT = "endpoint-independent"
    ADDRESS = "address-dependent"
    ADDRESS_AND_PORT = "address and port-dependent"


class Hairpin(Enum):
    """RFC 4787, 6. `INNER` shows the inside address as source, `OUTER` the external one."""

    NONE = "none"
    INNER = "inner source"
    OUTER = "outer source"


class Ipv6(Enum):
    """`OPEN` lets everything in, `FIREWALL` only answers."""

    NONE = "none"
    OPEN = "open"
    FIREWALL = "firewall"


@dataclass(frozen=True, slots=True)
class Nat:
    """How one router translates IPv4."""

    mapping: Mapping = Mapping.ENDPOINT_INDEPENDENT
    filtering: Filtering = Filtering.ADDRESS_AND_PORT
    hairpin: Hairpin = Hairpin.NONE
    drops_input: bool = True
    """False: a packet that no mapping expects reaches the router itself and leaves an entry in its
    connection tracking, which takes the port from the mapping that would have been made next."""
    upnp: bool = False
    blocks_udp: bool = False


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of network with one host: the routers from the host outwards, none if it is public."""

    name: str
    what: str
    nats: tuple[Nat, ...] = ()
    ipv4: bool = True
    ipv6: Ipv6 = Ipv6.NONE

    @property
    def blocked(self) -> bool:
        """Whether no UDP passes."""
        return any(nat.blocks_udp for nat in self.nats)

    @property
    def mapping(self) -> Mapping:
        """What all its routers together do: the worst of each."""
        order = list(Mapping)
        return max((nat.mapping for nat in self.nats), key=order.index, default=order[0])

    @property
    def filtering(self) -> Filtering:
        """What all its routers together let in: the strictest of each."""
        order = list(Filtering)
        return max((nat.filtering for nat in self.nats), key=order.index, default=order[0])

    @property
    def maps_by_upnp(self) -> bool:
        """Whether its only router opens ports when it is asked to."""
        return len(self.nats) == 1 and self.nats[0].upnp


_PORT_RESTRICTED = Nat()

KINDS = {
    kind.name: kind
    for kind in (
        Kind("public", "no router, IPv4 and IPv6", ipv6=Ipv6.OPEN),
        Kind("cone", "full cone", (Nat(filtering=Filtering.ENDPOINT_INDEPENDENT),)),
        Kind("restricted", "address-restricted cone", (Nat(filtering=Filtering.ADDRESS),)),
        Kind("port", "port-restricted cone (nft masquerade)", (_PORT_RESTRICTED,)),
        Kind("trap", "port-restricted, the router accepts input", (Nat(drops_input=False),)),
        Kind(
            "symmetric",
            "random ports (nft masquerade fully-random)",
            (Nat(mapping=Mapping.RANDOM),),
        ),
        Kind("sequential", "one port further each time", (Nat(mapping=Mapping.SEQUENTIAL),)),
        Kind(
            "cgnat",
            "port-restricted, behind a carrier's of the same kind",
            (_PORT_RESTRICTED, _PORT_RESTRICTED),
        ),
        Kind("upnp", "port-restricted, with miniupnpd", (Nat(upnp=True),)),
        Kind(
            "ipv6",
            "IPv6 behind a stateful firewall; IPv4 as `symmetric`",
            (Nat(mapping=Mapping.RANDOM),),
            ipv6=Ipv6.FIREWALL,
        ),
        Kind("ipv6only", "IPv6 behind a stateful firewall, no IPv4", (), False, Ipv6.FIREWALL),
        Kind("blocked", "no UDP passes, so TLS streams carry all", (Nat(blocks_udp=True),)),
    )
}
"""Each is built twice, as `NAME.a` and `NAME.b`; the nodes of `a` call those of `b`."""


@dataclass(frozen=True, slots=True)
class Twosome:
    """Two hosts that are near one another: behind one router, or behind the same carrier."""

    name: str
    what: str
    nat: Nat = _PORT_RESTRICTED
    isolated: bool = False
    """The hosts do not see each other, as on a guest network."""
    carrier: bool = False
    """A home router each, and `nat` is the carrier's."""
    twin: bool = False
    """A home router each with the same inner prefix, and in each network an impostor that has the
    other's inner address and answers everything."""
    relayed: bool = False
    """No direct path is left."""

    @property
    def kind(self) -> Kind:
        """What each host is to the rest of the internet."""
        return Kind(
            self.name, self.what, (_PORT_RESTRICTED, self.nat) if self.carrier else (self.nat,)
        )


_FULL_HAIRPIN = Nat(filtering=Filtering.ENDPOINT_INDEPENDENT, hairpin=Hairpin.OUTER)

TWOSOMES = {
    two.name: two
    for two in (
        Twosome("lan", "one router, without hairpin"),
        Twosome(
            "lan-inner",
            "one router, whose hairpin shows the inner source",
            Nat(filtering=Filtering.ENDPOINT_INDEPENDENT, hairpin=Hairpin.INNER),
        ),
        Twosome("guests", "one router with hairpin, hosts isolated", _FULL_HAIRPIN, isolated=True),
        Twosome(
            "guests-apart",
            "one router without hairpin, hosts isolated",
            isolated=True,
            relayed=True,
        ),
        Twosome("carrier", "one carrier without hairpin, two homes", carrier=True, relayed=True),
        Twosome("twins", "two routers, both with 192.168.1.0/24 inside", twin=True),
    )
}
