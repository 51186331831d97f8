"""Two machines go on with a mod, one of them alone: both are told, however far the other has come.

What is alone here shares while all other nodes are off.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from node.answers.mods import ShareResult
from node.content.publish.publisher import PublishedMod
from node.following.chain import VersionChain
from node.following.own_versions import OwnVersions
from protocol.content.lineage.history import body_of
from protocol.content.link import LineageLink
from protocol.errors import DiskError
from protocol.records import Record
from simulations.residents.whole import WholeResident
from tests.node.content.content_nodes import read_files, write_files
from tests.simulations.following_town import ONE, Town, share_next, take_over, town

HOUR_S = 3600.0
ORIGINS = [(f"https://{name}.example",) for name in "abc"]


class Machines:
    """The publisher and `other` have one lineage's key; a follower has its first version."""

    def __init__(self, there: Town, folder: Path, lineage: bytes) -> None:
        self.there, self.publisher, self.lineage = there, there.publisher, lineage
        self.follower, self.other = there.nodes[1:3]
        self._other_source = folder / "elsewhere" / "hats"

    async def share(
        self, node: WholeResident, text: bytes, origins: tuple[str, ...] | None = None
    ) -> ShareResult:
        place = self._other_source if node is self.other else self.there.source
        folder = write_files(place, ONE | {"b": text})
        return await share_next(node, folder, origins)

    async def share_alone(self, *texts: bytes) -> None:
        """The other machine does, and is off when all others are on again."""
        await self.leave_alone()
        for text in texts:
            await self.share(self.other, text)
        await self.come_back()

    async def leave_alone(self) -> None:
        for node in self.there.nodes:
            if node is not self.other:
                await node.stop()

    async def come_back(self) -> None:
        await self.other.stop()
        for node in self.there.nodes:
            if node is not self.other:
                await node.start()

    def newest(self, node: WholeResident) -> tuple[int, int]:
        """The sequence and the version of the newest record that a node knows."""
        record = self.record(node)
        return record.sequence, body_of(record).version

    def record(self, node: WholeResident) -> Record:
        found = node.running_node.membership.lineages.heard.newest(self.lineage)
        assert found is not None
        return found

    def doubts(self) -> int:
        return len(self.other.running_node.membership.lineages.publisher.doubts())

    async def forked(self) -> list[bool]:
        """As the publisher, the other machine and the follower tell a person of it."""
        told = []
        for node in (self.publisher, self.other):
            (view,) = await node.running_node.sharing.versions.views()
            told.append(view.forked)
        return [*told, self.there.view.forked]


@contextlib.asynccontextmanager
async def machines(folder: Path, seed: int = 1) -> AsyncIterator[Machines]:
    async with town(folder, seed, count=4) as there:
        first = await there.follow_through(ONE)
        both = Machines(there, folder, first.lineage.lineage_key)
        await take_over(both.other, await there.export())
        yield both


@pytest.mark.parametrize("count", [1, 2, 3, 4])
async def test_a_version_that_was_shared_alone_is_told_of_to_both(
    tmp_path: Path, count: int
) -> None:
    """By one record, and all go on with the newest version."""
    async with machines(tmp_path, seed=count) as both:
        await both.share_alone(b"alone")
        for number in range(count):
            await both.share(both.publisher, b"%d" % number)
        await both.other.start()
        await asyncio.sleep(HOUR_S)
        assert await both.forked() == [True, True, True]
        nodes = (both.publisher, both.other, both.follower)
        newest = [both.newest(node) for node in nodes]
        assert newest == [(2 + count, 1 + count)] * 3, "the other machine signed once"
        await asyncio.sleep(4 * HOUR_S)
        assert [both.newest(node) for node in nodes] == newest
        if count > 1:
            assert read_files(both.there.target)["b"] == b"%d" % (count - 1)
        await both.share(both.publisher, b"after the fork")
        await asyncio.sleep(HOUR_S)
        newest = [both.newest(node) for node in nodes]
        # Where the other machine's version was followed, that one tells once that it is no more.
        assert newest in ([(3 + count, 2 + count)] * 3, [(5, 3)] * 3)
        assert count == 1 or newest[0] != (5, 3)
        await asyncio.sleep(2 * HOUR_S)
        assert [both.newest(node) for node in nodes] == newest


@pytest.mark.parametrize("count", [1, 2, 3])
async def test_machines_that_share_in_turn_are_told_of_no_fork(tmp_path: Path, count: int) -> None:
    async with machines(tmp_path) as both:
        await both.share(both.other, b"the other's")
        await both.other.stop()
        for number in range(count):
            await both.share(both.publisher, b"%d" % number)
        await both.other.start()
        await asyncio.sleep(HOUR_S)
        assert await both.forked() == [False, False, False]
        assert both.newest(both.other) == (2 + count, 2 + count), "none signed anything"
        assert not both.doubts()
        again = await both.share(both.other, b"again")
        assert again.version == 3 + count
        await asyncio.sleep(HOUR_S)
        assert await both.forked() == [False, False, False]


async def unknown(both: Machines) -> None:
    """The other machine has heard of the newest record, and no node that is on has its version."""
    await both.share_alone(b"alone")
    for text in (b"1", b"2", b"3"):
        await both.share(both.publisher, text)
    await asyncio.sleep(60)
    await both.follower.stop()
    await both.publisher.stop()
    await both.other.start()
    await asyncio.sleep(HOUR_S)
    assert both.newest(both.other) == (4, 4)
    (view,) = await both.other.running_node.sharing.versions.views()
    assert (view.forked, both.doubts()) == (False, 1)


