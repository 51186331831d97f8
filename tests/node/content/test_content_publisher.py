"""Publishing: one lineage keeps its ciphertext, two share none, and everything comes out again."""

import asyncio
import errno
import hashlib
import os
import random
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from node.content.progress import Progress
from protocol import limits
from protocol.content import file_paths
from protocol.content.chunking import FINE
from protocol.content.manifests import manifest
from protocol.content.manifests.contents import Contents
from protocol.content.manifests.manifest import Manifest
from protocol.errors import BadFolder, BadInput, DiskError, UnsafePath
from scripts.benchmarks.content.hashed_bytes import HashedBytes
from simulations.runtime.running import run_virtually
from tests.node.content.content_nodes import (
    ContentNode,
    content_node,
    read_files,
    some_files,
    write_files,
)
from tests.node.content.old_formats import bring_back


async def read_mod(node: ContentNode, mod_id: bytes) -> tuple[Manifest, Contents]:
    data, mod = await node.vault.get(mod_id), await node.vault.mod(mod_id)
    assert data is not None
    assert mod is not None
    assert mod.content_key is not None
    read = manifest.decode_manifest(data)
    return read, manifest.open_contents(read, mod.content_key)


async def test_a_folder_becomes_a_mod(tmp_path: Path) -> None:
    files = some_files()
    source = write_files(tmp_path / "source", files)
    async with content_node(tmp_path) as node:
        reports: list[Progress] = []
        shared = await node.publisher.publish(source, "My mod", reports.append)
        read, contents = await read_mod(node, shared.mod_id)
        assert (contents.name, contents.version) == ("My mod", 1)
        assert [(file.path, file.size) for file in contents.files] == sorted(
            (path, len(data)) for path, data in files.items()
        )
        assert shared.link.mod_id == shared.mod_id
        assert shared.link.content_key
        assert shared.link.hints == ()
        assert (shared.files, shared.bytes) == (len(files), sum(map(len, files.values())))
        assert shared.chunks == len(read.addresses)
        assert shared.new_bytes == read.sealed_bytes
        assert await node.vault.missing(shared.mod_id) == []
        (mod,) = await node.vault.mods()
        assert (mod.name, mod.published, mod.added) == ("My mod", True, 1.7e9)
        assert mod.link == shared.link
        assert reports[0].bytes_done == 0
        assert reports[-1].bytes_done == reports[-1].bytes_total == shared.bytes


async def test_the_same_again_is_the_same_mod_and_nothing_new(tmp_path: Path) -> None:
    source = write_files(tmp_path / "source", some_files())
    async with content_node(tmp_path) as node:
        first = await node.publisher.publish(source)
        second = await node.publisher.publish(source)
        assert first.name == "source"
        assert (second.mod_id, second.link) == (first.mod_id, first.link)
        assert second.new_bytes == 0
        assert len(await node.vault.mods()) == 1


async def test_unchanged_chunks_keep_their_ciphertext_across_versions(tmp_path: Path) -> None:
    rng = random.Random(3)
    files = {f"{name}.bin": rng.randbytes(1_000_000) for name in "abc"}
    source = write_files(tmp_path / "source", files)
    async with content_node(tmp_path) as node:
        first, _ = await read_mod(node, (await node.publisher.publish(source, "m")).mod_id)
        changed = files["b.bin"][:500_000] + b"changed" + files["b.bin"][500_000:]
        write_files(source, {"b.bin": changed, "aa new file.bin": rng.randbytes(200_000)})
        shared = await node.publisher.publish(source, "m")
        second, _ = await read_mod(node, shared.mod_id)
        assert shared.mod_id != first.mod_id
        new = set(second.addresses) - set(first.addresses)
        assert len(set(first.addresses) - set(second.addresses)) <= 2
        lengths = dict(zip(second.addresses, second.sealed_lengths, strict=True))
        assert sum(lengths[address] for address in new) == shared.new_bytes
        assert shared.new_bytes < 200_000 + 4 * limits.CHUNK_BYTES_MAX


async def test_unchanged_chunks_keep_their_ciphertext_when_zstandard_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_files(tmp_path / "source", {"text": b"compressible text " * 50_000})
    async with content_node(tmp_path) as node:
        first = await node.publisher.publish(source, "m")
        monkeypatch.setattr("protocol.content.sealing._LEVEL", 9)
        (source / "more").touch()
        second = await node.publisher.publish(source, "m")
        assert second.version == 2
        assert second.new_bytes == 0
        assert second.chunks == first.chunks


