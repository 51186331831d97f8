"""A router's stateful firewall for IPv6 (RFC 6092): it filters, and changes no packet."""

from typing import Final

from simulations.internet.addresses import HostPort
from simulations.internet.boxes.behaviour import NatBehaviour, remote_key
from simulations.internet.boxes.nat import Nat
from simulations.internet.lines import Pipe
from simulations.internet.log import Fate
from simulations.internet.space import Box, Space

STATES_MAX: Final = 8192
"""Entries of a firewall's table, as of a NAT box's."""


class Firewall(Box):
    """The IPv6 side of a NAT box; without `v6_filtering` it lets everything in."""

    def __init__(
        self,
        behaviour: NatBehaviour,
        *,
        inside: Space,
        outside: Space,
        behind: Box | None,
        site: int,
        access_line: tuple[Pipe | None, Pipe | None],
        translator: Nat | None,
    ) -> None:
        super().__init__(site, access_line, inside=inside, outside=outside, behind=behind)
        self.translator = translator
        self._behaviour = behaviour
        self._used_at: dict[tuple[HostPort, object], float] = {}

    def outbound(self, source: HostPort, remote: HostPort, now: float) -> HostPort | Fate:
        """The inside endpoint itself; Fate.BLOCKED where no UDP of IPv6 passes."""
        filtering = self._behaviour.v6_filtering
        if self._behaviour.blocks_udp or self._behaviour.loses_v6:
            return Fate.BLOCKED
        if filtering is not None:
            key = source, remote_key(remote, filtering)
            self._used_at.pop(key, None)
            self._used_at[key] = now
            if len(self._used_at) > STATES_MAX:
                del self._used_at[next(iter(self._used_at))]
        return source

    def inbound(self, destination: HostPort, remote: HostPort, now: float) -> HostPort | Fate:
        """The inside endpoint, if it sent there in time; the reason otherwise."""
        behaviour = self._behaviour
        if behaviour.blocks_udp or behaviour.loses_v6:
            return Fate.BLOCKED
        if behaviour.v6_filtering is None:
            return destination
        key = destination, remote_key(remote, behaviour.v6_filtering)
        used_at = self._used_at.get(key)
        if used_at is None or now - used_at >= behaviour.timeout_s:
            return Fate.FILTERED
        if behaviour.inbound_refresh:
            self._used_at[key] = now
        return destination

    def passes_tcp(self, port: int) -> bool:
        """Whether connections to a port get out."""
        if self._behaviour.loses_v6:
            return False
        return self._behaviour.tcp_ports is None or port in self._behaviour.tcp_ports

    def tcp_inbound(self, port: int) -> HostPort | None:
        """Nowhere: it has no address of its own, and lets no connection in."""
        return None

    def shown_of(self, address: str) -> str:
        """The inside address itself."""
        return address
