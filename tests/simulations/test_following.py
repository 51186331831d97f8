"""People follow a mod: their folders have each version soon after it is shared, or say why not."""

import asyncio
from pathlib import Path

import pytest

from node.answers.follows import FollowStatus
from protocol import limits
from protocol.errors import BadInput, NotFound, TargetExists
from tests.node.content.content_nodes import read_files, write_files
from tests.simulations.following_town import (
    LINKED_S,
    ONE,
    THREE,
    TWO,
    UNLINKED_S,
    share_next,
    take_over,
    town,
)


@pytest.mark.parametrize("seed", [1, 2])
async def test_a_new_version_is_there_in_seconds_while_a_link_is_open(
    tmp_path: Path, seed: int
) -> None:
    async with town(tmp_path, seed) as there:
        first = await there.share(ONE)
        view = await there.follow(first)
        assert (view.version, view.name, read_files(there.target)) == (1, "hats", ONE)
        await asyncio.sleep(10)
        assert there.follower.running_node.pool.links()
        second = await there.share(TWO)
        assert (second.version, second.lineage) == (2, first.lineage)
        await there.until(TWO, LINKED_S)
        await asyncio.sleep(1)
        assert (there.view.status, there.view.version, there.view.newest) == (
            FollowStatus.CURRENT,
            2,
            2,
        )


async def test_a_new_version_is_there_in_minutes_without_a_link(tmp_path: Path) -> None:
    """By a poll: the follower is not one of the contacts that keep the record."""
    async with town(tmp_path, seed=4, count=48, k=2) as there:
        await there.follow_through(ONE)
        await asyncio.sleep(60)
        for node in there.nodes:
            for link in node.running_node.pool.links():
                with node.host.running():
                    await link.close("a test")
        await asyncio.sleep(10)
        assert not there.follower.running_node.pool.links()
        await there.share(TWO)
        assert await there.until(TWO, UNLINKED_S) > LINKED_S, "no link told it"


async def test_a_restarted_follower_goes_on_also_from_others_than_the_publisher(
    tmp_path: Path,
) -> None:
    async with town(tmp_path, count=4) as there:
        await there.follow_through(ONE)
        other = there.nodes[2]
        await there.follower.stop()
        second = await there.share(TWO)
        with other.host.running():
            await other.running_node.sharing.get(second.link, tmp_path / "other")
        await there.publisher.stop()
        await there.follower.start()
        await there.until(TWO, UNLINKED_S)
        await there.publisher.start()


async def test_going_back_and_on_again(tmp_path: Path) -> None:
    async with town(tmp_path) as there:
        first = await there.follow_through(ONE)
        following, key = there.follower.running_node.following, first.lineage.lineage_key
        with there.follower.host.running():
            with pytest.raises(NotFound, match="no version before"):
                await following.back(key)
            await there.share(TWO)
            await there.until(TWO, LINKED_S)
            await asyncio.sleep(1)
            change = await following.back(key)
            assert (change.written, change.follow.version) == (1, 1)
            assert read_files(there.target) == ONE
            await there.share(THREE)
            await asyncio.sleep(2 * UNLINKED_S)
            assert read_files(there.target) == ONE
            assert (there.view.status, there.view.newest) == (FollowStatus.HELD, 3)
            await following.resume(key)
            await there.until(THREE, LINKED_S)


async def test_what_grows_beyond_twice_its_size_waits_for_a_yes(tmp_path: Path) -> None:
    large = ONE | {"c": bytes(200_000)}
    async with town(tmp_path) as there:
        first = await there.follow_through(ONE)
        await there.share(large)
        await asyncio.sleep(LINKED_S)
        assert (there.view.status, there.view.waiting_version) == (FollowStatus.ASKS, 2)
        assert "version 2 takes" in there.view.message
        assert read_files(there.target) == ONE
        with there.follower.host.running():
            await there.follower.running_node.following.agree(first.lineage.lineage_key)
        await there.until(large, LINKED_S)


async def test_a_person_s_bound_waits_for_a_yes_too(tmp_path: Path) -> None:
    async with town(tmp_path) as there:
        await there.follow(await there.share(ONE), max_bytes=20_000)
        await there.share(ONE | {"c": bytes(9000)})
        await asyncio.sleep(LINKED_S)
        assert there.view.status is FollowStatus.ASKS


