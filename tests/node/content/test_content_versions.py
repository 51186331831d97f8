"""Versions of a mod: each follows the one before, and another folder does so only if asked to."""

import asyncio
import os
import sqlite3
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from node.content.publish.own_lineages import NewestVersion, OwnLineages
from node.content.publish.publisher import PublishedMod
from node.content.vault.stored_mod import Lineage
from node.content.vault.tables.lineage_table import LineageTable
from node.environment import Environment
from node.following.own_versions import OwnVersions
from node.overlay.lineages.heard import HeardLineages
from protocol.content.lineage.export import LineageExport
from protocol.content.manifests.contents import VersionKeys
from protocol.errors import BadInput, DiskError, NameTaken
from protocol.identity import Identity
from tests.node.content.content_nodes import content_node, write_files
from tests.node.content.test_content_publisher import read_mod


def keys_of(shared: PublishedMod) -> VersionKeys:
    assert shared.link.content_key is not None
    return VersionKeys(shared.mod_id, shared.link.content_key)


async def test_each_version_follows_the_one_before(tmp_path: Path) -> None:
    source = write_files(tmp_path / "hats", {"a": b"1"})
    shared: list[PublishedMod] = []
    async with content_node(tmp_path) as node:
        for number in range(3):
            write_files(source, {"a": b"%d" % number})
            shared.append(await node.publisher.publish(source))
    assert [one.version for one in shared] == [1, 2, 3]
    assert len({one.keys.public_key for one in shared}) == 1
    async with content_node(tmp_path) as node:  # also after a restart
        write_files(source, {"a": b"9"})
        shared.append(await node.publisher.publish(source))
        for before, after in zip([None, *shared], shared, strict=False):
            _, contents = await read_mod(node, after.mod_id)
            assert contents.previous == (None if before is None else keys_of(before))
        again = await node.publisher.publish(source)
    assert (again.mod_id, again.version, again.is_new) == (shared[3].mod_id, 4, False)


async def test_a_version_is_made_as_a_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is in the vault is what the next version follows: no two have one number."""
    source = write_files(tmp_path / "hats", {"a": b"1"})
    async with content_node(tmp_path) as node:
        await node.publisher.publish(source)
        write_files(source, {"a": b"2"})

        def fail(*_: object) -> None:
            raise sqlite3.OperationalError("disk I/O error")

        with monkeypatch.context() as patched:
            patched.setattr(LineageTable, "publish", fail)
            with pytest.raises(DiskError):
                await node.publisher.publish(source)
        assert [mod.version for mod in await node.vault.mods()] == [1]
        write_files(source, {"a": b"3"})
        await node.publisher.publish(source)
        assert [mod.version for mod in await node.vault.mods()] == [1, 2]


async def test_a_removed_version_is_the_same_when_it_is_shared_again(tmp_path: Path) -> None:
    source = write_files(tmp_path / "hats", {"a": b"1"})
    async with content_node(tmp_path) as node:
        await node.publisher.publish(source)
        write_files(source, {"a": b"2"})
        second = await node.publisher.publish(source)
        await node.vault.remove_mod(second.mod_id)
        again = await node.publisher.publish(source)
        assert (again.mod_id, again.is_new) == (second.mod_id, False)


async def test_another_folder_continues_a_mod_only_if_a_person_says_so(tmp_path: Path) -> None:
    """Else any other folder called data would replace all followers' files."""
    mine = write_files(tmp_path / "mine" / "data", {"a": b"1"})
    other = write_files(tmp_path / "other" / "data", {"a": b"2"})
    async with content_node(tmp_path) as node:
        first = await node.publisher.publish(mine)
        for name in (None, "data"):
            with pytest.raises(NameTaken, match=f"was shared from {mine}") as told:
                await node.publisher.publish(other, name)
            assert "--as 'data'" in told.value.advice
        apart = await node.publisher.publish(other, "other data")
        assert (apart.version, apart.keys.public_key != first.keys.public_key) == (1, True)
        moved = await node.publisher.publish(other, "data", continues=True)
        assert (moved.version, moved.keys.public_key) == (2, first.keys.public_key)
        with pytest.raises(NameTaken):
            await node.publisher.publish(mine)
        with pytest.raises(BadInput, match="no mod 'hats' was shared"):
            await node.publisher.publish(mine, "hats", continues=True)


async def test_of_two_folders_of_one_name_shared_at_once_one_is_refused(tmp_path: Path) -> None:
    """Whichever comes second must not replace what follows the first."""
    async with content_node(tmp_path) as node:
        for number in range(3):
            mine = write_files(tmp_path / "mine" / f"data{number}", {"a": b"1"})
            other = write_files(tmp_path / "other" / f"data{number}", {"a": b"2"})
            shares = (node.publisher.publish(one) for one in (mine, other))
            told = await asyncio.gather(*shares, return_exceptions=True)
            (shared,) = (one for one in told if isinstance(one, PublishedMod))
            assert shared.version == 1
            assert [type(one) for one in told if one is not shared] == [NameTaken]


