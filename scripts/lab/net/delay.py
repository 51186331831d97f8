"""The distance between the two halves of the lab's internet: packets cross it after a delay.

A process of its own with a TUN device in each half. It reorders and loses nothing, unless a half
takes no more.
"""

import contextlib
import fcntl
import os
import select
import struct
import sys
import time
from collections import deque

from scripts.lab.net.spaces import enter

DEVICE = "far"

_TUNSETIFF = 0x400454CA
_IFF_TUN = 0x0001
_IFF_NO_PI = 0x1000
_PACKET_BYTES = 2048
_BURST = 64


def open_end(space: str) -> int:
    """Go into a namespace and make the TUN device there; its file descriptor."""
    enter(space)
    handle = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    request = struct.pack("16sH", DEVICE.encode(), _IFF_TUN | _IFF_NO_PI)
    fcntl.ioctl(handle, _TUNSETIFF, request)
    return handle


class Crossing:
    """Packets on their way from one end to the other."""

    def __init__(self, source: int, target: int, delay_s: float) -> None:
        self.source = source
        self._target = target
        self._delay_s = delay_s
        self._waiting: deque[tuple[float, bytes]] = deque()

    def take(self, now: float) -> None:
        """Read what has come."""
        with contextlib.suppress(BlockingIOError):
            for _ in range(_BURST):
                packet = os.read(self.source, _PACKET_BYTES)
                self._waiting.append((now + self._delay_s, packet))

    def give(self, now: float) -> None:
        """Write what has been on its way for long enough."""
        while self._waiting and self._waiting[0][0] <= now:
            _, packet = self._waiting.popleft()
            # A device that is not up yet, or is full, loses packets as a line does.
            with contextlib.suppress(OSError):
                os.write(self._target, packet)

    def due(self) -> float | None:
        """When the next packet arrives."""
        return self._waiting[0][0] if self._waiting else None


def carry(west: int, east: int, delay_s: float) -> None:
    """Carry packets both ways until the process is killed."""
    both = (Crossing(west, east, delay_s), Crossing(east, west, delay_s))
    while True:
        due = [at for at in (crossing.due() for crossing in both) if at is not None]
        wait_s = max(0.0, min(due) - time.monotonic()) if due else None
        ready, _, _ = select.select([west, east], [], [], wait_s)
        now = time.monotonic()
        for crossing in both:
            if crossing.source in ready:
                crossing.take(now)
            crossing.give(now)


if __name__ == "__main__":
    first, second = open_end(sys.argv[1]), open_end(sys.argv[2])
    print("open", flush=True)
    carry(first, second, float(sys.argv[3]) / 1000)
