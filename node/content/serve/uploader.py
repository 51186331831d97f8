"""Serves one peer's requests over one link, one chunk after another, no faster than the link sends.

The streams of the link take turns. The memory that a peer can claim is bounded by the number of its
streams and of wanted chunks on each; more requests end the link.
"""

import asyncio
import logging
from array import array
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from node.content.ports import LinkPort
from node.content.serve.budget import PeerBudget
from node.content.serve.line import Line
from node.content.vault.holdings import Held
from node.content.vault.vault import Vault
from protocol import limits
from protocol.content import frames
from protocol.content.frames import ContentFrame, ContentRequest
from protocol.errors import DiskError, OverLimit, Unexpected
from protocol.identity import PeerId, peer_id_text
from protocol.places.usefulness import Usefulness

_log = logging.getLogger(__name__)

_NUMBER = "I"
"""Numbers of wanted chunks take 4 bytes each: a peer that takes nothing may leave 65 536 on a link,
which would be 2.3 MB as objects.
"""

_MANIFEST_PART_BYTES = 2**18
_MANIFEST = -1
"""Its parts count down from here where chunks that a peer has had are remembered by number."""
_NEWS_INTERVAL_S = 1.0
"""How often a peer is told which chunks are new in the vault."""


@dataclass(slots=True)
class _Stream:
    """One download of the peer's."""

    mod_id: bytes
    wanted: "array[int]" = field(default_factory=lambda: array(_NUMBER))
    opened: bool = False
    manifest_bytes: int = 0
    manifest: str = ""
    """Whether the manifest was asked for: empty, "wanted" or "sent"."""
    cancels: bool = False
    """A cancel waits to be confirmed."""
    bits: bytes | None = b""
    """The held chunks of which the peer was told; None if we hold all of them."""
    has_news: bool = False

    @property
    def has_work(self) -> bool:
        """Whether something is to be sent."""
        return (
            not self.opened
            or self.manifest == "wanted"
            or self.cancels
            or self.has_news
            or bool(self.wanted)
        )


