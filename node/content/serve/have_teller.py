"""Tells a peer, on the streams of one link, which chunks of its mods this node has."""

import asyncio
from typing import Final

from node.content.ports import LinkPort
from node.content.serve.line import LineSender
from node.content.serve.served_streams import ServedStream, ServedStreams
from node.content.vault.holdings import Held
from node.content.vault.peer_reads import PeerReads
from protocol.content import frames

_NEWS_INTERVAL_S: Final = 0.25
_LONG_NEWS_INTERVAL_S: Final = 1.0
_NEWS_BYTES_PER_SECOND: Final = 2**14
"""How often a peer is told which chunks are new in the vault: more seldom if that takes more."""


class HaveTeller:
    """Sends what has changed since a stream was told last."""

    def __init__(
        self, link: LinkPort, streams: ServedStreams, reads: PeerReads, sender: LineSender
    ) -> None:
        self._link = link
        self._streams = streams
        self._reads = reads
        self._sender = sender
        self._timer: asyncio.TimerHandle | None = None
        self._told_bytes = 0
        """What the last news of all streams took."""

    async def opened(self, number: int, stream: ServedStream, held: Held) -> None:
        """A stream has begun: tell what is held of its mod, unless that is all of it."""
        if held.complete:
            stream.told(held)
        elif await self._sender.may_send(again=False) and self._streams.stands(number, stream):
            self._send(number, stream, held)

    async def tell(self, mod_id: bytes) -> None:
        """Tell what is new of a mod, on each stream that is to be told of it."""
        held = await self._reads.held(mod_id)
        told = [one for one in self._streams if one[1].mod_id == mod_id and one[1].has_news]
        for _, stream in told:  # before what waits below, so that later news are not lost
            stream.expect_news(news=False)
        for number, stream in told:
            await self._link.drained()
            await self._sender.may_send(again=False)
            if not self._streams.stands(number, stream):
                continue
            if held is None:
                self._streams.refuse(number)
            elif stream.bits is not None:
                self._send(number, stream, held)

    def _send(self, number: int, stream: ServedStream, held: Held) -> None:
        """Send the part of the bit field that has changed since the last time."""
        first, end = _changed(stream.bits or b"", held.bits)
        self._told_bytes += end - first
        stream.told(held)
        most = self._streams.piece_bytes
        for start in range(first, end, most):
            part = held.bits[start : min(start + most, end)]
            self._streams.send(frames.Have(number, 8 * start, part))

    def on_stored(self) -> None:
        """The vault has more than before: soon tell a peer that was told of missing chunks."""
        if self._timer is None and any(stream.bits is not None for _, stream in self._streams):
            loop = asyncio.get_running_loop()
            pause_s = max(_NEWS_INTERVAL_S, self._told_bytes / _NEWS_BYTES_PER_SECOND)
            self._timer = loop.call_later(min(pause_s, _LONG_NEWS_INTERVAL_S), self._announce)

    def _announce(self) -> None:
        self._timer = None
        self._told_bytes = 0
        for number, stream in self._streams:
            if stream.bits is not None:
                stream.expect_news(news=True)
                self._streams.give_turn(number)

    def stop(self) -> None:
        """Tell no more."""
        if self._timer is not None:
            self._timer.cancel()


def _changed(old: bytes, new: bytes) -> tuple[int, int]:
    """The bytes of `new` outside which it is as `old`: the first, and behind the last.

    An empty `old` stands for zeros.
    """
    differ = int.from_bytes(old) ^ int.from_bytes(new)
    if not differ:
        return 0, 0
    first = len(new) - (differ.bit_length() + 7) // 8
    last = len(new) - ((differ & -differ).bit_length() + 7) // 8
    return first, last + 1
