"""Content over one link: the peer's requests go to the uploader, its answers to our downloads.

A peer that breaks the protocol ends its own link, and nothing else.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence

from node.content.download.chunk_source import AnswerReader, ChunkSource
from node.content.ports import HeldLink, HoldLink, LinkPort, PeerWatch, SourceWatch
from node.content.rates.transfers import Direction
from node.content.serve.budget import PeerBudget, PeerBudgets
from node.content.serve.line import Line
from node.content.serve.name_teller import NamedGetters
from node.content.serve.seeder import Seeds
from node.content.serve.uploader import Uploader
from node.content.vault.vault import Vault
from node.tasks import TaskOwner
from protocol import limits
from protocol.content import frames
from protocol.content.debts import LateAnswers, StreamDebt
from protocol.content.frames import ContentAnswer, ContentRequest
from protocol.errors import LinkClosed, RemoteError, Unexpected
from protocol.frame_types import CONTENT_TYPES
from protocol.identity import PeerId, peer_id_text
from protocol.places.usefulness import Usefulness
from protocol.randomness import Random

CountAsk = Callable[[bytes, bytes], None]
"""Takes the network of a link, RELAYED if it is not known, and the mod that its peer asked for."""


def _count_nothing(_network: bytes, _mod_id: bytes) -> None:
    """A CountAsk where nothing is cached."""


class Stream:
    """Our side of one download over one link: a ChunkStream."""

    def __init__(
        self, exchange: "Exchange", number: int, reader: AnswerReader, watch: SourceWatch | None
    ) -> None:
        self.name = exchange.name
        self._watch = watch
        self._exchange = exchange
        self._number = number
        self.reader = reader
        self.debt = StreamDebt()

    @property
    def is_open(self) -> bool:
        """Whether the link is open."""
        return self._exchange.is_open

    @property
    def round_trip_s(self) -> float | None:
        """That of the link."""
        return self._exchange.round_trip_s

    @property
    def waits(self) -> bool:
        """A request to a peer waits for no other download."""
        return False

    @property
    def next_chunk(self) -> None:
        """The peer sends all chunks alike."""

    def learn_chunks(self, lengths: Sequence[int]) -> None:
        """The peer knows them."""

    def get_manifest(self) -> None:
        """Ask for the manifest."""
        self.debt.manifest_asked()
        self._exchange.send(frames.GetManifest(self._number))

    def get_chunks(self, chunks: tuple[int, ...]) -> None:
        """Ask for chunks by number."""
        self.debt.chunks_asked(len(chunks))
        self._exchange.send(frames.GetChunks(self._number, chunks))

    def cancel(self) -> None:
        """Take back what was asked for and has not begun to come."""
        self.debt.cancel_sent()
        self._exchange.send(frames.Cancel(self._number))

    def verified(self, size: int) -> None:
        """So many bytes of it were what was asked for: the peer has been of use."""
        self._exchange.verified(size)
        if self._watch is not None:
            self._watch.proved(self._exchange.peer_id, size)

    def heard(self, answer: ContentAnswer) -> None:
        """An answer came."""
        if self._watch is not None and isinstance(answer, frames.ManifestPiece | frames.ChunkPiece):
            self._watch.heard(self._exchange.peer_id, len(answer.data))
        elif self._watch is not None and isinstance(answer, frames.Peers):
            self._watch.named(self._exchange.peer_id, answer.peers)

    def close(self) -> None:
        """End the stream; may be called again."""
        self._exchange.close_stream(self._number)

    def abandon(self, *, for_good: bool = False) -> None:
        """End the stream, and the link too if it was opened for this and is of no other use."""
        self.close()
        watch, peer_id = self._watch, self._exchange.peer_id
        if watch is not None and watch.left(peer_id, for_good=for_good):
            self._exchange.close_if_useless()

    def give_way(self) -> None:
        """Tell the reader that others are to be tried in its place."""
        self.reader.stream_lost(self, "nothing came of it, and others were to be tried")


class Exchange:
    """What one link does for content: a ChunkSource. `run` it while the link is open."""

    def __init__(
        self,
        link: LinkPort,
        vault: Vault,
        budget: PeerBudget,
        refusals: Counter[str],
        tasks: TaskOwner,
        usefulness: Usefulness,
        line: Line,
        getters: NamedGetters,
        seeds: Seeds,
        asked: Callable[[LinkPort, bytes], None],
        hold: HoldLink,
    ) -> None:
        """`asked` learns of each mod that the link's peer wants of this node; `hold` keeps the link
        up while a download has a stream on it, though nothing may come for long.
        """
        self.name = peer_id_text(link.peer_id)
        self.peer_id = PeerId(link.peer_id)
        self._link = link
        self._usefulness = usefulness
        self._uploader = Uploader(link, vault, budget, usefulness, line, getters, seeds)
        self._asked = asked
        self._hold = hold
        self._held: HeldLink | None = None
        self._refusals = refusals
        self._tasks = tasks
        self._streams: dict[int, Stream] = {}
        self._next_number = 0
        self._late = LateAnswers()
        self._now = asyncio.get_running_loop().time
        self._broken: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    @property
    def is_open(self) -> bool:
        """Whether streams can still be opened."""
        return not self._link.closed.done() and not self._broken.done()

    @property
    def round_trip_s(self) -> float | None:
        """That of the link."""
        return self._link.round_trip_s

    def open(self, mod_id: bytes, reader: AnswerReader, watch: SourceWatch | None = None) -> Stream:
        """Begin a stream for one mod; raises LinkClosed if the link takes no more."""
        if not self.is_open or len(self._streams) >= limits.STREAMS_PER_LINK:
            raise LinkClosed("the link is closed or carries as many downloads as it may")
        number = self._next_number
        self._next_number += 1
        self._link.send(frames.encode_frame(frames.Open(number, mod_id)))
        if self._held is None:
            self._held = self._hold(self.peer_id)
        stream = Stream(self, number, reader, watch)
        self._streams[number] = stream
        return stream

    def is_awaited(self) -> bool:
        """Whether the peer waits for what is sent: it has a stream here."""
        return self._uploader.is_awaited

    def send(self, request: ContentRequest) -> None:
        """Send a request; a closed link takes none, and every stream is told of its end."""
        with contextlib.suppress(LinkClosed):
            self._link.send(frames.encode_frame(request))

    def close_stream(self, number: int) -> None:
        """End a stream of ours."""
        if self._forget(number):
            self.send(frames.Close(number))

    def _forget(self, number: int) -> bool:
        stream = self._streams.pop(number, None)
        if stream is not None:
            self._late.closed(stream.debt)
            if not self._streams:
                self.let_go()
        return stream is not None

    def let_go(self) -> None:
        """No stream of ours is open: the link is held no more."""
        if self._held is not None:
            self._held.close()
            self._held = None

    def verified(self, size: int) -> None:
        """The peer has sent so many bytes of a mod, which were verified."""
        self._usefulness.received(self.peer_id, size, self._now())

    def close_if_useless(self) -> None:
        """End the link if no download uses it, and its peer was of no use lately."""
        is_idle = self.is_open and not self._streams
        if is_idle and not self._usefulness.worth(self.peer_id, self._now()):
            self._broken.set_result("nothing came of it")

    async def run(self) -> None:
        """Serve the peer until the link closes or the task is cancelled."""
        uploading = self._tasks.start(self._uploader.run(), name=f"serve {self.name}")
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

    def _reason(self, uploading: asyncio.Task[None]) -> str:
        """The reason why the exchange ended."""
        if self._broken.done():
            return self._broken.result()
        if self._link.closed.done():
            return self._link.closed.result()
        is_closed = isinstance(uploading.exception(), LinkClosed)
        return "the link is closed" if is_closed else "internal error"

    def receive(self, data: bytes) -> None:
        """Take a frame; one that breaks a rule ends the exchange and its link."""
        if self._broken.done():
            return
        try:
            frame = frames.decode_frame(data)
            if isinstance(frame, ContentRequest):
                self._uploader.receive(frame)
                if isinstance(frame, frames.Open):
                    self._asked(self._link, frame.mod_id)
            else:
                self._answered(frame, len(data))
        except RemoteError as error:
            self._refusals[error.name] += 1
            self._broken.set_result(f"the peer broke the protocol: {error}")

    def _answered(self, answer: ContentAnswer, size: int) -> None:
        """Give an answer to its stream's reader, then charge it: the reader may ban its source."""
        if answer.stream >= self._next_number:
            raise Unexpected("an answer on a stream that was never opened")
        stream = self._streams.get(answer.stream)
        if stream is not None:
            if isinstance(answer, frames.Refused):
                self._forget(answer.stream)
            stream.heard(answer)
            stream.reader.stream_answered(stream, answer)
        if answer.stream in self._streams and stream is not None:
            stream.debt.take(answer, size, self._now())
        else:
            self._late.take(size)  # the peer may not know yet that the stream is closed


