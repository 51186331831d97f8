"""A publisher, a follower that has a version, and updates to the next one."""

import contextlib
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

from node.content.download.downloader import DownloadResult
from node.content.publish.publisher import PublishedMod
from protocol.content.link import ModLink
from tests.node.content.content_nodes import (
    ContentNode,
    Unwatched,
    content_nodes,
    links_to,
    read_files,
    write_files,
)

Files = dict[str, bytes]


def spread_changes(data: bytes, every: int = 20_000) -> bytes:
    """The same with a byte changed in each so many."""
    changed = bytearray(data)
    for place in range(0, len(changed), every):
        changed[place] ^= 0xFF
    return bytes(changed)


def some_versions(seed: int = 1) -> tuple[Files, Files]:
    """Two versions: changed, renamed, moved and grown files, with one that is new and one gone."""
    rng = random.Random(seed)
    big, text, moved = rng.randbytes(900_000), b"words and words " * 9_000, rng.randbytes(300_000)
    before = {"big.bin": big, "text.txt": text, "a/moved.bin": moved, "gone": rng.randbytes(70_000)}
    after = {
        "big.bin": spread_changes(big),
        "text.txt": text[:70_000] + b"a new sentence" + text[70_000:],
        "b/renamed.bin": spread_changes(moved) + rng.randbytes(1_000),
        "new.bin": rng.randbytes(3_000),
        "empty": b"",
    }
    return before, after


@dataclass
class Follower:
    """Gets versions of what a publisher shares."""

    publisher: ContentNode
    node: ContentNode
    folder: Path
    asked: list[bytes] = field(default_factory=list)
    """The ids of patches that were looked for."""

    async def share(self, files: Files) -> PublishedMod:
        """Publish these as the next version."""
        source = self.folder / "mod"
        if source.exists():
            for path in read_files(source):
                (source / path).unlink()
        write_files(source, files)
        return await self.publisher.publisher.publish(source)

    async def get(self, link: ModLink) -> DownloadResult:
        """Fetch a version over a new link, by a patch where one pays."""
        theirs, ours = self.publisher.connect(self.node)
        find = self.finding(links_to(ours))

        def find_patch(patch: ModLink) -> Callable[[bytes], AsyncIterator[object]]:
            self.asked.append(patch.mod_id)
            return find

        try:
            return await self.node.downloader.download(link, find, find_patch=find_patch)  # type: ignore[arg-type]
        finally:
            theirs.cut("over")

    def finding(self, find_links: Callable[[bytes], AsyncIterator[object]]) -> Callable:  # type: ignore[type-arg]
        """A FindSources."""
        return lambda mod_id: self.node.exchanges.sources(find_links(mod_id), Unwatched())  # type: ignore[arg-type]

    async def files(self, mod_id: bytes) -> Files:
        """What the follower would write."""
        target = self.folder / f"out {mod_id.hex()[:8]}"
        await self.node.assembler.assemble(mod_id, target)
        return read_files(target)


@contextlib.asynccontextmanager
async def follower(folder: Path) -> AsyncIterator[Follower]:
    """Two nodes."""
    async with content_nodes(folder, 2) as (publisher, node):
        yield Follower(publisher, node, folder)
