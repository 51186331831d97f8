"""Downloads between nodes: whole, resumed, updated; and what disks, keys and searches do then."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from node.content.download import writer
from node.content.download.downloader import DownloadResult
from node.content.progress import Progress
from protocol import limits
from protocol.content import frames
from protocol.content.frames import ChunkPiece
from protocol.content.link import ModLink
from protocol.errors import BadManifest, DiskError, NoSources, NotFound
from simulations.runtime.running import run_virtually
from tests.node.content.content_nodes import (
    FindLinks,
    content_node,
    content_nodes,
    links_to,
    read_files,
    some_files,
    until,
    write_files,
)
from tests.node.content.downloads import FILES, Requests, copy_mod, holding, swarm
from tests.node.content.memory_links import MemoryLink


async def test_a_whole_folder_goes_across(tmp_path: Path) -> None:
    async with swarm(tmp_path, 2) as ((uploader, downloader), shared):
        _, theirs = uploader.connect(downloader)
        requests = Requests(theirs)
        reports: list[Progress] = []
        done = await downloader.download(shared.link, links_to(theirs), reports.append)
        fetched = shared.new_bytes + len(done.manifest.data)
        assert (done.chunks_fetched, done.bytes_fetched) == (shared.chunks, fetched)
        assert done.bytes_from == {uploader.name: fetched}
        assert done.banned == {}
        assert done.contents is not None
        assert [file.path for file in done.contents.files] == sorted(FILES)
        assert requests.chunks == Counter(range(shared.chunks))
        assert await downloader.vault.missing(shared.mod_id) == []
        (mod,) = await downloader.vault.mods()
        assert (mod.name, mod.published, mod.link) == ("mod", False, shared.link)
        last = reports[-1]
        assert (last.stage, last.chunks_done, last.bytes_done) == (
            *("chunks", shared.chunks, shared.new_bytes),
        )
        assert {report.stage for report in reports} == {"finding", "manifest", "chunks"}
        await downloader.assembler.assemble(shared.mod_id, tmp_path / "out")
    assert read_files(tmp_path / "out") == FILES


async def test_both_ways_at_once_over_one_link(tmp_path: Path) -> None:
    async with content_nodes(tmp_path, 2) as nodes:
        ours, theirs = nodes[0].connect(nodes[1])
        shared = [
            await node.publisher.publish(
                write_files(tmp_path / f"source{place}", some_files(seed=place)), f"mod {place}"
            )
            for place, node in enumerate(nodes)
        ]
        await asyncio.gather(
            nodes[0].download(shared[1].link, links_to(ours)),
            nodes[1].download(shared[0].link, links_to(theirs)),
        )
        for node in nodes:
            assert [await node.vault.missing(one.mod_id) for one in shared] == [[], []]


async def test_several_mods_at_once_over_one_link(tmp_path: Path) -> None:
    async with content_nodes(tmp_path, 2) as (uploader, downloader):
        _, theirs = uploader.connect(downloader)
        shared = [
            await uploader.publisher.publish(
                write_files(tmp_path / f"source{place}", some_files(seed=place)), f"mod {place}"
            )
            for place in range(4)
        ]
        await asyncio.gather(*(downloader.download(one.link, links_to(theirs)) for one in shared))
        assert [await downloader.vault.missing(one.mod_id) for one in shared] == [[]] * 4


async def test_what_is_here_needs_no_source(tmp_path: Path) -> None:
    def no_search(_: bytes) -> AsyncIterator[Any]:
        raise AssertionError("asked")

    async with swarm(tmp_path, 1) as ((node,), shared):
        done = await node.download(shared.link, no_search)
        assert done.bytes_fetched == 0
        assert done.contents is not None


async def test_a_new_version_fetches_only_what_changed(tmp_path: Path) -> None:
    async with swarm(tmp_path, 2) as ((uploader, downloader), shared):
        _, theirs = uploader.connect(downloader)
        await downloader.download(shared.link, links_to(theirs))
        write_files(tmp_path / "source", {"new": b"n" * 1000})
        second = await uploader.publisher.publish(tmp_path / "source", "mod")
        done = await downloader.download(second.link, links_to(theirs))
        assert done.bytes_fetched == second.new_bytes + len(done.manifest.data)
        assert done.bytes_fetched < shared.new_bytes / 5
        await downloader.assembler.assemble(second.mod_id, tmp_path / "out")
    assert read_files(tmp_path / "out") == FILES | {"new": b"n" * 1000}


@pytest.mark.real_loop
async def test_a_download_that_was_dropped_goes_on(tmp_path: Path) -> None:
    async with swarm(tmp_path, 1) as ((uploader,), shared):
        async with content_node(tmp_path / "other", 2) as downloader:
            ours, theirs = uploader.connect(downloader)
            ours.meddler = holding(ours, 2_500_000)
            task = asyncio.ensure_future(downloader.download(shared.link, links_to(theirs)))
            await until(lambda: ours.is_held)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        async with content_node(tmp_path / "other", 2) as downloader:
            missing = await downloader.vault.missing(shared.mod_id)
            assert 0 < len(missing) < shared.chunks
            _, theirs = uploader.connect(downloader)
            requests = Requests(theirs)
            done = await downloader.download(shared.link, links_to(theirs))
            assert 0 < done.bytes_fetched < shared.new_bytes
            assert requests.chunks == Counter(missing)
            await downloader.assembler.assemble(shared.mod_id, tmp_path / "out")
    assert read_files(tmp_path / "out") == FILES


@pytest.mark.real_loop
async def test_what_had_come_when_it_was_dropped_is_kept(tmp_path: Path) -> None:
    """Chunks in memory go to the vault before a cancelled download ends."""
    async with swarm(tmp_path, 2) as ((uploader, downloader), shared):
        ours, theirs = uploader.connect(downloader)
        arrived = Counter[int]()
        lengths = dict[int, int]()

        def see(data: bytes) -> bytes | None:
            frame = frames.decode_frame(data)
            if isinstance(frame, ChunkPiece):
                if len(lengths) == 5 and frame.chunk not in lengths:
                    return None
                lengths[frame.chunk] = frame.offset + len(frame.data)
                arrived[frame.chunk] += len(frame.data)
            return data

        ours.meddler = see
        task = asyncio.ensure_future(downloader.download(shared.link, links_to(theirs)))
        await until(lambda: len(lengths) == 5 and not ours.buffered_bytes)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        missing = await downloader.vault.missing(shared.mod_id)
        assert set(range(shared.chunks)) - set(missing) >= set(list(lengths)[:4])


async def test_a_mod_without_a_source(tmp_path: Path) -> None:
    async with content_nodes(tmp_path, 2) as (uploader, downloader):
        _, theirs = uploader.connect(downloader)
        link = ModLink(bytes(32), bytes(32))
        with pytest.raises(NoSources, match="does not serve this mod"):
            await downloader.download(link, links_to(theirs))
        with pytest.raises(NoSources, match=r"^no source serves this mod$"):
            await downloader.download(link, links_to())
        theirs.cut("closed before")
        with pytest.raises(NoSources, match="closed"):
            await downloader.download(link, links_to(theirs))


def failing_search(error: Exception) -> FindLinks:
    async def find(_: bytes) -> AsyncIterator[MemoryLink]:
        none: tuple[MemoryLink, ...] = ()
        for link in none:
            yield link
        raise error

    return find


async def test_a_search_that_fails_says_why(tmp_path: Path) -> None:
    async with content_node(tmp_path) as node:
        find = failing_search(NotFound("no node is known to hold this mod"))
        with pytest.raises(NotFound, match="no node is known"):
            await node.download(ModLink(bytes(32), bytes(32)), find)


async def test_a_mistake_in_the_search_is_not_swallowed(tmp_path: Path) -> None:
    async with content_node(tmp_path) as node:
        find = failing_search(KeyError("a bug"))
        with pytest.raises(KeyError):
            await node.download(ModLink(bytes(32), bytes(32)), find)


async def test_a_search_that_goes_on_does_not_hold_the_download_up(tmp_path: Path) -> None:
    async with swarm(tmp_path, 2) as ((uploader, downloader), shared):
        _, theirs = uploader.connect(downloader)
        find: FindLinks = links_to(theirs, theirs, forever=True)
        done = await downloader.download(shared.link, find)
        assert done.bytes_fetched == shared.new_bytes + len(done.manifest.data)


async def test_the_wrong_content_key(tmp_path: Path) -> None:
    async with swarm(tmp_path, 2) as ((uploader, downloader), shared):
        _, theirs = uploader.connect(downloader)
        with pytest.raises(BadManifest, match="content key does not open"):
            await downloader.download(ModLink(shared.mod_id, bytes(32)), links_to(theirs))
        assert await downloader.vault.mods() == []
        await downloader.download(shared.link, links_to(theirs))


async def test_without_a_key_the_ciphertext_is_kept_and_opens_later(tmp_path: Path) -> None:
    async with swarm(tmp_path, 2) as ((uploader, downloader), shared):
        _, theirs = uploader.connect(downloader)
        done = await downloader.download(ModLink(shared.mod_id), links_to(theirs))
        assert done.contents is None
        (mod,) = await downloader.vault.mods()
        assert (mod.content_key, mod.name) == (None, "")
        later = await downloader.download(shared.link, links_to())
        assert later.contents is not None
        (mod,) = await downloader.vault.mods()
        assert (mod.link, mod.name) == (shared.link, "mod")


async def test_a_full_disk_ends_the_download_with_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with swarm(tmp_path, 2) as ((uploader, downloader), shared):
        _, theirs = uploader.connect(downloader)
        real_put, puts = downloader.vault.put, []

        async def put(blobs: Any) -> list[bytes]:
            puts.append(blobs)
            if len(puts) > 1:
                raise DiskError("the disk that holds the vault is full")
            return await real_put(blobs[: len(blobs) // 2]) and []

        with monkeypatch.context() as patched:
            patched.setattr(writer, "_ENOUGH_BYTES", 500_000)
            patched.setattr(downloader.vault, "put", put)
            with pytest.raises(DiskError, match="is full"):
                await downloader.download(shared.link, links_to(theirs))
        done = await downloader.download(shared.link, links_to(theirs))
        assert 0 < done.bytes_fetched < shared.new_bytes


async def test_a_slow_disk_holds_the_requests_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "DIRTY_BYTES", 1_000_000)
    monkeypatch.setattr(limits, "WINDOW_BYTES_MAX", 300_000)
    async with swarm(tmp_path, 2) as ((uploader, downloader), shared):
        _, theirs = uploader.connect(downloader)
        most = 0
        real_put, real_add = downloader.vault.put, writer.ChunkWriter.add

        async def put(blobs: Any) -> list[bytes]:
            await asyncio.sleep(20)
            return await real_put(blobs)

        def add(self: writer.ChunkWriter, *arguments: Any) -> None:
            nonlocal most
            real_add(self, *arguments)
            most = max(most, self.dirty_bytes)

        monkeypatch.setattr(downloader.vault, "put", put)
        monkeypatch.setattr(writer.ChunkWriter, "add", add)
        done = await downloader.download(shared.link, links_to(theirs))
        assert done.bytes_fetched == shared.new_bytes + len(done.manifest.data)
        assert 1_000_000 <= most <= 1_000_000 + 2 * (300_000 + limits.SEALED_CHUNK_BYTES)


async def test_many_chunks_go_into_one_job(tmp_path: Path) -> None:
    """No transaction and no wait for the disk for each chunk."""
    rng = random.Random(1)
    source = write_files(tmp_path / "big", {"big.bin": rng.randbytes(20_000_000)})
    async with content_nodes(tmp_path, 2) as (uploader, downloader):
        shared = await uploader.publisher.publish(source)
        _, theirs = uploader.connect(downloader)
        puts: list[int] = []
        real_put = downloader.vault.put

        async def put(blobs: Any) -> list[bytes]:
            puts.append(len(blobs))
            return await real_put(blobs)

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(downloader.vault, "put", put)
            await downloader.download(shared.link, links_to(theirs))
        assert sum(puts) == shared.chunks
        assert len(puts) <= 12


def test_one_seed_gives_one_history(tmp_path: Path) -> None:
    async def scenario(folder: Path) -> tuple[DownloadResult, list[bytes], float]:
        async with swarm(folder, 3) as ((first, second, downloader), shared):
            await copy_mod(shared, first, second)
            links = [node.connect(downloader)[1] for node in (first, second)]
            said: list[bytes] = []

            def note(data: bytes) -> bytes:
                said.append(data)
                return data

            for end in links:
                end.meddler = note
            done = await downloader.download(shared.link, links_to(*links))
            return done, said, asyncio.get_running_loop().time()

    runs = [run_virtually(scenario(tmp_path / f"{number}")) for number in range(2)]
    assert runs[0] == runs[1]