async def test_one_folder_shared_twice_at_once_is_one_version(tmp_path: Path) -> None:
    async with content_node(tmp_path) as node:
        for number in range(3):
            source = write_files(tmp_path / f"hats{number}", {"a": b"1"})
            shares = (node.publisher.publish(source) for _ in range(2))
            both = await asyncio.gather(*shares)
            assert {(one.mod_id, one.version) for one in both} == {(both[0].mod_id, 1)}


async def test_a_folder_continues_what_came_of_another_machine_only_if_a_person_says_so(
    tmp_path: Path,
) -> None:
    source = write_files(tmp_path / "hats", {"a": b"1"})
    async with content_node(tmp_path) as node:
        first = await node.publisher.publish(source)
        number, head = first.lineage, keys_of(first)
        await node.vault.record(lambda tables: tables.lineages.publish(number, None, 1, head, None))
        write_files(source, {"a": b"2"})
        with pytest.raises(NameTaken, match="was shared from another machine"):
            await node.publisher.publish(source)
        assert (await node.publisher.publish(source, "hats", continues=True)).version == 2


async def test_an_exported_mod_takes_no_name_that_is_taken_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with content_node(tmp_path) as node:
        vault, recall = node.vault, node.vault.recall

        async def recall_before_a_share(read: Any) -> Any:
            found = await recall(read)
            await vault.record(lambda tables: tables.lineages.add("hats", b"s" * 32))
            return found

        monkeypatch.setattr(vault, "recall", recall_before_a_share)
        lineages: Any = SimpleNamespace(heard=HeardLineages())
        exported = LineageExport("hats", b"t" * 32, b"u" * 32, None)
        with pytest.raises(NameTaken, match="'hats' was shared from this home already"):
            await OwnVersions(vault, lineages).take_over(str(exported))


async def test_a_folder_continues_what_it_was_called(tmp_path: Path) -> None:
    source = write_files(tmp_path / "hats", {"a": b"1"})
    async with content_node(tmp_path) as node:
        await node.publisher.publish(source, "Fine hats")
        write_files(source, {"a": b"2"})
        second = await node.publisher.publish(source)
        assert (second.name, second.version) == ("Fine hats", 2)
        await node.publisher.publish(source, "Finer hats")
        with pytest.raises(BadInput, match="name one with --name: 'Fine hats', 'Finer hats'"):
            await node.publisher.publish(source)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="names are text there")
async def test_a_path_with_bytes_that_are_no_text_is_refused_before_it_is_read(
    tmp_path: Path,
) -> None:
    folder = Path(os.fsdecode(bytes(tmp_path / "m") + b"\xff"))
    for source in (folder, write_files(folder / "hats", {"a": b"1"})):
        async with content_node(tmp_path) as node:
            for name, continues in ((None, False), ("hats", False), ("hats", True)):
                with pytest.raises(BadInput, match=r"m\\xff.* no text") as told:
                    await node.publisher.publish(source, name, continues=continues)
                assert "Rename it" in told.value.advice
            assert await node.vault.mods() == []


async def test_times_are_told_unless_they_shall_not(tmp_path: Path) -> None:
    source = write_files(tmp_path / "hats", {"a": b"1", "b": b"2"})
    for number, path in enumerate("ab"):
        os.utime(source / path, ns=(5, 10**18 + number))
    async with content_node(tmp_path) as node:
        own = replace(Environment(), wall=lambda: 2e9)
        node.publisher._environment = own
        shared = await node.publisher.publish(source)
        _, contents = await read_mod(node, shared.mod_id)
        assert [file.modified_ns for file in contents.files] == [10**18, 10**18 + 1]
        os.utime(source / "a", ns=(5, 10**18 + 7))
        touched = await node.publisher.publish(source)
        assert not touched.is_new, "a touched file alone is no new version"
        write_files(source, {"c": b"3"})
        without = await node.publisher.publish(source, times=False)
        _, contents = await read_mod(node, without.mod_id)
        assert {file.modified_ns for file in contents.files} == {None}


async def test_what_another_machine_made_is_gone_on_from(tmp_path: Path) -> None:
    source = write_files(tmp_path / "hats", {"a": b"1"})
    elsewhere = NewestVersion(6, VersionKeys(b"m" * 32, b"k" * 32))

    async def find_newest(_: Lineage) -> NewestVersion:
        return elsewhere

    async with content_node(tmp_path) as node:
        await node.publisher.publish(source)
        node.publisher._lineages = OwnLineages(
            node.vault, node.publisher._environment, Identity(bytes(32)), 0, find_newest
        )
        write_files(source, {"a": b"2"})
        shared = await node.publisher.publish(source)
        _, contents = await read_mod(node, shared.mod_id)
        assert (shared.version, contents.previous) == (7, elsewhere.keys)
