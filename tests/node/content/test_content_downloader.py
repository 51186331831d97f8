"""Downloads between nodes: whole, resumed, from liars and honest ones, from several at once."""

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from node.content.download import writer
from node.content.download.downloader import DownloadResult
from node.content.progress import Progress
from node.content.publish.publisher import PublishedMod
from protocol import limits
from protocol.content import frames, manifest, sealing
from protocol.content.frames import ChunkPiece, GetChunks, ManifestPiece, Missing, Open, Opened
from protocol.content.link import ModLink
from protocol.errors import BadManifest, DiskError, NoSources, NotFound
from simulations.residents.world import run_virtually
from tests.node.content.content_nodes import (
    ContentNode,
    FindLinks,
    content_node,
    content_nodes,
    links_to,
    read_files,
    some_files,
    until,
    write_files,
)
from tests.node.content.memory_links import Meddler, MemoryLink

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


async def test_a_whole_folder_goes_across(tmp_path: Path) -> None:
    async with swarm(tmp_path, 2) as ((uploader, downloader), shared):
        _, theirs = uploader.connect(downloader)
        requests = Requests(theirs)
        reports: list[Progress] = []
        done = await downloader.download(shared.link, links_to(theirs), reports.append)
        assert (done.chunks_fetched, done.bytes_fetched) == (shared.chunks, shared.new_bytes)
        assert done.bytes_from == {uploader.name: shared.new_bytes}
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
        assert {report.stage for report in reports} == {"finding", "chunks"}
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
    def nobody(_: bytes) -> AsyncIterator[Any]:
        raise AssertionError("asked")

    async with swarm(tmp_path, 1) as ((node,), shared):
        done = await node.download(shared.link, nobody)
        assert done.bytes_fetched == 0
        assert done.contents is not None


async def test_a_new_version_fetches_only_what_changed(tmp_path: Path) -> None:
    async with swarm(tmp_path, 2) as ((uploader, downloader), shared):
        _, theirs = uploader.connect(downloader)
        await downloader.download(shared.link, links_to(theirs))
        write_files(tmp_path / "source", {"new": b"n" * 1000})
        second = await uploader.publisher.publish(tmp_path / "source", "mod", version="2")
        done = await downloader.download(second.link, links_to(theirs))
        assert done.bytes_fetched == second.new_bytes < shared.new_bytes / 5
        await downloader.assembler.assemble(second.mod_id, tmp_path / "out")
    assert read_files(tmp_path / "out") == FILES | {"new": b"n" * 1000}


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
        assert done.bytes_from == {honest.name: shared.new_bytes}


def replacing(kind: type[Any], make: Any) -> Meddler:
    """Sends something else instead of each frame of a kind."""

    def meddle(data: bytes) -> bytes:
        frame = frames.decode_frame(data)
        return frames.encode_frame(make(frame)) if isinstance(frame, kind) else data

    return meddle


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


async def test_a_source_that_vanishes_in_the_middle(tmp_path: Path) -> None:
    async with swarm(tmp_path, 3) as ((first, second, downloader), shared):
        await copy_mod(shared, first, second)
        ours, from_first = first.connect(downloader)
        _, from_second = second.connect(downloader)
        requests = Requests(from_first, from_second)
        ours.meddler = cutting(ours, 500_000)
        done = await downloader.download(shared.link, links_to(from_first, from_second))
        assert 0 < done.bytes_from[first.name] < shared.new_bytes
        assert sum(done.bytes_from.values()) == done.bytes_fetched == shared.new_bytes
        assert done.banned == {}
        assert set(requests.chunks) == set(range(shared.chunks))
        again = sum(requests.chunks.values()) - shared.chunks
        assert again <= limits.WINDOW_BYTES_MAX / limits.CHUNK_BYTES_MIN


def cutting(end: MemoryLink, after_bytes: int) -> Meddler:
    """Cuts the link once an end has sent so much."""

    def meddle(data: bytes) -> bytes:
        if end.bytes_sent > after_bytes:
            end.cut("the line is cut")
        return data

    return meddle


