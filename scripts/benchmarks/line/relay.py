"""The long part of a path between two namespaces: `python relay.py OPTIONS`, with JSON.

Reads IP packets from a TUN device in one namespace and writes them to one in another, later, both
ways; on the way there some are lost or late. The kernel's netem would do, but not every kernel has
it. It prints a line when the devices exist, and ends with its input.
"""

import ctypes
import fcntl
import json
import os
import random
import select
import struct
import sys
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path

_CLONE_NEWNET = 0x40000000
_TUNSETIFF = 0x400454CA
_IFF_TUN = 0x0001
_IFF_NO_PI = 0x1000
_READ_BYTES = 65536
_READS = 64


@dataclass(frozen=True, slots=True)
class Options:
    """Two namespaces with the device to make in each, and what happens between them."""

    near: str
    far: str
    device: str
    delay_s: float
    loss: float = 0.0
    reorder: float = 0.0
    reorder_s: float = 0.005
    seed: int = 1


def open_device(namespace: str, name: str) -> int:
    """A TUN device in a namespace, which this process enters."""
    libc = ctypes.CDLL(None, use_errno=True)
    with Path("/run/netns", namespace).open() as handle:
        if libc.setns(handle.fileno(), _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"cannot enter {namespace}")
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TUN | _IFF_NO_PI))
    return device


class Way:
    """One direction: packets wait for their time, in order, but for those that are to be late."""

    def __init__(self, source: int, target: int, options: Options, *, faulty: bool) -> None:
        self.source = source
        self._target = target
        self._delay_s = options.delay_s
        self._reorder_s = options.reorder_s
        self._loss = options.loss if faulty else 0.0
        self._reorder = options.reorder if faulty else 0.0
        self._random = random.Random(options.seed)
        self._waiting: deque[tuple[float, bytes]] = deque()
        self._late: deque[tuple[float, bytes]] = deque()

    def take(self, now: float) -> None:
        """Read what has come."""
        draw = self._random.random
        for _ in range(_READS):
            try:
                packet = os.read(self.source, _READ_BYTES)
            except BlockingIOError:
                return
            if self._loss and draw() < self._loss:
                continue
            if self._reorder and draw() < self._reorder:
                self._late.append((now + self._delay_s + self._reorder_s, packet))
            else:
                self._waiting.append((now + self._delay_s, packet))

    def give(self, now: float) -> float:
        """Write what is due; return when the next packet is."""
        next_at = now + 1.0
        for queue in (self._waiting, self._late):
            while queue and queue[0][0] <= now:
                try:
                    os.write(self._target, queue.popleft()[1])
                except OSError:
                    continue  # the queue of the device is full, or it is down
            if queue:
                next_at = min(next_at, queue[0][0])
        return next_at


def relay(options: Options) -> None:
    """Carry packets until the input ends."""
    near = open_device(options.near, options.device)
    far = open_device(options.far, options.device)
    ways = (Way(near, far, options, faulty=True), Way(far, near, options, faulty=False))
    print(json.dumps("made"), flush=True)
    clock = time.monotonic
    inputs = [near, far, sys.stdin.fileno()]
    next_at = clock()
    while True:
        ready, _, _ = select.select(inputs, [], [], max(next_at - clock(), 0.0))
        if sys.stdin.fileno() in ready:
            return
        now = clock()
        for way in ways:
            if way.source in ready:
                way.take(now)
        next_at = min(way.give(now) for way in ways)


if __name__ == "__main__":
    relay(Options(**json.loads(sys.argv[1])))
