"""NAT boxes by RFC 4787: how they choose outside ports, what they let in, when they forget.

RFC 4787's words are kept: mapping behaviour (section 4.1), filtering behaviour (section 5), port
assignment (4.2), mapping refresh (4.3), hairpinning (6). A mapping lives while its inside endpoint
sends; a filter's permission lives as long after the last packet to that remote. Everything that
remotes or insiders can fill is bounded.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from protocol import limits
from simulations.internet.addresses import UNPRIVILEGED_PORT_MIN, HostPort, inside_address
from simulations.internet.gateway import Gateway
from simulations.internet.lines import Pipe
from simulations.internet.log import Fate
from simulations.internet.space import Place, Space

MAPPINGS_MAX: Final = 8192
"""Entries of a box's table; home routers keep a few thousand."""
PERMITTED_MAX: Final = 2048
"""Remotes that one mapping remembers."""
SWEEP_MIN: Final = 64
"""Tables smaller than this are not searched for what has expired."""
TIMEOUT_S: Final = 120.0
"""RFC 4787 REQ-5 demands at least two minutes."""


class Dependence(IntEnum):
    """On what of the remote endpoint a box's mapping or filtering depends."""

    ENDPOINT_INDEPENDENT = 0
    ADDRESS_DEPENDENT = 1
    ADDRESS_AND_PORT_DEPENDENT = 2


class PortAssignment(IntEnum):
    """How outside ports are chosen (RFC 4787 4.2.1); a preserved port that is taken is drawn."""

    PRESERVED = 0
    RANDOM = 1


@dataclass(frozen=True, slots=True)
class NatBehaviour:
    """One kind of box. `inbound_refresh` keeps a mapping alive by packets from outside too."""

    mapping: Dependence = Dependence.ENDPOINT_INDEPENDENT
    filtering: Dependence = Dependence.ADDRESS_AND_PORT_DEPENDENT
    ports: PortAssignment = PortAssignment.PRESERVED
    hairpinning: bool = True
    timeout_s: float = TIMEOUT_S
    inbound_refresh: bool = False
    upnp: bool = False
    blocks_udp: bool = False
    mappings_max: int = MAPPINGS_MAX

    def __post_init__(self) -> None:
        if not 0 < self.mappings_max <= MAPPINGS_MAX:
            raise ValueError(f"a box keeps 1 to {MAPPINGS_MAX} mappings")


