"""The description of a mod: a public part that every holder reads, and a sealed part for readers.

The public part names the lineage, and lists the unique chunks by address and sealed length: enough
to fetch, verify, store and serve them. It is signed by the lineage's key, so that only its
publisher makes versions of it. The sealed part (`contents`) has names, files, chunk keys and the
order of the chunks in the mod's byte stream, which is its files one after the other, by file path.
The mod id is the SHA-256 of the whole manifest.

On the wire a manifest is the list [2, lineage key, policy, table, sealed, signature]; PROTOCOL.md
gives the bytes.
"""

import hashlib
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from protocol import codec, limits
from protocol.content import sealing
from protocol.content.lineage.keys import LineageKeys
from protocol.content.manifests.checks import check_contents
from protocol.content.manifests.contents import Contents, decode_contents, encode_contents
from protocol.content.packed import PackedBytes, PackedNumbers
from protocol.errors import BadContent, BadManifest, BadSignature, Malformed, UnknownVersion
from protocol.identity import verify

MANIFEST_VERSION = 2
POLICY_OPEN = 0
"""Anyone with the content key may read; other policies are reserved."""

_ROW = struct.Struct(">32sI")
"""One chunk of the table: address, sealed length."""
_ADDRESS_BYTES = 32
_ADDRESS_START = struct.Struct(">Q28x")
"""Of a row: few enough bytes for a small number."""
CHUNK_BYTES_LEAST = _ROW.size + sealing.AES_KEY_BYTES
"""What a chunk adds to its manifest at least: its row and its key do not compress."""
_SEALED_BYTES_MIN = sealing.SEAL_OVERHEAD_BYTES + 1
_OLD_ITEMS = 3
"""Manifests without a lineage had so many items, and the versions 1 and 2."""
_ITEMS = 6


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest as every holder can read it; `data` is its one spelling."""

    mod_id: bytes
    lineage_key: bytes
    addresses: Sequence[bytes] = field(repr=False)
    sealed_lengths: Sequence[int] = field(repr=False)
    sealed: bytes = field(repr=False)
    data: bytes = field(repr=False)

    @property
    def sealed_bytes(self) -> int:
        """Bytes of all sealed chunks together."""
        return sum(self.sealed_lengths)


def build_manifest(
    contents: Contents, chunks: Iterable[tuple[bytes, int]], keys: LineageKeys
) -> tuple[Manifest, bytes]:
    """The manifest and the content key of a mod whose chunks have these addresses and lengths.

    The key follows from the lineage's secret and what is sealed: the same mod published twice is
    the same mod. Raises BadManifest if readers would refuse it.
    """
    table = b"".join(_ROW.pack(address, length) for address, length in chunks)
    body = sealing.Packer().pack(encode_contents(contents))
    digest = hashlib.sha256(hashlib.sha256(table).digest() + body).digest()
    content_key = sealing.derive_key(keys.secret, "content key", digest)
    sealed = sealing.seal_body(_manifest_key(content_key), body, table)
    manifest = decode_manifest(sign_manifest(keys, table, sealed))
    check_contents(contents, manifest.sealed_lengths)
    return manifest, content_key


def sign_manifest(keys: LineageKeys, table: bytes, sealed: bytes) -> bytes:
    """The bytes of a manifest with this table and sealed part, which are not looked at."""
    signature = keys.identity.sign("manifest", _signed(keys.public_key, POLICY_OPEN, table, sealed))
    fields = (MANIFEST_VERSION, keys.public_key, POLICY_OPEN, table, sealed, signature)
    return codec.encode_long(fields)


def _signed(lineage_key: bytes, policy: int, table: bytes, sealed: bytes) -> bytes:
    digests = hashlib.sha256(table).digest(), hashlib.sha256(sealed).digest()
    return codec.encode([MANIFEST_VERSION, lineage_key, policy, *digests])


def decode_manifest(data: bytes) -> Manifest:
    """Read the public part; raises BadManifest or UnknownVersion."""
    try:
        fields = codec.decode_canonical(data, max_bytes=limits.MANIFEST_BYTES, max_items=_ITEMS)
        unknown = _why_unknown(fields)
        if unknown:
            raise UnknownVersion(unknown)
        _, lineage_key, policy, table, sealed, signature = codec.shape(
            fields, int, bytes, int, bytes, bytes, bytes
        )
        codec.sized(lineage_key, limits.KEY_BYTES)
    except UnknownVersion:
        raise
    except Malformed as error:
        raise BadManifest(f"the manifest is not well-formed: {error}") from None
    if policy != POLICY_OPEN:
        raise UnknownVersion(f"a manifest of the policy {policy}, which this version does not know")
    if len(table) % _ROW.size or len(table) > limits.MANIFEST_CHUNKS * _ROW.size:
        raise BadManifest(f"the manifest's table of chunks has {len(table)} bytes")
    _check_signature(lineage_key, policy, table, sealed, signature)
    addresses = PackedBytes(table, _ADDRESS_BYTES, _ROW.size)
    lengths = PackedNumbers("I", (length for _, length in _ROW.iter_unpack(table)))
    if not _are_distinct(table):
        raise BadManifest("the manifest lists a chunk twice")
    if lengths and not (
        min(lengths) >= _SEALED_BYTES_MIN and max(lengths) <= limits.SEALED_CHUNK_BYTES
    ):
        raise BadManifest("the manifest lists a chunk of an impossible length")
    mod_id = hashlib.sha256(data).digest()
    return Manifest(mod_id, lineage_key, addresses, lengths, sealed, data)


def _why_unknown(fields: Any) -> str:
    """Of which other version a manifest is; empty text if it is of this one, or no manifest."""
    version = fields[0] if type(fields) is list and fields else None
    if type(version) is not int:
        return ""
    if version <= MANIFEST_VERSION and len(fields) == _OLD_ITEMS:
        return (
            "a manifest as earlier versions made it, without a lineage: who shared the mod has to "
            "share it again"
        )
    return "" if version == MANIFEST_VERSION else f"a manifest of version {version}"


def _check_signature(
    lineage_key: bytes, policy: int, table: bytes, sealed: bytes, signature: bytes
) -> None:
    signed = _signed(lineage_key, policy, table, sealed)
    try:
        verify(lineage_key, "manifest", signed, signature)
    except BadSignature:
        raise BadManifest("the manifest is not signed by the key of its lineage") from None


def _are_distinct(table: bytes) -> bool:
    """Whether no two rows have one address. Where their first bytes differ no more is compared."""
    starts = sorted(start for (start,) in _ADDRESS_START.iter_unpack(table))
    if all(one != other for one, other in pairwise(starts)):
        return True
    addresses = PackedBytes(table, _ADDRESS_BYTES, _ROW.size)
    return len(set(addresses)) == len(addresses)


def open_contents(manifest: Manifest, content_key: bytes) -> Contents:
    """Open the sealed part; raises BadManifest if it does not open, lies or is unsafe."""
    table = b"".join(
        _ROW.pack(address, length)
        for address, length in zip(manifest.addresses, manifest.sealed_lengths, strict=True)
    )
    try:
        body = sealing.open_body(_manifest_key(content_key), manifest.sealed, table)
    except BadContent:
        raise BadManifest("the link's content key does not open the manifest") from None
    try:
        contents = decode_contents(sealing.Unpacking(body, limits.MANIFEST_BYTES))
    except (BadContent, Malformed) as error:
        raise BadManifest(f"the manifest's sealed part is not well-formed: {error}") from None
    check_contents(contents, manifest.sealed_lengths)
    return contents


def _manifest_key(content_key: bytes) -> bytes:
    return sealing.derive_key(content_key, "manifest")