async def test_the_only_source_vanishes_and_comes_back(tmp_path: Path) -> None:
    async with swarm(tmp_path, 2) as ((uploader, downloader), shared):

        async def find(_: bytes) -> AsyncIterator[MemoryLink]:
            for attempt in range(3):
                ours, theirs = uploader.connect(downloader)
                if attempt < 2:
                    ours.meddler = cutting(ours, 1_500_000)
                yield theirs
                await theirs.closed

        done = await downloader.download(shared.link, find)
        assert done.bytes_fetched == shared.new_bytes


async def paced_download(folder: Path, rates: list[float]) -> tuple[float, DownloadResult]:
    """How long a download of 5 MB takes from sources with lines of these bytes per second."""
    async with swarm(folder, 1 + len(rates)) as ((origin, *others), shared):
        downloader = others.pop()
        for other in others:
            await copy_mod(shared, origin, other)
        ends = [node.connect(downloader) for node in (origin, *others)]
        for (ours, _), rate in zip(ends, rates, strict=True):
            ours.bytes_per_second = rate
        requests = Requests(*(theirs for _, theirs in ends))
        started = asyncio.get_running_loop().time()
        find = links_to(*(theirs for _, theirs in ends))
        done = await downloader.download(shared.link, find)
        assert done.bytes_fetched == shared.new_bytes
        if max(rates) < 20 * min(rates):
            assert requests.chunks == Counter(range(shared.chunks))
        return asyncio.get_running_loop().time() - started, done


def test_two_sources_at_once(tmp_path: Path) -> None:
    """Two lines carry what both can; no chunk is asked for twice."""
    alone_s, _ = run_virtually(paced_download(tmp_path / "alone", [1e6]))
    both_s, done = run_virtually(paced_download(tmp_path / "both", [1e6, 2e6]))
    assert 5.0 <= alone_s < 5.5
    assert both_s < 0.42 * alone_s
    shares = sorted(done.bytes_from.values())
    assert 0.4 < shares[0] / shares[1] < 0.6


async def test_a_slow_source_does_not_hold_the_end_up(tmp_path: Path) -> None:
    seconds, done = await paced_download(tmp_path, [5e3, 1e6])
    assert seconds < limits.STALL_S + 3  # its window alone would have taken 50 s
    assert len(done.bytes_from) >= 1


async def test_two_partial_sources_make_a_whole(tmp_path: Path) -> None:
    async with swarm(tmp_path, 4) as ((origin, first, second, downloader), shared):
        chunks = await origin.vault.get_chunks(shared.mod_id, range(shared.chunks))
        mod, data = await origin.vault.mod(shared.mod_id), await origin.vault.get(shared.mod_id)
        assert chunks is not None
        assert mod is not None
        assert data is not None
        blobs = [(sealing.address_of(one), one) for one in chunks if one is not None]
        half = len(blobs) // 2
        for node, part in ((first, blobs[: half + 5]), (second, blobs[half - 5 :])):
            await node.vault.add_mod(mod, manifest.decode_manifest(data))
            await node.vault.put(part)
        links = [node.connect(downloader)[1] for node in (first, second)]
        done = await downloader.download(shared.link, links_to(*links))
        assert done.bytes_fetched == shared.new_bytes
        assert set(done.bytes_from) == {first.name, second.name}


def holding(end: MemoryLink, after_bytes: int) -> Meddler:
    """Lets nothing more arrive from an end once it has sent so much."""

    def meddle(data: bytes) -> bytes:
        if end.bytes_sent > after_bytes:
            end.hold()
        return data

    return meddle


