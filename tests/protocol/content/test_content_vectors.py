"""Golden vectors: the exact bytes of links, chunks, manifests and frames.

Zstandard's output may differ from release to release, so packed bodies are read and not made again.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from protocol.content import frames, link, sealing
from protocol.content.lineage.keys import LineageKeys
from protocol.content.manifests import manifest
from protocol.content.manifests.contents import Contents, ModFile, PatchOffer, VersionKeys

VECTORS = Path(__file__).parents[2] / "vectors" / "content"


def vectors(name: str) -> list[Any]:
    read: list[Any] = json.loads((VECTORS / f"{name}.json").read_text())
    assert read
    return read


def from_hex(text: str | None) -> bytes | None:
    return None if text is None else bytes.fromhex(text)


@pytest.mark.parametrize("vector", vectors("links"))
def test_links(vector: dict[str, Any]) -> None:
    meant = link.ModLink(
        bytes.fromhex(vector["mod_id"]), from_hex(vector["content_key"]), tuple(vector["hints"])
    )
    assert str(meant) == vector["text"]
    assert link.parse(vector["text"]) == meant


@pytest.mark.parametrize("vector", vectors("chunks"))
def test_chunks(vector: dict[str, Any]) -> None:
    plaintext, data = bytes.fromhex(vector["plaintext"]), bytes.fromhex(vector["data"])
    key = bytes.fromhex(vector["key"])
    assert sealing.open_chunk(key, data, len(plaintext)) == plaintext
    sealing.check_address(bytes.fromhex(vector["address"]), data)
    if vector["codec"] == sealing.RAW:
        secret = bytes.fromhex(vector["lineage_secret"])
        made = sealing.seal_chunk(sealing.Packer(), secret, sealing.RawBody.of(plaintext))
        assert made == sealing.SealedChunk(bytes.fromhex(vector["address"]), key, data)


def version_keys(value: list[str] | None) -> Any:
    return None if value is None else VersionKeys(*map(bytes.fromhex, value))


def contents_of(vector: dict[str, Any]) -> Contents:
    return Contents(
        vector["name"],
        vector["version"],
        tuple(
            ModFile(path, size, bool(flag), bytes.fromhex(digest), at)
            for path, size, flag, digest, at in vector["files"]
        ),
        tuple(bytes.fromhex(key) for _, _, key, _ in vector["chunks"]),
        tuple(length for _, _, _, length in vector["chunks"]),
        tuple(vector["order"]),
        tuple(vector["empty_folders"]),
        version_keys(vector["previous"]),
        tuple(
            PatchOffer(bytes.fromhex(base), version_keys(keys), size)
            for base, keys, size in vector["patches"]
        ),
        from_hex(vector["patch_of"]),
    )


class FixedPacker:
    """Packs one value, as it was packed when the vector was made."""

    body = b""

    def pack(self, plaintext: bytes) -> bytes:
        assert sealing.unpack_body(self.body, 10_000) == plaintext
        return self.body


@pytest.mark.parametrize("vector", vectors("manifests"))
def test_manifests(vector: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    data = bytes.fromhex(vector["data"])
    content_key = bytes.fromhex(vector["content_key"])
    table = [(bytes.fromhex(place), length) for place, length, _, _ in vector["chunks"]]

    read = manifest.decode_manifest(data)
    assert read.mod_id.hex() == vector["mod_id"]
    assert list(zip(read.addresses, read.sealed_lengths, strict=True)) == table
    assert manifest.open_contents(read, content_key) == contents_of(vector)

    monkeypatch.setattr(FixedPacker, "body", bytes.fromhex(vector["sealed_body"]))
    monkeypatch.setattr(sealing, "Packer", FixedPacker)
    keys = LineageKeys(bytes.fromhex(vector["lineage_secret"]), bytes.fromhex(vector["seed"]))
    assert keys.public_key.hex() == vector["lineage_key"]
    assert keys.reading_key.hex() == vector["reading_key"]
    assert manifest.build_manifest(contents_of(vector), table, keys) == (read, content_key)


def argument(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(map(argument, value))
    return bytes.fromhex(value["hex"]) if isinstance(value, dict) else value


@pytest.mark.parametrize("vector", vectors("frames"))
def test_frames(vector: dict[str, Any]) -> None:
    frame = getattr(frames, vector["kind"])(*map(argument, vector["arguments"]))
    assert frames.encode_frame(frame).hex() == vector["data"]
    assert frames.decode_frame(bytes.fromhex(vector["data"])) == frame


def test_every_frame_has_a_vector() -> None:
    kinds = {kind.__name__ for kind in (*frames.REQUESTS, *frames.ANSWERS)}
    assert {vector["kind"] for vector in vectors("frames")} == kinds
