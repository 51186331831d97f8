"""A mod at one node, others that want it, and what stands between them."""

import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Collection
from pathlib import Path
from typing import Any

from node.answers.mods import GetResult
from node.content.assemble.place import TargetPlace
from node.content.publish.publisher import PublishedMod
from node.content.room import RoomBook
from protocol.content import frames
from protocol.content.frames import GetChunks
from tests.node.content.content_nodes import (
    ContentNode,
    Unwatched,
    content_nodes,
    links_to,
    some_files,
    until,
    write_files,
)
from tests.node.content.memory_links import Meddler, MemoryLink
from tests.node.content.queue.gets import Asked, GetDouble

FILES = some_files(sizes=(0, 100, 70_000, 3_000_000, 1, 2_000_000))


@contextlib.asynccontextmanager
async def swarm(folder: Path, count: int) -> AsyncIterator[tuple[list[ContentNode], PublishedMod]]:
    """Nodes of which the first has published a mod."""
    source = write_files(folder / "source", FILES)
    async with content_nodes(folder, count) as nodes:
        yield nodes, await nodes[0].publisher.publish(source, "mod")


async def copy_mod(shared: PublishedMod, giver: ContentNode, taker: ContentNode) -> None:
    """Let a second node hold the whole mod."""
    _, theirs = giver.connect(taker)
    await taker.download(shared.link, links_to(theirs))
    theirs.cut("copied")
    await until(lambda: not len(taker.exchanges))


class Requests:
    """Counts the chunks that are asked for over links."""

    def __init__(self, *ends: MemoryLink) -> None:
        self.chunks: Counter[int] = Counter()
        for end in ends:
            end.meddler = self._see

    def _see(self, data: bytes) -> bytes:
        frame = frames.decode_frame(data)
        if isinstance(frame, GetChunks):
            self.chunks.update(frame.chunks)
        return data


def holding(end: MemoryLink, after_bytes: int) -> Meddler:
    """Lets nothing more arrive from an end once it has sent so much."""

    def meddle(data: bytes) -> bytes:
        if end.bytes_sent > after_bytes:
            end.hold()
        return data

    return meddle


def replacing(kind: type[Any], make: Any) -> Meddler:
    """Sends something else instead of each frame of a kind."""

    def meddle(data: bytes) -> bytes:
        frame = frames.decode_frame(data)
        return frames.encode_frame(make(frame)) if isinstance(frame, kind) else data

    return meddle


class Getter(GetDouble):
    """Fetches from one giver and writes, as `Sharing.get` does."""

    def __init__(
        self, node: ContentNode, giver: ContentNode, line_bytes_s: float | None = None
    ) -> None:
        self.node = node
        self._giver = giver
        self._line_bytes_s = line_bytes_s
        self.fetched = 0
        self.chunks: dict[bytes, set[int]] = {}
        """Those that were asked for, by mod."""

    def keep(self, mods: Collection[bytes]) -> None:
        """Let the vault keep what it has of these."""
        self.node.vault.hold(mods)

    async def fetch(self, asked: Asked) -> GetResult:
        """Over one new link."""
        node, link = self.node, asked.link
        async with contextlib.AsyncExitStack() as claims:
            place = TargetPlace(
                *(node.assembler, RoomBook(), claims, asked.target, asked.into or Path()),
                again=asked.again,
            )
            await place.prepare()
            theirs, ours = self._giver.connect(node)
            if self._line_bytes_s is not None:
                theirs.bytes_per_second = self._line_bytes_s
            claims.callback(ours.cut, "over")
            requests = Requests(ours)
            done = await node.downloader.download(
                link,
                lambda mod_id: node.exchanges.sources(links_to(ours)(mod_id), Unwatched()),
                asked.progress,
                asked.bound,
                taker=place,
            )
            self.fetched = done.bytes_fetched
            self.chunks.setdefault(link.mod_id, set()).update(requests.chunks)
            written = await place.write(asked.progress)
        return asked.result(path=str(written.path), bytes_fetched=done.bytes_fetched)
