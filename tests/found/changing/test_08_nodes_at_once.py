"""Two nodes never write one target at once: their hidden folders would be the same."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from node.content.assemble import tree
from node.content.assemble.held_place import HeldPlace
from node.content.hidden_names import lock_of
from node.content.publish.refusals import reason_against
from node.disk import removing
from node.disk.lock import FolderLock
from protocol.errors import TargetExists
from tests.node.content.content_nodes import (
    ContentNode,
    content_node,
    read_files,
    until,
    write_files,
)

FILES = {"a.bin": b"a" * 100_000, "below/b.bin": b"b" * 200_000}


@contextlib.asynccontextmanager
async def two_nodes(folder: Path) -> AsyncIterator[tuple[list[ContentNode], bytes]]:
    """Two nodes that have one mod, each in a vault of its own, and the mod's id."""
    source = write_files(folder / "source", FILES)
    async with contextlib.AsyncExitStack() as stack:
        nodes = []
        for name in ("one", "other"):
            node = await stack.enter_async_context(content_node(folder / name))
            nodes.append(node)
        ids = {(await node.publisher.publish(source, "mod")).mod_id for node in nodes}
        (mod_id,) = ids
        yield nodes, mod_id


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def test_one_of_two_nodes_writes_a_target_and_the_other_is_told(tmp_path: Path) -> None:
    async with two_nodes(tmp_path) as (nodes, mod_id):
        mods = tmp_path / "mods"
        results = await asyncio.gather(
            *(node.assembler.assemble(mod_id, mods / "hats") for node in nodes),
            return_exceptions=True,
        )
        (refusal,) = [one for one in results if isinstance(one, BaseException)]
        assert isinstance(refusal, TargetExists), repr(refusal)
        assert read_files(mods / "hats") == FILES
        assert names_in(mods) == ["hats"]


async def test_a_target_that_another_node_will_write_is_told_before_the_first_byte(
    tmp_path: Path,
) -> None:
    async with two_nodes(tmp_path) as ((one, other), mod_id):
        target = tmp_path / "new" / "mods" / "hats"
        async with one.assembler.claiming(target):
            with pytest.raises(TargetExists, match="by a `get` of another node"):
                async with other.assembler.claiming(target):
                    pytest.fail("two nodes hold one target")
            async with other.assembler.claiming(target.with_name("coats")):
                pass
            assert names_in(target.parent) == [lock_of(target).name]
        assert not (tmp_path / "new").exists(), "what was made for nothing is left"
        async with other.assembler.claiming(target):
            pass
        await other.assembler.assemble(mod_id, target)
        assert names_in(target.parent) == ["hats"]


async def test_a_killed_node_holds_no_target(tmp_path: Path) -> None:
    async with two_nodes(tmp_path) as ((one, _), mod_id):
        lock_of(tmp_path / "hats").write_bytes(b"")  # as it is left
        await one.assembler.assemble(mod_id, tmp_path / "hats")
        assert read_files(tmp_path / "hats") == FILES
        assert not lock_of(tmp_path / "hats").exists()


def test_a_lock_that_its_holder_removes_as_another_takes_it_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "mods" / "hats"
    first = HeldPlace.take(target)
    take = FolderLock.take

    def late(path: Path) -> FolderLock:
        monkeypatch.setattr(FolderLock, "take", take)
        file = path.open("ab")  # as opened before the first let it go, and locked after
        first.release()
        return FolderLock(file, None)

    monkeypatch.setattr(FolderLock, "take", late)
    second = HeldPlace.take(target)
    assert lock_of(target).exists()
    with pytest.raises(TargetExists):
        HeldPlace.take(target)
    second.release()
    assert not lock_of(target).exists()


@pytest.mark.real_loop
async def test_a_get_that_is_stopped_as_it_takes_its_target_leaves_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "new" / "hats"
    begun, stopped, taken = (threading.Event() for _ in range(3))
    take = HeldPlace.take

    def slow(wanted: Path) -> HeldPlace:
        begun.set()
        stopped.wait(10)
        held = take(wanted)
        assert lock_of(target).exists()
        taken.set()
        return held

    async with two_nodes(tmp_path) as ((one, _), _):

        async def claim() -> None:
            async with one.assembler.claiming(target):
                pytest.fail("it was stopped before")

        monkeypatch.setattr(HeldPlace, "take", slow)
        claiming = asyncio.ensure_future(claim())
        await until(begun.is_set)
        claiming.cancel()
        await asyncio.gather(claiming, return_exceptions=True)
        stopped.set()
        await until(taken.is_set)
        await until(lambda: not (tmp_path / "new").exists())


def test_gets_into_one_folder_try_it_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remove = removing.remove_tree
    tried: list[Path] = []

    def nested(probe: Path) -> None:
        if not tried:
            tried.append(probe)
            tree.try_place(tmp_path / "mod")
            assert probe.exists(), "another one's trial removed it"
        remove(probe)

    monkeypatch.setattr(tree, "remove_tree", nested)
    tree.try_place(tmp_path / "mod")
    assert tried
    assert names_in(tmp_path) == []


def test_the_lock_of_a_target_is_not_shared(tmp_path: Path) -> None:
    name = lock_of(tmp_path / "hats").name
    assert reason_against(name, is_folder=False)
    assert reason_against(f"{name}.held", is_folder=False)
    assert not reason_against("a.lock", is_folder=False)
