"""One transfer over one link while its paths change: what arrived when, and by which path."""

import asyncio
import contextlib
import hashlib
import random
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from node.links.link import Link
from protocol.errors import LinkClosed
from simulations.internet.addresses import is_v6
from simulations.residents.whole import WholeResident

FRAME_BYTES: Final = 4000
PATIENCE_S: Final = 60.0
"""How long what was sent is waited for, at the end."""

_TYPES: Final = range(64, 96)
_HEAD: Final = bytes((0x92, _TYPES[0], 0xC5))
"""A list of two, the type and a binary whose length follows (MessagePack)."""
_BACKLOG_BYTES: Final = 256 * 1024
_LOOKED_EACH_S: Final = 0.01


@dataclass(frozen=True, slots=True)
class Move:
    """From then on the link went by this path."""

    at_s: float
    path: str


@dataclass(slots=True)
class Trace:
    """What came of a transfer; times are virtual seconds since its beginning.

    `arrivals` has the time and the size of each frame at the receiver. `lost` is why the link
    ended, empty if it did not.
    """

    arrivals: list[tuple[float, int]] = field(default_factory=list)
    moves: list[Move] = field(default_factory=list)
    sent_bytes: int = 0
    is_intact: bool = False
    lost: str = ""

    def stall_s(self, since_s: float, until_s: float) -> float:
        """The longest time without a byte, of what lies between two times."""
        times = [at for at, _ in self.arrivals]
        gaps = (
            min(later, until_s) - max(earlier, since_s)
            for earlier, later in pairwise([0.0, *times, *([until_s] if self.lost else [])])
        )
        return max((gap for gap in gaps if gap > 0), default=0.0)

    def bytes_between(self, since_s: float, until_s: float) -> int:
        """Bytes that arrived between two times."""
        return sum(size for at, size in self.arrivals if since_s <= at < until_s)

    def paths_between(self, since_s: float, until_s: float) -> list[Move]:
        """The path in use at the first of two times, and each that followed until the second."""
        later = [move for move in self.moves if since_s < move.at_s < until_s]
        before = [move for move in self.moves if move.at_s <= since_s]
        return before[-1:] + later


class PathNames:
    """Names the paths of one link: `direct v4`, `direct v6`, and `relay A` for its first relay."""

    def __init__(self) -> None:
        self._relays: dict[object, str] = {}

    def name(self, link: Link) -> str:
        """The name of the path in use, which is the same at both ends."""
        path = link.path
        if path.relay is not None:
            letter = chr(ord("A") + len(self._relays) % 26)
            return self._relays.setdefault(path.relay, f"relay {letter}")
        return f"{path.way} v6" if is_v6(path.remote.host) else f"{path.way} v4"


class Transfer:
    """Frames from one end of a link to the other, for as long as is wanted.

    As fast as the link takes them, or `bytes_s` of them each second. Content is drawn by `rng`.
    """

    def __init__(
        self,
        sender: WholeResident,
        ends: tuple[Link, Link],
        rng: random.Random,
        bytes_s: float | None = None,
    ) -> None:
        self.trace = Trace()
        self._sender, self._ends, self._bytes_s = sender, ends, bytes_s
        self._loop = asyncio.get_running_loop()
        self._began_at = self._loop.time()
        self._pool = rng.randbytes(4 * FRAME_BYTES)
        self._sent, self._received = hashlib.blake2b(), hashlib.blake2b()
        self._received_bytes = 0
        self._names = PathNames()
        ends[1].register(_TYPES, self._take)

    @property
    def now_s(self) -> float:
        """Seconds since the beginning."""
        return self._loop.time() - self._began_at

    async def run(self, until: asyncio.Event) -> Trace:
        """Send until the event is set, and return when all has arrived, or nothing can follow."""
        watching = self._loop.create_task(self._watch(), name="watch paths")
        sending = self._sender.host.create_task(self._send(until), name="transfer")
        try:
            await sending
            await self._arrive()
        finally:
            watching.cancel()
        trace = self.trace
        trace.is_intact = (
            trace.sent_bytes == self._received_bytes
            and self._sent.digest() == self._received.digest()
        )
        if not trace.lost and trace.sent_bytes != self._received_bytes:
            trace.lost = f"nothing arrived for {PATIENCE_S:g} s"
        return trace

    async def _send(self, until: asyncio.Event) -> None:
        link, number = self._ends[0], 0
        try:
            while not until.is_set():
                at = number % (3 * FRAME_BYTES)
                body = number.to_bytes(8) + self._pool[at : at + FRAME_BYTES - 8]
                link.send(_HEAD + len(body).to_bytes(2) + body)
                self._sent.update(body)
                self.trace.sent_bytes += len(body)
                number += 1
                if self._bytes_s is not None:
                    await asyncio.sleep(FRAME_BYTES / self._bytes_s)
                await link.drained(_BACKLOG_BYTES)
        except LinkClosed as error:
            self.trace.lost = str(error)

    async def _arrive(self) -> None:
        """Wait while something still arrives."""
        missing = -1
        while not self.trace.lost and missing != self._received_bytes:
            missing = self._received_bytes
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PATIENCE_S):
                    while self._received_bytes < self.trace.sent_bytes:
                        if any(end.closed.done() for end in self._ends):
                            self.trace.lost = self._why_closed()
                            return
                        await asyncio.sleep(_LOOKED_EACH_S)

    def _why_closed(self) -> str:
        return next(end.closed.result() for end in self._ends if end.closed.done())

    def _take(self, frame: bytes) -> None:
        body = frame[len(_HEAD) + 2 :]
        self._received.update(body)
        self._received_bytes += len(body)
        self.trace.arrivals.append((self.now_s, len(body)))

    async def _watch(self) -> None:
        """Note each path that the sender's end uses."""
        seen: object = None
        while True:
            path = self._ends[0].path
            if path != seen:
                seen = path
                self.trace.moves.append(Move(self.now_s, self._names.name(self._ends[0])))
            await asyncio.sleep(_LOOKED_EACH_S)
