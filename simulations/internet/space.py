"""An address space: who has which address, and which socket listens where.

The public internet is one; behind every NAT box is another, where the same private addresses may
exist again. A space knows the box that leads out of it.
"""

from typing import TYPE_CHECKING

from simulations.errors import BadTopology
from simulations.internet.addresses import Endpoint

if TYPE_CHECKING:
    from simulations.internet.host import Host
    from simulations.internet.nat import Nat
    from simulations.internet.transport import Transport

LAN_ONE_WAY_S = 0.0002


class Space:
    """One address space; `one_way_s` is the way between two of its members, unless it is public."""

    __slots__ = ("box", "name", "network", "one_way_s", "owners", "sockets")

    def __init__(self, name: str, network: str = "", one_way_s: float = LAN_ONE_WAY_S) -> None:
        self.name = name
        self.network = network
        self.one_way_s = one_way_s
        self.box: Nat | None = None
        self.owners: dict[str, Host | Nat] = {}
        self.sockets: dict[Endpoint, Transport] = {}

    def claim(self, address: str, owner: "Host | Nat") -> None:
        """Give an address to a host or a box; BadTopology if somebody has it."""
        if address in self.owners:
            raise BadTopology(f"{address} is taken in {self.name}")
        self.owners[address] = owner

    def release(self, address: str) -> None:
        """Take an address away from whoever has it."""
        del self.owners[address]
