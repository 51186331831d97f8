"""Sends the manifest and the chunks of mods on the streams of one link, in turns of the line."""

import asyncio
from array import array
from collections.abc import Sequence
from typing import Final

from node.content.ports import LinkPort
from node.content.serve.budget import PeerBudget
from node.content.serve.line import LineSender
from node.content.serve.name_teller import NameTeller
from node.content.serve.seeder import Seeder
from node.content.serve.served_streams import NUMBER, ServedStream, ServedStreams
from node.content.vault.peer_reads import PeerReads
from protocol import limits
from protocol.content import frames
from protocol.identity import PeerId
from protocol.places.usefulness import Usefulness

_MANIFEST_PART_BYTES = 2**18
_MANIFEST: Final = -1
"""Its parts count down from here where chunks that a peer has had are remembered by number."""


class ServedChunks:
    """What one peer was sent, on whatever links."""

    def __init__(self, peer_id: PeerId, usefulness: Usefulness, names: NameTeller) -> None:
        self._peer_id = peer_id
        self._names = names
        self._usefulness = usefulness
        self._now = asyncio.get_running_loop().time

    def had(self, mod_id: bytes, chunk: int) -> bool:
        """Whether the peer has had a chunk before, which others need not wait for."""
        return self._usefulness.had(self._peer_id, mod_id, chunk)

    def add(self, mod_id: bytes, chunk: int, size: int) -> None:
        """A chunk of so many bytes was sent, or a part of the manifest, which has no number."""
        self._usefulness.served(self._peer_id, mod_id, chunk, size, self._now())
        if chunk >= 0:
            self._names.served(mod_id)


class ContentSender:
    """Sends as much as one turn allows. What the peer has had waits for what it has not had."""

    def __init__(
        self,
        link: LinkPort,
        streams: ServedStreams,
        reads: PeerReads,
        sender: LineSender,
        budget: PeerBudget,
        served: ServedChunks,
        seeder: Seeder,
    ) -> None:
        self._link = link
        self._streams = streams
        self._reads = reads
        self._sender = sender
        self._budget = budget
        self._served = served
        self._seeder = seeder
        self._read_ahead = limits.READ_AHEAD_BYTES_MIN

    async def send_manifest(self, number: int, stream: ServedStream) -> None:
        """Send the manifest; what is left of it waits for the stream's next turn."""
        while stream.manifest_at < stream.manifest_bytes:
            part_number = _MANIFEST - stream.manifest_at // _MANIFEST_PART_BYTES
            again = self._served.had(stream.mod_id, part_number)
            if not await self._sender.may_send(again=again):
                return
            start = stream.manifest_at
            data = await self._reads.manifest_part(stream.mod_id, start, _MANIFEST_PART_BYTES)
            if not self._streams.stands(number, stream):
                return
            if not data:
                self._streams.refuse(number)
                return
            for offset, part in self._streams.pieces(data):
                await self._sender.paid(len(part))
                if not self._streams.stands(number, stream):
                    return
                self._streams.send(frames.ManifestPiece(number, start + offset, part))
                await self._link.drained()
            self._served.add(stream.mod_id, part_number, len(data))
            stream.manifest_sent(len(data))

    async def send_chunks(self, number: int, stream: ServedStream) -> None:
        """Send the next chunks that are wanted, as many as are read at once."""
        again = self._served.had(stream.mod_id, stream.wanted[0])
        self._seeder.wants(number, again=again)
        if not await self._sender.may_send(again=again):
            self._put_back(stream)
            return
        if not self._goes_on(number, stream):
            return
        chunks = tuple(stream.wanted)
        found = await self._reads.chunks(stream.mod_id, chunks, self._read_ahead)
        if not self._goes_on(number, stream):
            return
        if found is None:
            self._streams.refuse(number)
            return
        chunks = chunks[: len(found)]
        del stream.wanted[: len(chunks)]
        missing = await self._send_found(number, stream, chunks, found)
        if missing and self._goes_on(number, stream):
            self._streams.send(frames.Missing(number, tuple(missing)))

    async def _send_found(
        self,
        number: int,
        stream: ServedStream,
        chunks: Sequence[int],
        found: Sequence[bytes | None],
    ) -> list[int]:
        """Send what was read while the turn goes on; returns the chunks that are not there."""
        missing: list[int] = []
        for place, (chunk, data) in enumerate(zip(chunks, found, strict=True)):
            if not self._goes_on(number, stream):
                return missing
            if data is None:
                missing.append(chunk)
                continue
            again = self._served.had(stream.mod_id, chunk)
            if place and not self._sender.goes_on(again=again):
                stream.wanted[:0] = array(NUMBER, chunks[place:])
                self._read_ahead = limits.READ_AHEAD_BYTES_MIN
                return missing
            if not await self._send_chunk(number, stream, chunk, data, again=again):
                return missing
            self._served.add(stream.mod_id, chunk, len(data))
            self._seeder.sent(number, chunk)
        self._read_ahead = min(2 * self._read_ahead, limits.READ_AHEAD_BYTES_MAX)
        return missing

    async def _send_chunk(
        self, number: int, stream: ServedStream, chunk: int, data: bytes, *, again: bool
    ) -> bool:
        """Send all of a chunk, unless its stream ends meanwhile."""
        for offset, part in self._streams.pieces(data):
            await self._sender.paid(len(part))
            if not self._streams.stands(number, stream):
                return False
            self._streams.send(frames.ChunkPiece(number, chunk, offset, part))
        self._budget.chunk_sent()
        # Of what was had little is queued, which then stands in the way of what comes first.
        await self._link.drained(limits.LINE_REST_BYTES if again else None)
        return True

    def _put_back(self, stream: ServedStream) -> None:
        """What the peer has not had of its wishes goes before what it has had."""
        wanted = sorted(stream.wanted, key=lambda chunk: self._served.had(stream.mod_id, chunk))
        stream.wanted[:] = array(NUMBER, wanted)

    def _goes_on(self, number: int, stream: ServedStream) -> bool:
        """Whether the chunks that were read are still wanted; fewer are read next if not."""
        if not stream.cancels and self._streams.stands(number, stream):
            return True
        self._read_ahead = limits.READ_AHEAD_BYTES_MIN
        return False
