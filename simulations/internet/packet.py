"""A datagram on its way, and the cut of the internet that it may have to cross."""

from collections.abc import Iterable
from dataclasses import dataclass

from simulations.internet.addresses import HostPort
from simulations.internet.host import Host, Socket
from simulations.internet.space import Box


class Partition:
    """A cut of the internet into groups of hosts; hosts in no group form one more together."""

    def __init__(self, groups: Iterable[Iterable[Host]]) -> None:
        self._group_of = {
            host.index: number for number, group in enumerate(groups) for host in group
        }

    def separates(self, a: Host, b: Host) -> bool:
        """Whether the cut runs between two hosts."""
        return self._group_of.get(a.index) != self._group_of.get(b.index)


@dataclass(slots=True, eq=False)
class Packet:
    """One datagram, where it is now; boxes rewrite it on its way.

    `behind` is the box whose inside it is in, None on the public internet; `source` and
    `destination` are as seen there. `cut` is the partition at the time it was sent. `ttl` is its
    time to live, None for more than any path takes.

    It has slots because Python reads a field of a NamedTuple ten times as slowly, and a packet's
    fields are read nine times at least.
    """

    sender: Socket
    source: HostPort
    data: bytes
    destination: HostPort
    behind: Box | None
    cut: Partition | None
    ttl: int | None
