"""A peer that says any frames over a link to a node, and hears the answers."""

import asyncio
from collections.abc import Callable
from typing import Any

from protocol.content import frames
from protocol.content.frames import ChunkPiece, ContentFrame, GetChunks, ManifestPiece
from tests.node.content.content_nodes import ContentNode
from tests.node.content.memory_links import memory_link

PEER = b"p" * 20


class Peer:
    """A peer that speaks in frames."""

    def __init__(
        self, node: ContentNode, max_frame_bytes: int = 65000, peer_id: bytes = PEER
    ) -> None:
        self.link, theirs = memory_link(peer_id, node.peer_id, max_frame_bytes)
        self.link.register(range(128), self._receive)
        self.heard: list[ContentFrame] = []
        self._hears = asyncio.Event()
        node.exchanges.attach(theirs)

    def _receive(self, data: bytes) -> None:
        self.heard.append(frames.decode_frame(data))
        self._hears.set()

    def say(self, *said: ContentFrame) -> None:
        for frame in said:
            self.link.send(frames.encode_frame(frame))

    async def until(self, enough: Callable[[list[ContentFrame]], bool]) -> list[ContentFrame]:
        """What was heard, once it is enough."""
        while not enough(self.heard):
            self._hears.clear()
            await self._hears.wait()
        heard, self.heard = self.heard, []
        return heard

    async def hear(self, *kinds: type[ContentFrame]) -> list[Any]:
        """The next frames; they must be of these kinds."""
        heard = await self.until(lambda heard: len(heard) >= len(kinds))
        assert [type(frame) for frame in heard] == list(kinds)
        return heard

    async def chunk(self, number: int, chunk: int, length: int) -> bytes:
        """One whole chunk, asked for alone."""
        self.say(GetChunks(number, (chunk,)))
        pieces = await self.until(lambda heard: sum(map(size_of, heard)) >= length)
        return b"".join(piece.data for piece in pieces if isinstance(piece, ChunkPiece))


def size_of(frame: ContentFrame) -> int:
    return len(frame.data) if isinstance(frame, ChunkPiece | ManifestPiece) else 0