class Uploader:
    """The serving side of one link. `run` it for as long as the link stands."""

    def __init__(
        self,
        link: LinkPort,
        vault: Vault,
        budget: PeerBudget,
        usefulness: Usefulness,
        line: Line,
    ) -> None:
        self._link = link
        self._sender = line.sender(link)
        self._peer_id = PeerId(link.peer_id)
        self._vault = vault
        self._usefulness = usefulness
        self._reads = vault.read_by(peer_id_text(link.peer_id))
        self._read_ahead = limits.READ_AHEAD_BYTES_MIN
        self._budget = budget
        self._now = asyncio.get_running_loop().time
        self._streams: dict[int, _Stream] = {}
        self._turns: dict[int, None] = {}
        self._work = asyncio.Event()
        self._news_timer: asyncio.TimerHandle | None = None
        self._receivers: dict[type[ContentFrame], Callable[..., None]] = {
            frames.Open: self._open,
            frames.GetManifest: self._get_manifest,
            frames.GetChunks: self._get_chunks,
            frames.Cancel: self._cancel,
            frames.Close: self._close,
        }

    def receive(self, request: ContentRequest) -> None:
        """Take a request; raises OverLimit, Unexpected."""
        self._budget.charge(request, self._now())
        stream = self._streams.get(request.stream)
        if stream is None and not isinstance(request, frames.Open):
            return  # sent before the peer knew that this stream is over
        self._receivers[type(request)](request, stream)
        if request.stream in self._streams:
            self._give_turn(request.stream)

    def _open(self, request: frames.Open, stream: _Stream | None) -> None:
        if stream is not None:
            raise Unexpected("a stream was opened twice")
        if len(self._streams) >= limits.STREAMS_PER_LINK:
            raise OverLimit(f"more than {limits.STREAMS_PER_LINK} streams on one link")
        self._streams[request.stream] = _Stream(request.mod_id)

    def _get_manifest(self, _: frames.GetManifest, stream: _Stream) -> None:
        if stream.manifest:
            raise OverLimit("a manifest was asked for twice on one stream")
        stream.manifest = "wanted"

    def _get_chunks(self, request: frames.GetChunks, stream: _Stream) -> None:
        if len(stream.wanted) + len(request.chunks) > limits.REQUESTS_PER_STREAM:
            raise OverLimit(f"more than {limits.REQUESTS_PER_STREAM} chunks wanted on one stream")
        stream.wanted.extend(request.chunks)

    def _cancel(self, _: frames.Cancel, stream: _Stream) -> None:
        del stream.wanted[:]
        stream.cancels = True

    def _close(self, request: frames.Close, _: _Stream) -> None:
        del self._streams[request.stream]
        self._turns.pop(request.stream, None)

    def _give_turn(self, number: int) -> None:
        if self._streams[number].has_work:
            self._turns[number] = None
            self._work.set()

    async def run(self) -> None:
        """Serve until the link closes (LinkClosed) or the task is cancelled."""
        try:
            with self._vault.watched_by(self._on_stored):
                while True:
                    await self._link.drained()  # a peer that takes nothing is answered nothing
                    if self._turns:
                        await self._serve_next()
                    else:
                        self._work.clear()
                        await self._sender.idle_until(self._work)
        finally:
            self._sender.end()
            if self._news_timer is not None:
                self._news_timer.cancel()

    async def _serve_next(self) -> None:
        number = next(iter(self._turns))
        del self._turns[number]
        await self._serve(number, self._streams[number])
        if number in self._streams:
            self._give_turn(number)

    async def _serve(self, number: int, stream: _Stream) -> None:
        """One turn of a stream: the most urgent of what it has to do."""
        try:
            if not stream.opened:
                await self._answer_open(number, stream)
            elif stream.cancels:
                stream.cancels = False
                self._send(frames.Cancelled(number))
            elif stream.manifest == "wanted":
                stream.manifest = "sent"
                await self._send_manifest(number, stream)
            elif stream.has_news:
                await self._send_news(stream.mod_id)
            elif stream.wanted:
                await self._send_chunks(number, stream)
        except DiskError as error:
            _log.warning("cannot serve %s: %s", stream.mod_id.hex(), error)
            self._refuse(number)

    async def _answer_open(self, number: int, stream: _Stream) -> None:
        await asyncio.sleep(self._budget.wait_to_open(self._now()))
        held = await self._reads.held(stream.mod_id)
        if not self._stands(number, stream):
            return
        if held is None:
            self._refuse(number)
            return
        stream.opened = True
        stream.manifest_bytes = held.manifest_bytes
        self._send(frames.Opened(number, held.manifest_bytes, held.complete))
        if held.complete:
            stream.bits = None
        elif await self._sender.may_send(again=False) and self._stands(number, stream):
            self._send_have(number, stream, held)

    async def _send_news(self, mod_id: bytes) -> None:
        """Tell what is new of a mod, on each stream that is to be told of it."""
        held = await self._reads.held(mod_id)
        told = [
            (number, stream)
            for number, stream in self._streams.items()
            if stream.mod_id == mod_id and stream.has_news
        ]
        for _, stream in told:
            stream.has_news = False  # before what waits below, so that later news are not lost
        for number, stream in told:
            await self._link.drained()
            await self._sender.may_send(again=False)
            if not self._stands(number, stream):
                continue
            if held is None:
                self._refuse(number)
            elif stream.bits is not None:
                self._send_have(number, stream, held)

    def _send_have(self, number: int, stream: _Stream, held: Held) -> None:
        """Send the part of the bit field that has changed since the last time."""
        first, end = _changed(stream.bits or b"", held.bits)
        stream.bits = None if held.complete else held.bits
        most = self._piece_bytes
        for start in range(first, end, most):
            part = held.bits[start : min(start + most, end)]
            self._send(frames.Have(number, 8 * start, part))

    async def _send_manifest(self, number: int, stream: _Stream) -> None:
        start = 0
        while start < stream.manifest_bytes and self._stands(number, stream):
            part_number = _MANIFEST - start // _MANIFEST_PART_BYTES
            if not await self._sender.may_send(again=self._had(stream.mod_id, part_number)):
                continue
            data = await self._reads.manifest_part(stream.mod_id, start, _MANIFEST_PART_BYTES)
            if not data:
                self._refuse(number)
                return
            for offset, part in self._pieces(data):
                self._send(frames.ManifestPiece(number, start + offset, part))
                await self._link.drained()
            self._served(stream.mod_id, part_number, len(data))
            start += len(data)

    async def _send_chunks(self, number: int, stream: _Stream) -> None:
        """Send the next chunks that are wanted, as many as are read at once."""
        again = self._had(stream.mod_id, stream.wanted[0])
        if not await self._sender.may_send(again=again) or not self._goes_on(number, stream):
            return
        chunks = tuple(stream.wanted)
        found = await self._reads.chunks(stream.mod_id, chunks, self._read_ahead)
        if not self._goes_on(number, stream):
            return
        if found is None:
            self._refuse(number)
            return
        chunks = chunks[: len(found)]
        del stream.wanted[: len(chunks)]
        missing = []
        for place, (chunk, data) in enumerate(zip(chunks, found, strict=True)):
            if not self._goes_on(number, stream):
                return
            if data is None:
                missing.append(chunk)
                continue
            if place and not self._sender.goes_on(again=self._had(stream.mod_id, chunk)):
                stream.wanted[:0] = array(_NUMBER, chunks[place:])
                self._read_ahead = limits.READ_AHEAD_BYTES_MIN
                break
            for offset, part in self._pieces(data):
                self._send(frames.ChunkPiece(number, chunk, offset, part))
            self._budget.chunk_sent()
            if again:  # little of it stands in the way of what comes first
                await self._link.drained(limits.LINE_REST_BYTES)
            else:
                await self._link.drained()
            self._served(stream.mod_id, chunk, len(data))
        else:
            self._read_ahead = min(2 * self._read_ahead, limits.READ_AHEAD_BYTES_MAX)
        if missing and self._goes_on(number, stream):
            self._send(frames.Missing(number, tuple(missing)))

    def _had(self, mod_id: bytes, chunk: int) -> bool:
        """Whether the peer has had a chunk before, which others need not wait for."""
        return self._usefulness.had(self._peer_id, mod_id, chunk)

    def _served(self, mod_id: bytes, chunk: int, size: int) -> None:
        self._usefulness.served(self._peer_id, mod_id, chunk, size, self._now())

    def _goes_on(self, number: int, stream: _Stream) -> bool:
        """Whether the chunks that were read are still wanted; fewer are read next if not."""
        if not stream.cancels and self._stands(number, stream):
            return True
        self._read_ahead = limits.READ_AHEAD_BYTES_MIN
        return False

    def _stands(self, number: int, stream: _Stream) -> bool:
        """Whether this stream is open, and not another one by its number."""
        return self._streams.get(number) is stream

    def _refuse(self, number: int) -> None:
        """End a stream from our side."""
        if self._streams.pop(number, None) is not None:
            self._turns.pop(number, None)
            self._send(frames.Refused(number, frames.NOT_HELD))

    @property
    def _piece_bytes(self) -> int:
        return self._link.max_frame_bytes - frames.PIECE_OVERHEAD_BYTES

    def _pieces(self, data: bytes) -> Iterable[tuple[int, bytes]]:
        most = self._piece_bytes
        return ((start, data[start : start + most]) for start in range(0, len(data), most))

    def _send(self, frame: ContentFrame) -> None:
        self._link.send(frames.encode_frame(frame))

    def _on_stored(self) -> None:
        """The vault has more than before: soon tell a peer that was told of missing chunks."""
        if self._news_timer is None and any(
            stream.bits is not None for stream in self._streams.values()
        ):
            loop = asyncio.get_running_loop()
            self._news_timer = loop.call_later(_NEWS_INTERVAL_S, self._announce)

    def _announce(self) -> None:
        self._news_timer = None
        for number, stream in self._streams.items():
            if stream.bits is not None:
                stream.has_news = True
                self._give_turn(number)


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
