"""Downloads from sources that lie or break the protocol: each is banned by name."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from protocol.content import frames
from protocol.content.frames import ChunkPiece, ManifestPiece, Missing, Open, Opened
from protocol.errors import NoSources
from tests.node.content.content_nodes import (
    links_to,
    read_files,
    until,
)
from tests.node.content.downloads import FILES, copy_mod, replacing, swarm
from tests.node.content.memory_links import Meddler, MemoryLink


def flipping(kind: type[ChunkPiece] | type[ManifestPiece], seldom: int = 1) -> Meddler:
    """Spoils every so many pieces."""
    count = 0

    def meddle(data: bytes) -> bytes:
        nonlocal count
        frame = frames.decode_frame(data)
        if isinstance(frame, kind):
            count += 1
            if count % seldom == 0:
                return data[:-1] + bytes([data[-1] ^ 1])
        return data

    return meddle


async def test_a_liar_is_banned_while_an_honest_source_completes(tmp_path: Path) -> None:
    async with swarm(tmp_path, 3) as ((honest, liar, downloader), shared):
        await copy_mod(shared, honest, liar)
        _, from_honest = honest.connect(downloader)
        lying, from_liar = liar.connect(downloader)
        lying.meddler = flipping(ChunkPiece, seldom=3)
        done = await downloader.download(shared.link, links_to(from_liar, from_honest))
        assert set(done.banned) == {liar.name}
        assert "do not hash" in done.banned[liar.name]
        assert downloader.downloader.refusals["chunk_mismatch"] == 1
        assert await downloader.vault.missing(shared.mod_id) == []
        assert not from_liar.closed.done()  # other downloads may still use the link
        await downloader.assembler.assemble(shared.mod_id, tmp_path / "out")
    assert read_files(tmp_path / "out") == FILES


async def test_a_banned_source_does_not_come_back(tmp_path: Path) -> None:
    async with swarm(tmp_path, 3) as ((honest, liar, downloader), shared):
        await copy_mod(shared, honest, liar)
        lying, from_liar = liar.connect(downloader)
        lying.meddler = flipping(ChunkPiece)
        _, from_honest = honest.connect(downloader)
        opened = 0

        def count(data: bytes) -> bytes:
            nonlocal opened
            opened += isinstance(frames.decode_frame(data), Open)
            return data

        from_liar.meddler = count

        async def find(_: bytes) -> AsyncIterator[MemoryLink]:
            yield from_liar
            await until(lambda: downloader.downloader.refusals["chunk_mismatch"])
            yield from_liar
            yield from_honest

        done = await downloader.download(shared.link, find)
        assert set(done.banned) == {liar.name}
        assert done.bytes_from[honest.name] == shared.new_bytes
        assert opened == 1


async def test_a_liar_alone_is_named(tmp_path: Path) -> None:
    async with swarm(tmp_path, 2) as ((liar, downloader), shared):
        lying, theirs = liar.connect(downloader)
        lying.meddler = flipping(ChunkPiece)
        with pytest.raises(NoSources, match=r"paeaqca\w+: .* do not hash") as caught:
            await downloader.download(shared.link, links_to(theirs))
        assert "\n" not in str(caught.value)


async def test_a_false_manifest(tmp_path: Path) -> None:
    async with swarm(tmp_path, 3) as ((honest, liar, downloader), shared):
        await copy_mod(shared, honest, liar)
        back, from_honest = honest.connect(downloader)
        lying, from_liar = liar.connect(downloader)
        lying.meddler = flipping(ManifestPiece)
        back.hold()
        download = asyncio.ensure_future(
            downloader.download(shared.link, links_to(from_liar, from_honest))
        )
        await until(lambda: downloader.downloader.refusals["bad_manifest"])
        back.release()
        done = await download
        assert set(done.banned) == {liar.name}
        assert done.bytes_from == {honest.name: shared.new_bytes + len(done.manifest.data)}


@pytest.mark.parametrize(
    "meddler",
    [
        replacing(ChunkPiece, lambda one: ChunkPiece(one.stream, one.chunk, 7, one.data)),
        replacing(ChunkPiece, lambda one: ChunkPiece(one.stream, 10_000, one.offset, one.data)),
        replacing(ChunkPiece, lambda one: ChunkPiece(one.stream, one.chunk, 0, one.data * 3)),
        replacing(ChunkPiece, lambda one: Missing(one.stream, (10_000,))),
        replacing(ChunkPiece, lambda one: Opened(one.stream, 10, complete=True)),
        replacing(ChunkPiece, lambda one: ManifestPiece(one.stream, 0, b"x")),
        replacing(ManifestPiece, lambda one: ManifestPiece(one.stream, 1, one.data)),
        replacing(ManifestPiece, lambda one: ChunkPiece(one.stream, 0, 0, b"x")),
        replacing(ManifestPiece, lambda one: Missing(one.stream, (0,))),
        replacing(Opened, lambda one: Opened(one.stream, 5, complete=True)),
        replacing(Opened, lambda one: ManifestPiece(one.stream, 0, b"x")),
    ],
)
async def test_a_source_that_breaks_the_rules(meddler: Meddler, tmp_path: Path) -> None:
    async with swarm(tmp_path, 2) as ((liar, downloader), shared):
        lying, theirs = liar.connect(downloader)
        lying.meddler = meddler
        with pytest.raises(NoSources):
            await downloader.download(shared.link, links_to(theirs))
        refusals = downloader.downloader.refusals + downloader.exchanges.refusals
        assert sum(refusals.values()) == 1
