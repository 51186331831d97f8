"""Files that are written while their chunks arrive."""

import asyncio
import contextlib
import errno
import os
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from node.content.assemble import growing
from node.content.assemble.assembler import Assembled
from node.content.assemble.place import TargetPlace
from node.content.download.downloader import DownloadResult
from node.content.fetching import fetch_and_write
from node.content.progress import Progress, ReportProgress, ignore_progress
from node.content.publish.publisher import PublishedMod
from node.content.room import RoomBook
from node.faces.cli.bars import words_for
from protocol.content import sealing
from protocol.errors import ChunkMismatch, DiskError, DownloadCancelled, ModswarmError
from tests.node.content.content_nodes import (
    ContentNode,
    FindLinks,
    Unwatched,
    content_nodes,
    links_to,
    read_files,
    some_files,
    until,
    write_files,
)
from tests.node.content.memory_links import MemoryLink

LINE = 20_000_000.0
FILES = some_files(sizes=(0, 1, 100, 70_000, 300_000, 3_000_000, 0, 2_000_000)) | {
    "again/1": b"the same",
    "zeros": bytes(5_000_000) + b"end",
    "only zeros": bytes(1_000_000),
}


@contextlib.asynccontextmanager
async def holder_and_getter(
    folder: Path, files: dict[str, bytes] = FILES
) -> AsyncIterator[tuple[ContentNode, PublishedMod, MemoryLink]]:
    """A node that lacks a mod, the mod, and a link of LINE bytes a second to its holder."""
    source = write_files(folder / "source", files)
    async with content_nodes(folder, 2) as (holder, getter):
        shared = await holder.publisher.publish(source, "mod")
        ours, theirs = holder.connect(getter)
        ours.bytes_per_second = LINE
        yield getter, shared, theirs


async def get(
    node: ContentNode,
    shared: PublishedMod,
    target: Path,
    find: FindLinks,
    report: ReportProgress = ignore_progress,
) -> tuple[DownloadResult, Assembled]:
    """As `Sharing.get` does it."""
    async with contextlib.AsyncExitStack() as claims:
        place = TargetPlace(node.assembler, RoomBook(), claims, target, target.parent)
        await place.prepare()

        def download() -> Awaitable[DownloadResult]:
            return node.downloader.download(
                shared.link,
                lambda mod_id: node.exchanges.sources(find(mod_id), Unwatched()),
                report,
                taker=place,
            )

        return await fetch_and_write(node.vault, shared.mod_id, download, place, report)


def hidden_bytes(folder: Path) -> int:
    """The bytes of all files of a hidden folder."""
    return sum(
        path.stat().st_size
        for hidden in folder.iterdir()
        if hidden.suffix == ".part"
        for path in hidden.rglob("*")
        if path.is_file()
    )


def only_of_ours(folder: Path) -> list[str]:
    """What is in a folder besides nodes and the source."""
    return sorted(path.name for path in folder.iterdir() if path.name[:4] not in {"node", "sour"})


async def test_what_arrives_is_not_read_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with holder_and_getter(tmp_path) as (node, shared, link):

        async def read(_: Sequence[bytes]) -> list[bytes | None]:
            raise AssertionError("a chunk was read back")

        monkeypatch.setattr(node.vault, "get_many", read)
        _, written = await get(node, shared, tmp_path / "out", links_to(link))
        size = sum(len(data) for data in FILES.values())
        assert written == Assembled(tmp_path / "out", len(FILES), size, written.tree)
    assert read_files(tmp_path / "out") == FILES
    assert only_of_ours(tmp_path) == ["out"]
    assert (tmp_path / "out" / "zeros").stat().st_blocks * 512 < 2_000_000


async def test_files_grow_before_the_last_chunk(tmp_path: Path) -> None:
    async with holder_and_getter(tmp_path) as (node, shared, link):
        getting = asyncio.ensure_future(get(node, shared, tmp_path / "out", links_to(link)))
        half = sum(map(len, FILES.values())) // 4
        await until(lambda: hidden_bytes(tmp_path) > half)
        assert await node.vault.missing(shared.mod_id)
        assert not (tmp_path / "out").exists()
        await getting
    assert read_files(tmp_path / "out") == FILES


async def test_what_the_vault_had_is_read_and_what_is_repeated_is_opened_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    block = os.urandom(600_000)
    files = FILES | {f"same/{number}": block for number in range(8)}
    async with holder_and_getter(tmp_path, files) as (node, shared, link):
        await node.download(shared.link, links_to(link))
        opened: Counter[bytes] = Counter()
        real = sealing.open_chunk

        def count(key: bytes, *arguments: Any) -> bytes:
            opened[key] += 1
            return real(key, *arguments)

        monkeypatch.setattr(sealing, "open_chunk", count)
        done, _ = await get(node, shared, tmp_path / "out", links_to())
        assert done.bytes_fetched == 0
        assert done.contents is not None
        assert len(done.contents.order) > len(opened) == shared.chunks
        assert set(opened.values()) == {1}
    assert read_files(tmp_path / "out") == files


