"""Kinds of NAT boxes, in RFC 4787's words.

Mapping behaviour (section 4.1), port assignment (4.2), mapping refresh (4.3), filtering behaviour
(5), hairpinning (6); and what measurements found besides: ports counted up, blocks of ports for
each subscriber (RFC 6888), mappings that end whatever is sent, and the conntrack of a Linux router
that accepts unsolicited input.
"""

import math
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from protocol import limits
from simulations.internet.addresses import UNPRIVILEGED_PORT_MIN, HostPort
from simulations.internet.boxes.gateway import GatewayFaults

MAPPINGS_MAX: Final = 8192
"""Entries of a box's table; home routers keep a few thousand."""
TIMEOUT_S: Final = 120.0
"""RFC 4787 REQ-5 demands at least two minutes."""
PORTS_ALL: Final = limits.PORT_MAX + 1 - UNPRIVILEGED_PORT_MIN


class Dependence(IntEnum):
    """On what of the remote endpoint a box's mapping or filtering depends."""

    ENDPOINT_INDEPENDENT = 0
    ADDRESS_DEPENDENT = 1
    ADDRESS_AND_PORT_DEPENDENT = 2


class PortAssignment(IntEnum):
    """How outside ports are chosen (RFC 4787 4.2.1); a preserved port that is taken is drawn."""

    PRESERVED = 0
    RANDOM = 1
    SEQUENTIAL = 2


class Hairpinning(IntEnum):
    """What becomes of a packet from inside to the box's own outside address (RFC 4787 6).

    The one who gets it sees its sender's outside endpoint (REQ-9 a), or the inside one.
    """

    NONE = 0
    OUTSIDE_SOURCE = 1
    INSIDE_SOURCE = 2


@dataclass(frozen=True, slots=True)
class NatBehaviour:
    """One kind of box. `inbound_refresh` keeps a mapping alive by packets from outside too.

    Sequential ports go up by `port_step`, for `foreign_per_s` mappings a second of other users of
    the box as well, who come at random. With a `port_block` each inside address has that many ports
    of its own, 0 for no blocks. A mapping ends `lifetime_s` after it was made, whatever is sent.

    A box that `accepts_input` is a Linux router whose firewall does not drop what comes unasked: an
    early packet of a remote then costs the inside endpoint its port towards that remote.

    `v6_filtering` is that of a stateful firewall for IPv6, None where there is none. A box that
    `loses_v6` gives addresses of IPv6, and passes nothing by it. A `nat64` box translates for hosts
    that have IPv6 alone (RFC 6146). TCP gets out to `tcp_ports`, None for all.
    """

    mapping: Dependence = Dependence.ENDPOINT_INDEPENDENT
    filtering: Dependence = Dependence.ADDRESS_AND_PORT_DEPENDENT
    ports: PortAssignment = PortAssignment.PRESERVED
    hairpinning: Hairpinning = Hairpinning.OUTSIDE_SOURCE
    timeout_s: float = TIMEOUT_S
    inbound_refresh: bool = False
    upnp: bool = False
    blocks_udp: bool = False
    mappings_max: int = MAPPINGS_MAX
    port_step: int = 1
    foreign_per_s: float = 0.0
    port_block: int = 0
    lifetime_s: float = math.inf
    accepts_input: bool = False
    v6_filtering: Dependence | None = None
    loses_v6: bool = False
    nat64: bool = False
    tcp_ports: frozenset[int] | None = None
    gateway_faults: GatewayFaults = field(default_factory=GatewayFaults)

    @property
    def has_v6(self) -> bool:
        """Whether anything stands in the way of IPv6."""
        return self.v6_filtering is not None or self.nat64 or self.loses_v6

    def __post_init__(self) -> None:
        if not 0 < self.mappings_max <= MAPPINGS_MAX:
            raise ValueError(f"a box keeps 1 to {MAPPINGS_MAX} mappings")
        if not 0 <= self.port_block <= PORTS_ALL:
            raise ValueError(f"a block has up to {PORTS_ALL} ports")
        if self.port_step < 1 or self.foreign_per_s < 0:
            raise ValueError("ports are counted up")
        if self.accepts_input and (
            self.mapping is not Dependence.ENDPOINT_INDEPENDENT
            or self.filtering is not Dependence.ADDRESS_AND_PORT_DEPENDENT
            or self.ports is not PortAssignment.PRESERVED
        ):
            raise ValueError("Linux's masquerade keeps the port, and filters by address and port")


def remote_key(remote: HostPort, dependence: Dependence) -> object:
    """What of a remote a mapping or a permission is kept by."""
    if dependence is Dependence.ENDPOINT_INDEPENDENT:
        return None
    return remote[0] if dependence is Dependence.ADDRESS_DEPENDENT else remote
