"""Sealed chunks: the same for one lineage, shared by none, opened whole or not at all."""

import contextlib
import hashlib
import random
import struct

import pytest
from backports.zstd import CompressionParameter, ZstdCompressor
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import limits
from protocol.content import sealing
from protocol.content.zstd_header import FrameHeader, read_header
from protocol.errors import BadContent, ChunkMismatch

SECRET = bytes(range(32))
PLAINTEXTS = st.binary(min_size=1, max_size=3000) | st.builds(
    lambda unit, count: unit * count, st.binary(min_size=1, max_size=4), st.integers(1, 50_000)
)


def seal(plaintext: bytes, secret: bytes = SECRET) -> sealing.SealedChunk:
    return sealing.seal_chunk(sealing.Packer(), secret, sealing.RawBody.of(plaintext))


@given(PLAINTEXTS)
@settings(deadline=None)
def test_round_trip(plaintext: bytes) -> None:
    chunk = seal(plaintext)
    assert sealing.open_chunk(chunk.key, chunk.data, len(plaintext)) == plaintext
    assert chunk.address == hashlib.sha256(chunk.data).digest()
    assert len(chunk.data) <= len(plaintext) + sealing.SEAL_OVERHEAD_BYTES


def test_one_lineage_always_makes_the_same_bytes() -> None:
    packer = sealing.Packer()
    first = sealing.seal_chunk(packer, SECRET, sealing.RawBody.of(b"x" * 1000))
    sealing.seal_chunk(packer, SECRET, sealing.RawBody.of(b"something else"))
    assert sealing.seal_chunk(packer, SECRET, sealing.RawBody.of(b"x" * 1000)) == first


@pytest.mark.parametrize("plaintext", [b"a", b"x" * 5000, random.Random(1).randbytes(5000)])
def test_lineages_share_nothing(plaintext: bytes) -> None:
    one, other = seal(plaintext, SECRET), seal(plaintext, bytes(32))
    assert one.key != other.key
    assert one.data != other.data
    assert one.address != other.address


def test_the_key_depends_on_the_sealed_bytes_not_on_the_plaintext() -> None:
    """Another packing of one plaintext under its key and nonce would give the key stream away."""
    plaintext = b"abcd" * 1000
    packed = sealing.Packer().pack(plaintext)
    raw = b"\0" + plaintext
    keys = {
        sealing.derive_key(SECRET, "chunk", hashlib.sha256(body).digest()) for body in (packed, raw)
    }
    assert packed[0] == sealing.ZSTD
    assert len(keys) == 2
    assert seal(plaintext).key in keys


def test_purposes_and_contexts_separate_keys() -> None:
    keys = {
        sealing.derive_key(SECRET, purpose, context)
        for purpose in ("chunk", "manifest", "content key")
        for context in (b"", b"\0", bytes(32))
    }
    assert len(keys) == 9


def test_zstandard_is_used_only_where_it_helps() -> None:
    assert sealing.Packer().pack(random.Random(1).randbytes(50_000))[0] == sealing.RAW
    assert sealing.Packer().pack(b"text " * 1000)[0] == sealing.ZSTD
    assert sealing.Packer().pack(b"x")[0] == sealing.RAW