class Mapping:
    """One entry of the table; `permitted` holds when each remote was last sent to."""

    __slots__ = ("inside", "key", "outside", "permitted", "sweep_at", "used_at_s")

    def __init__(self, key: object, inside: HostPort, outside: HostPort, now: float) -> None:
        self.key = key
        self.inside = inside
        self.outside = outside
        self.used_at_s = now
        self.permitted: dict[object, float] = {}
        self.sweep_at = SWEEP_MIN

    def permit(self, remote: object, now: float, timeout_s: float) -> None:
        """Let a remote in from now on; the longest unused ones make room for it."""
        permitted = self.permitted
        permitted[remote] = now
        if len(permitted) <= self.sweep_at:
            return
        live = sorted(
            ((at, key) for key, at in permitted.items() if now - at < timeout_s),
            key=lambda entry: entry[0],
        )
        self.permitted = {key: at for at, key in live[-PERMITTED_MAX // 2 :]}
        self.sweep_at = max(SWEEP_MIN, 2 * len(self.permitted))


class Nat(Place):
    """A box between an inside address space and an outside one, where it has its addresses.

    `addresses` are its outside ones; each inside host is paired with one of them (REQ-2). `behind`
    is the box whose inside is its outside (CGNAT), None on the public internet. Its site is that of
    all hosts behind it. Made by `Internet.add_nat`.
    """

    def __init__(
        self,
        behaviour: NatBehaviour,
        addresses: list[str],
        *,
        inside: Space,
        outside: Space,
        behind: "Nat | None",
        site: int,
        access_line: tuple[Pipe | None, Pipe | None],
        clock: Callable[[], float],
        port_rng: random.Random,
    ) -> None:
        super().__init__(site, *access_line)
        self.behaviour = behaviour
        self.addresses = addresses
        self.inside = inside
        self.outside = outside
        self.behind = behind
        self.gateway = Gateway(self.address, clock) if behaviour.upnp else None
        self._members = 0
        self._port_rng = port_rng
        self._by_key: dict[object, Mapping] = {}
        self._by_outside: dict[HostPort, Mapping] = {}
        self._paired: dict[str, str] = {}
        self._sweep_at = SWEEP_MIN
        for address in addresses:
            outside.claim(address, self)

    def new_member(self) -> str:
        """An unused inside address."""
        self._members += 1
        return inside_address(self.inside.network, self._members)

    def address(self) -> str:
        """The first outside address."""
        return self.addresses[0]

    def outbound(self, source: HostPort, remote: HostPort, now: float) -> HostPort | Fate:
        """The outside endpoint that a packet to `remote` gets, or why it does not get out."""
        behaviour = self.behaviour
        if behaviour.blocks_udp:
            return Fate.BLOCKED
        if self.gateway is not None and (port := self.gateway.port_of(source)) is not None:
            return self._pair(source[0]), port
        key = (source, _remote_key(remote, behaviour.mapping))
        mapping = self._by_key.get(key)
        if mapping is None or now - mapping.used_at_s >= behaviour.timeout_s:
            mapping = self._make_mapping(key, source, now)
            if mapping is None:
                return Fate.TABLE_FULL
        mapping.used_at_s = now
        if behaviour.filtering:
            mapping.permit(_remote_key(remote, behaviour.filtering), now, behaviour.timeout_s)
        return mapping.outside

    def inbound(self, destination: HostPort, remote: HostPort, now: float) -> HostPort | Fate:
        """The inside endpoint that a packet from `remote` goes to, or why it goes nowhere."""
        behaviour = self.behaviour
        if behaviour.blocks_udp:
            return Fate.BLOCKED
        if self.gateway is not None:
            forwarded = self.gateway.inside_of(destination[1])
            if forwarded is not None:
                return forwarded
        mapping = self._by_outside.get(destination)
        if mapping is None or now - mapping.used_at_s >= behaviour.timeout_s:
            return Fate.NOT_MAPPED
        if behaviour.filtering:
            permission = _remote_key(remote, behaviour.filtering)
            sent_at = mapping.permitted.get(permission)
            if sent_at is None or now - sent_at >= behaviour.timeout_s:
                return Fate.FILTERED
            if behaviour.inbound_refresh:
                mapping.permitted[permission] = now
        if behaviour.inbound_refresh:
            mapping.used_at_s = now
        return mapping.inside

    def mappings(self, now: float) -> list[Mapping]:
        """The live mappings, in the order of their making."""
        self._sweep(now)
        return list(self._by_key.values())

    def reboot(self) -> None:
        """Forget every mapping, forwarded ports included, as a restarted box does."""
        self._by_key.clear()
        self._by_outside.clear()
        self._paired.clear()
        if self.gateway is not None:
            self.gateway.forget()

    def readdress(self, addresses: list[str]) -> None:
        """Get other outside addresses, as after a reconnection; every mapping is lost."""
        for address in self.addresses:
            self.outside.release(address)
        for address in addresses:
            self.outside.claim(address, self)
        self.addresses = addresses
        self.reboot()

    def _make_mapping(self, key: object, source: HostPort, now: float) -> Mapping | None:
        old = self._by_key.get(key)
        if old is not None:
            self._drop(old)
        if len(self._by_outside) >= self._sweep_at:
            self._sweep(now)
            if len(self._by_outside) >= self.behaviour.mappings_max:
                return None
        outside = self._choose_port(source, now)
        mapping = Mapping(key, source, outside, now)
        self._by_key[key] = self._by_outside[outside] = mapping
        return mapping

    def _choose_port(self, source: HostPort, now: float) -> HostPort:
        address, port = self._pair(source[0]), source[1]
        is_drawn = self.behaviour.ports is PortAssignment.RANDOM
        while is_drawn or self._is_taken((address, port), now):
            port = self._port_rng.randrange(UNPRIVILEGED_PORT_MIN, limits.PORT_MAX + 1)
            is_drawn = False
        return address, port

    def _is_taken(self, outside: HostPort, now: float) -> bool:
        if self.gateway is not None and self.gateway.inside_of(outside[1]) is not None:
            return True
        mapping = self._by_outside.get(outside)
        if mapping is not None and now - mapping.used_at_s >= self.behaviour.timeout_s:
            self._drop(mapping)
            return False
        return mapping is not None

    def _drop(self, mapping: Mapping) -> None:
        del self._by_outside[mapping.outside]
        del self._by_key[mapping.key]

    def _pair(self, inside_address: str) -> str:
        if len(self.addresses) == 1:
            return self.addresses[0]
        paired = self._paired.get(inside_address)
        if paired is None:
            paired = self.addresses[len(self._paired) % len(self.addresses)]
            self._paired[inside_address] = paired
        return paired

    def _sweep(self, now: float) -> None:
        timeout = self.behaviour.timeout_s
        for mapping in list(self._by_outside.values()):
            if now - mapping.used_at_s >= timeout:
                self._drop(mapping)
        doubled = max(SWEEP_MIN, 2 * len(self._by_outside))
        self._sweep_at = min(doubled, self.behaviour.mappings_max)


def _remote_key(remote: HostPort, dependence: Dependence) -> object:
    if dependence is Dependence.ENDPOINT_INDEPENDENT:
        return None
    return remote[0] if dependence is Dependence.ADDRESS_DEPENDENT else remote
