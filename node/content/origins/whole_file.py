"""The body of a server that answers no ranges: the file from its beginning, read once."""

import asyncio
import contextlib
from collections.abc import Collection, Iterator

import aiohttp

from protocol import limits
from protocol.content.origins.layout import ChunkLayout
from protocol.errors import BadAnswer


class WholeFile:
    """Reads of one such file. It is at the beginning of chunk `at`."""

    def __init__(self, layout: ChunkLayout) -> None:
        self._layout = layout
        self._body: aiohttp.StreamReader | None = None
        self._more = asyncio.Event()
        self._of_use = self._in_vain = 0
        self.at = 0

    @property
    def is_read(self) -> bool:
        """Whether a body of it is read now."""
        return self._body is not None

    @contextlib.contextmanager
    def reading(self, body: aiohttp.StreamReader) -> Iterator[None]:
        """Inside, a body is read from its beginning."""
        self._body, self.at = body, 0
        try:
            yield
        finally:
            self._body, self.at = None, 0

    def more(self) -> None:
        """More is wanted."""
        self._more.set()

    async def next_of(self, wanted: Collection[int]) -> int | None:
        """Read on to the next wanted chunk; None where all that is wanted lies before.

        Waits while nothing is wanted. Raises BadAnswer where too much would come in vain.
        """
        while not wanted:
            self._more.clear()
            await self._more.wait()
        ahead = min((chunk for chunk in wanted if chunk >= self.at), default=None)
        while ahead is not None and self.at < ahead:
            self._in_vain += len(await self._read())
            if self._in_vain > limits.WHOLE_WASTE_BYTES + self._of_use:
                raise BadAnswer(
                    "it answers no ranges, so nearly all of the mod would come again for the little"
                    " that is missing: put the files on a server that does (nginx, Apache, Caddy)"
                )
        return ahead

    async def take(self) -> bytes:
        """The chunk that it is at."""
        data = await self._read()
        self._of_use += len(data)
        return data

    async def _read(self) -> bytes:
        assert self._body is not None
        data = await self._body.readexactly(self._layout.size(self.at))
        self.at += 1
        return data
