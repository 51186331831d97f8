"""Joins datagrams that a relay forwards in one turn of the loop, so that the kernel cuts them.

What comes one by one goes on in bulk: one system call for many datagrams, and the receiver's kernel
joins them again. A datagram waits for no more than what else has arrived already.
"""

import asyncio
from collections.abc import Callable

from node.net.udp.offload import BUFFER_BYTES_MAX, SEGMENTS_MAX
from protocol.addresses import Address
from protocol.turn.channel_data import Parts
from protocol.turn.forwarding import RelaySend


class _Joined:
    """Datagrams of one size to one receiver; only the last may be shorter."""

    __slots__ = ("is_open", "parts", "room", "size")

    def __init__(self, parts: Parts, size: int) -> None:
        self.parts = parts
        self.size = size
        self.is_open = len(parts[0]) == size
        self.room = min(SEGMENTS_MAX, BUFFER_BYTES_MAX // (size or 1)) - 1

    def take(self, part: bytes | memoryview) -> bool:
        """Add a datagram, if it fits."""
        if not self.is_open or not self.room or not 0 < len(part) <= self.size:
            return False
        self.parts.append(part)
        self.room -= 1
        self.is_open = len(part) == self.size
        return True


class Departures:
    """Gives what is added to `depart`, in the order of each receiver."""

    def __init__(self, depart: Callable[[RelaySend], None]) -> None:
        self._depart = depart
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[tuple[Address, Address], _Joined] = {}

    def add(self, send: RelaySend) -> None:
        """Send within this turn of the loop; at once what is joined already."""
        parts, size, remote, local = send
        way = remote, local
        waiting = self._waiting.get(way)
        is_one = len(parts) == 1 and len(parts[0]) <= size
        if waiting is not None:
            if is_one and waiting.take(parts[0]):
                return
            del self._waiting[way]
            self._depart(RelaySend(waiting.parts, waiting.size, remote, local))
        if not is_one:
            self._depart(send)
            return
        if not self._waiting:
            self._loop.call_soon(self._flush)
        self._waiting[way] = _Joined(parts, len(parts[0]))

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, {}
        for (remote, local), joined in waiting.items():
            self._depart(RelaySend(joined.parts, joined.size, remote, local))
