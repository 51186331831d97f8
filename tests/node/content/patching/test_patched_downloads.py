"""A follower takes a patch where that is cheaper, and has the exact bytes in any case."""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from node.content.download.downloader import DownloadResult
from node.content.patching import applying, making, patches
from node.content.patching.making import PatchMaking
from node.content.publish import describing
from protocol import limits
from protocol.content.manifests.contents import PatchOffer, VersionKeys
from protocol.content.patching.frame import PatchFrame, Prefix
from protocol.content.patching.part import PatchPart, encode_head, numbers_of
from protocol.content.patching.plan import plan_parts
from protocol.errors import BadFolder, DownloadCancelled
from tests.node.content.content_nodes import links_to, until, write_files
from tests.node.content.patching.followers import Follower, follower, some_versions

BEFORE, AFTER = some_versions()


async def update(one: Follower) -> DownloadResult:
    """The first version comes whole, then the second."""
    await one.get((await one.share(BEFORE)).link)
    second = await one.share(AFTER)
    got = await one.get(second.link)
    assert await one.node.vault.missing(second.mod_id) == []
    assert await one.files(second.mod_id) == AFTER
    return got


def patch_of(got: DownloadResult) -> bytes:
    """The id of the patch that leads to a version."""
    assert got.contents is not None
    (offer,) = got.contents.patches
    return offer.patch.mod_id


