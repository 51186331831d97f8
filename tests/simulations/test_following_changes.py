"""Folders that are followed are not as they were, and people and their nodes are in a hurry."""

import asyncio
import contextlib
import os
import shutil
import sys
from pathlib import Path

import pytest

from node.answers.follows import FollowStatus
from node.content.targets.outcome import Updated
from node.content.targets.updater import TargetUpdater
from node.content.vault.stored_follow import StoredFollow
from node.following.chain import VersionChain
from protocol.errors import (
    BadInput,
    DiskError,
    DownloadCancelled,
    ModswarmError,
    NotFound,
    TargetChanged,
)
from tests.node.content.content_nodes import AGREED, read_files, write_files
from tests.simulations.following_town import (
    LINKED_S,
    ONE,
    THREE,
    TWO,
    UNLINKED_S,
    Town,
    town,
)


async def test_a_folder_that_is_not_there_or_not_ours_any_more_is_said_and_left(
    tmp_path: Path,
) -> None:
    async with town(tmp_path) as there:
        first = await there.follow_through(ONE)
        moved = there.target.with_name("moved")
        there.target.rename(moved)
        await there.share(TWO)
        await asyncio.sleep(LINKED_S)
        assert there.view.status is FollowStatus.FAILED
        assert "not there any more. Put it back, or end this" in there.view.message
        mods = await there.follower.running_node.sharing.mods()
        assert [mod.mod_id for mod in mods] == [first.mod_id], "it was fetched for nothing"
        there.target.symlink_to(moved)
        await asyncio.sleep(UNLINKED_S)
        assert there.view.status is FollowStatus.FAILED, "no file was changed"
        assert "is a link, and no link is followed. Put it back" in there.view.message
        there.target.unlink()
        with there.publisher.host.running():
            other = write_files(tmp_path / "foreign", {"a": b"foreign", "mine": b"1"})
            foreign = await there.publisher.running_node.sharing.share(other)
        with there.follower.host.running():
            await there.follower.running_node.sharing.get(foreign.link, there.target)
        await asyncio.sleep(UNLINKED_S)
        assert "another mod" in there.view.message
        assert read_files(there.target) == {"a": b"foreign", "mine": b"1"}
        assert read_files(moved) == ONE
        shutil.rmtree(there.target)
        moved.rename(there.target)  # which the vault does not know as version 1 any more


async def test_what_is_followed_anew(tmp_path: Path) -> None:
    """The folder of before goes on, as asked; one that was removed is written again."""
    async with town(tmp_path) as there:
        first = await there.share(ONE)
        key, following = first.lineage.lineage_key, there.follower.running_node.following
        await there.follow(first)
        with there.follower.host.running():
            await following.unfollow(key)
        (there.target / "b").write_bytes(b"mine")
        await there.share(TWO)
        with pytest.raises(TargetChanged):
            await there.follow(first, refuses=True)
        assert (there.target / "b").read_bytes() == b"mine"
        assert following.views() == ()
        shutil.rmtree(there.target)
        await there.follow(first)
        assert read_files(there.target) == TWO
        with there.follower.host.running():
            await following.unfollow(key)
            for mod in await there.follower.running_node.sharing.mods():
                await there.follower.running_node.sharing.remove(mod.mod_id)
        await there.share(THREE)
        await there.share(ONE)
        await there.share(THREE)
        await there.follow(first)  # though the vault does not know any more what it wrote
        assert read_files(there.target) == THREE


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="names are text there")
async def test_a_folder_whose_name_cannot_be_kept_is_refused_before_anything_is_written(
    tmp_path: Path,
) -> None:
    async with town(tmp_path) as there:
        first = await there.share(ONE)
        there.target = Path(os.fsdecode(bytes(tmp_path / "got") + b"\xff")) / "hats"
        with pytest.raises(BadInput, match=r"got\\xff/hats .* no text"):
            await there.follow(first)
        assert not there.target.parent.exists()
        there.target = tmp_path / ("n" * 256)
        with pytest.raises(DiskError, match="too long"):
            await there.follow(first)
        assert await there.follower.running_node.sharing.mods() == ()
        assert there.follower.running_node.following.views() == ()


async def test_two_follows_at_once_and_within_one_another(tmp_path: Path) -> None:
    async with town(tmp_path) as there:
        first = await there.share(ONE)
        told = await asyncio.gather(
            there.follow(first), there.follow(first), return_exceptions=True
        )
        assert [type(one) for one in told].count(BadInput) == 1
        assert len(there.follower.running_node.following._running) == 1
        with there.publisher.host.running():
            other = write_files(tmp_path / "other", {"x": b"1"})
            second = await there.publisher.running_node.sharing.share(other)
        for place in (there.target / "within", there.target.parent):
            there.target = place
            with pytest.raises(BadInput, match="is kept current"):
                await there.follow(second)