async def test_what_a_slow_disk_cannot_take_is_read_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(growing, "_WAITING_BYTES", 100_000)
    async with holder_and_getter(tmp_path) as (node, shared, link):
        reads: list[int] = []
        real = node.vault.get_many

        async def read(addresses: Sequence[bytes]) -> list[bytes | None]:
            reads.append(len(addresses))
            return await real(addresses)

        monkeypatch.setattr(node.vault, "get_many", read)
        await get(node, shared, tmp_path / "out", links_to(link))
        assert 0 < sum(reads) < shared.chunks
    assert read_files(tmp_path / "out") == FILES


def damage(folder: Path) -> None:
    """Flip a bit of each 100 000th byte of all packs."""
    for pack in (folder / "vault" / "packs").iterdir():
        content = bytearray(pack.read_bytes())
        for at in range(50_000, len(content), 100_000):
            content[at] ^= 1
        pack.write_bytes(content)


async def test_what_the_disk_has_damaged_is_fetched_again(tmp_path: Path) -> None:
    async with holder_and_getter(tmp_path) as (node, shared, link):
        await get(node, shared, tmp_path / "first", links_to(link))
        damage(node.vault.folder.parent)
        done, _ = await get(node, shared, tmp_path / "out", links_to(link))
    assert done.chunks_fetched > 1
    assert done.bytes_fetched < shared.new_bytes
    assert read_files(tmp_path / "out") == FILES


async def test_what_is_damaged_and_on_no_peer_is_said(tmp_path: Path) -> None:
    async with holder_and_getter(tmp_path) as (node, shared, link):
        await get(node, shared, tmp_path / "first", links_to(link))
        damage(node.vault.folder.parent)
        with pytest.raises(ModswarmError) as failed:
            await get(node, shared, tmp_path / "out", links_to())
    assert "damaged" in str(failed.value.__notes__)
    assert only_of_ours(tmp_path) == ["first"]


async def test_a_mod_that_is_removed_while_it_is_written_is_not_fetched_again(
    tmp_path: Path,
) -> None:
    async with holder_and_getter(tmp_path) as (node, shared, link):
        await get(node, shared, tmp_path / "first", links_to(link))
        removing: list[asyncio.Task[bool]] = []

        def remove(_: Progress) -> None:
            if not removing:
                removing.append(asyncio.create_task(node.vault.remove_mod(shared.mod_id)))

        damage(node.vault.folder.parent)
        with pytest.raises(DownloadCancelled, match="was removed"):
            await get(node, shared, tmp_path / "out", links_to(link), remove)
        assert await asyncio.gather(*removing) == [True]
        assert await node.vault.mods() == []
    assert only_of_ours(tmp_path) == ["first"]


async def test_a_mod_that_is_removed_while_it_is_fetched_ends_the_get(tmp_path: Path) -> None:
    async with holder_and_getter(tmp_path) as (node, shared, link):
        getting = asyncio.create_task(get(node, shared, tmp_path / "out", links_to(link)))
        assert not await node.downloader.removed(shared.mod_id), "nothing is fetched yet"
        await until(lambda: hidden_bytes(tmp_path) > 0)
        assert await node.vault.remove_mod(shared.mod_id)
        assert await node.downloader.removed(shared.mod_id)
        with pytest.raises(DownloadCancelled, match="was removed"):
            await asyncio.wait_for(getting, 1.0)
        await node.vault.collect()
        assert await node.vault.pack_bytes() == 0
        await get(node, shared, tmp_path / "again", links_to(link))
    assert read_files(tmp_path / "again") == FILES
    assert only_of_ours(tmp_path) == ["again"]


async def test_that_no_asked_peer_answers_is_said(
    tmp_path: Path,
) -> None:
    async with holder_and_getter(tmp_path) as (node, shared, link):
        told: list[Progress] = []
        link.other.hold()
        getting = asyncio.create_task(
            get(node, shared, tmp_path / "out", links_to(link), told.append)
        )
        await asyncio.sleep(3.0)
        getting.cancel()
    assert [words_for(asdict(one)) for one in told][-1] == "Waiting for an answer of 1 peer"
    assert len(told) <= 3