async def test_a_getter_serves_what_it_has_while_it_gets(tmp_path: Path) -> None:
    """C is linked to B only, and B gets the mod from A at the same time."""
    async with swarm(tmp_path, 3) as ((a, b, c), shared):
        ours, from_a = a.connect(b)
        _, from_b = b.connect(c)
        ours.meddler = holding(ours, 2_000_000)
        first = asyncio.ensure_future(b.download(shared.link, links_to(from_a)))
        await until(lambda: ours.is_held)
        await asyncio.sleep(1)
        second = asyncio.ensure_future(c.download(shared.link, links_to(from_b)))
        await asyncio.sleep(5)
        assert 0 < len(await c.vault.missing(shared.mod_id)) < shared.chunks
        ours.meddler = None
        ours.release()
        await asyncio.gather(first, second)
        assert await c.vault.missing(shared.mod_id) == []


async def test_a_source_that_stalls_gives_way(tmp_path: Path) -> None:
    async with swarm(tmp_path, 3) as ((good, bad, downloader), shared):
        await copy_mod(shared, good, bad)
        ours, from_bad = bad.connect(downloader)
        back, from_good = good.connect(downloader)
        back.hold()
        ours.meddler = holding(ours, 500_000)
        download = asyncio.ensure_future(
            downloader.download(shared.link, links_to(from_bad, from_good))
        )
        await until(lambda: ours.is_held)
        back.release()
        started = asyncio.get_running_loop().time()
        done = await download
        waited = asyncio.get_running_loop().time() - started
        assert limits.STALL_S <= waited < limits.STALL_S + 3
        assert done.bytes_fetched == shared.new_bytes
        assert set(done.bytes_from) == {good.name, bad.name}


@pytest.mark.parametrize("kind", [Opened, ManifestPiece])
async def test_a_source_that_never_answers(kind: type[Any], tmp_path: Path) -> None:
    async with swarm(tmp_path, 3) as ((good, bad, downloader), shared):
        await copy_mod(shared, good, bad)
        ours, from_bad = bad.connect(downloader)
        ours.meddler = lambda data: None if isinstance(frames.decode_frame(data), kind) else data
        _, from_good = good.connect(downloader)
        done = await downloader.download(shared.link, links_to(from_bad, from_good))
        assert done.bytes_from == {good.name: shared.new_bytes}


async def test_a_single_source_that_falls_silent_is_given_up(tmp_path: Path) -> None:
    async with swarm(tmp_path, 2) as ((uploader, downloader), shared):
        ours, theirs = uploader.connect(downloader)
        ours.meddler = holding(ours, 500_000)
        started = asyncio.get_running_loop().time()
        with pytest.raises(NoSources, match="stopped answering"):
            await downloader.download(shared.link, links_to(theirs))
        waited = asyncio.get_running_loop().time() - started
        assert limits.SILENT_S <= waited < limits.SILENT_S + 5
        missing = await downloader.vault.missing(shared.mod_id)
        assert 0 < len(missing) < shared.chunks


async def test_sources_that_lack_a_part_are_given_up(tmp_path: Path) -> None:
    async with swarm(tmp_path, 2) as ((uploader, downloader), shared):
        ours, theirs = uploader.connect(downloader)
        lacking = replacing(
            ChunkPiece,
            lambda one: Missing(one.stream, (one.chunk,)) if one.chunk == 3 else one,
        )
        seen: set[int] = set()

        def once(data: bytes) -> bytes | None:
            frame = frames.decode_frame(lacking(data) or data)
            if isinstance(frame, Missing):
                if 3 in seen:
                    return None
                seen.add(3)
            return frames.encode_frame(frame)

        ours.meddler = once
        with pytest.raises(NoSources, match="do not hold all of this mod"):
            await downloader.download(shared.link, links_to(theirs))
        assert await downloader.vault.missing(shared.mod_id) == [3]


async def test_nobody_serves_it(tmp_path: Path) -> None:
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
        find = failing_search(NotFound("nobody is known to hold this mod"))
        with pytest.raises(NotFound, match="nobody is known"):
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
        assert done.bytes_fetched == shared.new_bytes


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
        assert done.bytes_fetched == shared.new_bytes
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
