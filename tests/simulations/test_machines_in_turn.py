"""Two machines share a mod in turn, and each goes on after the other, also where it is alone."""

import asyncio
from pathlib import Path

import pytest

from node.content.vault.stored_mod import Lineage
from node.content.vault.tables.lineage_table import LineageTable
from protocol import limits
from protocol.content.lineage import history
from protocol.content.lineage.history import Seen, body_of, hash_of
from protocol.records import Record
from tests.node.content.content_nodes import read_files, write_files
from tests.simulations.following_town import ONE, THREE, TWO, Town, share_next, take_over, town


async def test_a_machine_that_is_alone_after_a_restart_goes_on_after_what_it_heard(
    tmp_path: Path,
) -> None:
    """It has heard of a version of the other machine before: to share another one would fork."""
    async with town(tmp_path, count=3) as there:
        first = await there.share(ONE)
        lineage = first.lineage.lineage_key
        other = there.nodes[1]
        source = write_files(tmp_path / "elsewhere" / "hats", TWO)
        await take_over(other, await there.export())
        second = await share_next(other, source)
        with there.publisher.host.running():
            node = there.publisher.running_node
            found = await node.following.versions(first.lineage)
        assert [one.version for one in found.versions] == [2, 1]
        await asyncio.sleep(1)
        for one in there.nodes:
            await one.stop()
        await there.publisher.start()
        third = await there.share(THREE)
        assert (second.version, third.version) == (2, 3)
        heard = there.publisher.running_node.membership.lineages.heard
        seen = heard.seen(lineage)
        assert seen is not None
        assert not seen.told


async def lineage_of(there: Town) -> tuple[Lineage, Record]:
    """The publisher's, and the record that is written down."""
    vault = there.publisher.running_node._vault
    (lineage,) = await vault.recall(lambda tables: tables.lineages.every())
    raw, _ = await vault.recall(lambda tables: tables.lineages.records(lineage.number))
    assert raw is not None
    return lineage, history.recalled(raw)


async def other_machines(there: Town) -> Record:
    """What another machine signed after the first record; hardly any other one supersedes it."""
    lineage, first = await lineage_of(there)
    found = (
        history.renewed(lineage.keys.identity, first, now=first.issued - number)
        for number in range(1, 4000)
    )
    return next(one for one in found if hash_of(one)[0] == 0)


@pytest.mark.parametrize("told", [0, limits.LINEAGE_FORKS_TOLD])
async def test_a_version_is_followed_though_its_record_lost_to_one_that_did_not_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: int
) -> None:
    """Else the same sequence is signed again and again, and no follower gets what is shared."""
    async with town(tmp_path) as there:
        first = await there.share(ONE)
        other = await other_machines(there)
        heard = there.publisher.running_node.membership.lineages.heard
        seen = Seen(2, hash_of(other), body_of(other).previous, bytes(16 * told))
        heard.restore([(first.lineage.lineage_key, seen)])
        written: list[int] = []
        real = LineageTable.keep_records

        def keep_records(table: LineageTable, number: int, raw: bytes, vouched: bytes) -> None:
            written.append(history.recalled(raw).sequence)
            real(table, number, raw, vouched)

        monkeypatch.setattr(LineageTable, "keep_records", keep_records)
        second = await there.share(TWO)
        await asyncio.sleep(30)
        assert written == [2, 3], "after a kill in between, 2 would be signed again"
        _, saved = await lineage_of(there)
        newest = heard.newest(first.lineage.lineage_key)
        assert newest is not None
        assert saved.raw == newest.raw
        assert (newest.sequence, body_of(newest).version) == (3, 2)
        assert body_of(newest).previous != hash_of(other), "the fork is hidden"
        with there.publisher.host.running():
            heard.hear(other)  # it says version 1, and is older now
        assert heard.newest(first.lineage.lineage_key) is newest
        await there.follow(second)
        assert there.view.newest == 2
        assert read_files(there.target) == TWO


async def test_a_record_that_lost_is_said_again_after_a_kill_too(tmp_path: Path) -> None:
    async with town(tmp_path) as there:
        first = await there.share(ONE)
        lineage = first.lineage.lineage_key
        other = await other_machines(there)
        await there.share(TWO)
        _, saved = await lineage_of(there)
        seen = Seen(other.sequence, hash_of(other), body_of(other).previous)
        vault = there.publisher.running_node._vault
        await asyncio.sleep(10)  # what was seen is written down
        await vault.record(lambda tables: tables.heard.change({lineage: seen}, 0.0))
        for one in there.nodes:
            await one.stop()
        for one in there.nodes:
            await one.start()
        await asyncio.sleep(60)
        _, again = await lineage_of(there)
        assert (saved.sequence, again.sequence) == (2, 3)
        assert body_of(again).previous == hash_of(saved)
        assert body_of(again).version == 2
