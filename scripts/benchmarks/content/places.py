"""Places where programs run: this machine's loopback, two ends of a line, or a star of namespaces.

In a star every end has a line of its own to the middle, with a rate each way. `Star.shape` sets the
rates once what has to be prepared is there.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from scripts.benchmarks import namespaces
from scripts.benchmarks.line import shaped_line
from scripts.benchmarks.namespaces import command, inside
from scripts.lab.net.spaces import enter

_Result = TypeVar("_Result")

LOOPBACK = "127.0.0.1"
_BURST_BYTES = 3200
_BITS = 8
_MEGA = 1e6
_QUEUE_S = 0.1
"""What waits at a line at most; the usual router holds as much or more."""


class Place:
    """An address, and how a program or a call gets into its network. `close` it."""

    def __init__(self, address: str, namespace: str | None = None) -> None:
        self.address = address
        self.prefix: tuple[str, ...] = inside(namespace) if namespace else ()
        self._thread = (
            ThreadPoolExecutor(1, namespace, initializer=enter, initargs=(namespace,))
            if namespace
            else None
        )

    def within(self, work: Callable[[], _Result]) -> _Result:
        """Do it with the sockets and processes of this place; raises what it raises."""
        return work() if self._thread is None else self._thread.submit(work).result()

    def close(self) -> None:
        """End the thread that works there."""
        if self._thread is not None:
            self._thread.shutdown(wait=True, cancel_futures=True)


@contextlib.contextmanager
def _closing(places: Sequence[Place]) -> Iterator[None]:
    try:
        yield
    finally:
        for place in places:
            place.close()


@contextlib.contextmanager
def line(mbps: float, rtt_ms: float) -> Iterator[tuple[Place, Place]]:
    """Two ends: what the first sends comes at a rate, and half a round trip later, to the other."""
    with shaped_line.shaped(mbps, rtt_ms, _QUEUE_S * 1000) as made:
        ends = (
            Place(shaped_line.NEAR_ADDRESS, made.near),
            Place(shaped_line.FAR_ADDRESS, made.far),
        )
        with _closing(ends):
            yield ends


class Star:
    """The ends of a star; none is slow before `shape`."""

    def __init__(self, hub: str, names: Sequence[str]) -> None:
        self._hub = hub
        self._names = names
        self.ends = [Place(_address(number), name) for number, name in enumerate(names)]

    def shape(self, rates: Sequence[tuple[float, float]]) -> None:
        """Give each end its Mbit/s up and down."""
        for number, (up, down) in enumerate(rates):
            _limit(self._names[number], "line", up)
            _limit(self._hub, f"end{number}", down)


@contextlib.contextmanager
def star(count: int) -> Iterator[Star]:
    """So many ends around one router."""
    numbers = [str(number) for number in range(count)]
    with namespaces.namespaces("hub", *numbers) as (hub, *names):
        command(*inside(hub), "sysctl", "-qw", "net.ipv4.ip_forward=1")
        for number, name in enumerate(names):
            _join(hub, name, number)
        made = Star(hub, names)
        with _closing(made.ends):
            yield made


def why_no_line() -> str | None:
    """What this machine lacks for a line with a delay, or None."""
    return shaped_line.why_not()


def why_no_star() -> str | None:
    """What this machine lacks for a star, or None."""
    return namespaces.why_not("tc", "sysctl")


def _address(number: int) -> str:
    return f"10.78.{number}.2"


def _join(hub: str, name: str, number: int) -> None:
    gateway, end = f"10.78.{number}.1", f"end{number}"
    link = ("link", "add", end, "type", "veth", "peer", "name", "line", "netns", name)
    command("ip", "-n", hub, *link)
    command("ip", "-n", hub, "addr", "add", f"{gateway}/24", "dev", end)
    command("ip", "-n", hub, "link", "set", end, "up")
    command("ip", "-n", name, "addr", "add", f"{_address(number)}/24", "dev", "line")
    command("ip", "-n", name, "link", "set", "line", "up")
    command("ip", "-n", name, "route", "add", "default", "via", gateway)


def _limit(namespace: str, device: str, mbps: float) -> None:
    queue = max(int(mbps * _MEGA / _BITS * _QUEUE_S), 10 * _BURST_BYTES)
    tbf = ("tbf", "rate", f"{mbps}mbit", "burst", str(_BURST_BYTES), "limit", str(queue))
    command("tc", "-n", namespace, "qdisc", "add", "dev", device, "root", *tbf)
