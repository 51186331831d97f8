"""A full disk: deleting and starting always work, and nothing that was there is lost.

Real disks of some megabytes are filled to the last byte and the last file by another program, also
while the vault is open and between any two steps.
"""

import errno
import itertools
import logging
import os
import random
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from node.content.vault.index import Index, Unneeded
from node.content.vault.store import Store
from node.content.vault.tables.mod_table import ModTable
from node.content.vault.vault import Vault
from node.disk.reserve import Reserve, kept_free
from node.environment import Environment
from node.faces.log import log_to_file
from node.home import Home
from node.links.secure.certificate import load_or_create
from protocol import limits
from protocol.errors import DiskError
from tests.found.changing import full_disk
from tests.found.changing.disks import EXT4_16, TMPFS_4, TMPFS_50, Disk, fill, is_full, mounted
from tests.found.changing.full_disk import add, has, remove, start, stop

ROOT = Path(__file__).parents[3]
COUNT = 20


@pytest.fixture(params=[TMPFS_4, TMPFS_50, EXT4_16], ids=lambda disk: f"{disk[0]}-{disk[1]}MB")
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    kind: Disk = request.param
    with mounted(kind, tmp_path / "disk") as folder:
        yield folder


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    with mounted(TMPFS_4, tmp_path / "disk") as folder:
        yield folder


def packs_of(home: Path) -> int:
    return sum(file.stat().st_size for file in (home / "vault" / "packs").iterdir())


def test_removing_stopping_and_starting_work_on_a_full_disk(disk: Path) -> None:
    home = disk / "home"
    opened = start(home)
    for number in range(4):
        add(opened[1], number, COUNT)
    fill(disk)
    assert is_full(disk)
    with pytest.raises(DiskError, match="is full"):
        add(opened[1], 9, COUNT)
    assert [has(opened[1], number, COUNT) for number in range(4)] == [True] * 4
    for gone in range(4):
        remove(opened[1], gone)
        fill(disk)
        stop(opened)
        fill(disk)
        opened = start(home)
        kept = [has(opened[1], number, COUNT) for number in range(4)]
        assert kept == [number > gone for number in range(4)]
        fill(disk)
    assert packs_of(home) == 0
    stop(opened)


def test_all_are_removed_at_once_and_the_room_is_back(disk: Path) -> None:
    opened = start(disk / "home")
    for number in range(4):
        add(opened[1], number, COUNT)
    fill(disk)
    for number in range(4):
        remove(opened[1], number)
    assert packs_of(disk / "home") == 0
    assert not is_full(disk) or not os.statvfs(disk).f_ffree
    stop(opened)


def test_the_room_of_a_mod_between_others_comes_back_without_any_room(small: Path) -> None:
    opened = start(small / "home")
    for number, count in enumerate((30, 5, 40, 5)):
        add(opened[1], number, count)
    before = packs_of(small / "home")
    fill(small)
    remove(opened[1], 0)
    remove(opened[1], 2)
    assert packs_of(small / "home") < before / 4
    assert has(opened[1], 1, 5)
    assert has(opened[1], 3, 5)
    stop(opened)


@pytest.mark.parametrize("step", [1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 18, 22])
def test_killed_at_any_step_on_a_full_disk(step: int, small: Path) -> None:
    home = small / "home"
    opened = start(home)
    for number in range(3):
        add(opened[1], number, COUNT)
    stop(opened)
    fill(small)
    command = [sys.executable, "-m", "tests.found.changing.full_disk", str(home), str(step)]
    died = subprocess.run(command, cwd=ROOT, check=False)
    assert died.returncode in {0, full_disk.KILLED}
    fill(small)
    opened = start(home)
    there = [has(opened[1], number, COUNT) for number in range(3)]
    assert there in ([True, True, True], [False, True, True], [False, False, True])
    for number in range(3):
        if there[number]:
            remove(opened[1], number)
    assert opened[1].mods() == []
    stop(opened)


@pytest.mark.parametrize("seed", range(6))
def test_nothing_is_lost_whatever_happens_in_which_order(seed: int, small: Path) -> None:
    rng, home = random.Random(seed), small / "home"
    opened, there, others = start(home), set[int](), small / "others"
    for number in range(40):
        step = rng.choice(("add", "add", "remove", "again", "fill", "free"))
        if step == "add":
            try:
                add(opened[1], number, rng.randrange(1, 10))
                there.add(number)
            except DiskError:
                assert not has_any(opened[1], number)
        elif step == "remove" and there:
            remove(opened[1], there.pop())
        elif step == "again":
            stop(opened)
            opened = start(home)
        elif step == "fill":
            fill(small)
        elif others.exists():
            for file in others.iterdir():
                file.unlink()
        assert {mod.mod_id for mod in opened[1].mods()} == set(map(full_disk.mod_id, there))
        assert not opened[1].incomplete()
    stop(opened)


def has_any(store: Store, number: int) -> bool:
    return store.mod(full_disk.mod_id(number)) is not None


def test_a_vault_leaves_the_last_room_of_its_disk(disk: Path) -> None:
    opened = start(disk / "home")
    with pytest.raises(DiskError, match=r"is full: the last \d+\.\d [kM]B of it are left free"):
        add_without_end(opened[1])
    usage = os.statvfs(disk)
    assert usage.f_bavail * usage.f_frsize >= kept_free(disk) * 0.8  # the index grew as well
    opened[0].save_contacts([])
    stop(opened)


def add_without_end(store: Store) -> None:
    for number in itertools.count():
        add(store, number, 30)


