"""A line of 1 Gbit/s between two network namespaces: a data channel of ours beside an HTTP GET."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from scripts.benchmarks import namespaces
from scripts.benchmarks.link.pairs import PEER, Speed, measure
from scripts.benchmarks.process import Process

_HTTP_PEER = Path(__file__).with_name("http_peer.py")
_ADDRESSES = ("10.203.0.1", "10.203.0.2")
_LINE = ("rate", "1gbit", "burst", "256kb", "latency", "20ms")


@dataclass(frozen=True, slots=True)
class Place:
    """A namespace: its name, and the address of its end of the line."""

    name: str
    address: str

    @property
    def prefix(self) -> tuple[str, ...]:
        """What runs a command there."""
        return namespaces.inside(self.name)


def possible() -> bool:
    """Whether this machine lets us make namespaces."""
    return namespaces.why_not("tc") is None


@contextlib.contextmanager
def line() -> Iterator[tuple[Place, Place]]:
    """Two places with the line between them, as long as the block runs."""
    command = namespaces.command
    with namespaces.namespaces("a", "b") as names:
        command(
            *("ip", "link", "add", "line", "netns", names[0], "type", "veth"),
            *("peer", "name", "line", "netns", names[1]),
        )
        for name, address in zip(names, _ADDRESSES, strict=True):
            inside = ("ip", "-n", name)
            command(*inside, "addr", "add", f"{address}/24", "dev", "line")
            command(*inside, "link", "set", "line", "up")
            command("tc", "-n", name, "qdisc", "add", "dev", "line", "root", "tbf", *_LINE)
        yield Place(names[0], _ADDRESSES[0]), Place(names[1], _ADDRESSES[1])


def run(seconds: float, warm_up_s: float = 1.0) -> tuple[Speed, Speed]:
    """How fast our channel was, and then HTTP; raises CalledProcessError where `tc` will not."""
    with line() as (here, there):
        ours = measure(
            Process(PEER, _channel(here, sends=True), here.prefix),
            Process(PEER, _channel(there, sends=False), there.prefix),
            seconds,
            warm_up_s,
        )
        http = measure(
            Process(_HTTP_PEER, {"sends": True, "address": here.address}, here.prefix),
            Process(_HTTP_PEER, {"sends": False, "address": there.address}, there.prefix),
            seconds,
            warm_up_s,
        )
    return ours, http


def _channel(place: Place, *, sends: bool) -> dict[str, object]:
    return {"data_path": "native", "sends": sends, "address": place.address}
