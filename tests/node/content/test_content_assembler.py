"""Writing a mod out: all of it under its name, or nothing."""

import asyncio
import contextlib
import errno
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from node.content.assemble import tree
from node.content.homes import HomeGuard
from node.content.progress import Progress
from node.content.publish.publisher import PublishedMod
from node.content.vault.stored_mod import StoredMod
from protocol.content import sealing
from protocol.content.lineage.keys import LineageKeys
from protocol.content.manifests import manifest
from protocol.content.manifests.contents import Contents, ModFile
from protocol.errors import (
    BadContent,
    BadManifest,
    ChunkMismatch,
    DiskError,
    ModswarmError,
    NotFound,
    TargetExists,
    UnsafePath,
)
from tests.node.content.content_nodes import (
    ContentNode,
    content_node,
    read_files,
    some_files,
    write_files,
)

FILES = some_files(sizes=(0, 1, 100, 70_000, 300_000, 0, 5_000_000, 12, 9_000_000, 0)) | {
    "z/last of all": b"",
}


@contextlib.asynccontextmanager
async def node_with_mod(folder: Path) -> AsyncIterator[tuple[ContentNode, PublishedMod]]:
    async with content_node(folder) as node:
        yield node, await node.publisher.publish(write_files(folder / "source", FILES), "mod")


def leftovers(folder: Path) -> list[str]:
    """What is in a folder besides the test's own things."""
    return sorted({path.name for path in folder.iterdir()} - {"vault", "source"})


