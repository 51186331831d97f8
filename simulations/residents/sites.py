"""Kinds of places where people's machines stand: what is between them and the internet.

The table of kinds is the vocabulary of experiment `connect` and of the tests about pairs.
"""

from dataclasses import dataclass

from simulations.internet.boxes.behaviour import Dependence, NatBehaviour, PortAssignment
from simulations.internet.boxes.gateway import GatewayFaults
from simulations.internet.boxes.nat import Nat
from simulations.internet.host import Host
from simulations.internet.internet import Internet

_EI = Dependence.ENDPOINT_INDEPENDENT
_AD = Dependence.ADDRESS_DEPENDENT
_APD = Dependence.ADDRESS_AND_PORT_DEPENDENT
_RANDOM = PortAssignment.RANDOM


@dataclass(frozen=True, slots=True)
class Site:
    """The boxes before a machine, the outermost first, and the families of its addresses."""

    boxes: tuple[NatBehaviour, ...] = ()
    v4: bool = True
    v6: bool = False

    @property
    def is_public(self) -> bool:
        """Whether nothing stands before it."""
        return not self.boxes

    @property
    def passes_udp(self) -> bool:
        """Whether UDP gets out."""
        return not any(box.blocks_udp for box in self.boxes)

    @property
    def has_upnp(self) -> bool:
        """Whether its own router forwards ports on demand, and is the only one."""
        return len(self.boxes) == 1 and self.boxes[0].upnp

    @property
    def draws_ports(self) -> bool:
        """Whether each remote sees another port that nothing tells in advance."""
        return any(
            box.mapping is not _EI and box.ports is not PortAssignment.SEQUENTIAL
            for box in self.boxes
        )

    @property
    def families(self) -> frozenset[int]:
        """By which families it reaches others: 4, 6 or both."""
        has_nat64 = any(box.nat64 for box in self.boxes)
        loses_v6 = any(box.loses_v6 for box in self.boxes)
        found = {4: self.v4 or has_nat64, 6: self.v6 and not loses_v6}
        return frozenset(family for family, has in found.items() if has)


_HOME = NatBehaviour(mapping=_EI, filtering=_APD)
_CARRIER = NatBehaviour(mapping=_EI, filtering=_APD, ports=_RANDOM, port_block=512)

SITES: dict[str, Site] = {
    "public": Site(),
    "full-cone": Site((NatBehaviour(mapping=_EI, filtering=_EI),)),
    "restricted": Site((NatBehaviour(mapping=_EI, filtering=_AD),)),
    "port-restricted": Site((_HOME,)),
    "symmetric": Site((NatBehaviour(mapping=_APD, filtering=_APD, ports=_RANDOM),)),
    "blocked": Site((NatBehaviour(blocks_udp=True),)),
    "linux": Site((NatBehaviour(accepts_input=True),)),
    "sequential": Site(
        (
            NatBehaviour(
                mapping=_APD,
                filtering=_APD,
                ports=PortAssignment.SEQUENTIAL,
                foreign_per_s=20.0,
            ),
        )
    ),
    "cgnat": Site((_CARRIER, _HOME)),
    "mobile": Site(
        (NatBehaviour(mapping=_APD, filtering=_APD, ports=_RANDOM, port_block=512, timeout_s=30.0),)
    ),
    "upnp": Site((NatBehaviour(upnp=True),)),
    "upnp-permanent": Site(
        (NatBehaviour(upnp=True, gateway_faults=GatewayFaults(permanent_only=True)),)
    ),
    "upnp-cgnat": Site((_CARRIER, NatBehaviour(upnp=True))),
    "dual-stack": Site((NatBehaviour(v6_filtering=_APD),), v6=True),
    "broken-ipv6": Site((NatBehaviour(loses_v6=True),), v6=True),
    "ipv6": Site((NatBehaviour(v6_filtering=_APD),), v4=False, v6=True),
    "nat64": Site((NatBehaviour(nat64=True, v6_filtering=_APD),), v4=False, v6=True),
}
"""By the name that a person uses."""


def can_be_punched(one: Site, other: Site) -> bool:
    """Whether a direct path between two sites can be opened by packets of both.

    It cannot where no family is common, UDP is blocked, or neither side's port can be known.
    """
    return (
        one.passes_udp
        and other.passes_udp
        and not one.families.isdisjoint(other.families)
        and not (one.draws_ports and other.draws_ports)
    )


def build_boxes(internet: Internet, site: Site) -> Nat | None:
    """The boxes of one site, each behind the one before; the innermost, None for a public site."""
    box: Nat | None = None
    for behaviour in site.boxes:
        box = internet.add_nat(behaviour, behind=box)
    return box


def build_host(internet: Internet, site: Site, behind: Nat | None = None) -> Host:
    """A machine at such a site, behind boxes of its own unless it is given one."""
    box = behind or build_boxes(internet, site)
    return internet.add_host(behind=box, v4=site.v4, v6=site.v6)
