"""Gets of one mod at one node are one fetch, and what can be known before it is told before it."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from node.content.download.bounds import SizeBound
from node.content.download.downloader import AnyMod, Downloader, DownloadResult
from node.content.opened_mods import OpenedMod
from node.content.progress import Progress, ReportProgress, ignore_progress
from node.content.room import Disk, RoomBook
from node.content.serve.exchange import Exchanges
from node.environment import Environment
from protocol import limits
from protocol.content.link import ModLink
from protocol.errors import BadManifest, DiskError, TargetExists, TooLarge, UnsafePath
from tests.found.changing.conftest import MIDWAY_S, Getting, shared_mod
from tests.node.content.content_nodes import ContentNode, Unwatched, links_to, until
from tests.node.content.downloads import Requests, holding, swarm
from tests.node.content.memory_links import MemoryLink
from tests.simulations.mods_shared import FILE

MIB = 2**20


def downloading(
    node: ContentNode,
    link: ModLink,
    theirs: MemoryLink,
    report: ReportProgress = ignore_progress,
    bound: SizeBound | None = None,
    downloader: Downloader | None = None,
) -> "asyncio.Future[DownloadResult]":
    exchanges: Exchanges = node.exchanges
    return asyncio.ensure_future(
        (downloader or node.downloader).download(
            link,
            lambda mod_id: exchanges.sources(links_to(theirs)(mod_id), Unwatched()),
            report,
            bound or SizeBound(limits.MOD_BYTES, agreed=True),
        )
    )


def go_on(end: MemoryLink) -> None:
    """Let all arrive that was held, and what comes after it."""
    end.meddler = lambda data: data
    end.release()


async def test_several_gets_ask_for_each_chunk_once(tmp_path: Path) -> None:
    async with swarm(tmp_path, 2) as ((holder, node), shared):
        _, theirs = holder.connect(node)
        requests = Requests(theirs)
        told: list[list[Progress]] = [[], [], []]
        gets = [downloading(node, shared.link, theirs, one.append) for one in told]
        done = await asyncio.gather(*gets)
        assert set(requests.chunks.values()) == {1}
        assert {one.bytes_fetched for one in done} == {sum(done[0].bytes_from.values())}
        assert all(any(one.stage == "chunks" for one in reports) for reports in told)


async def test_a_get_that_comes_later_is_told_how_far_it_is(tmp_path: Path) -> None:
    async with swarm(tmp_path, 2) as ((holder, node), shared):
        ours, theirs = holder.connect(node)
        ours.meddler = holding(ours, 2_000_000)
        first: list[Progress] = []
        gets = [downloading(node, shared.link, theirs, first.append)]
        await until(lambda: any(one.bytes_done for one in first))
        later: list[Progress] = []
        gets.append(downloading(node, shared.link, theirs, later.append))
        await until(lambda: later)
        assert later[0].stage == "chunks"
        go_on(ours)
        await asyncio.gather(*gets)


@pytest.mark.parametrize("cancelled", [0, 1])
async def test_one_that_is_stopped_stops_no_other(tmp_path: Path, cancelled: int) -> None:
    async with swarm(tmp_path, 2) as ((holder, node), shared):
        ours, theirs = holder.connect(node)
        requests = Requests(theirs)
        ours.meddler = holding(ours, 2_000_000)
        told: list[Progress] = []
        gets = [downloading(node, shared.link, theirs, told.append) for _ in range(2)]
        await until(lambda: any(one.bytes_done for one in told))
        gets[cancelled].cancel()
        await asyncio.gather(gets[cancelled], return_exceptions=True)
        go_on(ours)
        await gets[1 - cancelled]
        assert set(requests.chunks.values()) == {1}


async def test_the_last_that_is_stopped_ends_the_fetch_and_keeps_what_came(tmp_path: Path) -> None:
    async with swarm(tmp_path, 2) as ((holder, node), shared):
        ours, theirs = holder.connect(node)
        ours.meddler = holding(ours, 2_000_000)
        told: list[Progress] = []
        gets = [downloading(node, shared.link, theirs, told.append) for _ in range(2)]
        await until(lambda: any(one.bytes_done for one in told))
        for get in gets:
            get.cancel()
        await asyncio.gather(*gets, return_exceptions=True)
        missing = await node.vault.missing(shared.mod_id)
        go_on(ours)
        done = await downloading(node, shared.link, theirs)
        assert done.chunks_fetched == len(missing) < len(done.manifest.addresses)


async def test_each_has_its_own_say_in_size_and_key(tmp_path: Path) -> None:
    async with swarm(tmp_path, 2) as ((holder, node), shared):
        _, theirs = holder.connect(node)
        requests = Requests(theirs)
        wrong = ModLink(shared.mod_id, bytes(32))
        small = downloading(node, shared.link, theirs, bound=SizeBound(1000, agreed=True))
        locked = downloading(node, wrong, theirs)
        whole = downloading(node, shared.link, theirs)
        with pytest.raises(TooLarge):
            await small
        with pytest.raises(BadManifest):
            await locked
        await whole
        assert set(requests.chunks.values()) == {1}


# Room -----------------------------------------------------------------------------------------


class Disks:
    """A double for disks: one for the vault and one for all else, unless they are the same."""

    def __init__(self, vault: Path, *, free: int, same: bool = False) -> None:
        self.free = free
        self._vault = vault
        self._same = same

    def __call__(self, place: Path) -> Disk:
        number = 1 if self._same or place.is_relative_to(self._vault) else 2
        return Disk(number, 100 * MIB, self.free)


def test_claims_count_against_one_another_on_one_disk_alone() -> None:
    disks = Disks(Path("/vault"), free=50 * MIB)
    book = RoomBook(disks)
    first = book.claim(Path("/vault"), 30 * MIB)
    book.claim(Path("/mods"), 40 * MIB)
    with pytest.raises(DiskError, match=r"26\.2 MB are needed.*under way take 31\.5 MB"):
        book.claim(Path("/vault/x"), 25 * MIB)
    first.shrink_to(10 * MIB)
    second = book.claim(Path("/vault"), 25 * MIB)
    with pytest.raises(DiskError):
        book.claim(Path("/vault"), 25 * MIB)
    second.release()
    book.claim(Path("/vault"), 25 * MIB)


def test_a_disk_is_not_filled_to_the_brim() -> None:
    kept = Disk(1, 100 * MIB, 0).kept_free
    assert kept > 0
    book = RoomBook(Disks(Path("/vault"), free=50 * MIB))
    with pytest.raises(DiskError, match="stay free"):
        book.claim(Path("/vault"), 50 * MIB)
    book.claim(Path("/vault"), 50 * MIB - kept)


def test_a_disk_that_tells_nothing_is_not_full() -> None:
    RoomBook(lambda _: Disk(1, None, None)).claim(Path("/x"), 10**15)


@pytest.mark.parametrize("free", [0, 2 * MIB, 4 * MIB])
async def test_no_chunk_is_asked_for_that_the_vaults_disk_has_no_room_for(
    tmp_path: Path, free: int
) -> None:
    async with swarm(tmp_path, 2) as ((holder, node), shared):
        _, theirs = holder.connect(node)
        requests = Requests(theirs)
        book = RoomBook(Disks(node.vault.folder, free=free))
        small = Downloader(node.vault, _environment(node), node.opened, book)
        with pytest.raises(DiskError, match="too full"):
            await downloading(node, shared.link, theirs, downloader=small)
        assert not requests.chunks


async def test_vault_and_files_on_one_disk_need_room_for_both(tmp_path: Path) -> None:
    async with swarm(tmp_path, 2) as ((holder, node), shared):
        _, theirs = holder.connect(node)
        requests = Requests(theirs)
        for same in (True, False):
            disks = Disks(node.vault.folder, free=13 * MIB, same=same)
            book = RoomBook(disks)
            small = Downloader(node.vault, _environment(node), node.opened, book)

            class InRoom(AnyMod):
                async def accept(self, opened: OpenedMod, book: RoomBook = book) -> None:
                    assert opened.contents is not None
                    book.claim(tmp_path / "out", opened.contents.disk_bytes)

            get = small.download(
                shared.link,
                lambda mod_id: node.exchanges.sources(links_to(theirs)(mod_id), Unwatched()),
                taker=InRoom(),
            )
            if same:
                with pytest.raises(DiskError, match="under way take"):
                    await get
                assert not requests.chunks
            else:
                await get


def _environment(node: ContentNode) -> Environment:
    return node.downloader._environment


# Places ---------------------------------------------------------------------------------------


Spoil = Callable[[Path], Path]


def _taken(folder: Path) -> Path:
    (folder / "taken").mkdir()
    (folder / "taken" / "file").write_bytes(b"x")
    return folder / "taken"


def _too_long(folder: Path) -> Path:
    return folder / ("n" * 300)


def _below_a_file(folder: Path) -> Path:
    (folder / "a file").write_bytes(b"")
    return folder / "a file" / "below"


def _hidden_in(folder: Path) -> list[Path]:
    return list(folder.glob(".modswarm*"))


async def test_what_is_wrong_with_a_place_is_told_before_the_first_byte(tmp_path: Path) -> None:
    async with shared_mod(tmp_path, "public", "public") as (_, (getter, holder), link):
        sent = holder.host.sent_bytes
        places: list[tuple[Spoil, type[Exception]]] = [
            (_taken, TargetExists),
            (_too_long, UnsafePath),
            (_below_a_file, TargetExists),
        ]
        for spoil, error in places:
            getting = Getting(getter, link, spoil(tmp_path))
            with pytest.raises(error):
                await getting.result()
            assert not getting.told, "not even a search began"
        assert holder.host.sent_bytes - sent < 20_000
        assert not _hidden_in(tmp_path), "nothing of the trials is left"


async def test_a_place_that_refuses_folders_is_told_before_the_first_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The double is a read-only disk: to root no folder is read-only by its mode."""
    original = os.mkdir

    def refusing(path: object, *arguments: object, **keywords: object) -> None:
        if "read-only" in str(path):
            raise OSError(30, "Read-only file system", str(path))
        original(path, *arguments, **keywords)  # type: ignore[arg-type]

    async with shared_mod(tmp_path, "public", "public") as (_, (getter, _holder), link):
        (tmp_path / "read-only").mkdir()
        monkeypatch.setattr(os, "mkdir", refusing)
        for to in ("out", "new/out"):
            getting = Getting(getter, link, tmp_path / "read-only" / to)
            with pytest.raises(DiskError, match="read-only"):
                await getting.result()
            assert not getting.told


