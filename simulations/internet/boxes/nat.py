"""NAT boxes by RFC 4787: what they map, what they let in, when they forget.

A mapping lives while its inside endpoint sends; a filter's permission lives as long after the last
packet to that remote. Everything that remotes or insiders can fill is bounded.
"""

import random
from collections.abc import Callable
from typing import Final

from simulations.internet.addresses import HostPort, inside_address
from simulations.internet.boxes.behaviour import NatBehaviour, remote_key
from simulations.internet.boxes.conntrack import UnsolicitedInput
from simulations.internet.boxes.gateway import Gateway
from simulations.internet.boxes.ports import PortChooser
from simulations.internet.lines import Pipe
from simulations.internet.log import Fate
from simulations.internet.space import Box, Space

PERMITTED_MAX: Final = 2048
"""Remotes that one mapping remembers."""
SWEEP_MIN: Final = 64
"""Tables smaller than this are not searched for what has expired."""


class Mapping:
    """One entry of the table; `permitted` holds when each remote was last sent to."""

    __slots__ = ("inside", "key", "made_at_s", "outside", "permitted", "sweep_at", "used_at_s")

    def __init__(self, key: object, inside: HostPort, outside: HostPort, now: float) -> None:
        self.key = key
        self.inside = inside
        self.outside = outside
        self.made_at_s = self.used_at_s = now
        self.permitted: dict[object, float] = {}
        self.sweep_at = SWEEP_MIN

    def permits(self, remote: object, now: float, timeout_s: float) -> bool:
        """Whether a remote is let in."""
        sent_at = self.permitted.get(remote)
        return sent_at is not None and now - sent_at < timeout_s

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


class Nat(Box):
    """A box between an inside address space and an outside one, where it has its addresses.

    `addresses` are its outside ones; each inside host is paired with one of them (REQ-2). `behind`
    is the box whose inside is its outside (CGNAT), None on the public internet. Its site is that of
    all hosts behind it. A NAT64 box has IPv6 endpoints inside. Made by `Internet.add_nat`.
    """

    def __init__(
        self,
        behaviour: NatBehaviour,
        addresses: list[str],
        *,
        inside: Space,
        outside: Space,
        behind: Box | None,
        site: int,
        access_line: tuple[Pipe | None, Pipe | None],
        clock: Callable[[], float],
        port_rng: random.Random,
    ) -> None:
        super().__init__(site, access_line, inside=inside, outside=outside, behind=behind)
        self.behaviour = behaviour
        self.addresses = addresses
        self.hairpinning = behaviour.hairpinning
        self.is_translator = behaviour.nat64
        self.gateway = None
        if behaviour.upnp:
            self.gateway = Gateway(self.address, clock, behaviour.gateway_faults)
        self._members = 0
        self._ports = PortChooser(behaviour, port_rng)
        self._unsolicited = UnsolicitedInput() if behaviour.accepts_input else None
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
        key = (source, remote_key(remote, behaviour.mapping))
        mapping = self._by_key.get(key)
        if mapping is None or self._is_over(mapping, now):
            mapping = self._make_mapping(key, source, now)
        if mapping is not None and self._unsolicited is not None:
            mapping = self._without_collision(mapping, remote, now)
        if mapping is None:
            return Fate.TABLE_FULL
        mapping.used_at_s = now
        if behaviour.filtering:
            mapping.permit(remote_key(remote, behaviour.filtering), now, behaviour.timeout_s)
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
        if mapping is None or self._is_over(mapping, now):
            return self._unasked(Fate.NOT_MAPPED, destination, remote, now)
        if behaviour.filtering:
            permission = remote_key(remote, behaviour.filtering)
            if not mapping.permits(permission, now, behaviour.timeout_s):
                return self._unasked(Fate.FILTERED, destination, remote, now)
            if behaviour.inbound_refresh:
                mapping.permitted[permission] = now
        if behaviour.inbound_refresh:
            mapping.used_at_s = now
        return mapping.inside

    def passes_tcp(self, port: int) -> bool:
        """Whether connections to a port get out."""
        return self.behaviour.tcp_ports is None or port in self.behaviour.tcp_ports

    def tcp_inbound(self, port: int) -> HostPort | None:
        """Where the gateway forwards connections to a port of the box."""
        return None if self.gateway is None else self.gateway.inside_of(port, "TCP")

    def shown_of(self, address: str) -> str:
        """The outside address of a connection from an inside one."""
        return self._pair(address)

    def mappings(self, now: float) -> list[Mapping]:
        """The live mappings, in the order of their making."""
        self._sweep(now)
        return list(self._by_key.values())

    def reboot(self) -> None:
        """Forget every mapping, forwarded ports included, as a restarted box does."""
        self._by_key.clear()
        self._by_outside.clear()
        self._paired.clear()
        self._ports.forget()
        if self._unsolicited is not None:
            self._unsolicited.forget()
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

    def _unasked(self, fate: Fate, destination: HostPort, remote: HostPort, now: float) -> Fate:
        """A packet that no inside endpoint asked for: a router may take it for its own."""
        if self._unsolicited is not None:
            self._unsolicited.note(destination, remote, now)
        return fate

    def _without_collision(self, mapping: Mapping, remote: HostPort, now: float) -> Mapping | None:
        """The mapping towards a remote whose early packets may hold the tuple of the usual one.

        A connection stays at the port that it began with for as long as it is used.
        """
        assert self._unsolicited is not None
        key = (mapping.inside, remote)
        moved = self._by_key.get(key)
        if moved is not None and not self._is_over(moved, now):
            return moved
        if mapping.permits(remote, now, self.behaviour.timeout_s):
            return mapping
        if not self._unsolicited.has(mapping.outside, remote, now):
            return mapping
        return self._make_mapping(key, mapping.inside, now)

    def _is_over(self, mapping: Mapping, now: float) -> bool:
        behaviour = self.behaviour
        return (
            now - mapping.used_at_s >= behaviour.timeout_s
            or now - mapping.made_at_s >= behaviour.lifetime_s
        )

    def _make_mapping(self, key: object, source: HostPort, now: float) -> Mapping | None:
        old = self._by_key.get(key)
        if old is not None:
            self._drop(old)
        if len(self._by_outside) >= self._sweep_at:
            self._sweep(now)
            if len(self._by_outside) >= self.behaviour.mappings_max:
                return None
        outside = self._ports.choose(
            source, self._pair(source[0]), now, lambda endpoint: self._is_taken(endpoint, now)
        )
        if outside is None:
            return None
        mapping = Mapping(key, source, outside, now)
        self._by_key[key] = self._by_outside[outside] = mapping
        return mapping

    def _is_taken(self, outside: HostPort, now: float) -> bool:
        if self.gateway is not None and self.gateway.inside_of(outside[1]) is not None:
            return True
        mapping = self._by_outside.get(outside)
        if mapping is not None and self._is_over(mapping, now):
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
        for mapping in list(self._by_outside.values()):
            if self._is_over(mapping, now):
                self._drop(mapping)
        doubled = max(SWEEP_MIN, 2 * len(self._by_outside))
        self._sweep_at = min(doubled, self.behaviour.mappings_max)
