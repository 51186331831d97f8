"""From plaintext to sealed bytes that any node may hold, and back.

A chunk is packed (Zstandard when that helps) and sealed with AES-256-GCM. Its key follows from the
publisher's lineage secret and from exactly the bytes that GCM seals, so a key never meets a second
plaintext under the one nonce, which can therefore be zero: another release of Zstandard packs
other bytes, and so has another key. The same chunk of the same lineage always becomes the same
ciphertext; two lineages share none.
"""

import hashlib
from dataclasses import dataclass, field

from backports.zstd import (
    DecompressionParameter,
    ZstdCompressor,
    ZstdDecompressor,
    ZstdError,
)
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from protocol import limits
from protocol.content.zstd_header import read_header
from protocol.errors import BadContent, ChunkMismatch

RAW = 0
ZSTD = 1
"""Codec bytes, the first byte of what is sealed."""
_RAW_BYTE, _ZSTD_BYTE = bytes((RAW,)), bytes((ZSTD,))

AES_KEY_BYTES = 32
SEAL_OVERHEAD_BYTES = 17
"""The codec byte and the GCM tag."""

_NONCE = bytes(12)
_SLICE_BYTES = 256
"""Packed bytes that are unpacked at once: they may become some megabytes."""
_LEVEL = 3
_UNPACK_OPTIONS: dict[int, int] = {
    DecompressionParameter.window_log_max: limits.ZSTD_WINDOW_BYTES.bit_length() - 1
}
_WORTHWHILE = 31 / 32
"""Packing must save more than this leaves, or the reader unpacks for nothing."""


def derive_key(secret: bytes, purpose: str, context: bytes = b"") -> bytes:
    """32 bytes by HKDF-SHA256 (RFC 5869), for one purpose and one context only."""
    info = b"modswarm/" + purpose.encode() + b"/1\0" + context
    return HKDF(algorithm=hashes.SHA256(), length=AES_KEY_BYTES, salt=None, info=info).derive(
        secret
    )


def address_of(sealed: bytes) -> bytes:
    """The address of sealed bytes: their SHA-256, 32 bytes."""
    return hashlib.sha256(sealed).digest()


class Packer:
    """Makes the bytes that GCM seals. Keeps Zstandard's tables, so each thread needs its own."""

    def __init__(self) -> None:
        self._compressor = ZstdCompressor(level=_LEVEL)

    def pack(self, plaintext: bytes) -> bytes:
        """The codec byte, then `plaintext` in that codec."""
        raw = _RAW_BYTE + plaintext
        return self.packed(raw) or raw

    def packed(self, raw: bytes) -> bytes | None:
        """The body for a raw one (codec RAW), if that is smaller enough."""
        plaintext = memoryview(raw)[1:]
        compressed = self._compressor.compress(plaintext, ZstdCompressor.FLUSH_FRAME)
        if len(compressed) < len(plaintext) * _WORTHWHILE:
            return _ZSTD_BYTE + compressed
        return None


def unpack_body(body: bytes, max_bytes: int) -> bytes:
    """What `Packer.pack` packed; raises BadContent.

    Nothing is unpacked before the frame's header has promised at most `max_bytes`.
    """
    if not body:
        raise BadContent("a sealed part without its codec byte")
    if body[0] == RAW:
        if len(body) - 1 > max_bytes:
            raise BadContent(f"more than {max_bytes} bytes")
        return body[1:]
    if body[0] != ZSTD:
        raise BadContent(f"the codec {body[0]} is unknown")
    return _decompress(memoryview(body)[1:], max_bytes)


class Unpacking:
    """What `Packer.pack` packed, read piece by piece: a little memory, however well it packed.

    Raises BadContent when made, and when it is read, as `unpack_body` does.
    """

    def __init__(self, body: bytes, max_bytes: int) -> None:
        self._frame = memoryview(body)[1:]
        self._place = 0
        self._ready = b""
        self._unpack = self._copy
        self._left = len(self._frame)
        if not body or body[0] not in (RAW, ZSTD):
            raise BadContent("a sealed part without a codec byte that is known")
        if body[0] == ZSTD:
            self._left = _check_frame(self._frame, max_bytes)
            self._decompressor = ZstdDecompressor(options=_UNPACK_OPTIONS)
            self._unpack = self._decompress
        elif self._left > max_bytes:
            raise BadContent(f"more than {max_bytes} bytes")

    def read(self, size: int, /) -> bytes:
        """The next bytes, at most `size`; empty at the end."""
        while not self._ready and self._place < len(self._frame):
            part = self._frame[self._place : self._place + _SLICE_BYTES]
            self._place += len(part)
            self._ready = self._unpack(part)
            self._left -= len(self._ready)
        if self._left < 0 or (self._left and not self._ready):
            raise BadContent("packed data of another length than it claims")
        taken, self._ready = self._ready[:size], self._ready[size:]
        return taken

    @staticmethod
    def _copy(part: memoryview) -> bytes:
        return bytes(part)

    def _decompress(self, part: memoryview) -> bytes:
        if self._decompressor.eof:
            raise BadContent("bytes after packed data")
        try:
            data = self._decompressor.decompress(part)
        except ZstdError:
            raise BadContent("packed data that does not unpack") from None
        if self._decompressor.unused_data:
            raise BadContent("bytes after packed data")
        return data