@given(PLAINTEXTS, st.data())
@settings(deadline=None)
def test_any_changed_byte_is_noticed(plaintext: bytes, data: st.DataObject) -> None:
    chunk = seal(plaintext)
    place = data.draw(st.integers(0, len(chunk.data) - 1))
    changed = bytearray(chunk.data)
    changed[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(ChunkMismatch):
        sealing.open_chunk(chunk.key, bytes(changed), len(plaintext))
    with pytest.raises(ChunkMismatch):
        sealing.check_address(chunk.address, bytes(changed))
    sealing.check_address(chunk.address, chunk.data)


@pytest.mark.parametrize("length", [0, 15, 16, 17])
def test_short_bytes_do_not_open(length: int) -> None:
    with pytest.raises(ChunkMismatch):
        sealing.open_chunk(SECRET, bytes(length), 1)


@pytest.mark.parametrize("declared", [1, 999, 1001, limits.CHUNK_BYTES_MAX])
def test_another_length_than_declared(declared: int) -> None:
    for plaintext in (b"x" * 1000, random.Random(1).randbytes(1000)):
        chunk = seal(plaintext)
        with pytest.raises(ChunkMismatch):
            sealing.open_chunk(chunk.key, chunk.data, declared)


def sealed_body(body: bytes) -> tuple[bytes, bytes]:
    """A key and the sealed bytes of a body that an honest packer would not make."""
    return SECRET, sealing.seal_body(SECRET, body)


def zstd_frame(plaintext: bytes, *, write_content_size: bool = True) -> bytes:
    options: dict[int, int] = {
        CompressionParameter.compression_level: 3,
        CompressionParameter.content_size_flag: int(write_content_size),
    }
    return ZstdCompressor(options=options).compress(plaintext, ZstdCompressor.FLUSH_FRAME)


def header_of(frame: bytes | bytearray) -> FrameHeader:
    header = read_header(bytes(frame))
    assert header is not None
    return header


BOMB = zstd_frame(bytes(limits.CHUNK_BYTES_MAX + 1))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\2" + b"x" * 10,
        b"\1",
        b"\1garbage that is no frame",
        b"\1" + BOMB,
        b"\1" + zstd_frame(bytes(2**28)),
        b"\1" + zstd_frame(b"x" * 100, write_content_size=False),
        b"\1" + zstd_frame(b"x" * 100) + b"more",
        b"\1" + zstd_frame(b"x" * 100) + zstd_frame(b"y" * 100),
        b"\1" + zstd_frame(b"x" * 100)[:-3],
        b"\1" + zstd_frame(b"") + b"x" * 50,
        b"\1" + struct.pack("<II", 0x184D2A50, 8) + b"skipped!",
        b"\0" + bytes(limits.CHUNK_BYTES_MAX + 1),
    ],
)
def test_bodies_of_liars_do_not_unpack(body: bytes) -> None:
    key, data = sealed_body(body)
    with pytest.raises(ChunkMismatch):
        sealing.open_chunk(key, data, limits.CHUNK_BYTES_MAX)
    with pytest.raises(BadContent):
        sealing.unpack_body(body, limits.CHUNK_BYTES_MAX)


def test_a_bomb_is_refused_before_it_is_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(**_: object) -> None:
        raise AssertionError("unpacked")

    monkeypatch.setattr(sealing, "ZstdDecompressor", never)
    with pytest.raises(BadContent, match="claims"):
        sealing.unpack_body(b"\1" + BOMB, limits.CHUNK_BYTES_MAX)


def test_a_frame_that_lies_about_its_size() -> None:
    """The header promises 100 bytes and the blocks hold more."""
    frame = bytearray(zstd_frame(b"x" * 200))
    assert header_of(frame).content_bytes == 200
    frame[frame.index(200)] = 100
    assert header_of(frame).content_bytes == 100
    with pytest.raises(BadContent):
        sealing.unpack_body(b"\1" + bytes(frame), 1000)


def test_frames_that_need_too_much_memory_are_refused() -> None:
    """A frame may claim a small content and a window of gigabytes."""
    wide = bytes.fromhex("28b52ffd") + bytes([0b01000000, 0xA8]) + struct.pack("<H", 44)
    assert header_of(wide).window_bytes > limits.ZSTD_WINDOW_BYTES
    with pytest.raises(BadContent, match="window"):
        sealing.unpack_body(b"\1" + wide + b"\1\0\0", limits.CHUNK_BYTES_MAX)


@given(st.binary(max_size=200))
def test_any_body_unpacks_or_is_bad_content(body: bytes) -> None:
    for candidate in (body, b"\1" + body, b"\1\x28\xb5\x2f\xfd" + body):
        with contextlib.suppress(BadContent):
            assert len(sealing.unpack_body(candidate, 1000)) <= 1000
