"""Archives in a mod: the bytes stay as they stand, and a member keeps its chunks."""

import hashlib
import io
import random
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.content.homes import HomeGuard
from node.content.publish import cutting, walk
from node.content.publish.cutting import cut_files
from node.disk.descent import Descent
from protocol import limits
from protocol.content.chunking import COARSE, FINE, Chunker
from protocol.content.containers.member_cuts import member_cuts
from protocol.content.containers.zip_ends import ReadAt
from protocol.content.manifests import manifest
from protocol.content.manifests.manifest import Manifest
from protocol.errors import BadFolder, DiskError
from tests.node.content.content_nodes import (
    ContentNode,
    content_node,
    read_files,
    write_files,
)
from tests.protocol.content.containers.zips import METHODS, directory_offset, put, zip_of

SIZES = (200_000, 100, 70_000, FINE.alone, FINE.alone - 1, 90_000)


def members(seed: int = 1, sizes: Sequence[int] = SIZES) -> list[bytes]:
    """As textures: they pack to half."""
    rng = random.Random(seed)
    table = bytes(rng.sample(range(256), 16) * 16)
    return [rng.randbytes(size).translate(table) for size in sizes]


def chunks_of(folder: Path) -> list[bytes]:
    guard = HomeGuard(folder.parent / "home")
    with Descent(folder) as descent:
        files, hashes = walk.walk(folder, guard).files, list[bytes]()
        chunks = list(cut_files(files, descent, guard.secrets(), hashes))
    whole = [(folder / file.path).read_bytes() for file in files]
    assert hashes == [hashlib.sha256(data).digest() for data in whole]
    return chunks


async def published(node: ContentNode, folder: Path) -> dict[bytes, int]:
    """The chunks of a folder as a version of one lineage: sealed lengths by address."""
    continues = bool(await node.vault.mods())
    shared = await node.publisher.publish(folder, "m", continues=continues)
    data = await node.vault.get(shared.mod_id)
    assert data is not None
    read: Manifest = manifest.decode_manifest(data)
    return dict(zip(read.addresses, read.sealed_lengths, strict=True))


async def test_a_stored_member_shares_its_chunks_with_the_same_file_in_a_folder(
    tmp_path: Path,
) -> None:
    files = {f"{number}.bin": data for number, data in enumerate(members())}
    packed = write_files(tmp_path / "packed", {"all.pmp": zip_of(list(files.values()))})
    large = {name: data for name, data in files.items() if len(data) >= FINE.alone}
    async with content_node(tmp_path) as node:
        of_zip = await published(node, packed)
        for name, data in large.items():
            alone = await published(node, write_files(tmp_path / name, {name: data}))
            assert set(alone) <= set(of_zip), name
        of_all = await published(node, write_files(tmp_path / "folder", files))
        # What is beside them are the small members, with headers or without.
        assert len(set(of_all) - set(of_zip)) <= 2
    assert len(large) == 4


@pytest.mark.parametrize("name", ["mod.pmp", "mod.ttmp2", "mod.zip", "mod", "mod.dds"])
async def test_of_a_changed_member_only_its_chunks_are_new(name: str, tmp_path: Path) -> None:
    first = members()
    later = [*first]
    later[2] = first[2][:5] + b"changed" + first[2][5:] + b"longer"
    deflated = zipfile.ZIP_DEFLATED
    one = write_files(tmp_path / "one", {name: zip_of(first, deflated)})
    two = write_files(tmp_path / "two", {name: zip_of(later, deflated)})
    async with content_node(tmp_path) as node:
        old, new = await published(node, one), await published(node, two)
        fetched = sum(length for address, length in new.items() if address not in old)
        with zipfile.ZipFile(two / name) as read:
            changed = read.infolist()[2].compress_size
        assert changed < fetched < changed + 2500
        await node.assembler.assemble((await node.vault.mods())[0].mod_id, tmp_path / "out")
    assert read_files(tmp_path / "out") in (read_files(one), read_files(two))


async def test_members_that_a_tool_dated_anew_keep_their_chunks(tmp_path: Path) -> None:
    def dated(year: int) -> bytes:
        made = io.BytesIO()
        with zipfile.ZipFile(made, "w") as archive:
            for number, data in enumerate(members(sizes=(50_000,) * 20)):
                archive.writestr(zipfile.ZipInfo(f"{number}", (year, 1, 1, 0, 0, 0)), data)
        return made.getvalue()

    one = write_files(tmp_path / "one", {"mod.pmp": dated(2024)})
    two = write_files(tmp_path / "two", {"mod.pmp": dated(2025)})
    async with content_node(tmp_path) as node:
        old, new = await published(node, one), await published(node, two)
    fetched = sum(length for address, length in new.items() if address not in old)
    assert 0 < fetched < 4000