async def test_what_a_person_changed_is_kept_beside_or_stops_the_update(tmp_path: Path) -> None:
    async with town(tmp_path) as there:
        first = await there.follow_through(ONE)
        (there.target / "b").write_bytes(b"mine")
        await there.share(TWO)
        await there.until(TWO | {"b.local": b"mine"}, LINKED_S)
        with there.follower.host.running():
            following = there.follower.running_node.following
            await following.unfollow(first.lineage.lineage_key)
            assert following.views() == ()
            await there.follow(first, refuses=True)  # the folder is that of the same mod
        (there.target / "b").write_bytes(b"mine again")
        await there.share(THREE)
        await asyncio.sleep(LINKED_S)
        assert there.view.status is FollowStatus.CHANGED
        assert "'b'" in there.view.message
        assert (there.target / "b").read_bytes() == b"mine again"


async def test_what_is_not_followed(tmp_path: Path) -> None:
    async with town(tmp_path) as there:
        first = await there.share(ONE)
        write_files(there.target, {"foreign": b"1"})
        with pytest.raises(TargetExists):
            await there.follow(first)
        (there.target / "foreign").unlink()
        await there.follow(first)
        with pytest.raises(BadInput, match="followed already"):
            await there.follow(first)


async def test_the_vault_keeps_two_versions_of_what_is_followed(tmp_path: Path) -> None:
    async with town(tmp_path) as there:
        await there.follow_through(ONE)
        for files in (TWO, THREE, ONE):
            await there.share(files)
            await there.until(files, LINKED_S)
            await asyncio.sleep(1)
        assert len(await there.follower.running_node.sharing.mods()) == limits.VERSIONS_KEPT


async def test_a_follower_that_was_away_has_a_version_as_soon_as_it_is_back(tmp_path: Path) -> None:
    async with town(tmp_path, count=4) as there:
        await there.follow_through(ONE)
        await there.follower.stop()
        await there.share(TWO)
        await there.follower.start()
        await there.until(TWO, 20.0)


async def test_a_version_that_no_peer_had_is_asked_for_again_soon(tmp_path: Path) -> None:
    async with town(tmp_path, count=4) as there:
        await there.follow_through(ONE)
        await there.follower.stop()
        await there.share(TWO)
        await there.publisher.stop()
        await there.follower.start()
        await asyncio.sleep(20.0)
        assert (there.view.status, there.view.newest) == (FollowStatus.WAITING, 2)
        await there.publisher.start()
        await there.until(TWO, 60.0)


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_a_mod_that_two_machines_go_on_with_is_forked_and_all_are_told(
    tmp_path: Path, seed: int
) -> None:
    """And all who follow it go on with the same version."""
    async with town(tmp_path, seed, count=4) as there:
        first = await there.follow_through(ONE)
        other = there.nodes[2]
        source = write_files(tmp_path / "elsewhere" / "hats", TWO)
        taken = await take_over(other, await there.export())
        assert (taken.lineage, taken.version) == (first.lineage.lineage_key, 1)
        write_files(there.source, THREE)
        shared = await asyncio.gather(
            share_next(there.publisher, there.source), share_next(other, source)
        )
        assert [one.version for one in shared] == [2, 2]
        await asyncio.sleep(120)
        for node in (there.publisher, other):
            (view,) = await node.running_node.sharing.versions.views()
            assert view.forked
        assert there.view.forked
        assert there.view.status is FollowStatus.CURRENT
        assert read_files(there.target) in (TWO, THREE)
        write_files(source, {"b": b"after the fork"})
        later = await share_next(other, source)
        assert later.version == 3
        await there.until(ONE | {"b": b"after the fork"}, LINKED_S + 5)


async def test_a_machine_that_takes_a_mod_over_goes_on_after_the_newest_version(
    tmp_path: Path,
) -> None:
    async with town(tmp_path, count=4) as there:
        await there.follow_through(ONE)
        exported = await there.export()
        await there.share(TWO)  # after the export
        other = there.nodes[2]
        source = write_files(tmp_path / "elsewhere" / "hats", THREE)
        await take_over(other, exported)
        shared = await share_next(other, source)
        assert shared.version == 3
        await there.until(THREE, LINKED_S)
        assert not there.view.forked
