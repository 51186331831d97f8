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
    """Both directions between a client and a server; `shown` is the client's address there."""

    there: tuple[Hop, ...]
    back: tuple[Hop, ...]
    server: Host
    shown: str


def find_route(carrier: Carrier, client: Host, source: str, to: HostPort) -> Route | None:
    """The way to a host's address; None where no box or space on the way leads to it.

    Boxes let connections out, unless they pass TCP to other ports alone, and none in: a UPnP
    mapping of TCP is not simulated.
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
    if not isinstance(owner, Host):
        return None
    way_s = carrier.one_way_s(client, owner) if box is None else space.one_way_s
    core = carrier.core if box is None and owner is not client else _nothing
    up = [*map(_up, (client, *crossed))] if owner is not client else []
    down = [*map(_down, (*reversed(crossed), client))] if owner is not client else []
    return Route(
        (*up, Hop(core, way_s), *([_down(owner)] if owner is not client else [])),
        (*([_up(owner)] if owner is not client else []), Hop(core, way_s), *down),
        owner,
        shown,
    )


def _up(place: Place) -> Hop:
    return Hop(lambda: place.up, 0.0)


def _down(place: Place) -> Hop:
    return Hop(lambda: place.down, 0.0)


def _nothing() -> Pipe | None:
    return None
