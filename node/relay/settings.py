"""What a person configures about relaying for others."""

from dataclasses import dataclass

from protocol import limits
from protocol.addresses import Address, canonical, split_host_port, unicast
from protocol.errors import BadConfig, NotUnicast
from protocol.turn.terms import RelayQuota


@dataclass(frozen=True, slots=True)
class RelaySettings:
    """`is_on`: give allocations to peers. `ports`: `host:low-high`, relayed ports for foreign
    clients, which log in by `secret`. `private`: those ports may reach private addresses.
    """

    is_on: bool = True
    rate: int = limits.RELAY_BYTES_PER_SECOND
    bytes_a_day: int = limits.RELAY_BYTES_A_DAY
    ports: str = ""
    secret: str = ""
    private: bool = False

    def __post_init__(self) -> None:
        for name, value in (("relay_rate", self.rate), ("relay_bytes_a_day", self.bytes_a_day)):
            if not 1 <= value <= limits.RELAY_RATE_MAX:
                raise BadConfig(
                    f"{name} must be from 1 to {limits.RELAY_RATE_MAX} bytes; "
                    'relay = "off" relays nothing'
                )
        if self.ports and not self.secret:
            raise BadConfig("relay_ports needs relay_secret, by which foreign clients log in")
        self.relayed_addresses()

    @property
    def quota(self) -> RelayQuota:
        """The bounds of this relay."""
        return RelayQuota(rate_total=self.rate, bytes_a_day=self.bytes_a_day)

    def relayed_addresses(self) -> list[Address]:
        """The addresses of the relayed ports; raises BadConfig, BadAddress."""
        if not self.ports:
            return []
        first, dash, last_text = self.ports.rpartition("-")
        if not dash or not last_text.isascii() or not last_text.isdigit():
            raise BadConfig(f"relay_ports is host:low-high, not {self.ports[:80]!r}")
        host, low = split_host_port(first)
        high = int(last_text[:6])
        if not 0 < low <= high <= limits.PORT_MAX:
            raise BadConfig(f"relay_ports names no range of ports: {self.ports[:80]!r}")
        if high - low >= limits.RELAY_ALLOCATIONS:
            raise BadConfig(f"relay_ports has more than {limits.RELAY_ALLOCATIONS} ports")
        try:
            return [unicast(canonical(host, port)) for port in range(low, high + 1)]
        except NotUnicast as error:
            raise BadConfig(f"relay_ports takes the address of one machine: {error}") from None
