"""A node without a mod, the mod's two files, and what asks HTTP servers for it."""

import contextlib
import random
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from node.content.download.chunk_source import ChunkSource, FindSources
from node.content.download.downloader import DownloadResult
from node.content.origins.client import OriginClient
from node.content.origins.consent import OriginConsent
from node.content.origins.origins import NamedBy, NamedOrigin, Origins
from node.content.publish.publisher import PublishedMod
from protocol.content.origins.urls import file_names
from tests.node.content.content_nodes import (
    ContentNode,
    content_node,
    read_files,
    some_files,
    write_files,
)

FILES = some_files(sizes=(100, 70_000, 2_000_000, 1, 3_000_000))


@dataclass
class OriginWorld:
    """`getter` lacks the mod, `holder` has it; `files` are what an export of it writes."""

    folder: Path
    getter: ContentNode
    holder: ContentNode
    shared: PublishedMod
    files: dict[str, bytes]

    def origins(self, *urls: str, client: OriginClient | None = None, seed: int = 1) -> Origins:
        """Origins of the getter's own settings."""
        consent = OriginConsent(self.folder / "origins.json")
        return Origins(
            client or OriginClient(find_proxy=lambda *_: None), consent, random.Random(seed), urls
        )

    async def get(
        self, *found: Origins | ChunkSource, named: Sequence[NamedOrigin] = ()
    ) -> DownloadResult:
        """Fetch the mod from these, and nothing else; then write it."""
        done = await self.getter.downloader.download(self.shared.link, finding(*found, named=named))
        await self.getter.assembler.assemble(self.shared.mod_id, self.folder / "out")
        assert read_files(self.folder / "out") == FILES
        return done


def finding(*found: Origins | ChunkSource, named: Sequence[NamedOrigin] = ()) -> FindSources:
    async def find(_: bytes) -> AsyncIterator[ChunkSource]:
        for one in found:
            if isinstance(one, Origins):
                for source in one.sources(named):
                    yield source
            else:
                yield one

    return find


def by_link(world: OriginWorld, url: str) -> NamedOrigin:
    return NamedOrigin(url, NamedBy.LINK, world.shared.mod_id)


@contextlib.asynccontextmanager
async def origin_world(folder: Path) -> AsyncIterator[OriginWorld]:
    async with content_node(folder / "a") as holder, content_node(folder / "b", 2) as getter:
        shared = await holder.publisher.publish(write_files(folder / "source", FILES), "mod")
        manifest = await holder.vault.get(shared.mod_id)
        chunks = await holder.vault.get_chunks(shared.mod_id, range(shared.chunks))
        assert manifest is not None
        assert chunks is not None
        names = file_names(shared.mod_id)
        files = dict(zip(names, (manifest, b"".join(filter(None, chunks))), strict=True))
        yield OriginWorld(folder, getter, holder, shared, files)


@contextlib.asynccontextmanager
async def closing(origins: Origins) -> AsyncIterator[Origins]:
    try:
        yield origins
    finally:
        await origins.close()
        assert origins.defects == []


Way = Callable[[OriginWorld], Origins]
