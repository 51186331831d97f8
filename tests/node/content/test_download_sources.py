"""Downloads from several sources: fast, slow, partial, stalled, silent and vanishing ones."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from node.content.download.downloader import DownloadResult
from protocol import limits
from protocol.content import frames, sealing
from protocol.content.chunking import FINE
from protocol.content.frames import ChunkPiece, ManifestPiece, Missing, Opened
from protocol.content.manifests import manifest
from protocol.errors import NoSources
from simulations.runtime.running import run_virtually
from tests.node.content.content_nodes import (
    links_to,
    until,
)
from tests.node.content.downloads import Requests, copy_mod, holding, replacing, swarm
from tests.node.content.memory_links import Meddler, MemoryLink


async def test_a_source_that_vanishes_in_the_middle(tmp_path: Path) -> None:
    async with swarm(tmp_path, 3) as ((first, second, downloader), shared):
        await copy_mod(shared, first, second)
        ours, from_first = first.connect(downloader)
        _, from_second = second.connect(downloader)
        requests = Requests(from_first, from_second)
        ours.meddler = cutting(ours, 500_000)
        done = await downloader.download(shared.link, links_to(from_first, from_second))
        assert 0 < done.bytes_from[first.name] < shared.new_bytes
        assert (
            sum(done.bytes_from.values())
            == done.bytes_fetched
            == shared.new_bytes + len(done.manifest.data)
        )
        assert done.banned == {}
        assert set(requests.chunks) == set(range(shared.chunks))
        again = sum(requests.chunks.values()) - shared.chunks
        assert again <= limits.WINDOW_BYTES_MAX / FINE.minimum


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
        assert done.bytes_fetched == shared.new_bytes + len(done.manifest.data)


@pytest.mark.parametrize("lost", [1, 2])
async def test_a_link_that_is_lost_before_its_source_answers_is_searched_for_once_more(
    tmp_path: Path, lost: int
) -> None:
    async with swarm(tmp_path, 2) as ((uploader, downloader), shared):
        searches = 0

        async def find(_: bytes) -> AsyncIterator[MemoryLink]:
            nonlocal searches
            searches += 1
            ours, theirs = uploader.connect(downloader)
            if searches <= lost:
                ours.hold()
            yield theirs
            if searches <= lost:
                ours.cut("the path is lost")

        getting = downloader.download(shared.link, find)
        if lost == 1:
            done = await getting
            assert done.bytes_fetched == shared.new_bytes + len(done.manifest.data)
        else:
            with pytest.raises(NoSources, match="the path is lost"):
                await getting
        assert searches == 2


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
        assert done.bytes_fetched == shared.new_bytes + len(done.manifest.data)
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
    assert seconds < 5.5  # its window alone would have taken 50 s
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
        assert done.bytes_fetched == shared.new_bytes + len(done.manifest.data)
        assert set(done.bytes_from) == {first.name, second.name}


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
        assert waited < limits.LATE_S + 1.0
        assert done.bytes_fetched == shared.new_bytes + len(done.manifest.data)
        assert set(done.bytes_from) == {good.name, bad.name}


@pytest.mark.parametrize("kind", [Opened, ManifestPiece])
async def test_a_source_that_never_answers(kind: type[Any], tmp_path: Path) -> None:
    async with swarm(tmp_path, 3) as ((good, bad, downloader), shared):
        await copy_mod(shared, good, bad)
        ours, from_bad = bad.connect(downloader)
        ours.meddler = lambda data: None if isinstance(frames.decode_frame(data), kind) else data
        _, from_good = good.connect(downloader)
        done = await downloader.download(shared.link, links_to(from_bad, from_good))
        assert done.bytes_fetched == shared.new_bytes + len(done.manifest.data)
        assert done.bytes_from[good.name] > 0


async def test_a_single_source_that_falls_silent_is_given_up(tmp_path: Path) -> None:
    async with swarm(tmp_path, 2) as ((uploader, downloader), shared):
        ours, theirs = uploader.connect(downloader)
        ours.meddler = holding(ours, 500_000)
        started = asyncio.get_running_loop().time()
        with pytest.raises(NoSources, match="stopped answering"):
            await downloader.download(shared.link, links_to(theirs))
        waited = asyncio.get_running_loop().time() - started
        longest_s = limits.SEALED_CHUNK_BYTES / limits.LEAST_BYTES_PER_SECOND
        assert limits.SILENT_S <= waited < limits.SILENT_S + longest_s + 1
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