class FoundSource:
    """The exchange of a link that was found for a download: a ChunkSource that is watched."""

    def __init__(self, exchange: Exchange, watch: SourceWatch) -> None:
        self.name = exchange.name
        self._exchange = exchange
        self._watch = watch

    def open(self, mod_id: bytes, reader: AnswerReader) -> Stream:
        """Begin a stream for one mod; raises LinkClosed if the link takes no more."""
        try:
            stream = self._exchange.open(mod_id, reader, self._watch)
        except LinkClosed:
            self._watch.left(self._exchange.peer_id)
            raise
        self._watch.opened(self._exchange.peer_id, stream.give_way)
        return stream


class Exchanges:
    """Every link's exchange, and the tasks that run them.

    `usefulness` gets what peers earn; `hold` keeps links up that downloads use; `uplink` limits how
    fast content leaves.
    """

    def __init__(
        self,
        vault: Vault,
        usefulness: Usefulness,
        rng: Random,
        hold: HoldLink,
        uplink: Direction | None = None,
    ) -> None:
        self._vault = vault
        self._hold = hold
        self._budgets = PeerBudgets()
        self.line = Line(usefulness, uplink)
        self._getters = NamedGetters()
        self._seeds = Seeds(self.line, rng)
        self._wanted: dict[bytes, PeerWatch] = {}
        """The mods that are fetched, and who learns which peers ask for them here or are linked."""
        self._count: CountAsk = _count_nothing
        self._usefulness = usefulness
        self._running: dict[LinkPort, Exchange] = {}
        self._tasks = TaskOwner("content")
        self._closing = False
        self.refusals: Counter[str] = Counter()
        """How often peers broke which rule, by the error's name."""

    @property
    def defects(self) -> list[BaseException]:
        """What the tasks raised that no peer, network or disk can be blamed for."""
        return self._tasks.defects

    def __len__(self) -> int:
        return len(self._running)

    def attach(self, link: LinkPort) -> Exchange:
        """The exchange of a link; it starts to serve with the first call.

        Raises LinkClosed once this is closing. The exchange of a closed link opens no stream.
        """
        known = self._running.get(link)
        if known is not None:
            return known
        if self._closing:
            raise LinkClosed("this node stops")
        budget = self._budgets.of(link.peer_id)
        exchange = Exchange(
            *(link, self._vault, budget, self.refusals, self._tasks, self._usefulness, self.line),
            *(self._getters, self._seeds, self._peer_asked, self._hold),
        )
        if exchange.is_open:
            link.register(CONTENT_TYPES, exchange.receive)
            link.serve(exchange.is_awaited)
            self._running[link] = exchange
            task = self._tasks.start(exchange.run(), name=f"exchange with {exchange.name}")
            task.add_done_callback(lambda _: self._running.pop(link).let_go())
            for watch in self._wanted.values():
                watch.linked(PeerId(link.peer_id))
        return exchange

    async def sources(
        self, links: AsyncIterator[LinkPort], watch: SourceWatch
    ) -> AsyncIterator[ChunkSource]:
        """The exchanges of these links, as sources for a download; `watch` learns of their use."""
        async for link in links:
            yield FoundSource(self.attach(link), watch)

    @contextlib.contextmanager
    def told_of_peers(self, mod_id: bytes, watch: PeerWatch) -> Iterator[None]:
        """While inside, `watch` gets each peer that opens a stream for this mod, or a link."""
        self._wanted[mod_id] = watch
        try:
            yield
        finally:
            if self._wanted.get(mod_id) is watch:
                del self._wanted[mod_id]

    def count_asks(self, count: CountAsk) -> None:
        """Let `count` learn from now on which networks ask for which mods, held or not."""
        self._count = count

    def _peer_asked(self, link: LinkPort, mod_id: bytes) -> None:
        self._count(link.network, mod_id)
        watch = self._wanted.get(mod_id)
        if watch is not None:
            watch.came(PeerId(link.peer_id))

    async def close(self) -> None:
        """End every exchange, and so every link that has one."""
        self._closing = True
        await self._tasks.close()
