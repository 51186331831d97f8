"""The way of a connection: lines and distances from one host to another, by the boxes between."""

from collections.abc import Callable
from typing import NamedTuple

from simulations.internet.addresses import HostPort, is_v6
from simulations.internet.carrier import Carrier
from simulations.internet.host import Host
from simulations.internet.lines import Pipe
from simulations.internet.space import Box, Place


class Hop(NamedTuple):
    """A pipe, as it is when a segment gets there, and the seconds that follow it."""

    pipe: Callable[[], Pipe | None]
    then_s: float


class Route(NamedTuple):
    """Both directions between a client and a server, which is at `at` behind its boxes.

    `shown` is the client's address there.
    """

    there: tuple[Hop, ...]
    back: tuple[Hop, ...]
    server: Host
    at: HostPort
    shown: str


def find_route(carrier: Carrier, client: Host, source: str, to: HostPort) -> Route | None:
    """The way to a host's address; None where no box or space on the way leads to it.

    Boxes let connections out, unless they pass TCP to other ports alone, and in to the ports that
    they forward.
    """
    box: Box | None = client.firewall if is_v6(to[0]) else client.behind
    space = carrier.public if box is None else box.inside
    crossed: list[Box] = []
    shown = source
    while (owner := space.owners.get(to[0])) is None:
        if box is None or not box.passes_tcp(to[1]):
            return None
        crossed.append(box)
        shown = box.shown_of(shown)
        space, box = box.outside, box.behind
    if owner in crossed and not crossed[-1].hairpinning:
        return None
    inward = _inward(owner, to)
    if inward is None:
        return None
    entered, server, at = inward
    way_s = carrier.one_way_s(client, server) if box is None else space.one_way_s
    if server is client:
        return Route((Hop(_nothing, way_s),), (Hop(_nothing, way_s),), server, at, shown)
    core = Hop(carrier.core if box is None else _nothing, way_s)
    ours, theirs = (client, *crossed), (*entered, server)
    return Route(
        (*map(_up, ours), core, *map(_down, theirs)),
        (*map(_up, reversed(theirs)), core, *map(_down, reversed(ours))),
        *(server, at, shown),
    )


def _inward(owner: Place | None, to: HostPort) -> tuple[list[Box], Host, HostPort] | None:
    """The boxes that forward connections from an address on, and the host that they get to."""
    entered: list[Box] = []
    while isinstance(owner, Box):
        inside = owner.tcp_inbound(to[1])
        if inside is None:
            return None
        entered.append(owner)
        owner, to = owner.inside.owners.get(inside[0]), inside
    return (entered, owner, to) if isinstance(owner, Host) else None


def _up(place: Place) -> Hop:
    return Hop(lambda: place.up, 0.0)


def _down(place: Place) -> Hop:
    return Hop(lambda: place.down, 0.0)


def _nothing() -> Pipe | None:
    return None
