"""What a node knows of its own network, in the words of RFC 4787: values, without any rule.

The rules that make them: `observed` for addresses and mapping, `verdict` for being public.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple

from protocol.addresses import Address


class MappingKind(IntEnum):
    """How a NAT chooses the outside port of a mapping (RFC 4787, 4.1)."""

    UNKNOWN = 0
    NONE = 1
    """There is no NAT: others see the address that the socket is bound to."""
    ENDPOINT_INDEPENDENT = 2
    ENDPOINT_DEPENDENT = 3
    SEQUENTIAL = 4
    """Endpoint-dependent, but the port of the next mapping follows from the last one's."""


class FilteringKind(IntEnum):
    """Whom a NAT or firewall lets in (RFC 4787, 5)."""

    UNKNOWN = 0
    ENDPOINT_INDEPENDENT = 1
    """All hosts, or there is no filter."""
    DEPENDENT = 2
    """Only addresses that were sent to; whether their ports matter is not told apart."""


class Verdict(IntEnum):
    """Whether datagrams reach this node unasked, by one address family."""

    UNKNOWN = 0
    PUBLIC = 1
    NOT_PUBLIC = 2


@dataclass(frozen=True, slots=True)
class NatKind:
    """The NAT in front of one address family.

    `port_step` is the distance of the ports of two mappings made one after the other; 0 unless the
    mapping is SEQUENTIAL. `port_preserved`: the outside port is the socket's own.
    """

    mapping: MappingKind = MappingKind.UNKNOWN
    filtering: FilteringKind = FilteringKind.UNKNOWN
    port_preserved: bool = False
    port_step: int = 0


class ReflexiveAddress(NamedTuple):
    """A server-reflexive address; `proved` once contacts in enough networks saw it."""

    address: Address
    proved: bool


class PortSample(NamedTuple):
    """The outside port of the newest mapping known.

    `at` is the monotonic time at which its first datagram left; `rate` counts the mappings a second
    that others behind the same NAT made lately.
    """

    port: int
    at: float
    rate: float


class UpnpMapping(NamedTuple):
    """A port that the router forwards to ours; `proved` once a dial-back came in by it."""

    address: Address
    proved: bool


@dataclass(frozen=True, slots=True)
class FamilyView:
    """What is known of one address family. `reflexive`: the best first.

    `is_mapped`: contacts see another host address than this machine has. `is_forwarded`: the
    router forwards the address that they see. `is_on_internet`: some of them have global addresses.
    `was_tested`: a round of dial-backs has ended, with whatever outcome. `may_be_firewalled`:
    without a NAT, by the last round.
    """

    verdict: Verdict = Verdict.UNKNOWN
    nat: NatKind = NatKind()
    is_mapped: bool = False
    reflexive: tuple[ReflexiveAddress, ...] = ()
    last_sample: PortSample | None = None
    is_forwarded: bool = False
    is_on_internet: bool = False
    was_tested: bool = False
    may_be_firewalled: bool = True

    @property
    def is_closed(self) -> bool:
        """Whether others had better send nothing here unasked.

        Behind a NAT that is so until dial-backs say otherwise: what comes in unasked is lost, and
        a router that accepts input maps the next datagram for that sender to another port.
        """
        if self.verdict is not Verdict.UNKNOWN:
            return self.verdict is Verdict.NOT_PUBLIC
        return self.is_mapped and not self.is_forwarded

    @property
    def needs_registrars(self) -> bool:
        """Whether calls might not reach this node unasked.

        A firewall without a NAT shows by nothing but missing dial-backs: so a node of the internet
        is registered until they say that it is public, or, where firewalls filter by ports, come
        at least from other ports of hosts that were sent to. In a small overlay are no others.
        """
        if self.verdict is not Verdict.UNKNOWN:
            return self.verdict is Verdict.NOT_PUBLIC
        return self.is_mapped or (
            self.is_on_internet and self.was_tested and self.may_be_firewalled
        )


_NOTHING_KNOWN = FamilyView()


@dataclass(frozen=True, slots=True)
class NetworkView:
    """What a node knows of its network, by address family (4 or 6).

    `upnp` is of IPv4. `needs_nat64`: this machine has IPv6 addresses only, so that IPv4 ones are
    reached by a NAT64, or not at all: then nothing is known of IPv4, as there is no port of it.
    """

    families: Mapping[int, FamilyView] = field(default_factory=dict)
    upnp: UpnpMapping | None = None
    needs_nat64: bool = False

    def of(self, family: int) -> FamilyView:
        """What is known of one family; nothing of one without a socket."""
        return self.families.get(family, _NOTHING_KNOWN)

    @property
    def verdict(self) -> Verdict:
        """PUBLIC by any family, else NOT_PUBLIC by any, else UNKNOWN."""
        found = {view.verdict for view in self.families.values()}
        for verdict in (Verdict.PUBLIC, Verdict.NOT_PUBLIC):
            if verdict in found:
                return verdict
        return Verdict.UNKNOWN

    @property
    def is_contact(self) -> bool:
        """Whether others may keep this node in their tables, as far as it knows."""
        known = self.families.values()
        is_public = any(view.verdict is Verdict.PUBLIC for view in known)
        return is_public or not any(view.is_closed for view in known)

    @property
    def needs_registrars(self) -> bool:
        """Whether calls by any family might not reach this node unasked."""
        return any(view.needs_registrars for view in self.families.values())
