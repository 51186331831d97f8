"""File systems that do not do what ext4 does: what is harmless is passed over, the rest is named.

One whole life of a home, from its making to its second start, on a file system that refuses each.
"""

import contextlib
import errno
import json
import logging
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from node.content.assemble.assembler import Assembler
from node.content.assemble.tree import GrowingTree, checked_target
from node.content.homes import HomeGuard
from node.content.opened_mods import OpenedMods
from node.content.publish.publisher import Publisher
from node.content.vault.database import Database
from node.content.vault.index import Index
from node.content.vault.packs import Packs
from node.content.vault.store import Store
from node.content.vault.vault import Vault
from node.disk import lock, refusals
from node.environment import Environment
from node.files import write_all, write_atomically
from node.home import Home
from node.links.secure.certificate import load_or_create
from node.machine.control_file import is_node_running, read_control
from node.machine.refusals import reason_of
from protocol.content import sealing
from protocol.content.manifests.contents import ModFile
from protocol.errors import DiskError, HomeError, TargetExists, UnsafePath
from tests.found.odd.file_systems import REFUSALS
from tests.node.content.content_nodes import lineages_of, read_files, write_files

FILES = {
    "readme.txt": b"text",
    "maps/empty": b"",
    "maps/zeros": bytes(200_000) + b"end",
    "maps/hole at the end": b"begin" + bytes(300_000),
    "maps/random": random.Random(2).randbytes(400_000),
}


def environment() -> Environment:
    return Environment(wall=lambda: 1.7e9, rng=random.Random(1))


