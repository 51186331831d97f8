"""An address space: which host or box has which address.

The public internet is one; behind every NAT box is another, where the same private addresses may
exist again.
"""

from simulations.errors import BadTopology
from simulations.internet.lines import Pipe

LAN_ONE_WAY_S = 0.0002


class Place:
    """What has addresses in a space, a host or a NAT box: its site, and its access line.

    `up` and `down` are the directions of the line, None where it does nothing to packets.
    """

    __slots__ = ("down", "site", "up")

    def __init__(self, site: int, up: Pipe | None, down: Pipe | None) -> None:
        self.site = site
        self.up = up
        self.down = down

    def rewire(self, up: Pipe | None, down: Pipe | None) -> None:
        """Get another access line."""
        self.up = up
        self.down = down


class Space:
    """One address space; `one_way_s` is the way between two of its members, unless it is public."""

    __slots__ = ("name", "network", "one_way_s", "owners")

    def __init__(self, name: str, network: str = "", one_way_s: float = LAN_ONE_WAY_S) -> None:
        self.name = name
        self.network = network
        self.one_way_s = one_way_s
        self.owners: dict[str, Place] = {}

    def claim(self, address: str, owner: Place) -> None:
        """Give an address to a host or a box; BadTopology if it is taken."""
        if address in self.owners:
            raise BadTopology(f"{address} is taken in {self.name}")
        self.owners[address] = owner

    def release(self, address: str) -> None:
        """Take an address away from its owner."""
        del self.owners[address]