@pytest.mark.parametrize("after_s", [0.0, 0.1, 0.2, 0.4])
async def test_unfollowed_or_stopped_in_the_middle(tmp_path: Path, after_s: float) -> None:
    """The folder has one version, and what was forgotten does not come back."""
    before = ONE | {f"file{number}": bytes([number]) * 30_000 for number in range(20)}
    after = TWO | {f"file{number}": bytes([number + 100]) * 30_000 for number in range(20)}
    async with town(tmp_path) as there:
        first = await there.share(before)
        await there.follow(first)
        await there.share(after)
        following, key = there.follower.running_node.following, first.lineage.lineage_key
        await asyncio.sleep(after_s)
        with there.follower.host.running():
            back = asyncio.ensure_future(following.back(key))
            await asyncio.sleep(after_s / 3)
            await following.unfollow(key)
            with contextlib.suppress(ModswarmError):
                await back
        assert read_files(there.target) in (before, after)
        await there.follower.stop()
        await there.follower.start()
        assert there.follower.running_node.following.views() == ()
        await there.follow(first)
        await there.until(after, LINKED_S)
        await there.share(before)
        await asyncio.sleep(after_s)
        await there.follower.stop()
        assert read_files(there.target) in (before, after)
        await there.follower.start()
        await there.until(before, UNLINKED_S)