async def live(folder: Path, *, sees_itself: bool = True) -> None:
    """Make a home, share, get, list, start again, remove; nothing else is left there.

    POSIX record locks stand between processes alone: then a process does not see its own lock.
    """
    source = write_files(folder / "source", FILES)
    with contextlib.closing(Home.open(folder / "home")) as home:
        home.identity(random.Random(1), 0)
        if sees_itself:
            assert is_node_running(home.path)
            with pytest.raises(HomeError, match="another node is running in"):
                Home.open(home.path)
        certificate = load_or_create(home.certificate, environment())
        for token in ("one", "two"):
            home.write_control("127.0.0.1:1", token)
            assert read_control(home.path) == ("127.0.0.1:1", token)
        home.save_contacts([])
        home.save_contacts([])
        vault, guard = await Vault.open(home.vault), HomeGuard(home.path)
        shared = await Publisher(
            vault, environment(), guard, lineages_of(vault, environment())
        ).publish(source)
        (folder / "there").mkdir()
        opened = OpenedMods()
        for target in (folder / "new", folder / "there"):
            await Assembler(vault, guard, opened).assemble(shared.mod_id, target)
            assert read_files(target) == FILES
        opened.close()
        with pytest.raises(UnsafePath):
            checked_target(home.path / "out", guard)
        home.remove_control()
        await vault.close()
    assert not is_node_running(folder / "home")
    with contextlib.closing(Home.open(folder / "home")) as home:
        assert home.has_identity
        assert load_or_create(home.certificate, environment()).fingerprint == (
            certificate.fingerprint
        )
        vault = await Vault.open(home.vault)
        assert [mod.mod_id for mod in await vault.mods()] == [shared.mod_id]
        assert await vault.missing(shared.mod_id) == []
        assert await vault.remove_mod(shared.mod_id)
        await vault.close()
        assert list((home.vault / "packs").iterdir()) == []
    assert names_in(folder) == ["home", "new", "source", "there"]


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("refusal", REFUSALS)
async def test_a_home_lives_where(
    refusal: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        REFUSALS[refusal](patch)
        await live(tmp_path, sees_itself=not refusal.startswith("no flock"))


@pytest.fixture(params=["overlay", "ext4", "vfat", "exfat"])
def real(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of another kind."""
    kind: str = request.param
    if os.geteuid():
        pytest.skip("only root mounts disks")
    place, image = tmp_path / "disk", tmp_path / "image"
    place.mkdir()
    if kind == "overlay":
        for name in ("below", "above", "work"):
            (tmp_path / name).mkdir()
        layers = f"lowerdir={tmp_path}/below,upperdir={tmp_path}/above,workdir={tmp_path}/work"
        words = ["mount", "-t", "overlay", "-o", layers, "overlay", str(place)]
    else:
        maker = shutil.which(f"mkfs.{kind}")
        if maker is None:
            pytest.skip(f"there is no mkfs.{kind}")
        with image.open("wb") as file:
            file.truncate(64 * 2**20)
        subprocess.run([maker, str(image)], check=True, capture_output=True)
        words = ["mount", "-t", kind, "-o", "loop", str(image), str(place)]
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"this system does not mount it: {done.stderr.strip()}")
    try:
        (place / "life").mkdir()
        yield place / "life"
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True, capture_output=True)


async def test_a_home_lives_on_a_real_disk(real: Path) -> None:
    await live(real)


def test_what_is_passed_over_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    refusals._tell_once.cache_clear()
    REFUSALS["fsync EINVAL"](monkeypatch)
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            write_atomically(tmp_path / "file", b"x")
    told = [record.getMessage() for record in caplog.records]
    refusal = OSError(errno.EINVAL, os.strerror(errno.EINVAL))
    assert told == [
        f"a file system cannot flush {what}: {reason_of(refusal)}; this is passed over"
        for what in ("files", "folders")
    ]


def test_what_fails_is_no_refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    write_atomically(tmp_path / "file", b"old")
    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(DiskError):
        write_atomically(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"old"


def test_secrets_that_others_can_read_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    Home.open(tmp_path / "private").close()
    assert not caplog.records
    REFUSALS["modes are 0777"](monkeypatch)
    Home.open(tmp_path / "shared").close()
    assert "other users of this computer can read the node's keys" in caplog.text


# Without locks


def test_where_there_are_no_locks_the_holder_is_known_by_its_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    REFUSALS["no locks ENOLCK"](monkeypatch)
    home = tmp_path / "home"
    Home.open(home).close()
    mark = lock.mark_of(home / "lock")
    assert not mark.exists()
    mine = lock._of_process(os.getpid())
    for told, is_gone in (
        (mine, False),
        ({**mine, "started": "0"}, True),  # another process has the number now
        ({**mine, "boot": "before"}, True),
        ({**mine, "pid": 2**22 + 1}, True),
        ({**mine, "machine": "elsewhere"}, False),
    ):
        mark.write_text(json.dumps(told))
        assert is_node_running(home) is not is_gone
        if is_gone:
            Home.open(home).close()
            continue
        with pytest.raises(HomeError, match=rf"another node is running in .*delete {mark}"):
            Home.open(home)
        mark.unlink()
    mark.write_text("{")  # a process died while it wrote this
    Home.open(home).close()


_HOLDER = """
import fcntl, sys
from pathlib import Path
from node.home import Home
def flock(*_):
    raise OSError(38, "Function not implemented")
fcntl.flock = flock
home = Home.open(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_where_there_is_no_flock_record_locks_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    REFUSALS["no flock"](monkeypatch)
    home = tmp_path / "home"
    with subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(home)],
        cwd=Path(__file__).parents[3],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        assert is_node_running(home)
        with pytest.raises(HomeError, match="another node is running in"):
            Home.open(home)
        assert not lock.mark_of(home / "lock").exists()
        holder.kill()
    assert not is_node_running(home)


def test_without_locks_the_index_takes_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Index(tmp_path / "index.sqlite")
    with pytest.raises(HomeError, match="in use"):
        Index(tmp_path / "index.sqlite")
    REFUSALS["no locks ENOLCK"](monkeypatch)
    Index(tmp_path / "index.sqlite").close()
    first.close()


def test_folders_whose_names_are_not_safe_are_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed, left = list[Path](), [1]

    def flush(folder: Path) -> None:
        if not left[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        left[0] -= 1
        flushed.append(folder)

    monkeypatch.setattr(refusals, "flush_folder", flush)
    (tmp_path / "there").mkdir()
    inner = tmp_path / "there" / "a" / "b"
    with pytest.raises(OSError, match="No space"):
        refusals.make_folders(inner)
    assert list((tmp_path / "there").iterdir()) == []
    flushed.clear()
    left[0] = 9
    refusals.make_folders(inner)
    assert flushed == [inner.parent, inner.parent.parent]
    refusals.make_folders(inner)
    assert len(flushed) == 2


def test_where_nothing_is_flushed_the_index_does_not_ask_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Database(tmp_path / "one.sqlite")
    assert opened.one("PRAGMA synchronous") == (3,)
    opened.close()
    REFUSALS["fsync EINVAL"](monkeypatch)
    opened = Database(tmp_path / "two.sqlite")
    assert opened.one("PRAGMA synchronous") == (0,)
    opened.close()


# What a disk says wrongly, and for a moment


def test_a_disk_that_fails_for_a_moment_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = random.Random(1).randbytes(1000)
    address = sealing.address_of(data)
    store = Store(tmp_path / "vault")
    store.put([(address, data)])

    def gone(*_: Any) -> bytes:
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    with monkeypatch.context() as patch:
        patch.setattr(Packs, "read", gone)
        assert store.get(address) is None
    assert store.get(address) == data
    store.close()


def test_a_read_in_parts_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class InParts:
        def __init__(self, file: Any) -> None:
            self._file = file
            self.seek = file.seek

        def read(self, size: int) -> bytes:
            return self._file.read(min(size, 300))  # type: ignore[no-any-return]

    data = random.Random(1).randbytes(1000)
    store = Store(tmp_path / "vault")
    store.put([(sealing.address_of(data), data)])
    real = Packs._file
    monkeypatch.setattr(Packs, "_file", lambda packs, number: InParts(real(packs, number)))
    assert store.get(sealing.address_of(data)) == data
    store.close()


def test_a_write_of_nothing_is_a_full_disk_and_no_endless_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "write", lambda *_: 0)
    with (tmp_path / "file").open("wb") as file, pytest.raises(OSError, match="No space left"):
        write_all(file.fileno(), b"data")


# Names


@pytest.mark.parametrize("code", [errno.EINVAL, errno.EILSEQ, errno.ENAMETOOLONG])
def test_a_name_that_the_disk_cannot_hold_is_named(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.open

    def refuse(path: Any, *arguments: Any, **keywords: Any) -> int:
        if str(path).endswith("odd name"):
            raise OSError(code, os.strerror(code))
        return real(path, *arguments, **keywords)

    growing = GrowingTree(tmp_path / "out", [ModFile("a/odd name", 3, False)])
    growing.begin(10)
    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(UnsafePath, match="cannot hold the name 'a/odd name'"):
        growing.write(0, b"abc")
    growing.clean_up()
    assert list(tmp_path.iterdir()) == []


def test_two_names_that_the_disk_takes_for_one_are_named(tmp_path: Path) -> None:
    files = [ModFile("a", 1, False), ModFile("b", 1, False)]
    growing = GrowingTree(tmp_path / "out", files)
    growing.begin(10)
    (growing._root / "b").write_bytes(b"as if it were a")
    with pytest.raises(UnsafePath, match="takes two names of this mod for one"):
        growing.write(0, b"ab")
    growing.clean_up()


def test_an_empty_folder_that_the_disk_takes_for_a_file_is_named(tmp_path: Path) -> None:
    growing = GrowingTree(tmp_path / "out", [ModFile("a", 1, False)], ["b", "c"])
    growing.begin(10)
    growing.write(0, b"a")
    (growing._root / "c").write_bytes(b"as if it were a")
    with pytest.raises(UnsafePath, match="'c' is there already"):
        growing.finish()
    growing.clean_up()


@pytest.mark.parametrize("refusal", ["inode numbers change", "no inode numbers"])
def test_the_rest_of_a_killed_get_is_removed(
    refusal: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [ModFile("a/b/c", 1, False), ModFile("a/d", 1, False)]
    killed = GrowingTree(tmp_path / "out", files)
    killed.begin(10)
    killed.write(0, b"xy")
    again = GrowingTree(tmp_path / "out", files)
    with monkeypatch.context() as patch:
        REFUSALS[refusal](patch)
        again.begin(10)
        again.write(0, b"zz")
        again.clean_up()
    assert list(tmp_path.iterdir()) == []


def test_a_target_that_was_taken_is_not_given_way_to(tmp_path: Path) -> None:
    growing = GrowingTree(tmp_path / "out", [ModFile("a", 1, False)])
    growing.begin(10)
    growing.write(0, b"a")
    write_files(tmp_path / "out", {"theirs": b"x"})
    with pytest.raises(TargetExists, match="taken meanwhile"):
        growing.appear()
    growing.clean_up()
    assert read_files(tmp_path / "out") == {"theirs": b"x"}
