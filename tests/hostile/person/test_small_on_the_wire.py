"""Few bytes on the wire fill no disk unasked, and a manifest is parsed once for a `get`."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.content import opened_mods
from node.content.download.bounds import SizeBound
from node.content.opened_mods import OpenedMod
from node.content.vault.stored_mod import StoredMod
from protocol import limits
from protocol.content import sealing
from protocol.content.lineage.keys import LineageKeys
from protocol.content.link import ModLink
from protocol.content.manifests import manifest
from protocol.content.manifests.contents import Contents, ModFile
from protocol.content.manifests.manifest import Manifest
from protocol.errors import BadManifest, TooLarge
from tests.node.content.content_nodes import ContentNode, Unwatched, content_nodes, links_to
from tests.node.content.downloads import swarm

SECRET = b"s" * 32
KEYS = LineageKeys(SECRET, bytes(32))


async def _publish_zeros(node: ContentNode, times: int) -> ModLink:
    """A mod whose one file is one chunk of zeros, so often."""
    size = limits.CHUNK_BYTES_MAX
    sealed = sealing.seal_chunk(sealing.Packer(), SECRET, sealing.RawBody.of(bytes(size)))
    contents = Contents(
        *("zeros", 1, (ModFile("zeros.bin", size * times),)),
        *((sealed.key,), (size,), (0,) * times),
    )
    made, key = manifest.build_manifest(contents, [(sealed.address, len(sealed.data))], KEYS)
    assert len(made.data) < 500
    mod = StoredMod(
        *(made.mod_id, key, "zeros", 1, 1, size * times, made.sealed_bytes, 1),
        published=True,
        added=0.0,
    )
    await node.vault.add_mod(mod, made)
    await node.vault.put([(sealed.address, sealed.data)])
    return ModLink(made.mod_id, key)


async def test_a_chunk_of_zeros_fills_no_disk_unasked(tmp_path: Path) -> None:
    async with content_nodes(tmp_path, 2) as (uploader, downloader):
        link = await _publish_zeros(uploader, 12_000)
        _, end = uploader.connect(downloader)
        with pytest.raises(TooLarge, match="far more"):
            await downloader.downloader.download(
                link,
                lambda mod_id: downloader.exchanges.sources(links_to(end)(mod_id), Unwatched()),
                bound=SizeBound(),
            )
        assert await downloader.vault.mods() == []
        with pytest.raises(TooLarge, match="are allowed"):
            await downloader.downloader.download(
                link,
                lambda mod_id: downloader.exchanges.sources(links_to(end)(mod_id), Unwatched()),
                bound=SizeBound(10**9, agreed=True),
            )


@pytest.mark.skipif(os.name == "nt", reason="stat tells no blocks on Windows")
async def test_zeros_that_a_person_wants_are_holes(tmp_path: Path) -> None:
    async with content_nodes(tmp_path, 2) as (uploader, downloader):
        link = await _publish_zeros(uploader, 40)
        _, end = uploader.connect(downloader)
        await downloader.download(link, links_to(end))
        await downloader.assembler.assemble(link.mod_id, tmp_path / "out")
    written = (tmp_path / "out" / "zeros.bin").stat()
    assert written.st_size == 40 * limits.CHUNK_BYTES_MAX
    assert written.st_blocks * 512 < written.st_size / 10


async def test_a_manifest_is_parsed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[bytes] = []
    read = opened_mods._read

    def count(data: bytes, content_key: bytes | None) -> OpenedMod:
        parsed.append(data)
        return read(data, content_key)

    monkeypatch.setattr(opened_mods, "_read", count)
    async with swarm(tmp_path, 2) as ((uploader, downloader), shared):
        _, end = uploader.connect(downloader)

        offer = await downloader.downloader.look(
            shared.link,
            lambda mod_id: downloader.exchanges.sources(links_to(end)(mod_id), Unwatched()),
        )
        assert await downloader.vault.mods() == []
        assert isinstance(offer.manifest, Manifest)
        await downloader.download(shared.link, links_to(end))
        await downloader.assembler.assemble(shared.mod_id, tmp_path / "out")
    assert len(parsed) == 1


async def test_the_wrong_key_opens_nothing_that_another_opened(tmp_path: Path) -> None:
    async with swarm(tmp_path, 2) as ((uploader, downloader), shared):
        _, end = uploader.connect(downloader)
        await downloader.download(shared.link, links_to(end))
        with pytest.raises(BadManifest):
            await downloader.download(ModLink(shared.mod_id, bytes(32)), links_to(end))


def _opened(files: tuple[ModFile, ...]) -> OpenedMod:
    contents = Contents("many", 1, files, (), (), ())
    made, _ = manifest.build_manifest(contents, [], KEYS)
    return OpenedMod(made, contents)


def test_files_and_folders_without_a_byte_take_room_too() -> None:
    many = _opened(tuple(ModFile(f"{number:06}/x", 0) for number in range(10_000)))
    assert len(many.manifest.data) < 10_000
    with pytest.raises(TooLarge, match="far more"):
        SizeBound().check(many)
    with pytest.raises(TooLarge) as refused:
        SizeBound(10, agreed=True).check(many)
    assert str(refused.value) == (
        "this mod takes 81.9 MB of the disk, 4 KiB for each of its 10000 files and 10000 folders"
        " and 0.0 MB in them; 0.00001 MB are allowed"
    )
    SizeBound(10**8, agreed=True).check(many)
    with pytest.raises(TooLarge, match="each of its 1 file and "):
        SizeBound(0, agreed=True).check(_opened((ModFile("x", 0),)))


@given(
    st.sets(
        st.lists(st.sampled_from(["a", "b", "a-", "c"]), min_size=1, max_size=4).map(tuple),
        min_size=1,
    )
)
def test_folders_are_counted_once(folders: set[tuple[str, ...]]) -> None:
    files = tuple(ModFile(path, 0) for path in sorted("/".join((*way, "x")) for way in folders))
    every = {way[:depth] for way in folders for depth in range(1, len(way) + 1)}
    contents = _opened(files).contents
    assert contents is not None
    assert contents.folders == len(every)
