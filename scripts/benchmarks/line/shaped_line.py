"""A line between two namespaces of this machine's kernel: a rate and a queue by tbf, and a delay.

    near  --TUN--  relay  --TUN--  middle  --veth, tbf-->  far

Needs root, `ip`, `tc` and /dev/net/tun; `why_not` says which is missing.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from scripts.benchmarks import namespaces
from scripts.benchmarks.namespaces import command, inside
from scripts.benchmarks.process import Process

NEAR_ADDRESS = "10.77.1.1"
FAR_ADDRESS = "10.77.2.2"
MIDDLE_ADDRESS = "10.77.1.2"

_RELAY = Path(__file__).with_name("relay.py")
_DEVICE = "line"
_BITS = 8
_MEGA = 1e6
_BURST_S = 0.001
_BURST_BYTES_MIN = 3200
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
    mbps: float, rtt_ms: float, queue_ms: float, *, loss: float = 0.0, reorder: float = 0.0
) -> Iterator[Line]:
    """A line of a rate, a round trip and a queue that drops what does not fit."""
    faults = {"loss": loss, "reorder": reorder}
    with namespaces.namespaces("near", "middle", "far") as (near, middle, far):
        options = {"near": near, "far": middle, "device": _DEVICE, "delay_s": rtt_ms / 2000}
        relay = Process(_RELAY, {**options, **faults})
        try:
            assert relay.hear() == "made"
            _join(near, middle, far)
            _shape(middle, mbps, queue_ms)
            yield Line(near, middle, far)
        finally:
            relay.end()


def _join(near: str, middle: str, far: str) -> None:
    def ip(namespace: str, *words: str) -> None:
        command("ip", "-n", namespace, *words)

    ip(middle, "link", "add", "right", "type", "veth", "peer", "name", "left", "netns", far)
    for namespace, device, address in (
        (near, _DEVICE, f"{NEAR_ADDRESS}/24"),
        (middle, _DEVICE, f"{MIDDLE_ADDRESS}/24"),
        (middle, "right", "10.77.2.1/24"),
        (far, "left", f"{FAR_ADDRESS}/24"),
    ):
        ip(namespace, "addr", "add", address, "dev", device)
        ip(namespace, "link", "set", device, "up", "txqueuelen", str(_PACKETS_WAITING))
    ip(near, "route", "add", "default", "via", MIDDLE_ADDRESS)
    ip(far, "route", "add", "default", "via", "10.77.2.1")
    command(*inside(middle), "sysctl", "-qw", "net.ipv4.ip_forward=1")


def _shape(middle: str, mbps: float, queue_ms: float) -> None:
    rate = mbps * _MEGA / _BITS
    burst = max(int(rate * _BURST_S), _BURST_BYTES_MIN)
    queue = max(int(rate * queue_ms / 1000), burst)
    tbf = ("tbf", "rate", f"{mbps}mbit", "burst", str(burst), "limit", str(queue))
    command("tc", "-n", middle, "qdisc", "add", "dev", "right", "root", *tbf)