def test_the_log_goes_on_where_it_can_and_stops_nothing(small: Path) -> None:
    root = logging.getLogger()
    before, level = root.handlers[:], logging.getLogger("node").level
    opened = start(small / "home")
    log_to_file(small / "home" / "log.txt")
    try:
        fill(small)
        for _ in range(20):
            logging.getLogger("node.test").warning("x" * 60_000)
        for handler in root.handlers:
            if handler not in before:
                handler.doRollover()  # type: ignore[attr-defined]
        logging.getLogger("node.test").warning("after")
    finally:
        for handler in root.handlers[:]:
            if handler not in before:
                root.removeHandler(handler)
                handler.close()
        logging.getLogger("node").setLevel(level)
    stop(opened)


# By doubles: a quota, and what a disk refuses to one who is not root


def over_quota(*_: Any, **__: Any) -> Any:
    raise OSError(errno.EDQUOT, "Disk quota exceeded")


class Quota:
    """Lets nothing be written until `Reserve.give_up` was called."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.given_up = 0
        self._real_give_up = Reserve.give_up
        patch.setattr(Reserve, "give_up", self._give_up(self))
        for name in ("write", "open"):
            patch.setattr(os, name, self._guarding(getattr(os, name)))

    @staticmethod
    def _give_up(quota: "Quota") -> Any:
        def give_up(reserve: Reserve) -> bool:
            quota.given_up += 1
            return quota._real_give_up(reserve)

        return give_up

    def _guarding(self, real: Any) -> Any:
        def guarded(*arguments: Any, **keywords: Any) -> Any:
            makes = isinstance(arguments[0], int) or (
                len(arguments) > 1 and arguments[1] & os.O_CREAT
            )
            if makes and not self.given_up:
                over_quota()
            return real(*arguments, **keywords)

        return guarded


def test_a_quota_that_is_used_up_gives_way_to_the_reserve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = start(tmp_path / "home")
    add(opened[1], 0, COUNT)
    stop(opened)
    with monkeypatch.context() as patch:
        quota = Quota(patch)
        opened = start(tmp_path / "home")
        assert quota.given_up == 1
        assert has(opened[1], 0, COUNT)
        remove(opened[1], 0)
        stop(opened)
    assert packs_of(tmp_path / "home") == 0


def test_over_quota_a_share_fails_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = start(tmp_path / "home")
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", over_quota)
        with pytest.raises(DiskError, match="used up"):
            add(opened[1], 0, COUNT)
    assert opened[1].mods() == []
    stop(opened)


def test_what_the_index_needs_is_given_up_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = start(tmp_path / "home")
    add(opened[1], 0, COUNT)
    reserve = tmp_path / "home" / "vault" / "reserve"
    full = [True, True]
    real = ModTable.remove

    def refuses(mods: ModTable, mod_id: bytes) -> bool:
        if full:
            full.pop()
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorcode = sqlite3.SQLITE_FULL
            raise error
        return real(mods, mod_id)

    monkeypatch.setattr(ModTable, "remove", refuses)
    had = (reserve / "room").stat().st_size
    assert had == limits.DISK_RESERVE
    assert opened[1].remove_mod(full_disk.mod_id(0))
    assert (reserve / "room").stat().st_size == had, "what was given up is taken back"
    stop(opened)


def test_a_large_mod_goes_by_and_by_where_there_is_little_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = start(tmp_path / "home")
    add(opened[1], 0, 300)
    add(opened[1], 1, 2)
    real, deleted = Index.delete, list[int]()

    def refuses(index: Index, unneeded: Unneeded) -> None:
        if len(unneeded.rows) > 200:
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorcode = sqlite3.SQLITE_FULL
            raise error
        deleted.append(len(unneeded.rows))
        real(index, unneeded)

    monkeypatch.setattr(Index, "delete", refuses)
    remove(opened[1], 0)
    assert sum(deleted) == 300 + 300 + 1, "the rows of chunks, of blobs, and the manifest's"
    assert (tmp_path / "home/vault/reserve/room").stat().st_size == limits.DISK_RESERVE
    assert has(opened[1], 1, 2)
    stop(opened)


def test_a_reserve_is_spent_for_lack_of_room_alone(tmp_path: Path) -> None:
    (tmp_path / "vault").mkdir()
    reserve = Reserve(tmp_path / "vault")
    reserve.refill()

    def fail() -> None:
        error = sqlite3.OperationalError("unable to open database file")
        error.sqlite_errorcode = sqlite3.SQLITE_CANTOPEN
        raise error

    with pytest.raises(sqlite3.OperationalError):
        reserve.spending(fail)
    assert (tmp_path / "vault" / "room").stat().st_size == limits.DISK_RESERVE


async def test_a_removal_that_cannot_free_its_room_is_a_removal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path / "vault")
    add(store, 0, COUNT)
    add(store, 1, 1)
    store.close()
    vault = await Vault.open(tmp_path / "vault")
    with monkeypatch.context() as patch:
        patch.setattr("node.content.vault.packs.Packs.write", over_quota)
        assert await vault.remove_mod(full_disk.mod_id(0))
    assert [mod.mod_id for mod in await vault.mods()] == [full_disk.mod_id(1)]
    await vault.collect()
    assert sum(file.stat().st_size for file in (tmp_path / "vault/packs").iterdir()) < 2 * 21_000
    await vault.close()


def test_a_certificate_that_cannot_be_stored_stops_no_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "write", over_quota)
    monkeypatch.setattr(os, "fsync", over_quota)
    assert load_or_create(tmp_path / "certificate.pem", Environment()).fingerprint


def test_contacts_that_cannot_be_saved_are_those_of_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home.open(tmp_path / "home")
    home.save_contacts([])
    before = (tmp_path / "home" / "contacts.json").read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", over_quota)
        with pytest.raises(DiskError):
            home.save_contacts([])
    assert (tmp_path / "home" / "contacts.json").read_bytes() == before
    home.close()
