"""The description of a mod: a public part that every holder reads, and a sealed part for readers.

The public part lists the unique chunks by address and sealed length: enough to fetch, verify,
store and serve them. The sealed part has names, files, chunk keys and the order of the chunks in
the mod's byte stream, which is its files one after the other, by file path. The mod id is the
SHA-256 of the whole manifest.

On the wire a manifest is the list [version, table, sealed]; PROTOCOL.md gives the bytes. The sealed
part of version 2 has one field more than that of version 1: the folders in which nothing lies. A
mod without such ones has version 1, so that it is the same mod as ever.
"""

import hashlib
import heapq
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from protocol import codec, limits
from protocol.content import file_paths, sealing
from protocol.content.packed import PackedBytes, PackedNumbers, bytes_of, numbers_of
from protocol.errors import BadContent, BadManifest, Malformed, UnknownVersion, UnsafePath

MANIFEST_VERSION = 1
EMPTY_FOLDERS_VERSION = 2
"""Of a mod without empty folders, and of one with some."""

_ROW = struct.Struct(">32sI")
"""One chunk of the table: address, sealed length."""
_ADDRESS_BYTES = 32
_ADDRESS_START = struct.Struct(">Q28x")
"""Of a row: few enough bytes for a small number."""
CHUNK_BYTES_LEAST = _ROW.size + sealing.AES_KEY_BYTES
"""What a chunk adds to its manifest at least: its row and its key do not compress."""
_CONTENTS_FIELDS = {MANIFEST_VERSION: 8, EMPTY_FOLDERS_VERSION: 9}
"""Name, version, paths, sizes, executable flags, chunk keys, lengths and order; empty folders."""
_ARRAYS = 5
"""Those from sizes to order."""
_SEALED_BYTES_MIN = sealing.SEAL_OVERHEAD_BYTES + 1


@dataclass(frozen=True, slots=True)
class ModFile:
    """One file of a mod. `size` in bytes."""

    path: str
    size: int
    executable: bool = False


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest as every holder can read it; `data` is its one spelling."""

    mod_id: bytes
    addresses: Sequence[bytes] = field(repr=False)
    sealed_lengths: Sequence[int] = field(repr=False)
    sealed: bytes = field(repr=False)
    data: bytes = field(repr=False)
    version: int = MANIFEST_VERSION

    @property
    def sealed_bytes(self) -> int:
        """Bytes of all sealed chunks together."""
        return sum(self.sealed_lengths)


@dataclass(frozen=True, slots=True)
class Contents:
    """The sealed part. `keys` and `lengths` (plaintext bytes) go with the manifest's chunks.

    `order` has the chunk numbers of the byte stream; chunks are numbered by first appearance.
    """

    name: str
    version: str
    files: tuple[ModFile, ...] = field(repr=False)
    keys: Sequence[bytes] = field(repr=False)
    lengths: Sequence[int] = field(repr=False)
    order: Sequence[int] = field(repr=False)
    empty_folders: tuple[str, ...] = field(default=(), repr=False)
    """Paths of folders in which neither file nor folder lies, in order, without a slash behind."""

    @property
    def manifest_version(self) -> int:
        """That of the manifest of such contents."""
        return EMPTY_FOLDERS_VERSION if self.empty_folders else MANIFEST_VERSION

    @property
    def total_bytes(self) -> int:
        """The bytes of all files."""
        return sum(file.size for file in self.files)

    @property
    def folders(self) -> int:
        """How many folders there are, besides the mod's own."""
        paths = (file.path for file in self.files)
        empty = (f"{folder}/" for folder in self.empty_folders)
        return file_paths.count_folders(heapq.merge(paths, empty))

    @property
    def disk_bytes(self) -> int:
        """The bytes that a file system takes for all of it, amply."""
        return self.total_bytes + limits.DISK_ENTRY_BYTES * (len(self.files) + self.folders)