@pytest.mark.parametrize("above", [False, True], ids=["hidden folder", "folder above"])
async def test_a_folder_that_is_taken_away_meanwhile_is_named(tmp_path: Path, above: bool) -> None:
    async with holder_and_getter(tmp_path) as (node, shared, link):
        target = tmp_path / "above" / "out"
        target.parent.mkdir()
        getting = asyncio.create_task(get(node, shared, target, links_to(link)))
        await until(lambda: hidden_bytes(target.parent) > 0)
        (hidden,) = (path for path in target.parent.iterdir() if path.suffix == ".part")
        gone = target.parent if above else hidden
        gone.rename(tmp_path / "elsewhere")
        with pytest.raises(DiskError) as failed:
            await getting
    assert f"{gone} was removed or renamed meanwhile" in str(failed.value)
    assert "Leave it there" in failed.value.advice


@pytest.mark.parametrize("lasts", [False, True])
async def test_a_disk_that_fails_meanwhile(
    lasts: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The download goes on into the vault; the files are tried once more at its end."""
    async with holder_and_getter(tmp_path) as (node, shared, link):
        real, room = os.write, [1_000_000]
        failures: list[OSError] = []

        def write(descriptor: int, data: Any) -> int:
            if "part" not in os.readlink(f"/proc/self/fd/{descriptor}"):  # noqa: PTH115
                return real(descriptor, data)
            room[0] -= len(data)
            if room[0] < 0 and (lasts or not failures):
                failures.append(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
                raise failures[-1]
            return real(descriptor, data)

        with monkeypatch.context() as patch:
            patch.setattr(os, "write", write)
            if lasts:
                with pytest.raises(DiskError, match="is full"):
                    await get(node, shared, tmp_path / "out", links_to(link))
                assert only_of_ours(tmp_path) == []
            else:
                await get(node, shared, tmp_path / "out", links_to(link))
                assert len(failures) == 1
        assert not await node.vault.missing(shared.mod_id)
        if lasts:
            await get(node, shared, tmp_path / "out", links_to())
    assert read_files(tmp_path / "out") == FILES


async def test_a_defect_while_chunks_arrive_is_raised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with holder_and_getter(tmp_path) as (node, shared, link):

        def fail(*_: Any) -> bytes:
            raise ZeroDivisionError

        monkeypatch.setattr(sealing, "open_chunk", fail)
        with pytest.raises(ZeroDivisionError):
            await get(node, shared, tmp_path / "out", links_to(link))
    assert only_of_ours(tmp_path) == []


async def test_a_publisher_that_lies_is_told_though_its_chunks_came_in_passing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with holder_and_getter(tmp_path) as (node, shared, link):
        monkeypatch.setattr(sealing, "open_body", lambda *_: b"\0another")
        with pytest.raises(ChunkMismatch, match="holds 7 bytes"):
            await get_opened(node, shared, tmp_path / "out", links_to(link), monkeypatch)
    assert only_of_ours(tmp_path) == []


async def get_opened(
    node: ContentNode,
    shared: PublishedMod,
    target: Path,
    find: FindLinks,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`get` of a mod whose manifest opens, and whose chunks are not what it says."""
    lie = sealing.open_body
    monkeypatch.undo()
    await node.downloader.look(
        shared.link, lambda mod_id: node.exchanges.sources(find(mod_id), Unwatched())
    )
    monkeypatch.setattr(sealing, "open_body", lie)
    await get(node, shared, target, find)


async def test_two_gets_of_one_fetch_have_their_own_files(tmp_path: Path) -> None:
    async with holder_and_getter(tmp_path) as (node, shared, link):
        places = [tmp_path / "one", tmp_path / "two"]
        done = await asyncio.gather(*(get(node, shared, place, links_to(link)) for place in places))
        assert len({result.bytes_fetched for result, _ in done}) == 1
    assert [read_files(place) for place in places] == [FILES, FILES]


async def test_a_get_that_is_cancelled_leaves_nothing(tmp_path: Path) -> None:
    async with holder_and_getter(tmp_path) as (node, shared, link):
        getting = asyncio.ensure_future(get(node, shared, tmp_path / "out", links_to(link)))
        await until(lambda: hidden_bytes(tmp_path))
        getting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await getting
        assert only_of_ours(tmp_path) == []
        await get(node, shared, tmp_path / "out", links_to(link))
    assert read_files(tmp_path / "out") == FILES


async def test_what_a_killed_get_of_another_mod_left_at_the_place_goes(tmp_path: Path) -> None:
    async with holder_and_getter(tmp_path) as (node, shared, link):
        async with node.assembler.claiming(tmp_path / "out"):
            (lock,) = only_of_ours(tmp_path)
        left = tmp_path / lock.replace(".lock", ".part")
        write_files(left, {"half of another": b"1"})
        await get(node, shared, tmp_path / "out", links_to(link))
    assert read_files(tmp_path / "out") == FILES
    assert only_of_ours(tmp_path) == ["out"]
