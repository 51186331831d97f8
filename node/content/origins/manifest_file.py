"""The manifest of a mod at an origin, read once, over as many turns as that takes."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, Protocol

import aiohttp

from node.content.origins.client import OriginAnswer
from node.content.origins.connections import TurnOver
from protocol import limits
from protocol.content import frames
from protocol.content.frames import ContentAnswer
from protocol.content.origins.answers import RangeBody, manifest_answer, range_answer
from protocol.content.origins.connection_turns import is_long
from protocol.content.origins.layout import ChunkRange
from protocol.errors import BadAnswer, OriginFailed

ORIGIN_STREAM: Final = 0
"""The number in the answers: a stream of an origin has none."""
_PIECE_BYTES: Final = 2**16

Judge = Callable[[aiohttp.ClientResponse, Callable[[], Any]], Any]
"""What an answer is, by a function that says it; raises as that does."""


class AskManifest(Protocol):
    """Asks for the manifest: `OriginClient.get` of its URL."""

    def __call__(
        self, *, byte_range: tuple[int, int] | None, is_long: bool
    ) -> AbstractAsyncContextManager[OriginAnswer]:
        """Inside, its answer is read."""
        ...


class ManifestFile:
    """What is known of a manifest, and where in it the reader is; `give` takes what comes."""

    def __init__(
        self, ask: AskManifest, judge: Judge, give: Callable[[ContentAnswer], None]
    ) -> None:
        self._ask = ask
        self._judge = judge
        self._give = give
        self._wanted = asyncio.Event()
        self._size = self._at = 0
        self._is_long = False
        self.is_ranged = False
        """Whether the server says that it answers ranges."""
        self.is_opened = False
        """Whether its size was given."""

    def want(self) -> None:
        """Its bytes are wanted, and not its size alone."""
        self._wanted.set()

    async def read(self) -> None:
        """Read on; raises TurnOver while there is more to come in another turn."""
        if self.is_opened:
            await self._wanted.wait()
        byte_range = (self._at, self._size - 1) if self._at else None
        async with self._ask(byte_range=byte_range, is_long=self._is_long) as answer:
            if self._at:
                await self._read_on(answer)
                return
            found = self._judge(
                answer.http, lambda: manifest_answer(answer.http.status, answer.http.headers)
            )
            self.is_ranged = found.has_ranges
            if found.size is not None:
                self._open(found.size)
                await self._read_from(answer)
                return
            self._keep(answer)
            data = await _read_up_to(answer.http.content, limits.MANIFEST_BYTES)
        self._open(len(data))
        await self._wanted.wait()
        for offset in range(0, len(data), _PIECE_BYTES):
            self._piece(data[offset : offset + _PIECE_BYTES])

    def _open(self, size: int) -> None:
        if not self.is_opened:
            self._size, self.is_opened = size, True
            self._give(frames.Opened(ORIGIN_STREAM, size, complete=True))
        elif size != self._size:
            raise BadAnswer("its manifest has another size than it had")

    async def _read_on(self, answer: OriginAnswer) -> None:
        """Read the rest, in the answer to a range or, if it is all of the file, at its end."""
        http, rest = answer.http, ChunkRange(0, 1, self._at, self._size - self._at)
        found = self._judge(
            http, lambda: range_answer(http.status, http.headers, rest, self._size, "manifest")
        )
        if found.body is RangeBody.WHOLE:
            self.is_ranged = False
            self._keep(answer)
            await http.content.readexactly(self._at)
        await self._read_from(answer)

    async def _read_from(self, answer: OriginAnswer) -> None:
        if not self.is_ranged:
            self._keep(answer)
        await self._wanted.wait()
        while self._at < self._size:
            data = await answer.http.content.read(min(_PIECE_BYTES, self._size - self._at))
            if not data:
                raise OriginFailed("its manifest ends before its announced length")
            answer.connection.brought()
            self._piece(data)

    def _keep(self, answer: OriginAnswer) -> None:
        """The answer lasts to its end, as there is no other way to have its rest."""
        size = self._size if self.is_opened else limits.MANIFEST_BYTES
        try:
            answer.connection.keep(is_long=is_long(size))
        except TurnOver:
            self._is_long = True
            raise

    def _piece(self, data: bytes) -> None:
        offset, self._at = self._at, self._at + len(data)
        self._give(frames.ManifestPiece(ORIGIN_STREAM, offset, data))


async def _read_up_to(body: aiohttp.StreamReader, most: int) -> bytes:
    """All of a body whose length was not announced; raises BadAnswer."""
    data = bytearray()
    async for part in body.iter_any():
        data += part
        if len(data) > most:
            raise BadAnswer("its manifest has no end")
    return bytes(data)
