"""One link's content: hands the peer's requests to the uploader, and its answers to our downloads.

A peer that breaks the protocol ends its own link, and nothing else.
"""

import asyncio
import contextlib
import logging
from collections import Counter
from typing import Protocol

from node.content.ports import LinkPort
from node.content.serve.uploader import Uploader
from node.content.vault.vault import Vault
from protocol import limits
from protocol.content import frames
from protocol.content.frames import ContentAnswer, ContentRequest
from protocol.errors import LinkClosed, RemoteError

_log = logging.getLogger(__name__)


class StreamReader(Protocol):
    """Who takes the answers of a stream. Called on the event loop."""

    def stream_answered(self, stream: "Stream", answer: ContentAnswer) -> None:
        """An answer came."""

    def stream_lost(self, stream: "Stream", reason: str) -> None:
        """The link is gone, and the stream with it; called once, never after `close`."""


class Stream:
    """Our side of one download over one link."""

    def __init__(self, exchange: "Exchange", number: int, reader: StreamReader) -> None:
        self._exchange = exchange
        self._number = number
        self.reader = reader

    @property
    def peer_id(self) -> bytes:
        """Whom we ask."""
        return self._exchange.peer_id

    @property
    def is_open(self) -> bool:
        """Whether the link still stands."""
        return self._exchange.is_open

    def get_manifest(self) -> None:
        """Ask for the manifest."""
        self._exchange.send(frames.GetManifest(self._number))

    def get_chunks(self, chunks: tuple[int, ...]) -> None:
        """Ask for chunks by number."""
        self._exchange.send(frames.GetChunks(self._number, chunks))

    def cancel(self) -> None:
        """Take back what was asked for and has not begun to come."""
        self._exchange.send(frames.Cancel(self._number))

    def close(self) -> None:
        """End the stream; may be called again."""
        self._exchange.close_stream(self._number)


class Exchange:
    """What one link does for content. Owns the link's receiver; `run` it while the link stands."""

    def __init__(self, link: LinkPort, vault: Vault, refusals: Counter[str]) -> None:
        self._link = link
        self._uploader = Uploader(link, vault)
        self._refusals = refusals
        self._streams: dict[int, Stream] = {}
        self._next_number = 0
        self._broken: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        link.receiver = self._receive

    @property
    def peer_id(self) -> bytes:
        """Who is at the other end."""
        return self._link.peer_id

    @property
    def is_open(self) -> bool:
        """Whether streams can still be opened."""
        return not self._link.closed.done() and not self._broken.done()

    def open(self, mod_id: bytes, reader: StreamReader) -> Stream:
        """Begin a stream for one mod; raises LinkClosed if the link takes no more."""
        if not self.is_open or len(self._streams) >= limits.STREAMS_PER_LINK:
            raise LinkClosed("the link is closed or carries as many downloads as it may")
        number = self._next_number
        self._next_number += 1
        self._link.send(frames.encode_frame(frames.Open(number, mod_id)))
        stream = Stream(self, number, reader)
        self._streams[number] = stream
        return stream

    def send(self, request: ContentRequest) -> None:
        """Send a request; on a closed link nothing happens, for every stream hears of its end."""
        with contextlib.suppress(LinkClosed):
            self._link.send(frames.encode_frame(request))

    def close_stream(self, number: int) -> None:
        """End a stream of ours."""
        if self._streams.pop(number, None) is not None:
            self.send(frames.Close(number))

    async def run(self) -> None:
        """Serve the peer until the link closes or the task is cancelled."""
        uploading = asyncio.ensure_future(self._uploader.run())
        reason = "this node stops"
        try:
            await asyncio.wait(
                (uploading, self._link.closed, self._broken), return_when=asyncio.FIRST_COMPLETED
            )
            reason = self._reason(uploading)
        finally:
            uploading.cancel()
            await asyncio.gather(uploading, return_exceptions=True)
            for stream in tuple(self._streams.values()):
                stream.reader.stream_lost(stream, reason)
            self._streams.clear()
            if not self._link.closed.done():
                await self._link.close(reason)

    def _reason(self, uploading: "asyncio.Future[None]") -> str:
        """Why the exchange ended."""
        if self._broken.done():
            return self._broken.result()
        if self._link.closed.done():
            return self._link.closed.result()
        error = uploading.exception()
        if not isinstance(error, LinkClosed):
            _log.error("serving a peer failed", exc_info=error)
        return "the link is closed"

    def _receive(self, data: bytes) -> None:
        if self._broken.done():
            return
        try:
            frame = frames.decode_frame(data)
            if isinstance(frame, ContentRequest):
                self._uploader.receive(frame)
            else:
                self._answered(frame)
        except RemoteError as error:
            self._refusals[error.name] += 1
            self._broken.set_result(f"the peer broke the protocol: {error}")

    def _answered(self, answer: ContentAnswer) -> None:
        stream = self._streams.get(answer.stream)
        if stream is None:
            return  # sent before the peer knew that we closed the stream
        if isinstance(answer, frames.Refused):
            del self._streams[answer.stream]
        stream.reader.stream_answered(stream, answer)


class Exchanges:
    """Every link's exchange, and the tasks that run them."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._running: dict[LinkPort, tuple[Exchange, asyncio.Task[None]]] = {}
        self.refusals: Counter[str] = Counter()
        """How often peers broke which rule, by the error's name."""

    def attach(self, link: LinkPort) -> Exchange:
        """The exchange of a link; it starts to serve with the first call."""
        known = self._running.get(link)
        if known is not None:
            return known[0]
        exchange = Exchange(link, self._vault, self.refusals)
        task = asyncio.get_running_loop().create_task(exchange.run())
        self._running[link] = (exchange, task)
        task.add_done_callback(lambda task: self._ended(link, task))
        return exchange

    def _ended(self, link: LinkPort, task: "asyncio.Task[None]") -> None:
        del self._running[link]
        if not task.cancelled() and task.exception() is not None:
            _log.error("an exchange failed", exc_info=task.exception())

    async def close(self) -> None:
        """End every exchange, and so every link that has one."""
        tasks = [task for _, task in self._running.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