@pytest.mark.parametrize("level", [3, 9])
async def test_a_lineage_of_an_older_version_goes_on(
    level: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It found its chunks by the hash of the plaintext alone; what is found no more is sealed."""
    files = {"raw": random.Random(1).randbytes(300_000), "text": b"compressible text " * 50_000}
    source = write_files(tmp_path / "source", files)
    async with content_node(tmp_path) as node:
        first = await node.publisher.publish(source, "m")
    make_lineages_old(tmp_path / "vault")
    monkeypatch.setattr("protocol.content.sealing._LEVEL", level)
    async with content_node(tmp_path) as node:
        second = await node.publisher.publish(source, "m")
        assert (second.mod_id == first.mod_id) == (level == 3)
        assert second.new_bytes < (1 if level == 3 else 10_000)
        await node.assembler.assemble(second.mod_id, tmp_path / "out")
        await node.assembler.assemble(first.mod_id, tmp_path / "first")
        (source / "more").touch()
        assert (await node.publisher.publish(source, "m")).new_bytes == 0
    assert read_files(tmp_path / "out") == read_files(tmp_path / "first") == files


def make_lineages_old(vault: Path, *plaintexts: bytes) -> None:
    """As a vault of the second format has them, for these plaintexts or any."""
    with sqlite3.connect(vault / "index.sqlite") as database:
        rows = database.execute("SELECT plaintext_hash FROM lineage_chunks").fetchall()
        now = {hashlib.sha256(b"\0" + text).digest(): text for text in plaintexts}
        database.executemany(
            "UPDATE lineage_chunks SET plaintext_hash = ? WHERE plaintext_hash = ?",
            [(hashlib.sha256(now.get(value, value)).digest(), value) for (value,) in rows],
        )
        bring_back(database, 2)
    database.close()


async def test_what_an_older_version_knew_is_taken_for_nothing_else(tmp_path: Path) -> None:
    """Its hash of a plaintext that begins with 0 is now that of the plaintext without it."""
    rest = random.Random(1).randbytes(20_000)
    source = write_files(tmp_path / "source", {"a": b"\0" + rest})
    async with content_node(tmp_path) as node:
        await node.publisher.publish(source, "m")
    make_lineages_old(tmp_path / "vault", b"\0" + rest)
    write_files(source, {"a": rest})
    async with content_node(tmp_path) as node:
        shared = await node.publisher.publish(source, "m")
        await node.assembler.assemble(shared.mod_id, tmp_path / "out")
    assert read_files(tmp_path / "out") == {"a": rest}


async def test_each_byte_is_hashed_three_times_and_twice_where_it_is_known(tmp_path: Path) -> None:
    size = 5_000_000
    raw = write_files(tmp_path / "raw", {"a": random.Random(1).randbytes(size)})
    packed = write_files(tmp_path / "packed", {"a": (b"%099d\n" * 20 % tuple(range(20))) * 2500})
    async with content_node(tmp_path) as node:
        for source in (raw, packed):
            with HashedBytes().counting() as hashed:
                shared = await node.publisher.publish(source)
            # The plaintext is hashed as a file and as chunks, to find these again, and what is
            # sealed for its address; what was packed once more, for its key.
            expected = 2 * size + shared.new_bytes * (1 if source is raw else 2)
            assert expected <= hashed.total < expected + 400 * shared.chunks
            with HashedBytes().counting() as hashed:
                await node.publisher.publish(source)
            assert 2 * size <= hashed.total < 2 * size + 400 * shared.chunks


async def test_lineages_and_publishers_share_no_ciphertext(tmp_path: Path) -> None:
    source = write_files(tmp_path / "source", some_files())
    seen: set[bytes] = set()
    for number in (1, 2):
        async with content_node(tmp_path / f"{number}", number) as node:
            for name in ("one", "two"):
                shared = await node.publisher.publish(source, name)
                read, contents = await read_mod(node, shared.mod_id)
                assert shared.new_bytes == read.sealed_bytes
                assert seen.isdisjoint(read.addresses)
                assert seen.isdisjoint(contents.keys)
                seen.update(read.addresses, contents.keys)


async def test_repeated_bytes_are_stored_once(tmp_path: Path) -> None:
    data = random.Random(1).randbytes(20_000_000)
    source = write_files(tmp_path / "source", {"a": data, "b": data, "z": bytes(5_000_000)})
    async with content_node(tmp_path) as node:
        shared = await node.publisher.publish(source)
        _, contents = await read_mod(node, shared.mod_id)
        assert shared.new_bytes < 20_200_000
        assert len(contents.order) > 2 * (shared.chunks - 3)
        await node.assembler.assemble(shared.mod_id, tmp_path / "out")
    assert read_files(tmp_path / "out") == read_files(source)


async def test_a_big_file_has_the_same_chunks_whatever_surrounds_it(tmp_path: Path) -> None:
    big = random.Random(1).randbytes(FINE.alone)
    first = write_files(tmp_path / "first", {"m.bin": big, "a": b"x", "z": b"y"})
    second = write_files(tmp_path / "second", {"m.bin": big, "b": b"other", "n": bytes(9000)})
    async with content_node(tmp_path) as node:
        reads = [
            await read_mod(
                node, (await node.publisher.publish(folder, "m", continues=folder == second)).mod_id
            )
            for folder in (first, second)
        ]
        common = set(reads[0][0].addresses) & set(reads[1][0].addresses)
        lengths = dict(zip(reads[0][0].addresses, reads[0][1].lengths, strict=True))
        assert sum(lengths[address] for address in common) == len(big)


async def test_small_neighbours_share_chunks(tmp_path: Path) -> None:
    rng = random.Random(1)
    source = write_files(tmp_path / "s", {f"{n:04}": rng.randbytes(500) for n in range(400)})
    async with content_node(tmp_path) as node:
        shared = await node.publisher.publish(source)
        assert shared.chunks <= 200_000 // FINE.minimum


async def test_a_single_file(tmp_path: Path) -> None:
    (tmp_path / "texture.dds").write_bytes(b"data")
    async with content_node(tmp_path) as node:
        shared = await node.publisher.publish(tmp_path / "texture.dds")
        assert (shared.name, shared.files) == ("texture.dds", 1)
        await node.assembler.assemble(shared.mod_id, tmp_path / "out")
    assert read_files(tmp_path / "out") == {"texture.dds": b"data"}


async def test_files_without_any_byte(tmp_path: Path) -> None:
    source = write_files(tmp_path / "source", {"a": b"", "b/c": b""})
    async with content_node(tmp_path) as node:
        shared = await node.publisher.publish(source)
        assert (shared.chunks, shared.bytes, shared.new_bytes) == (0, 0, 0)
        await node.assembler.assemble(shared.mod_id, tmp_path / "out")
    assert read_files(tmp_path / "out") == {"a": b"", "b/c": b""}


@pytest.mark.parametrize(
    "name",
    [
        *("", "a\nb", "x" * (limits.MOD_NAME_BYTES + 1), "\ud800"),
        *("../evil", "..", ".", "a/b", "/abs", "a\\b", "C:", "nul", "hats ", "a\u202eb\0"),
        *(".git", ".ssh", "-rf", "safe\u202egpj.exe", "two\u2028lines"),
    ],
)
async def test_names_that_are_refused(name: str, tmp_path: Path) -> None:
    source = write_files(tmp_path / "source", {"a": b""})
    async with content_node(tmp_path) as node:
        with pytest.raises(BadInput):
            await node.publisher.publish(source, name)
        assert await node.vault.mods() == []


async def test_one_name_is_one_lineage_however_it_is_composed(tmp_path: Path) -> None:
    source = write_files(tmp_path / "source", some_files())
    async with content_node(tmp_path) as node:
        first = await node.publisher.publish(source, "caf\u00e9")
        second = await node.publisher.publish(source, "cafe\u0301")
        assert first.mod_id == second.mod_id


async def test_a_folder_that_cannot_be_shared(tmp_path: Path) -> None:
    async with content_node(tmp_path) as node:
        with pytest.raises(BadFolder):
            await node.publisher.publish(tmp_path / "missing")
        write_files(tmp_path / "bad", {"con.txt": b""})
        with pytest.raises(UnsafePath):
            await node.publisher.publish(tmp_path / "bad")
        assert await node.vault.mods() == []


async def test_a_mod_that_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_files(tmp_path / "source", {"a": bytes(3_000_000)})
    monkeypatch.setattr(limits, "MANIFEST_CHUNKS", 8)
    async with content_node(tmp_path) as node:
        with pytest.raises(BadFolder, match="share it in parts"):
            await node.publisher.publish(source)


async def test_a_file_that_vanishes_in_the_middle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = (9_000_000, 9_000_000, 9_000_000)
    source = write_files(tmp_path / "source", some_files(sizes=sizes))
    async with content_node(tmp_path) as node:

        def vanish(progress: Progress) -> None:
            if progress.bytes_done:
                for path in source.rglob("*2.bin"):
                    path.unlink()

        with pytest.raises(BadFolder, match=r"2\.bin' changed while it was read"):
            await node.publisher.publish(source, "m", vanish)
        assert await node.vault.mods() == []
        await node.vault.collect()
    assert list((tmp_path / "vault" / "packs").iterdir()) == []


async def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_files(tmp_path / "source", some_files(sizes=(20_000_000,)))
    real_write, room = os.write, [12_000_000]

    def write(descriptor: int, data: Any) -> int:
        room[0] -= len(data)
        if room[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real_write(descriptor, data)

    async with content_node(tmp_path) as node:
        with monkeypatch.context() as patched:
            patched.setattr(os, "write", write)
            with pytest.raises(DiskError, match="is full"):
                await node.publisher.publish(source)
        assert await node.vault.mods() == []
        shared = await node.publisher.publish(source)
        assert 0 < shared.new_bytes < 20_000_000  # what fitted was not lost


@pytest.mark.real_loop
async def test_another_mod_removed_in_the_middle(tmp_path: Path) -> None:
    """What is stored and not yet part of a mod does not go with the other mod."""
    source = write_files(tmp_path / "source", some_files(sizes=(30_000_000,)))
    other = write_files(tmp_path / "other", some_files(seed=2))
    async with content_node(tmp_path) as node:
        old = await node.publisher.publish(other)
        removals: list[asyncio.Future[bool]] = []

        def report(progress: Progress) -> None:
            if progress.bytes_done > 10_000_000 and not removals:
                removals.append(asyncio.ensure_future(node.vault.remove_mod(old.mod_id)))

        shared = await node.publisher.publish(source, "m", report)
        assert await removals[0]
        assert await node.vault.missing(shared.mod_id) == []
        assert len(await node.vault.mods()) == 1
    stored = sum(path.stat().st_size for path in (tmp_path / "vault" / "packs").iterdir())
    assert stored < shared.new_bytes + 2 * old.new_bytes


@pytest.mark.real_loop
async def test_stopped_in_the_middle_and_begun_again(tmp_path: Path) -> None:
    source = write_files(tmp_path / "source", some_files(sizes=(30_000_000,)))
    async with content_node(tmp_path) as node:
        begun = asyncio.Event()

        def report(progress: Progress) -> None:
            if progress.bytes_done > 10_000_000:
                begun.set()

        task = asyncio.ensure_future(node.publisher.publish(source, "m", report))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        shared = await node.publisher.publish(source, "m")
        assert 0 < shared.new_bytes < 25_000_000
        await node.assembler.assemble(shared.mod_id, tmp_path / "out")
    assert read_files(tmp_path / "out") == read_files(source)


NAMES = st.text("abAB.é _", min_size=1, max_size=4)
SIZES = st.integers(0, 300) | st.sampled_from(
    [
        FINE.minimum,
        FINE.alone - 1,
        FINE.alone,
        limits.CHUNK_BYTES_MAX + 1,
    ]
)


@given(
    tree=st.dictionaries(
        st.lists(NAMES, min_size=1, max_size=3).map("/".join),
        st.tuples(SIZES, st.booleans(), st.booleans()),
        min_size=1,
        max_size=8,
    ),
    seed=st.integers(0, 99),
)
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_tree_comes_out_as_it_went_in(
    tree: dict[str, tuple[int, bool, bool]], seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    rng = random.Random(seed)
    folder = tmp_path_factory.mktemp("tree")
    source = folder / "source"
    kept = file_paths.Tree()
    executable: dict[str, bool] = {}
    for path, (size, is_text, is_executable) in tree.items():
        try:
            kept.add(path)
        except UnsafePath:
            continue
        write_files(source, {path: b"text " * (size // 5) if is_text else rng.randbytes(size)})
        (source / path).chmod(0o755 if is_executable else 0o644)
        executable[path] = is_executable
    if not executable:
        return

    async def scenario() -> None:
        async with content_node(folder) as node:
            shared = await node.publisher.publish(source)
            await node.assembler.assemble(shared.mod_id, folder / "out")

    run_virtually(scenario())
    assert read_files(folder / "out") == read_files(source)
    for path, expected in executable.items():
        assert bool((folder / "out" / path).stat().st_mode & 0o100) == expected