def build_manifest(
    contents: Contents, chunks: Iterable[tuple[bytes, int]], lineage_secret: bytes
) -> tuple[Manifest, bytes]:
    """The manifest and the content key of a mod whose chunks have these addresses and lengths.

    The key follows from the lineage secret and what is sealed: the same mod published twice is
    the same mod. Raises BadManifest if readers would refuse it.
    """
    table = b"".join(_ROW.pack(address, length) for address, length in chunks)
    body = sealing.Packer().pack(encode_contents(contents))
    digest = hashlib.sha256(hashlib.sha256(table).digest() + body).digest()
    content_key = sealing.derive_key(lineage_secret, "content key", digest)
    sealed = sealing.seal_body(_manifest_key(content_key), body, table)
    manifest = decode_manifest(codec.encode_long((contents.manifest_version, table, sealed)))
    check_contents(contents, manifest)
    return manifest, content_key


def decode_manifest(data: bytes) -> Manifest:
    """Read the public part; raises BadManifest or UnknownVersion."""
    try:
        fields = codec.decode_canonical(data, max_bytes=limits.MANIFEST_BYTES, max_items=3)
        version, table, sealed = codec.shape(fields, int, bytes, bytes)
    except Malformed as error:
        raise BadManifest(f"the manifest is not well-formed: {error}") from None
    if version not in _CONTENTS_FIELDS:
        raise UnknownVersion(f"a manifest of version {version}")
    if len(table) % _ROW.size or len(table) > limits.MANIFEST_CHUNKS * _ROW.size:
        raise BadManifest(f"the manifest's table of chunks has {len(table)} bytes")
    addresses = PackedBytes(table, _ADDRESS_BYTES, _ROW.size)
    lengths = PackedNumbers("I", (length for _, length in _ROW.iter_unpack(table)))
    if not _are_distinct(table):
        raise BadManifest("the manifest lists a chunk twice")
    if lengths and not (
        min(lengths) >= _SEALED_BYTES_MIN and max(lengths) <= limits.SEALED_CHUNK_BYTES
    ):
        raise BadManifest("the manifest lists a chunk of an impossible length")
    return Manifest(hashlib.sha256(data).digest(), addresses, lengths, sealed, data, version)


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
        unpacking = sealing.Unpacking(body, limits.MANIFEST_BYTES)
        contents = decode_contents(unpacking, manifest.version)
    except (BadContent, Malformed) as error:
        raise BadManifest(f"the manifest's sealed part is not well-formed: {error}") from None
    check_contents(contents, manifest)
    return contents


def _manifest_key(content_key: bytes) -> bytes:
    return sealing.derive_key(content_key, "manifest")


def encode_contents(contents: Contents) -> bytes:
    """The sealed part of a manifest, before it is compressed and sealed."""
    files = contents.files
    return codec.encode_long(
        [
            contents.name,
            contents.version,
            [file.path for file in files],
            struct.pack(f">{len(files)}Q", *(file.size for file in files)),
            bytes(file.executable for file in files),
            b"".join(contents.keys),
            bytes_of(contents.lengths),
            bytes_of(contents.order),
            *([list(contents.empty_folders)] if contents.empty_folders else []),
        ]
    )


def decode_contents(source: codec.Readable, manifest_version: int = MANIFEST_VERSION) -> Contents:
    """What `encode_contents` made for a manifest of this version; raises Malformed.

    `check_contents` has still to pass.
    """
    count = _CONTENTS_FIELDS[manifest_version]
    fields = codec.FieldReader(source, fields=count, max_bytes=limits.MANIFEST_BYTES)
    name, version = fields.text(), fields.text()
    names = fields.texts(limits.MANIFEST_FILES)
    sizes, flags, keys, lengths, order = (fields.bytes() for _ in range(_ARRAYS))
    with_empty = manifest_version == EMPTY_FOLDERS_VERSION
    empty_folders = fields.texts(limits.MANIFEST_FOLDERS) if with_empty else []
    fields.end()
    if with_empty and not empty_folders:
        raise Malformed("a field for empty folders without any")
    codec.sized(sizes, 8 * len(names))
    codec.sized(flags, len(names))
    if flags.translate(None, b"\0\1"):
        raise Malformed("an executable flag that is neither 0 nor 1")
    unpacked_sizes = struct.unpack(f">{len(names)}Q", sizes)
    return Contents(
        name,
        version,
        tuple(
            ModFile(path, size, flag == 1)
            for path, size, flag in zip(names, unpacked_sizes, flags, strict=True)
        ),
        _keys_of(keys),
        _unpacked_u32(lengths),
        _unpacked_u32(order),
        tuple(empty_folders),
    )