async def test_a_follower_updates_by_the_patch(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with follower(tmp_path) as one:
        got = await update(one)
        assert one.asked == [patch_of(got)]
        assert got.bytes_fetched < 20_000
        assert got.chunks_fetched == 1
        assert "0 wrong ones" in caplog.text
        # What was sealed anew is what the publisher sealed: another one gets it from here.
        assert await one.node.vault.served() == await one.publisher.vault.served()


async def test_a_patch_is_a_mod_that_goes_with_its_version(tmp_path: Path) -> None:
    async with follower(tmp_path) as one:
        got = await update(one)
        for node in (one.node, one.publisher):
            stored = await node.vault.mod(patch_of(got))
            assert stored is not None
            assert stored.patch_of is not None
            assert stored.version == 2
            assert await node.vault.remove_mod(got.manifest.mod_id)
            assert [mod.version for mod in await node.vault.mods()] == [1]


async def test_a_share_that_was_broken_off_leaves_no_patch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with follower(tmp_path) as one:
        first = await one.share(BEFORE)

        def broken(*_: object) -> None:
            raise BadFolder("the end")

        with monkeypatch.context() as breaking:
            breaking.setattr("node.content.publish.publisher.with_patch", broken)
            with pytest.raises(BadFolder):
                await one.share(AFTER)
        vault = one.publisher.vault
        assert [mod.patch_of for mod in await vault.mods()] == [None, first.mod_id]
        # The next share of that version is another one, and has no patch.
        second = await one.share({**BEFORE, "more": b"?"})
        assert [mod.mod_id for mod in await vault.mods()] == [first.mod_id, second.mod_id]


async def test_one_who_lacks_the_version_before_takes_no_patch(tmp_path: Path) -> None:
    async with follower(tmp_path) as one:
        first = await one.share(BEFORE)
        second = await one.share(AFTER)
        await one.get(second.link)
        assert one.asked == []
        assert await one.files(second.mod_id) == AFTER
        # It cannot lead back either, and of a part of a base nothing is made.
        await one.get(first.link)
        assert one.asked == []


async def test_a_base_of_another_lineage_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A publisher may not learn, by what is fetched, which mods of others a follower has."""
    async with follower(tmp_path) as one:
        await one.get((await one.share(BEFORE)).link)
        other = await one.publisher.publisher.publish(write_files(tmp_path / "other", BEFORE))
        await one.get(other.link)
        made = PatchOffer
        monkeypatch.setattr(describing, "PatchOffer", lambda base, *rest: made(other.mod_id, *rest))
        second = await one.share(AFTER)
        await one.get(second.link)
        assert one.asked == []
        assert await one.files(second.mod_id) == AFTER


@pytest.mark.parametrize(
    "spoil",
    [
        lambda patch: patch[:-5],
        lambda patch: patch[:30],
        lambda patch: patch + b"more",
        lambda patch: b"no patch at all",
        lambda patch: patch + patch,
    ],
)
async def test_patches_that_are_not_well_formed_cost_a_detour(
    spoil: Callable[[bytes], bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    honest = PatchMaking.pieces

    async def lies(making: PatchMaking) -> AsyncIterator[bytes]:
        yield spoil(b"".join([piece async for piece in honest(making)]))

    monkeypatch.setattr(PatchMaking, "pieces", lies)
    async with follower(tmp_path) as one:
        got = await update(one)
        assert one.asked == [patch_of(got)]
        assert "is of no use" in caplog.text
        assert await one.node.vault.mod(patch_of(got)) is None


@pytest.mark.parametrize("place", [0.2, 0.4, 0.6, 0.8])
async def test_one_wrong_bit_spoils_no_file(
    place: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = PatchMaking.pieces

    async def lies(making: PatchMaking) -> AsyncIterator[bytes]:
        part = b"".join([piece async for piece in honest(making)])
        at = int(len(part) * place)
        yield part[:at] + bytes([part[at] ^ 1]) + part[at + 1 :]

    monkeypatch.setattr(PatchMaking, "pieces", lies)
    async with follower(tmp_path) as one:
        got = await update(one)
        assert got.chunks_fetched >= 2


async def test_a_patch_that_yields_other_bytes_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def lies(making: PatchMaking) -> AsyncIterator[bytes]:
        (planned,) = plan_parts(making._base, making._new)
        size = sum(making._lengths[number] for number in numbers_of(planned.chunks))
        frame = PatchFrame(Prefix(b""), size, 3)
        made = frame.add(bytes(size)) + frame.end()
        making.spared_bytes = 10**6
        yield encode_head(PatchPart((), planned.chunks, len(made))) + made

    monkeypatch.setattr(PatchMaking, "pieces", lies)
    async with follower(tmp_path) as one:
        got = await update(one)
        assert one.asked == [patch_of(got)]
        assert "other bytes" in caplog.text
        assert await one.node.vault.mod(patch_of(got)) is None


async def test_a_patch_that_no_peer_serves_is_not_waited_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with follower(tmp_path) as one:
        await one.get((await one.share(BEFORE)).link)
        second = await one.share(AFTER)
        mods = await one.publisher.vault.mods()
        (patch,) = [mod for mod in mods if mod.patch_of is not None]
        assert await one.publisher.vault.remove_mod(patch.mod_id)
        got = await one.get(second.link)
        assert got.bytes_fetched > 1_000_000
        assert one.asked == [patch.mod_id]
        assert "is of no use" in caplog.text
        assert await one.files(second.mod_id) == AFTER


@pytest.mark.parametrize("what", ["base", "sealed_bytes", "patch"])
async def test_another_mod_in_place_of_a_patch_is_refused(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with follower(tmp_path) as one:
        first = await one.share(BEFORE)
        await one.get(first.link)
        honest = describing._made

        def lying(contents: object, chunks: Iterable[object], *rest: object) -> object:
            rest = (tuple(chunks), *rest)
            made = honest(contents, *rest)  # type: ignore[arg-type]
            if not made.contents.patches:
                return made
            (offer,) = made.contents.patches
            if what == "sealed_bytes":
                offer = replace(offer, sealed_bytes=offer.sealed_bytes - 1)
            elif what == "patch":
                offer = replace(offer, patch=VersionKeys(first.mod_id, b"k" * 32))
            else:
                return made
            return honest(replace(contents, patches=(offer,)), *rest)  # type: ignore[arg-type,type-var]

        monkeypatch.setattr(describing, "_made", lying)
        if what == "base":
            accept = patches.PatchTaker.accept

            async def of_another(taker: patches.PatchTaker, opened: object) -> None:
                taker._offer = replace(taker._offer, base=bytes(32))
                await accept(taker, opened)  # type: ignore[arg-type]

            monkeypatch.setattr(patches.PatchTaker, "accept", of_another)
        second = await one.share(AFTER)
        await one.get(second.link)
        assert "is of no use" in caplog.text
        assert await one.files(second.mod_id) == AFTER


async def test_what_packs_in_another_way_here_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another release of Zstandard: the text's chunks come as chunks, all others by the patch."""
    async with follower(tmp_path) as one:
        await one.get((await one.share(BEFORE)).link)
        second = await one.share(AFTER)
        monkeypatch.setattr("protocol.content.sealing._LEVEL", 1)
        got = await one.get(second.link)
        assert 0 < got.chunks_fetched <= 3
        assert got.bytes_fetched < 100_000
        assert await one.files(second.mod_id) == AFTER


async def test_small_changes_and_wholly_other_files_make_no_patch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = random.Random(5)
    tried: list[int] = []

    def trying(prefix: Prefix, size: int, level: int) -> PatchFrame:
        tried.append(level)
        return PatchFrame(prefix, size, level)

    monkeypatch.setattr(making, "PatchFrame", trying)
    async with follower(tmp_path) as one:
        await one.share({"a": rng.randbytes(500_000), "b": b"x"})
        for files in ({"a": rng.randbytes(500_000), "b": b"x"}, {"b": b"y", "c": b"z" * 400_000}):
            shared = await one.share(files)
            assert shared.version > 1
        assert [mod.patch_of for mod in await one.publisher.vault.mods()] == [None] * 3
        # Other files are tried, at little cost; of a few kilobytes nothing is.
        assert tried == [3]


async def test_there_is_no_patch_of_a_version_that_is_gone(tmp_path: Path) -> None:
    async with follower(tmp_path) as one:
        first = await one.share(BEFORE)
        assert await one.publisher.vault.remove_mod(first.mod_id)
        await one.share(AFTER)
        (second,) = await one.publisher.vault.mods()
        assert second.patch_of is None


@pytest.mark.parametrize("steps", [1, 3, 6])
async def test_an_update_that_is_cancelled_goes_on_from_there(
    steps: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(applying, "_STORED_BYTES", 100_000)
    some, left = applying._some, steps
    async with follower(tmp_path) as one:
        await one.get((await one.share(BEFORE)).link)
        second = await one.share(AFTER)
        lacking = len(await one.node.vault.missing(second.mod_id))

        def cancelling(sealed: Iterator[tuple[int, bytes, bytes]]) -> object:
            nonlocal left
            left -= 1
            if left == 0:
                task.cancel()
            return some(sealed)

        monkeypatch.setattr(applying, "_some", cancelling)
        task = asyncio.ensure_future(one.get(second.link))
        with pytest.raises(asyncio.CancelledError):
            await task
        assert left == 0
        assert len(await one.node.vault.missing(second.mod_id)) > lacking
        got = await one.get(second.link)
        assert got.bytes_fetched < 20_000
        assert await one.files(second.mod_id) == AFTER


async def test_a_version_that_is_removed_meanwhile_leaves_no_patch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with follower(tmp_path) as one:
        await one.get((await one.share(BEFORE)).link)
        second = await one.share(AFTER)
        theirs, ours = one.publisher.connect(one.node)
        find = one.finding(links_to(ours))
        getting = asyncio.ensure_future(
            one.node.downloader.download(
                second.link, find, find_patch=lambda _: one.finding(links_to(forever=True))
            )
        )
        await until(lambda: bool(one.node.downloader._patching))
        assert await one.node.vault.remove_mod(second.mod_id)
        assert await one.node.downloader.removed(second.mod_id)
        with pytest.raises(DownloadCancelled):
            await getting
        assert [mod.version for mod in await one.node.vault.mods()] == [1]
        theirs.cut("over")


def test_what_must_be_spared_is_more_than_a_lookup_costs() -> None:
    assert 10_000 < limits.PATCH_WORTH_BYTES < limits.CHUNK_BYTES_MAX