@pytest.mark.parametrize("restarts", [False, True])
async def test_what_cannot_be_found_out_at_once_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, restarts: bool
) -> None:
    """After pauses that grow: seldom, as each try costs the lookup of a mod."""
    tries: list[Record] = []
    real = VersionChain.goes_on

    async def goes_on(chain: VersionChain, link: LineageLink, newer: Record, older: Record) -> bool:
        tries.append(newer)
        return await real(chain, link, newer, older)

    monkeypatch.setattr(VersionChain, "goes_on", goes_on)
    async with machines(tmp_path) as both:
        await unknown(both)
        assert 2 <= len(tries) <= 9
        if restarts:
            await both.other.stop()
        await both.publisher.start()
        await both.follower.start()
        if restarts:
            await both.other.start()
        await asyncio.sleep(8 * HOUR_S)
        assert await both.forked() == [True, True, True]
        assert both.newest(both.publisher) == (5, 4)


async def test_what_is_shared_meanwhile_goes_on_after_the_newest_and_hides_no_fork(
    tmp_path: Path,
) -> None:
    async with machines(tmp_path) as both:
        await unknown(both)
        shared = await both.share(both.other, b"meanwhile")
        assert shared.version == 5
        assert both.newest(both.other) == (5, 5)
        await both.other.stop()
        await both.other.start()
        await asyncio.sleep(1.5 * HOUR_S)
        assert both.doubts() == 1
        await both.publisher.start()
        await both.follower.start()
        await asyncio.sleep(8 * HOUR_S)
        assert await both.forked() == [True, True, True]
        assert both.newest(both.publisher) == (6, 5)
        assert read_files(both.there.target)["b"] == b"meanwhile"


@pytest.mark.parametrize("fails_again", [False, True])
async def test_a_version_whose_record_was_not_signed_yet_is_told_of_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, fails_again: bool
) -> None:
    """Its machine was killed, or its disk was full."""

    async def tell(*_: object) -> tuple[str, ...]:
        raise DiskError("the disk is full")

    async with machines(tmp_path) as both:
        await both.leave_alone()
        with monkeypatch.context() as patched:
            patched.setattr(OwnVersions, "_tell", tell)
            with pytest.raises(DiskError):
                await both.share(both.other, b"alone")
        await both.come_back()
        for text in (b"1", b"2", b"3"):
            await both.share(both.publisher, text)
        if fails_again:
            monkeypatch.setattr(OwnVersions, "_tell", tell)
        await both.other.start()
        await asyncio.sleep(HOUR_S)
        assert await both.forked() == [True, True, True]
        assert both.newest(both.publisher) == (5, 4)


async def test_a_version_that_was_overtaken_while_it_was_made_is_told_of_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No record names it, as none may follow that of a higher version."""
    real, made = OwnVersions.tell, []

    async def tell(
        versions: OwnVersions, shared: PublishedMod, origins: tuple[str, ...] | None = None
    ) -> tuple[str, ...]:
        made.append(shared.version)
        if len(made) == 1:
            for text in (b"1", b"2"):
                await both.share(both.publisher, text)
            await asyncio.sleep(60)
        return await real(versions, shared, origins)

    async with machines(tmp_path) as both:
        monkeypatch.setattr(OwnVersions, "tell", tell)
        assert (await both.share(both.other, b"alone")).version == 2
        assert made == [2, 2, 3]
        assert both.newest(both.other) == (3, 3)
        await asyncio.sleep(HOUR_S)
        assert await both.forked() == [True, True, True]
        assert both.newest(both.publisher) == (4, 3)


@pytest.mark.parametrize("has_forked", [False, True])
async def test_a_higher_version_that_later_records_hide_is_said_again(
    tmp_path: Path, *, has_forked: bool
) -> None:
    """The publisher has only named other origins since, of its own next version or of none."""
    async with machines(tmp_path) as both:
        await both.share_alone(b"alone", b"alone, and again")
        text = b"the publisher's" if has_forked else ONE["b"]
        for origins in (*ORIGINS, *ORIGINS):
            await both.share(both.publisher, text, origins)
        await both.other.start()
        await asyncio.sleep(HOUR_S)
        assert await both.forked() == [has_forked] * 3
        assert both.newest(both.publisher)[1] == both.newest(both.follower)[1] == 3
        assert read_files(both.there.target)["b"] == b"alone, and again"


@pytest.mark.parametrize("restarts", [False, True])
async def test_an_export_of_newer_versions_hides_none_that_was_shared_here(
    tmp_path: Path, *, restarts: bool
) -> None:
    async with machines(tmp_path) as both:
        await both.share_alone(b"alone")
        for text in (b"1", b"2", b"3"):
            await both.share(both.publisher, text)
        exported = await both.there.export()
        await both.leave_alone()
        await both.other.start()
        assert (await take_over(both.other, exported)).version == 4
        if restarts:
            await both.come_back()
            await both.other.start()
        else:
            for node in both.there.nodes:
                if node is not both.other:
                    await node.start()
        await asyncio.sleep(2 * HOUR_S)
        assert await both.forked() == [True, True, True]
