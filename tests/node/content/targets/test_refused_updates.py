"""What the system refuses at any point: the target has one version or the other, as a whole."""

import contextlib
import errno
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from node.content.assemble.claims import TargetClaims
from node.content.progress import Progress
from node.content.room import Disk, RoomBook
from node.content.targets.outcome import ChangedFiles
from node.content.targets.staging import Staging
from node.content.targets.updater import TargetUpdater
from protocol.errors import (
    ChunkMismatch,
    DiskError,
    LocalError,
    NotFound,
    TargetBusy,
    TargetExists,
    TargetGone,
)
from tests.node.content.targets.target_worlds import (
    MINE,
    ONE,
    TWO,
    TargetWorld,
    target_world,
    tree_of,
    tree_with,
)

CALLS = {
    "os": ("rename", "mkdir", "rmdir", "unlink", "utime", "fsync"),
    "node.content.targets.target_tree": ("move_new",),
}
CODES = (errno.EIO, errno.EACCES, errno.ENOSPC, errno.EBUSY, errno.EPERM)


class Refusing:
    """Refuses the n-th call that changes names, and with `sticky` all that come after it."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.code = 0
        self.at = 0
        self.sticky = False
        self.count = 0
        for module, names in CALLS.items():
            for name in names:
                target: Any = os if module == "os" else __import__(module, fromlist=[name])
                patch.setattr(target, name, self._wrapped(getattr(target, name)))

    def start(self, at: int, code: int, *, sticky: bool = False) -> None:
        self.at, self.code, self.sticky, self.count = at, code, sticky, 0

    def stop(self) -> bool:
        """Refuse nothing more; whether anything was refused."""
        hit, self.at = 0 < self.at <= self.count, 0
        return hit

    def _wrapped(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **keywords: Any) -> Any:
            self.count += 1
            if self.at and (self.count == self.at or (self.sticky and self.count > self.at)):
                raise OSError(self.code, os.strerror(self.code), arguments[0])
            return real(*arguments, **keywords)

        return call


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> Refusing:
    return Refusing(monkeypatch)


async def now_at(world: TargetWorld) -> int:
    """Which version is there, as a whole and as the vault has it."""
    found = tree_of(world.target)
    versions = {1: tree_with(ONE), 2: tree_with(TWO)}
    number = next((number for number, tree in versions.items() if tree == found), 0)
    assert number, f"between two versions: {sorted(found)}"
    assert await world.mod_id() == world.versions[number].manifest.mod_id
    return number


async def test_any_one_refusal(tmp_path: Path, refusing: Refusing) -> None:
    async with target_world(tmp_path) as world:
        refused, number, at = 0, 1, 1
        while True:
            refusing.start(at, CODES[at % len(CODES)])
            try:
                await world.update(3 - number)
            except LocalError:
                refused += 1
                assert refusing.stop()
                assert await now_at(world) == number, "refused, and there all the same"
            else:
                if not refusing.stop():
                    break
                number = await now_at(world)
            await world.updater.recover()
            assert not Staging(world.target).root.exists()
            at += 1
        assert refused > 20
        assert at > 60


async def test_a_disk_that_refuses_all_from_some_point_on(
    tmp_path: Path, refusing: Refusing
) -> None:
    async with target_world(tmp_path) as world:
        number, pending = 1, 0
        for at in range(1, 90):
            refusing.start(at, errno.EROFS, sticky=True)
            with contextlib.suppress(LocalError):
                await world.update(3 - number)
            if not refusing.stop():
                break
            state = await world.updater.state_of(world.target)
            assert state is not None
            pending += state.pending
            await world.updater.recover()
            number = await now_at(world)
            assert not Staging(world.target).root.exists()
        assert at > 60
        assert pending > 20


async def test_a_file_that_a_program_holds_is_said_and_waited_for(tmp_path: Path) -> None:
    held = {"maps/big"}

    def is_held(place: Path) -> bool:
        return place.relative_to(tmp_path / "out").as_posix() in held

    async with target_world(tmp_path, held_open=is_held) as world:
        with pytest.raises(TargetBusy, match=r"another program uses files of .*maps/big"):
            await world.update(2)
        assert await now_at(world) == 1
        assert world.left_beside() == []
        held.clear()
        await world.update(2)
        assert await now_at(world) == 2


async def test_a_folder_that_may_not_be_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with target_world(tmp_path) as world:
        monkeypatch.setattr(
            "node.content.targets.target_tree.TargetTree.may_change",
            lambda _, folder: folder != "maps",
        )
        with pytest.raises(DiskError, match=r"cannot change .*maps: this user may not"):
            await world.update(2)
        assert await now_at(world) == 1


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write anywhere")
async def test_a_folder_that_is_read_only(tmp_path: Path) -> None:
    async with target_world(tmp_path) as world:
        (world.target / "maps").chmod(0o555)
        try:
            with pytest.raises(DiskError, match=r"cannot change .*maps: this user may not"):
                await world.update(2)
        finally:
            (world.target / "maps").chmod(0o755)
        assert await now_at(world) == 1


async def test_a_disk_with_too_little_room(tmp_path: Path) -> None:
    async with target_world(tmp_path) as world:
        room = RoomBook(look=lambda _: Disk(1, 10**9, 10**5))
        updater = TargetUpdater(world.node.vault, world.node.claims, room)
        with pytest.raises(DiskError, match="is too full"):
            await updater.update(world.versions[2], world.target)
        assert await now_at(world) == 1
        assert world.left_beside() == []
        await updater.close()


async def test_one_at_a_time(tmp_path: Path) -> None:
    async with target_world(tmp_path) as world:
        async with TargetClaims().claiming(world.target):  # as another node does
            with pytest.raises(TargetExists, match="by a `get` of another node"):
                await world.update(2)
        async with world.node.claims.claiming(world.target):
            with pytest.raises(TargetExists, match="is being written already"):
                await world.update(2)
            with pytest.raises(TargetExists, match="exists and is not an empty folder"):
                await world.node.assembler.assemble(world.versions[2].manifest.mod_id, world.target)
        assert await now_at(world) == 1


async def test_what_is_no_target(tmp_path: Path) -> None:
    async with target_world(tmp_path) as world:
        (tmp_path / "foreign").mkdir()
        with pytest.raises(TargetExists, match="is no folder that modswarm wrote"):
            await world.updater.update(world.versions[2], tmp_path / "foreign")
        world.target.rename(tmp_path / "moved")
        with pytest.raises(TargetGone, match="is not there any more"):
            await world.update(2)
        (tmp_path / "moved").rename(world.target)
        assert await world.updater.forget(world.target)
        assert await world.updater.state_of(world.target) is None
        with pytest.raises(TargetExists, match="is no folder that modswarm wrote"):
            await world.update(2)
        assert tree_of(world.target) == tree_with(ONE)


async def test_a_vault_that_lacks_some_of_the_mod(tmp_path: Path) -> None:
    async with target_world(tmp_path) as world:
        await world.node.vault.remove_mod(world.versions[2].manifest.mod_id)
        with pytest.raises(NotFound, match="the vault lacks"):
            await world.update(2)
        assert await now_at(world) == 1
        assert world.left_beside() == []


async def test_a_mod_that_is_not_what_its_publisher_says(tmp_path: Path) -> None:
    async with target_world(tmp_path) as world:
        opened = world.versions[2]
        contents = opened.contents
        assert contents is not None
        files = tuple(
            replace(file, sha256=bytes(32)) if file.path == "maps/big" else file
            for file in contents.files
        )
        world.versions[3] = opened._replace(contents=replace(contents, files=files))
        with pytest.raises(ChunkMismatch, match="'maps/big' is not what its publisher says"):
            await world.update(3)
        assert await now_at(world) == 1
        assert world.left_beside() == []


async def test_the_old_version_may_be_gone_from_the_vault(tmp_path: Path) -> None:
    async with target_world(tmp_path) as world:
        (world.target / "gone.txt").write_bytes(MINE)
        await world.node.vault.remove_mod(world.versions[1].manifest.mod_id)
        await world.update(2)
        assert tree_of(world.target) == tree_with({**TWO, "gone.txt.local": MINE})


async def test_an_update_that_is_ended_before_it_begins(tmp_path: Path) -> None:
    async with target_world(tmp_path) as world:

        def end(_: Progress) -> None:
            for stop in world.updater._running.values():
                stop.set()

        with pytest.raises(LocalError, match="ended before it began"):
            await world.updater.update(world.versions[2], world.target, ChangedFiles.KEEP, end)
        assert await now_at(world) == 1
        assert world.left_beside() == []


@pytest.mark.parametrize("how", ["forged", "cut", "gone"])
async def test_a_plan_that_the_vault_does_not_know_is_not_carried_out(
    how: str, tmp_path: Path, refusing: Refusing
) -> None:
    async with target_world(tmp_path) as world:
        for at in range(40, 90):
            refusing.start(at, errno.EROFS, sticky=True)
            with contextlib.suppress(LocalError):
                await world.update(2)
            refusing.stop()
            state = await world.updater.state_of(world.target)
            if state is not None and state.pending:
                break
        else:
            pytest.fail("nothing was left between two versions")
        plan = Staging(world.target).plan
        data = plan.read_bytes()
        if how == "gone":
            plan.unlink()
        else:
            plan.write_bytes(data + b"x" if how == "forged" else data[:-1])
        before = tree_of(world.target)
        await world.updater.recover()
        assert tree_of(world.target) == before
        await world.update(2)
        assert await now_at(world) == 2
        assert world.left_beside() == []


async def test_a_name_that_is_too_long_for_the_disk_is_told(tmp_path: Path) -> None:
    async with target_world(tmp_path) as world:
        with pytest.raises(DiskError, match="too long"):
            await world.updater.update(world.versions[2], tmp_path / ("x" * 256))
