"""The rate of a line: what a device of the lab sends, and no more."""

from typing import Final

from scripts.lab.net.spaces import Space, command

_QUEUE: Final = "100ms"
"""What waits longer is dropped, as by home routers whose queue is of a good size."""

_BURST_BYTES: Final = 32_768
_BURST_S: Final = 0.004
"""A fast line sends more at once than a slow one, as timers have a limit."""


def shape(space: Space, device: str, bytes_s: int) -> None:
    """Let a device send so many bytes a second, headers of IP counted."""
    burst = max(_BURST_BYTES, int(_BURST_S * bytes_s))
    words = ("rate", f"{8 * bytes_s}bit", "burst", str(burst), "latency", _QUEUE)
    space.within(lambda: command("tc", "qdisc", "add", "dev", device, "root", "tbf", *words))