def test_a_coarse_mod_is_cut_at_its_members_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = members(sizes=(COARSE.alone, COARSE.alone - 1, 500_000))
    folder = write_files(tmp_path / "folder", {"mod.pmp": zip_of(data)})
    monkeypatch.setattr(limits, "FINE_MOD_BYTES", 600_000)
    fine = chunks_of(folder)
    monkeypatch.setattr(limits, "FINE_MOD_BYTES", 500_000)
    coarse = chunks_of(folder)
    assert len(coarse) < len(fine)
    assert b"".join(coarse) == b"".join(fine) == (folder / "mod.pmp").read_bytes()
    assert data[0] in coarse
    assert data[1] not in coarse


def test_large_files_and_members_are_cut_coarsely_in_a_mod_that_is_fine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stored member still has the chunks of the same file, by the grain of its own length."""
    monkeypatch.setattr(limits, "FINE_RUN_BYTES", 300_000)
    small, large = data = members(sizes=(300_000, 300_001))
    packed = write_files(tmp_path / "packed", {"mod.pmp": zip_of(data)})
    folder = write_files(tmp_path / "folder", {"a": b"x" * 100, "b": large, "c": small})
    of_zip, of_files = chunks_of(packed), chunks_of(folder)
    for one, grain in (small, FINE), (large, COARSE):
        whole = Chunker(grain)
        chunks = set(whole.feed(one) + whole.cut())
        assert chunks <= set(of_zip)
        assert chunks <= set(of_files)
    assert b"".join(of_zip) == (packed / "mod.pmp").read_bytes()


def any_zip(method: int, seed: int, streamed: bool) -> bytes:
    rng = random.Random(seed)
    sizes = [rng.choice((0, 30, FINE.alone - 1, FINE.alone, 50_000, 300_000)) for _ in range(5)]
    return zip_of(members(seed, sizes), method, "streamed" * streamed)


@given(
    method=st.sampled_from(METHODS),
    seed=st.integers(0, 2**16),
    streamed=st.booleans(),
    damages=st.lists(
        st.tuples(st.integers(0, 2**20), st.binary(min_size=1, max_size=9)), max_size=3
    ),
    shortened=st.integers(0, 30),
    around=st.binary(max_size=20),
)
@settings(max_examples=30, deadline=None)
def test_the_chunks_of_any_archive_are_exactly_its_bytes(
    method: int,
    seed: int,
    streamed: bool,
    damages: list[tuple[int, bytes]],
    shortened: int,
    around: bytes,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    data = bytearray(any_zip(method, seed, streamed))
    directory = directory_offset(bytes(data))
    for place, damage in damages:
        at = directory + place % (len(data) - directory)
        data[at : at + len(damage)] = damage
    whole = bytes(data)
    if seed % 3 == 0:
        whole = whole[: len(whole) - shortened]
    if seed % 3 == 1:
        whole = around + whole + around
    folder = write_files(tmp_path_factory.mktemp("zips") / "f", {"a": b"before", "b.zip": whole})
    chunks = chunks_of(folder)
    assert b"".join(chunks) == b"before" + whole
    assert all(0 < len(chunk) <= limits.CHUNK_BYTES_MAX for chunk in chunks)


def test_a_cut_lies_anywhere_in_what_is_read_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = zip_of(members())
    folder = write_files(tmp_path / "folder", {"mod.zip": data})
    chunks = chunks_of(folder)
    first = len("folder/0.bin") + 30
    assert data[first : first + 9] == members()[0][:9]
    for piece_bytes in (first - 1, first, first + 1, FINE.alone, 100_001):
        monkeypatch.setattr(cutting, "_PIECE_BYTES", piece_bytes)
        assert chunks_of(folder) == chunks


def test_an_odd_archive_is_cut_as_any_file(tmp_path: Path) -> None:
    good = zip_of(members())
    odd = put(good, -22 + 8, "<2H", 65535, 65535)
    folder = write_files(tmp_path / "folder", {"mod.zip": odd})
    chunks, split = chunks_of(folder), chunks_of(write_files(tmp_path / "good", {"m": good}))
    assert b"".join(chunks) == odd
    assert len(chunks) < len(split)


@pytest.mark.parametrize("how", ["written", "shortened", "replaced"])
def test_an_archive_that_changes_after_its_directory_was_read_is_refused(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_files(tmp_path / "folder", {"mod.zip": zip_of(members())}) / "mod.zip"

    def cut(read: ReadAt, size: int, alone: int) -> Sequence[int]:
        found = real(read, size, alone)
        if how == "replaced":
            (tmp_path / "new").write_bytes(zip_of(members(2)))
            (tmp_path / "new").replace(path)
        else:
            with path.open("r+b") as file:
                file.truncate(size - 5 * (how == "shortened"))
                file.write(b"PK\3\4x")
        return found

    real = member_cuts
    monkeypatch.setattr(cutting, "member_cuts", cut)
    with pytest.raises(BadFolder, match="changed while it was read"):
        chunks_of(tmp_path / "folder")


def test_a_disk_that_fails_in_the_directory_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_files(tmp_path / "folder", {"mod.zip": zip_of(members())})

    def cut(read: ReadAt, size: int, alone: int) -> Sequence[int]:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(cutting, "member_cuts", cut)
    with pytest.raises(DiskError, match=r"cannot read .*mod\.zip"):
        chunks_of(folder)
