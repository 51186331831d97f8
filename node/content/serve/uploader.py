"""Serves one peer's requests over one link, one chunk after another, no faster than the link sends.

The streams of the link take turns. The memory that a peer can claim is bounded by the number of its
streams and of wanted chunks on each; more requests end the link.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final

from node.content.ports import LinkPort
from node.content.serve.budget import PeerBudget
from node.content.serve.content_sender import ContentSender, ServedChunks
from node.content.serve.have_teller import HaveTeller
from node.content.serve.line import Line
from node.content.serve.name_teller import NamedGetters
from node.content.serve.seeder import Seeder, Seeds
from node.content.serve.served_streams import ServedStream, ServedStreams
from node.content.vault.vault import Vault
from protocol.content import frames
from protocol.content.frames import ContentFrame, ContentRequest
from protocol.errors import LocalError
from protocol.identity import PeerId, peer_id_text
from protocol.places.usefulness import Usefulness

_log = logging.getLogger(__name__)

_RECEIVERS: Final[dict[type[ContentFrame], Callable[[ServedStream, Any], None]]] = {
    frames.GetManifest: lambda stream, _: stream.ask_manifest(),
    frames.GetChunks: lambda stream, request: stream.want(request.chunks),
    frames.Cancel: lambda stream, _: stream.cancel(),
}
"""What requests on an open stream do to it."""


class Uploader:
    """The serving side of one link. `run` it for as long as the link stands."""

    def __init__(
        self,
        link: LinkPort,
        vault: Vault,
        budget: PeerBudget,
        usefulness: Usefulness,
        line: Line,
        getters: NamedGetters,
        seeds: Seeds,
    ) -> None:
        self._link = link
        self._vault = vault
        self._budget = budget
        self._now = asyncio.get_running_loop().time
        self._reads = vault.read_by(peer_id_text(link.peer_id))
        self._sender = line.sender(link)
        self._streams = ServedStreams(link)
        self._haves = HaveTeller(link, self._streams, self._reads, self._sender)
        self._names = getters.teller(PeerId(link.peer_id), self._streams)
        served = ServedChunks(PeerId(link.peer_id), usefulness, self._names)
        self._seeder = Seeder(seeds, link, self._streams)
        self._content = ContentSender(
            *(link, self._streams, self._reads, self._sender, budget, served, self._seeder)
        )

    def receive(self, request: ContentRequest) -> None:
        """Take a request; raises OverLimit, Unexpected."""
        self._budget.charge(request, self._now())
        if isinstance(request, frames.Open):
            self._streams.open(request.stream, request.mod_id)
        elif isinstance(request, frames.Close):
            self._close(request.stream)
        else:
            stream = self._streams.get(request.stream)
            if stream is None:
                return  # sent before the peer knew that this stream is over
            _RECEIVERS[type(request)](stream, request)
            if isinstance(request, frames.GetChunks):
                self._seeder.asked(request.stream)
        self._streams.give_turn(request.stream)

    def _close(self, number: int) -> None:
        stream = self._streams.get(number)
        if stream is not None:
            self._streams.close(number)
            self._seeder.closed(number)
            self._names.closed(number, stream.mod_id)

    @property
    def is_awaited(self) -> bool:
        """Whether the peer has a stream, and so waits for what is sent."""
        return len(self._streams) > 0

    async def run(self) -> None:
        """Serve until the link closes (LinkClosed) or the task is cancelled."""
        try:
            with self._vault.watched_by(self._haves.on_stored):
                while True:
                    await self._link.drained()  # a peer that takes nothing is answered nothing
                    turn = self._streams.next_turn()
                    if turn is None:
                        await self._sender.idle_until(self._streams.work)
                    else:
                        await self._serve(*turn)
        finally:
            self._sender.end()
            self._haves.stop()
            self._names.stop()
            self._seeder.stop()

    async def _serve(self, number: int, stream: ServedStream) -> None:
        """One turn of a stream: the most urgent of what it has to do."""
        try:
            if not stream.opened:
                await self._answer_open(number, stream)
            elif stream.cancels:
                stream.confirmed()
                self._streams.send(frames.Cancelled(number))
            elif stream.manifest == "wanted":
                await self._content.send_manifest(number, stream)
            elif stream.has_news:
                await self._haves.tell(stream.mod_id)
            elif stream.wanted:
                await self._content.send_chunks(number, stream)
        except LocalError as error:
            _log.warning("cannot serve %s: %s", stream.mod_id.hex(), error)
            self._streams.refuse(number)
        self._streams.give_turn(number)

    async def _answer_open(self, number: int, stream: ServedStream) -> None:
        await asyncio.sleep(self._budget.wait_to_open(self._now()))
        held = await self._reads.held(stream.mod_id)
        if not self._streams.stands(number, stream):
            return
        if held is None:
            self._streams.refuse(number)
            return
        stream.answered(held)
        in_parts = self._seeder.opened(number, stream, held)
        complete = held.complete and not in_parts
        self._streams.send(frames.Opened(number, held.manifest_bytes, complete))
        self._seeder.begin(number)
        self._names.expect(stream.mod_id)
        await self._haves.opened(number, stream, held)
