"""A simulated UPnP gateway: ports that a home router forwards, and what such gateways do wrong.

The error codes are those of UPnP's WANIPConnection:2; a node meets this object where it would meet
miniupnpc. Calls take no virtual time by themselves: their caller lets `answer_delay_s` pass.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from protocol import limits
from simulations.errors import GatewayRefused
from simulations.internet.addresses import HostPort

FORWARDED_MAX: Final = 64
"""Ports that one gateway forwards; home routers keep a few dozen."""
LEASE_MAX_S: Final = 604_800.0

MappedKind = Literal["UDP", "TCP"]
_KINDS: Final[tuple[MappedKind, ...]] = ("UDP", "TCP")

INVALID_ARGS: Final = 402
NO_SUCH_ENTRY: Final = 714
CONFLICT: Final = 718
ONLY_PERMANENT_LEASES: Final = 725
NO_MAPPINGS_AVAILABLE: Final = 728


@dataclass(frozen=True, slots=True)
class GatewayFaults:
    """What a gateway does otherwise than it should.

    It grants leases without end alone (error 725), or none without end (402); it has forwarded
    ports `taken` (of TCP `tcp_taken`) elsewhere (718); a renewal of one that moves them answers
    well and forwards to the next inside port, and one that `moves_all` forwards there always; it
    `overwrites` the mapping of another machine; it forwards no TCP (402). It shows a
    `shown_address` that is not its own, as one behind a second router does. Each answer takes
    `answer_delay_s`, one on TCP `tcp_delay_s` more; a silent gateway's never comes (infinity).
    """

    permanent_only: bool = False
    leases_only: bool = False
    taken: frozenset[int] = frozenset()
    tcp_taken: frozenset[int] = frozenset()
    moves_renewals: bool = False
    moves_all: bool = False
    overwrites: bool = False
    no_tcp: bool = False
    shown_address: str | None = None
    answer_delay_s: float = 0.0
    tcp_delay_s: float = 0.0

    @property
    def is_silent(self) -> bool:
        """Whether no answer ever comes."""
        return math.isinf(self.answer_delay_s)

    def elsewhere(self, kind: MappedKind) -> frozenset[int]:
        """The ports that it has forwarded to machines that are not simulated."""
        return self.tcp_taken if kind == "TCP" else self.taken


@dataclass(frozen=True, slots=True)
class StaticMapping:
    """One forwarded port; `expires_s` is virtual time, None for a mapping without a lease."""

    kind: MappedKind
    external_port: int
    inside: HostPort
    expires_s: float | None


class Gateway:
    """Forwards ports of a NAT box's outside address, for as long as their leases run."""

    def __init__(
        self,
        external_address: Callable[[], str],
        clock: Callable[[], float],
        faults: GatewayFaults,
    ) -> None:
        self.faults = faults
        self._external_address = external_address
        self._clock = clock
        self._by_port: dict[tuple[MappedKind, int], StaticMapping] = {}
        self._port_of: dict[HostPort, int] = {}

    def external_address(self) -> str:
        """The box's outside address: a private one behind a second box (CGNAT)."""
        return self.faults.shown_address or self._external_address()

    def add_port_mapping(
        self,
        protocol: str,
        external_port: int,
        internal_host: str,
        internal_port: int,
        lease_s: float = 0.0,
    ) -> None:
        """Forward a port; asking again for the same inside endpoint renews its lease (0: for ever).

        GatewayRefused for another protocol or no port, a port forwarded elsewhere, a full table,
        or a lease of a kind that it does not grant.
        """
        ports_valid = 0 < external_port <= limits.PORT_MAX and 0 < internal_port <= limits.PORT_MAX
        kind = self._kind(protocol)
        if kind is None or not ports_valid or not 0 <= lease_s <= LEASE_MAX_S:
            raise GatewayRefused(INVALID_ARGS, "only ports 1 to 65535 and leases of a week")
        self._check_lease(lease_s)
        self._drop_expired()
        inside = (internal_host, internal_port)
        known = self._by_port.get((kind, external_port))
        is_others = known is not None and known.inside != inside and not self.faults.overwrites
        if is_others or external_port in self.faults.elsewhere(kind):
            raise GatewayRefused(CONFLICT, f"port {external_port} is forwarded elsewhere")
        if known is None and len(self._by_port) >= FORWARDED_MAX:
            raise GatewayRefused(NO_MAPPINGS_AVAILABLE, "the table of mappings is full")
        moves_it = known is not None and self.faults.moves_renewals
        if known is not None:
            self._drop(known)
        if moves_it or self.faults.moves_all:
            inside = (internal_host, internal_port + 1)
        expires = self._clock() + lease_s if lease_s else None
        self._by_port[kind, external_port] = StaticMapping(kind, external_port, inside, expires)
        if kind == "UDP":
            self._port_of[inside] = external_port

    def delete_port_mapping(self, protocol: str, external_port: int) -> None:
        """Stop forwarding a port; GatewayRefused if it is not forwarded."""
        self._drop_expired()
        kind = self._kind(protocol)
        mapping = None if kind is None else self._by_port.get((kind, external_port))
        if mapping is None:
            raise GatewayRefused(NO_SUCH_ENTRY, f"port {external_port} is not forwarded")
        self._drop(mapping)

    def _kind(self, protocol: str) -> MappedKind | None:
        found = next((one for one in _KINDS if one == protocol.upper()), None)
        return None if found == "TCP" and self.faults.no_tcp else found

    def mapping_of(self, external_port: int, kind: MappedKind = "UDP") -> StaticMapping | None:
        """What an outside port is forwarded to, if it is."""
        mapping = self._by_port.get((kind, external_port))
        return None if mapping is None or self._is_expired(mapping) else mapping

    def mappings(self) -> list[StaticMapping]:
        """What is forwarded now, in the order of the requests."""
        self._drop_expired()
        return list(self._by_port.values())

    def inside_of(self, external_port: int, kind: MappedKind = "UDP") -> HostPort | None:
        """Where packets to an outside port go, if it is forwarded."""
        mapping = self.mapping_of(external_port, kind)
        return None if mapping is None else mapping.inside

    def port_of(self, inside: HostPort) -> int | None:
        """The outside UDP port last forwarded to an inside endpoint, if it still is."""
        port = self._port_of.get(inside)
        return port if port is not None and self.inside_of(port) == inside else None

    def forget(self) -> None:
        """Lose every mapping, as a router does that restarts."""
        self._by_port.clear()
        self._port_of.clear()

    def _check_lease(self, lease_s: float) -> None:
        if self.faults.permanent_only and lease_s:
            raise GatewayRefused(ONLY_PERMANENT_LEASES, "only leases without end are granted")
        if self.faults.leases_only and not lease_s:
            raise GatewayRefused(INVALID_ARGS, "a lease must have an end")

    def _drop_expired(self) -> None:
        for mapping in list(self._by_port.values()):
            if self._is_expired(mapping):
                self._drop(mapping)

    def _drop(self, mapping: StaticMapping) -> None:
        del self._by_port[mapping.kind, mapping.external_port]
        is_last = self._port_of.get(mapping.inside) == mapping.external_port
        if mapping.kind == "UDP" and is_last:
            del self._port_of[mapping.inside]

    def _is_expired(self, mapping: StaticMapping) -> bool:
        return mapping.expires_s is not None and mapping.expires_s <= self._clock()
