"""Followers meet publishers that lie, and records of what does not come."""

import asyncio
import logging
from pathlib import Path

import pytest

from node.answers.follows import FollowStatus
from node.following.chain import VersionChain
from protocol.content.lineage import history
from protocol.content.lineage.body import wrapped_content_key
from protocol.content.lineage.keys import LineageKeys
from protocol.errors import BadInput
from protocol.records import Record
from tests.node.content.content_nodes import read_files, write_files
from tests.simulations.following_town import (
    LINKED_S,
    ONE,
    THREE,
    TWO,
    UNLINKED_S,
    Town,
    town,
)

SEEDS = [1, 2]


class Liar:
    """Signs with a publisher's key what it never shared."""

    def __init__(self, there: Town, lineage: bytes) -> None:
        self._there = there
        self._lineage = lineage

    async def _keys(self) -> LineageKeys:
        vault = self._there.publisher.running_node._vault
        every = await vault.recall(lambda tables: tables.lineages.every())
        (keys,) = [one.keys for one in every if one.keys.public_key == self._lineage]
        return keys

    async def sign(self, version: int, mod_id: bytes, content_key: bytes = bytes(32)) -> None:
        """Store a record that names this, and tell it to followers."""
        keys = await self._keys()
        with self._there.publisher.host.running():
            await self._there.publisher.running_node.membership.lineages.publisher.publish(
                self._lineage,
                mod_id=mod_id,
                version=version,
                wrapped_key=wrapped_content_key(content_key, keys.reading_key, mod_id),
            )

    async def record(self, version: int, mod_id: bytes) -> Record:
        """The record after the newest one, which is kept back."""
        keys, node = await self._keys(), self._there.publisher.running_node
        return history.next_record(
            keys.identity,
            node.membership.lineages.heard.newest(self._lineage),
            mod_id=mod_id,
            version=version,
            wrapped_key=wrapped_content_key(bytes(32), keys.reading_key, mod_id),
            now=node.environment.wall(),
        )


def count_looks(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """When followers looked for a version that a record names."""
    looks, real = list[float](), VersionChain.open_named

    async def open_named(self: VersionChain, *arguments: object) -> object:
        looks.append(asyncio.get_running_loop().time())
        return await real(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(VersionChain, "open_named", open_named)
    return looks


@pytest.mark.parametrize("seed", SEEDS)
async def test_records_of_what_no_peer_has_are_no_hammer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, seed: int
) -> None:
    """However many are signed, of one mod or of many; and the next good version comes soon."""
    async with town(tmp_path, seed) as there:
        first = await there.follow_through(ONE)
        await asyncio.sleep(10)
        liar, looks = Liar(there, first.lineage.lineage_key), count_looks(monkeypatch)
        with caplog.at_level(logging.WARNING):
            for number in range(60):
                await liar.sign(2 + number // 30, bytes([number // 30]) * 32)
                await asyncio.sleep(1)
        assert len(looks) <= 6
        assert sum("brought up to date" in one.message for one in caplog.records) <= 2
        assert read_files(there.target) == ONE
        assert there.view.status is FollowStatus.WAITING
        assert there.view.message
        await asyncio.sleep(120)
        assert (await there.share(TWO)).version > 3
        await there.until(TWO, LINKED_S)


@pytest.mark.parametrize("seed", SEEDS)
async def test_records_that_name_what_is_not_the_next_version(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, seed: int
) -> None:
    """Each is said, and logged once, however often it is tried again."""
    async with town(tmp_path, seed) as there:
        first = await there.share(ONE)
        with there.publisher.host.running():
            other = write_files(tmp_path / "foreign", {"foreign": b"1"})
            foreign = await there.publisher.running_node.sharing.share(other)
        await there.follow(first)
        await there.share(TWO)
        await there.until(TWO, LINKED_S)
        await asyncio.sleep(2)
        liar = Liar(there, first.lineage.lineage_key)
        for version, named, said in (
            (3, foreign.link, "another lineage"),
            (4, first.link, "calls version 1 another one"),
            (1, first.link, "now names version 1 the newest"),
        ):
            assert named.content_key is not None
            await liar.sign(version, named.mod_id, named.content_key)
            await asyncio.sleep(UNLINKED_S)
            assert said in there.view.message
            assert sum(said in one.getMessage() for one in caplog.records) == 1
            assert there.view.status is FollowStatus.FAILED
            assert read_files(there.target) == TWO
        await there.share(THREE)
        await there.until(THREE, LINKED_S)


async def test_a_newer_version_is_not_kept_waiting_by_one_that_does_not_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with town(tmp_path) as there:
        await there.follow_through(ONE)
        await asyncio.sleep(10)
        hung, real = list[int](), VersionChain.open_named

        async def open_named(
            self: VersionChain, link: object, record: Record, *later: object
        ) -> object:
            if history.body_of(record).version == 2:
                hung.append(1)
                await asyncio.sleep(10_000)
            return await real(self, link, record, *later)  # type: ignore[arg-type]

        monkeypatch.setattr(VersionChain, "open_named", open_named)
        await there.share(TWO)
        await asyncio.sleep(10)
        assert hung
        await there.share(THREE)
        await there.until(THREE, LINKED_S)


async def test_a_yes_is_for_the_version_that_was_shown(tmp_path: Path) -> None:
    large = ONE | {"c": bytes(200_000)}
    async with town(tmp_path) as there:
        first = await there.follow_through(ONE)
        following, key = there.follower.running_node.following, first.lineage.lineage_key
        with there.follower.host.running(), pytest.raises(BadInput, match="no version waits"):
            await following.agree(key)
        shown = await there.share(large)
        await asyncio.sleep(LINKED_S)
        assert there.view.waiting_version == 2
        liar = Liar(there, key)
        with there.follower.host.running():
            heard = there.follower.running_node.membership.lineages.heard
            heard.hear(await liar.record(3, bytes(32)))
            await following.agree(key)
        assert following._followers[key].follow.allowed == shown.mod_id
        await asyncio.sleep(LINKED_S)
        assert read_files(there.target) == ONE
