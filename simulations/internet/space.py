"""An address space: which host or box has which address.

The public internet is one; behind every NAT box is another, where the same private addresses may
exist again.
"""

from simulations.errors import BadTopology
from simulations.internet.addresses import HostPort
from simulations.internet.lines import Pipe
from simulations.internet.log import Fate

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


class Box(Place):
    """What stands between an inside and an outside, and decides on each packet that crosses it.

    `behind` is the box whose inside is its outside, None on the public internet. A packet from
    inside to the box itself turns back if `hairpinning` is not 0. What it sends to IPv4 embedded
    in IPv6 goes through `translator`, a box that `is_translator`, if there is one (RFC 6146).
    """

    def __init__(
        self,
        site: int,
        access_line: tuple[Pipe | None, Pipe | None],
        *,
        inside: Space,
        outside: Space,
        behind: "Box | None",
    ) -> None:
        super().__init__(site, *access_line)
        self.inside = inside
        self.outside = outside
        self.behind = behind
        self.hairpinning = 0
        self.translator: Box | None = None
        self.is_translator = False

    def outbound(self, source: HostPort, remote: HostPort, now: float) -> HostPort | Fate:
        """The outside endpoint that a packet to `remote` gets, or why it does not get out."""
        raise NotImplementedError

    def inbound(self, destination: HostPort, remote: HostPort, now: float) -> HostPort | Fate:
        """The inside endpoint that a packet from `remote` goes to, or why it goes nowhere."""
        raise NotImplementedError

    def passes_tcp(self, port: int) -> bool:
        """Whether connections to a port get out."""
        raise NotImplementedError

    def tcp_inbound(self, port: int) -> HostPort | None:
        """The inside endpoint that connections to a port of the box go to, if they go to one."""
        raise NotImplementedError

    def shown_of(self, address: str) -> str:
        """The outside address of a connection from an inside one."""
        raise NotImplementedError