def _check_frame(frame: memoryview, max_bytes: int) -> int:
    """The bytes that a Zstandard frame promises; raises BadContent."""
    header = read_header(frame)
    if header is None:
        raise BadContent("packed data that does not unpack")
    if header.content_bytes is None or header.content_bytes > max_bytes:
        raise BadContent(f"packed data that claims more than {max_bytes} bytes, or no number")
    if header.has_dictionary or header.window_bytes > limits.ZSTD_WINDOW_BYTES:
        raise BadContent("packed data that needs a dictionary or too wide a window")
    # An empty frame would make the decompressor ignore what follows it.
    if not header.content_bytes:
        raise BadContent("packed data of no length")
    return header.content_bytes


def _decompress(frame: memoryview, max_bytes: int) -> bytes:
    size = _check_frame(frame, max_bytes)
    decompressor = ZstdDecompressor(options=_UNPACK_OPTIONS)
    try:
        # Room for one byte more, or the frame's end might not be read.
        data = decompressor.decompress(frame, size + 1)
    except ZstdError:
        raise BadContent("packed data that does not unpack") from None
    if len(data) != size or not decompressor.eof or decompressor.unused_data:
        raise BadContent("packed data of another length than it claims")
    return data


def seal_body(key: bytes, body: bytes, associated: bytes = b"") -> bytes:
    """`body` and its 16-byte tag by AES-256-GCM with a zero nonce: `key` is good for one body."""
    return AESGCM(key).encrypt(_NONCE, body, associated)


def open_body(key: bytes, sealed: bytes, associated: bytes = b"") -> bytes:
    """The body that `seal_body` sealed; raises BadContent."""
    try:
        return AESGCM(key).decrypt(_NONCE, sealed, associated)
    except (InvalidTag, ValueError):
        raise BadContent("sealed bytes that do not open under their key") from None


@dataclass(frozen=True, slots=True)
class SealedChunk:
    """A chunk as it is stored and sent, and its key for the manifest's sealed part."""

    address: bytes
    key: bytes = field(repr=False)
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class RawBody:
    """A chunk before it is packed: the codec byte RAW and the plaintext, and the SHA-256 of both.

    The hash tells whether a lineage has sealed the chunk before. Where packing does not help these
    are the bytes that are sealed, and the key follows from the same hash.
    """

    data: bytes = field(repr=False)
    digest: bytes

    @classmethod
    def of(cls, plaintext: bytes) -> "RawBody":
        """That of 1..CHUNK_BYTES_MAX bytes of a mod."""
        data = _RAW_BYTE + plaintext
        return cls(data, hashlib.sha256(data).digest())

    @property
    def plaintext_bytes(self) -> int:
        """The length of the plaintext."""
        return len(self.data) - 1


def seal_chunk(packer: Packer, lineage_secret: bytes, raw: RawBody) -> SealedChunk:
    """Pack and seal a chunk for one lineage. Hashes a packed body, and what is sealed."""
    body = packer.packed(raw.data)
    digest = raw.digest if body is None else hashlib.sha256(body).digest()
    key = derive_key(lineage_secret, "chunk", digest)
    data = seal_body(key, raw.data if body is None else body)
    return SealedChunk(address_of(data), key, data)


def open_chunk(key: bytes, data: bytes, plaintext_bytes: int) -> bytes:
    """The plaintext of a sealed chunk; raises ChunkMismatch unless it has the declared length."""
    try:
        plaintext = unpack_body(open_body(key, data), plaintext_bytes)
    except BadContent as error:
        raise ChunkMismatch(f"a chunk does not open: {error}") from None
    if len(plaintext) != plaintext_bytes:
        raise ChunkMismatch(
            f"a chunk holds {len(plaintext)} bytes where its manifest says {plaintext_bytes}"
        )
    return plaintext


def check_address(address: bytes, data: bytes) -> None:
    """Raise ChunkMismatch unless `data` hashes to `address`."""
    if address_of(data) != address:
        raise ChunkMismatch("a chunk's bytes do not hash to its address")
