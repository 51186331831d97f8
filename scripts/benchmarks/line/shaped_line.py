"""A line between two namespaces of this machine's kernel: a rate and a queue by tbf, and a delay.

    near  --TUN--  relay  --TUN--  middle  --veth, tbf-->  far

There may be several veths to the far end, each with a rate and a queue of its own.
`tbf` lets so few bytes pass at once that packets arrive one by one, as on a real line. All of it
needs root, `ip`, `tc` and /dev/net/tun; `why_not` says which is missing.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from scripts.benchmarks import namespaces
from scripts.benchmarks.namespaces import command, inside
from scripts.benchmarks.process import Process

NEAR_ADDRESS = "10.77.1.1"
MIDDLE_ADDRESS = "10.77.1.2"


def far_address(number: int) -> str:
    """The far end's address on one of the veths, counted from 0."""
    return f"10.77.{2 + number}.2"


FAR_ADDRESS = far_address(0)

_RELAY = Path(__file__).with_name("relay.py")
_DEVICE = "line"
_BITS = 8
_MEGA = 1e6
_BURST_BYTES = 3200
_PACKETS_WAITING = 20_000


@dataclass(frozen=True, slots=True)
class Line:
    """Namespaces at both ends and between; programs started by `at` run there."""

    near: str
    middle: str
    far: str

    def at(self, namespace: str) -> tuple[str, ...]:
        """What to put before a command."""
        return inside(namespace)


def why_not() -> str | None:
    """What this machine lacks, or None."""
    if not Path("/dev/net/tun").exists():
        return "there is no /dev/net/tun"
    return namespaces.why_not("tc", "sysctl")


@contextlib.contextmanager
def shaped(
    mbps: float,
    rtt_ms: float,
    queue_ms: float,
    *,
    loss: float = 0.0,
    reorder: float = 0.0,
    branches: int = 1,
    both_ways: bool = False,
) -> Iterator[Line]:
    """A line of a rate, a round trip and a queue that drops what does not fit.

    Each of its `branches` to the far end has that rate and that queue; so has the way back to the
    near end, if `both_ways`, and no bound otherwise.
    """
    faults = {"loss": loss, "reorder": reorder}
    with namespaces.namespaces("near", "middle", "far") as (near, middle, far):
        options = {"near": near, "far": middle, "device": _DEVICE, "delay_s": rtt_ms / 2000}
        relay = Process(_RELAY, {**options, **faults})
        try:
            assert relay.hear() == "made"
            _join(near, middle)
            for number in range(branches):
                _branch(middle, far, number)
                _shape(middle, _right(number), mbps, queue_ms)
            if both_ways:
                _shape(middle, _DEVICE, mbps, queue_ms)
            _ip(far, "route", "add", "default", "via", _gateway(0))
            yield Line(near, middle, far)
        finally:
            relay.end()


def _ip(namespace: str, *words: str) -> None:
    command("ip", "-n", namespace, *words)


def _gateway(number: int) -> str:
    return f"10.77.{2 + number}.1"


def _right(number: int) -> str:
    return f"right{number}"


def _join(near: str, middle: str) -> None:
    _bring_up(near, _DEVICE, NEAR_ADDRESS)
    _bring_up(middle, _DEVICE, MIDDLE_ADDRESS)
    _ip(near, "route", "add", "default", "via", MIDDLE_ADDRESS)
    command(*inside(middle), "sysctl", "-qw", "net.ipv4.ip_forward=1")


def _branch(middle: str, far: str, number: int) -> None:
    right, left = _right(number), f"left{number}"
    _ip(middle, "link", "add", right, "type", "veth", "peer", "name", left, "netns", far)
    _bring_up(middle, right, _gateway(number))
    _bring_up(far, left, far_address(number))


def _bring_up(namespace: str, device: str, address: str) -> None:
    _ip(namespace, "addr", "add", f"{address}/24", "dev", device)
    _ip(namespace, "link", "set", device, "up", "txqueuelen", str(_PACKETS_WAITING))


def _shape(middle: str, device: str, mbps: float, queue_ms: float) -> None:
    rate = mbps * _MEGA / _BITS
    queue = max(int(rate * queue_ms / 1000), _BURST_BYTES)
    tbf = ("tbf", "rate", f"{mbps}mbit", "burst", str(_BURST_BYTES), "limit", str(queue))
    command("tc", "-n", middle, "qdisc", "add", "dev", device, "root", *tbf)