@pytest.mark.parametrize("target", ["out", "new/folders/out", "empty", "..hidden name é"])
async def test_every_byte_under_its_name(target: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    async with node_with_mod(tmp_path) as (node, shared):
        reports: list[Progress] = []
        done = await node.assembler.assemble(shared.mod_id, tmp_path / target, reports.append)
        assert done.path == tmp_path / target
        assert (done.files, done.bytes) == (len(FILES), sum(map(len, FILES.values())))
        assert reports[-1].bytes_done == reports[-1].bytes_total == done.bytes
    assert read_files(tmp_path / target) == FILES
    assert not [name for name in read_files(tmp_path) if name.endswith(".part")]


async def test_a_relative_target_and_a_link_to_an_empty_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    async with node_with_mod(tmp_path) as (node, shared):
        await node.assembler.assemble(shared.mod_id, Path("out"))
        done = await node.assembler.assemble(shared.mod_id, Path("link"))
        assert done.path == tmp_path / "real"
    assert read_files(tmp_path / "out") == read_files(tmp_path / "real") == FILES


@pytest.mark.skipif(os.name == "nt", reason="Windows has no modes")
async def test_the_umask_is_kept(tmp_path: Path) -> None:
    source = write_files(tmp_path / "source", {"run": b"1", "read": b"2"})
    (source / "run").chmod(0o777)
    async with content_node(tmp_path) as node:
        shared = await node.publisher.publish(source)
        old = os.umask(0o027)
        try:
            await node.assembler.assemble(shared.mod_id, tmp_path / "out")
        finally:
            os.umask(old)
    assert (tmp_path / "out" / "run").stat().st_mode & 0o777 == 0o750
    assert (tmp_path / "out" / "read").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("kind", ["file", "full", "link to file", "below a file"])
async def test_a_target_that_is_taken(kind: str, tmp_path: Path) -> None:
    write_files(tmp_path, {"file": b"mine", "full/x": b"mine"})
    (tmp_path / "link to file").symlink_to("file")
    target = tmp_path / ("file/out" if kind == "below a file" else kind)
    reason = "is a file" if kind == "below a file" else "exists and is not an empty folder"
    async with node_with_mod(tmp_path) as (node, shared):
        with pytest.raises(TargetExists, match=reason):
            await node.assembler.assemble(shared.mod_id, target)
    assert (tmp_path / "file").read_bytes() == b"mine"
    assert read_files(tmp_path / "full") == {"x": b"mine"}
    assert leftovers(tmp_path) == ["file", "full", "link to file"]


LONG = "n" * 256


@pytest.mark.parametrize(
    ("target", "kind", "reason"),
    [
        (LONG, UnsafePath, "has 256 bytes, too many"),
        (f"new/{LONG}/out", UnsafePath, "has 256 bytes, too many"),
        ("new" + "/out" * 1200, UnsafePath, "bytes, too many"),
        (f"file/{LONG}", TargetExists, "is a file"),
        ("/proc/out", DiskError, "no room for files"),
        ("/proc/self/fd/out", DiskError, "no room for files"),
    ],
)
@pytest.mark.skipif(sys.platform != "linux", reason="the places are those of Linux")
def test_a_target_that_no_disk_can_hold_is_told_before_anything_is_fetched(
    tmp_path: Path, target: str, kind: type[ModswarmError], reason: str
) -> None:
    write_files(tmp_path, {"file": b"mine"})
    with pytest.raises(kind, match=reason):
        tree.checked_target(tmp_path / target, HomeGuard(Path("no home")))
    assert leftovers(tmp_path) == ["file"]


async def test_a_target_that_is_taken_meanwhile(tmp_path: Path) -> None:
    async with node_with_mod(tmp_path) as (node, shared):

        def take(progress: Progress) -> None:
            if progress.bytes_done == progress.bytes_total:
                write_files(tmp_path / "out", {"mine": b"mine"})

        with pytest.raises(TargetExists, match="meanwhile"):
            await node.assembler.assemble(shared.mod_id, tmp_path / "out", take)
    assert read_files(tmp_path / "out") == {"mine": b"mine"}
    assert leftovers(tmp_path) == ["out"]


async def test_two_at_once_to_one_place(tmp_path: Path) -> None:
    async with node_with_mod(tmp_path) as (node, shared):
        results = await asyncio.gather(
            *(node.assembler.assemble(shared.mod_id, tmp_path / "out") for _ in range(2)),
            return_exceptions=True,
        )
        assert sorted(type(result).__name__ for result in results) == [
            "Assembled",
            "TargetExists",
        ]
    assert read_files(tmp_path / "out") == FILES


def failing(error: int, after: int) -> Any:
    """`os.write` that fails after so many bytes."""
    real_write, room = os.write, [after]

    def write(descriptor: int, data: Any) -> int:
        room[0] -= len(data)
        if room[0] < 0:
            raise OSError(error, os.strerror(error))
        return real_write(descriptor, data)

    return write


@pytest.mark.parametrize(
    ("error", "after", "message"),
    [
        (errno.ENOSPC, 0, "is full"),
        (errno.ENOSPC, 6_000_000, "is full"),
        (errno.EDQUOT, 100_000, "is used up"),
        (errno.EIO, 100_000, "the disk fails"),
    ],
)
async def test_a_disk_that_fails_while_writing(
    error: int, after: int, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with node_with_mod(tmp_path) as (node, shared):
        with monkeypatch.context() as patched:
            patched.setattr(os, "write", failing(error, after))
            with pytest.raises(DiskError, match=message) as caught:
                await node.assembler.assemble(shared.mod_id, tmp_path / "out")
        assert "\n" not in str(caught.value)
        assert leftovers(tmp_path) == []
        await node.assembler.assemble(shared.mod_id, tmp_path / "out")
    assert read_files(tmp_path / "out") == FILES


@pytest.mark.parametrize("call", ["mkdir", "open", "fsync", "rename"])
async def test_a_target_that_is_read_only(
    call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tests' user may be allowed to write anywhere, so the system's answer is simulated."""
    async with node_with_mod(tmp_path) as (node, shared):
        place: Any = Path if call in {"mkdir", "rename"} else os
        real = getattr(place, call)

        def refuse(*arguments: Any, **keywords: Any) -> Any:
            if call == "open" and not arguments[1] & os.O_CREAT:
                return real(*arguments, **keywords)
            raise OSError(errno.EROFS, "Read-only file system")

        with monkeypatch.context() as patched:
            patched.setattr(place, call, refuse)
            with pytest.raises(DiskError, match="the disk is read-only"):
                await node.assembler.assemble(shared.mod_id, tmp_path / "out")
        assert leftovers(tmp_path) == []


async def test_too_little_room_is_said_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    async with node_with_mod(tmp_path) as (node, shared):
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=14_000_000))
        monkeypatch.setattr(tree.GrowingTree, "write", None)
        with pytest.raises(DiskError, match=r"needs 14\.4 MB and 14\.0 MB are free"):
            await node.assembler.assemble(shared.mod_id, tmp_path / "out")
        assert leftovers(tmp_path) == []


LIMITED = """
import asyncio, resource, signal, sys
from pathlib import Path
from node.content.assemble.assembler import Assembler
from node.content.homes import HomeGuard
from node.content.opened_mods import OpenedMods
from node.content.vault.vault import Vault
from protocol.errors import DiskError

async def main() -> None:
    mod_id, out = bytes.fromhex(sys.argv[2]), Path(sys.argv[1]) / "out"
    vault = await Vault.open(Path(sys.argv[1]) / "vault")
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
    try:
        await Assembler(vault, HomeGuard(vault.folder), OpenedMods()).assemble(mod_id, out)
    except DiskError as error:
        sys.stdout.write(str(error))
    await vault.close()

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks the kernel for a limit on file sizes")
def test_a_kernel_that_really_refuses_to_write(tmp_path: Path) -> None:
    async def scenario() -> PublishedMod:
        async with node_with_mod(tmp_path) as (_, shared):
            return shared

    shared = asyncio.run(scenario())
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path), shared.mod_id.hex()],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith(f"cannot write {tmp_path / 'out'}: the file is larger than this")
    assert leftovers(tmp_path) == []


KILLED = """
import asyncio, sys
from pathlib import Path
from node.content.assemble.assembler import Assembler
from node.content.homes import HomeGuard
from node.content.opened_mods import OpenedMods
from node.content.vault.vault import Vault

def report(progress):
    if progress.bytes_done:
        sys.stdout.write("half\\n")
        sys.stdout.flush()
        sys.stdin.read()

async def main() -> None:
    mod_id, out = bytes.fromhex(sys.argv[2]), Path(sys.argv[1]) / "out"
    vault = await Vault.open(Path(sys.argv[1]) / "vault")
    await Assembler(vault, HomeGuard(vault.folder), OpenedMods()).assemble(mod_id, out, report)

asyncio.run(main())
"""


def test_killed_in_the_middle(tmp_path: Path) -> None:
    """Nothing is under the target's name; what was hidden goes with the next try."""

    async def publish() -> PublishedMod:
        async with node_with_mod(tmp_path) as (_, shared):
            return shared

    shared = asyncio.run(publish())
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path), shared.mod_id.hex()],
        cwd=Path(__file__).parents[3],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "half\n"
        process.kill()
    assert not (tmp_path / "out").exists()
    hidden = leftovers(tmp_path)
    assert {name[-5:] for name in hidden} == {".lock", ".part"}
    assert all(name.startswith(".modswarm-") for name in hidden)

    async def again() -> None:
        async with content_node(tmp_path) as node:
            await node.assembler.assemble(shared.mod_id, tmp_path / "out")

    asyncio.run(again())
    assert leftovers(tmp_path) == ["out"]
    assert read_files(tmp_path / "out") == FILES