def _keys_of(data: bytes) -> PackedBytes:
    size = sealing.AES_KEY_BYTES
    if len(data) % size or len(data) > size * limits.MANIFEST_CHUNKS:
        raise Malformed(f"{len(data)} bytes are no array of {size}-byte items")
    return PackedBytes(data, size)


def _unpacked_u32(data: bytes) -> Sequence[int]:
    if len(data) % 4 or len(data) > 4 * limits.MANIFEST_CHUNKS:
        raise Malformed(f"{len(data)} bytes are no array of 4-byte numbers")
    return numbers_of(data)


def check_contents(contents: Contents, manifest: Manifest) -> None:
    """Raise BadManifest unless the two parts agree and the files are safe to write."""
    _check_files(contents)
    try:
        file_paths.check_text(contents.name, "the mod's name", limits.MOD_NAME_BYTES)
        file_paths.check_text(contents.version, "the mod's version", limits.MOD_NAME_BYTES)
        file_paths.check_tree((file.path for file in contents.files), contents.empty_folders)
    except UnsafePath as error:
        raise BadManifest(str(error)) from None
    if not contents.name:
        raise BadManifest("the manifest gives its mod no name")
    _check_chunks(contents, manifest)


def _check_files(contents: Contents) -> None:
    if not 1 <= len(contents.files) <= limits.MANIFEST_FILES:
        raise BadManifest(f"the manifest names {len(contents.files)} files")
    previous = ""
    for file in contents.files:
        if file.path <= previous:
            raise BadManifest(
                f"the file {file_paths.quoted(file.path)} is not in the order of file paths"
            )
        previous = file.path
    if any(one >= other for one, other in pairwise(contents.empty_folders)):
        raise BadManifest("the manifest's empty folders are not in the order of file paths")
    if contents.total_bytes > limits.MOD_BYTES:
        raise BadManifest(f"the manifest's files have more than {limits.MOD_BYTES} bytes")


def _check_chunks(contents: Contents, manifest: Manifest) -> None:
    count = len(manifest.addresses)
    if len(contents.keys) != count or len(contents.lengths) != count:
        raise BadManifest("the manifest's two parts do not have the same number of chunks")
    for length, sealed_length in zip(contents.lengths, manifest.sealed_lengths, strict=True):
        if not 1 <= length <= limits.CHUNK_BYTES_MAX:
            raise BadManifest(f"the manifest has a chunk of {length} bytes")
        if sealed_length > length + sealing.SEAL_OVERHEAD_BYTES:
            raise BadManifest("the manifest has a chunk that grew when it was sealed")
    _check_order(contents.order, count)
    chunk_bytes = sum(contents.lengths[number] for number in contents.order)
    if chunk_bytes != contents.total_bytes:
        raise BadManifest(
            f"the manifest's files have {contents.total_bytes} bytes and its chunks {chunk_bytes}"
        )


def _check_order(order: Sequence[int], count: int) -> None:
    appeared = 0
    for number in order:
        if number > appeared or number >= count:
            raise BadManifest("the manifest's chunks are not numbered by first appearance")
        appeared += number == appeared
    if appeared != count:
        raise BadManifest("the manifest lists a chunk that no file needs")