async def test_two_gets_write_two_places_and_no_place_is_written_twice(tmp_path: Path) -> None:
    async with shared_mod(tmp_path, "public", "public") as (_, (getter, holder), link):
        sent = holder.host.sent_bytes
        gets = [Getting(getter, link, tmp_path / name) for name in ("a", "b")]
        await asyncio.sleep(MIDWAY_S)
        for name in ("a", "a/below"):
            again = Getting(getter, link, tmp_path / name)
            with pytest.raises(TargetExists, match="being written already"):
                await again.result()
            assert not again.told
        results = [await one.result() for one in gets]
        size = (tmp_path / "a" / FILE).stat().st_size
        assert (tmp_path / "b" / FILE).stat().st_size == size
        assert holder.host.sent_bytes - sent < 1.2 * size, "all bytes crossed the line once"
        assert {got.bytes_fetched for got, _ in results} == {results[0][0].bytes_fetched}


async def test_a_place_that_is_taken_during_the_work_leaves_the_mod_in_the_vault(
    tmp_path: Path,
) -> None:
    async with shared_mod(tmp_path, "public", "public") as (_, (getter, _holder), link):
        getting = Getting(getter, link, tmp_path / "out")
        await asyncio.sleep(MIDWAY_S)
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "file").write_bytes(b"a person's")
        with pytest.raises(TargetExists) as refused:
            await getting.result()
        assert "in the vault" in "".join(refused.value.__notes__)
        other = Getting(getter, link, tmp_path / "other")
        got, _ = await other.result()
        assert got.bytes_fetched == 0
        assert (tmp_path / "out" / "file").read_bytes() == b"a person's"