@pytest.mark.real_loop
async def test_cancelled_in_the_middle(tmp_path: Path) -> None:
    async with node_with_mod(tmp_path) as (node, shared):
        half = asyncio.Event()

        def report(progress: Progress) -> None:
            if progress.bytes_done:
                half.set()

        task = asyncio.ensure_future(
            node.assembler.assemble(shared.mod_id, tmp_path / "out", report)
        )
        await half.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert leftovers(tmp_path) == []


async def test_a_mod_that_is_not_all_here(tmp_path: Path) -> None:
    async with node_with_mod(tmp_path) as (node, shared):
        with pytest.raises(NotFound):
            await node.assembler.assemble(bytes(32), tmp_path / "out")
        for pack in (tmp_path / "vault" / "packs").iterdir():
            content = bytearray(pack.read_bytes())
            content[len(content) // 2] ^= 1
            pack.write_bytes(content)
        with pytest.raises(NotFound, match="lacks a part"):
            await node.assembler.assemble(shared.mod_id, tmp_path / "out")
        assert leftovers(tmp_path) == []


async def store_mod_of_a_liar(node: ContentNode, contents: Contents, data: bytes) -> bytes:
    """A mod of one chunk, whose manifest says what the publisher likes."""
    made, content_key = manifest.build_manifest(
        contents, [(sealing.address_of(data), len(data))], LineageKeys(bytes(32), bytes(32))
    )
    mod = StoredMod(
        *(made.mod_id, content_key, "", 0, 1, 1, len(data), 1), published=False, added=0.0
    )
    await node.vault.add_mod(mod, made)
    await node.vault.put([(sealing.address_of(data), data)])
    return made.mod_id


async def test_empty_folders_are_made(tmp_path: Path) -> None:
    chunk = sealing.seal_chunk(sealing.Packer(), bytes(32), sealing.RawBody.of(b"1"))
    folders = ("a", "b/c", "b/d/e", "z")
    contents = Contents("m", 1, (ModFile("b/x", 1),), (chunk.key,), (1,), (0,), folders)
    async with content_node(tmp_path) as node:
        mod_id = await store_mod_of_a_liar(node, contents, chunk.data)
        await node.assembler.assemble(mod_id, tmp_path / "out")
    found = [
        path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*")
    ]
    assert sorted(found) == ["a", "b", "b/c", "b/d", "b/d/e", "b/x", "z"]


@pytest.mark.parametrize("lie", ["key", "length", "content"])
async def test_a_publisher_that_lies_about_a_chunk(lie: str, tmp_path: Path) -> None:
    """The chunk hashes to its address, but is not what the sealed part says."""
    chunk = sealing.seal_chunk(sealing.Packer(), bytes(32), sealing.RawBody.of(os.urandom(1000)))
    key = bytes(32) if lie == "key" else chunk.key
    length = 999 if lie == "length" else 1000
    data = chunk.data[:-1] + bytes([chunk.data[-1] ^ (lie == "content")])
    if lie == "length":
        data = sealing.seal_chunk(
            sealing.Packer(), bytes(32), sealing.RawBody.of(os.urandom(998))
        ).data
    async with content_node(tmp_path) as node:
        contents = Contents("m", 1, (ModFile("x", length),), (key,), (length,), (0,))
        mod_id = await store_mod_of_a_liar(node, contents, data)
        with pytest.raises(ChunkMismatch):
            await node.assembler.assemble(mod_id, tmp_path / "out")
        assert leftovers(tmp_path) == []


async def test_a_mod_without_its_key(tmp_path: Path) -> None:
    async with node_with_mod(tmp_path) as (node, shared):
        mod, data = await node.vault.mod(shared.mod_id), await node.vault.get(shared.mod_id)
        assert mod is not None
        assert data is not None
        async with content_node(tmp_path / "other") as other:
            without = StoredMod(
                *(mod.mod_id, None, "", 0, 0, 0, mod.sealed_bytes, mod.chunks),
                published=False,
                added=0.0,
            )
            await other.vault.add_mod(without, manifest.decode_manifest(data))
            with pytest.raises(NotFound, match="content key"):
                await other.assembler.assemble(shared.mod_id, tmp_path / "out")
            wrong = StoredMod(
                *(mod.mod_id, bytes(32), "", 0, 0, 0, mod.sealed_bytes, mod.chunks),
                published=False,
                added=0.0,
            )
            await other.vault.add_mod(wrong, manifest.decode_manifest(data))
            with pytest.raises(BadManifest, match="content key"):
                await other.assembler.assemble(shared.mod_id, tmp_path / "out")
    assert issubclass(BadManifest, BadContent)