async def test_unfollowed_while_it_goes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with town(tmp_path) as there:
        first = await there.follow_through(ONE, TWO)
        following, key = there.follower.running_node.following, first.lineage.lineage_key
        real = VersionChain.before

        async def before(self: VersionChain, *arguments: object) -> object:
            await asyncio.sleep(5)
            return await real(self, *arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(VersionChain, "before", before)
        with there.follower.host.running():
            back = asyncio.ensure_future(following.back(key))
            await asyncio.sleep(1)
            await following.unfollow(key)
            with pytest.raises(DownloadCancelled):
                await back
        await there.follower.stop()
        await there.follower.start()
        assert there.follower.running_node.following.views() == ()
        assert read_files(there.target) == TWO


async def test_killed_once_the_folder_was_back(tmp_path: Path) -> None:
    """What the vault says of the follow is older than the folder."""
    async with town(tmp_path) as there:
        first = await there.follow_through(ONE, TWO)
        following, key = there.follower.running_node.following, first.lineage.lineage_key
        stale = following._followers[key].follow
        with there.follower.host.running():
            await following.back(key)
        await restarted_with(there, stale)
        await there.until(TWO, UNLINKED_S)  # as it was not written down that it stays
        await asyncio.sleep(1)
        assert (there.view.status, there.view.version) == (FollowStatus.CURRENT, 2)


@pytest.mark.parametrize("full", ["the targets", "the follows"])
async def test_a_folder_that_is_back_goes_back_no_further_where_the_disk_was_full(
    full: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the folder has is written down last: a person whose command failed asks once more."""
    async with town(tmp_path) as there:
        first = await there.follow_through(ONE, TWO, THREE)
        following, key = there.follower.running_node.following, first.lineage.lineage_key
        with there.follower.host.running(), monkeypatch.context() as patch:
            if full == "the targets":
                real = TargetUpdater.update

                async def update(self: TargetUpdater, *arguments: object) -> Updated:
                    await real(self, *arguments)  # type: ignore[arg-type]
                    raise DiskError("the disk is full")

                patch.setattr(TargetUpdater, "update", update)
                with pytest.raises(DiskError):
                    await following.back(key)
            else:
                follower, puts = following._followers[key], []
                write = follower._put

                async def put(record: bytes | None = None) -> None:
                    puts.append(record)
                    if len(puts) > 2:
                        raise DiskError("the disk is full")
                    await write(record)

                patch.setattr(follower, "_put", put)
                assert (await following.back(key)).follow.version == 2
                assert len(puts) == 3
        assert read_files(there.target) == TWO
        if full == "the targets":
            with there.follower.host.running():
                assert (await following.back(key)).follow.version == 2
        await there.follower.stop()
        await there.follower.start()
        await asyncio.sleep(1)
        assert read_files(there.target) == TWO
        assert (there.view.status, there.view.version) == (FollowStatus.HELD, 2)


async def restarted_with(there: Town, stale: StoredFollow) -> None:
    """The follower starts again, with this in its vault."""
    vault = there.follower.running_node._vault
    await vault.record(lambda tables: tables.follows.put(stale))
    await there.follower.stop()
    await there.follower.start()


async def test_back_from_a_version_that_was_removed(tmp_path: Path) -> None:
    async with town(tmp_path) as there:
        first = await there.follow_through(ONE, TWO)
        node, key = there.follower.running_node, first.lineage.lineage_key
        with there.follower.host.running():
            for mod in await node.sharing.mods():
                await node.sharing.remove(mod.mod_id)
            assert (await node.following.back(key)).follow.version == 1
            assert read_files(there.target) == ONE
            with pytest.raises(NotFound, match="no version before"):
                await node.following.back(key)
        assert (there.view.status, there.view.version) == (FollowStatus.HELD, 1)


async def test_the_first_version_is_kept_too(tmp_path: Path) -> None:
    async with town(tmp_path) as there:
        first = await there.follow_through(ONE)
        await asyncio.sleep(1)
        vault = there.follower.running_node._vault
        (kept,) = await vault.kept()
        assert (kept.mod_id, kept.is_pinned, kept.is_followed) == (first.mod_id, False, True)
        assert not await vault.evict(kept)
        with there.follower.host.running():
            await there.follower.running_node.following.unfollow(first.lineage.lineage_key)
        (kept,) = await vault.kept()
        assert not kept.is_followed
        await asyncio.sleep(60)  # it was served
        (kept,) = await vault.kept()
        assert await vault.evict(kept)


async def test_what_a_person_pinned_stays_through_versions_and_after_the_follow(
    tmp_path: Path,
) -> None:
    async with town(tmp_path) as there:
        first = await there.follow_through(ONE)
        sharing = there.follower.running_node.sharing
        with there.follower.host.running():
            assert await sharing.keeping.pin(first.mod_id, pinned=True)
        shared = []
        for files in (TWO, THREE, ONE):
            shared.append(await there.share(files))
            await there.until(files, LINKED_S)
            await asyncio.sleep(1)
        newest = [one.mod_id for one in shared[1:]]
        assert [one.mod_id for one in await sharing.mods()] == [first.mod_id, *newest]
        with there.follower.host.running():
            await there.follower.running_node.following.unfollow(first.lineage.lineage_key)
        kept = await there.follower.running_node._vault.kept()
        assert [one.is_pinned for one in kept] == [True, False, False]


async def test_what_a_publisher_pinned_stays_where_only_the_last_versions_are_kept(
    tmp_path: Path,
) -> None:
    async with town(tmp_path) as there:
        sharing = there.publisher.running_node.sharing
        shared = [await there.share(files) for files in (ONE, TWO, THREE)]
        with there.publisher.host.running():
            assert await sharing.keeping.pin(shared[0].mod_id, pinned=True)
            await sharing.keep_versions("hats", 1)
            assert [one.version for one in await sharing.mods()] == [1, 3]
            assert await sharing.keeping.pin(shared[0].mod_id, pinned=False)
            await sharing.keep_versions("hats", 1)
            assert [one.version for one in await sharing.mods()] == [3]


async def test_a_publisher_that_follows_itself_goes_on_to_tell_others(tmp_path: Path) -> None:
    async with town(tmp_path) as there:
        first = await there.share(ONE)
        following = there.publisher.running_node.following
        with there.publisher.host.running():
            await following.follow(first.lineage, tmp_path / "copy", bound=AGREED)
            await there.share(TWO)
            await asyncio.sleep(LINKED_S)
            assert read_files(tmp_path / "copy") == TWO
            await following.unfollow(first.lineage.lineage_key)
        kept = there.publisher.running_node.membership.lineages.heard.kept()
        assert kept == [first.lineage.lineage_key]


async def test_a_version_that_was_shared_without_its_record_is_told_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with town(tmp_path) as there:
        await there.follow_through(ONE)
        versions = there.publisher.running_node.sharing.versions
        monkeypatch.setattr(versions, "tell", lambda *_: asyncio.sleep(0, ()))  # killed before it
        await there.share(TWO)
        await asyncio.sleep(LINKED_S)
        assert there.view.newest == 1
        await there.publisher.stop()
        await there.publisher.start()
        await there.until(TWO, UNLINKED_S)


async def test_versions_that_are_shared_at_once_are_told_in_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first of two is slow to be announced: no record of it follows that of the second."""
    async with town(tmp_path) as there:
        await there.follow_through(ONE)
        presence = there.publisher.running_node.membership.presence
        real, pauses = presence.announce, [10.0, 0.0]

        async def announce(mod_id: bytes) -> object:
            await asyncio.sleep(pauses.pop(0))
            return await real(mod_id)

        monkeypatch.setattr(presence, "announce", announce)
        two = asyncio.ensure_future(there.share(TWO))
        await asyncio.sleep(3)
        three = await there.share(THREE)
        await there.until(THREE, LINKED_S)
        assert (await two).version < three.version
        await asyncio.sleep(30)
        assert there.view.newest == three.version
        assert (there.view.status, read_files(there.target)) == (FollowStatus.CURRENT, THREE)


async def test_a_share_without_an_overlay_does_not_hang(tmp_path: Path) -> None:
    async with town(tmp_path) as there:
        await there.share(ONE)
        for node in there.nodes[1:]:
            await node.stop()
        began = there.world.loop.time()
        second = await there.share(TWO)
        assert second.version == 2
        assert there.world.loop.time() - began < 60
        for node in there.nodes[1:]:
            await node.start()
