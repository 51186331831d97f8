"""The streams that lead to a peer itself: a link with it needs no relay."""

from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import Final, Protocol

from protocol.addresses import Address
from protocol.identity import PeerId

_BASES: Final = int(IPv6Address("100::5:0:0:0"))
"""Of the discard-only prefix, as relayed addresses are: no packet goes there."""

_OWN_PORT: Final = 2
_SERVED_PORT: Final = 1


@dataclass(frozen=True, slots=True)
class StreamWay:
    """The port at `base` leads to a peer, which is `far` within the stream.

    `is_of_udp`: the peer has that address by UDP as well.
    """

    base: Address
    far: Address
    is_of_udp: bool


class Ways(Protocol):
    """Streams of one side, by the peer at the other end."""

    def way_to(self, peer_id: PeerId) -> StreamWay | None:
        """The stream that leads to a peer, if one does."""
        ...


class StreamWays:
    """Those that this node has opened, and those that it serves."""

    def __init__(self, *sides: Ways) -> None:
        self._sides = sides

    def to(self, peer_id: PeerId) -> tuple[StreamWay, ...]:
        """The streams that lead to a peer now."""
        found = (side.way_to(peer_id) for side in self._sides)
        return tuple(way for way in found if way is not None)


def own_base(number: int) -> Address:
    """The base of the stream that this node was the so many-th to open."""
    return Address(str(IPv6Address(_BASES + number)), _OWN_PORT)


def served_base(number: int) -> Address:
    """The base of the stream that was the so many-th to be served."""
    return Address(str(IPv6Address(_BASES + number)), _SERVED_PORT)
