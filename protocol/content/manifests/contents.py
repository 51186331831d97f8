"""The sealed part of a manifest: names, files, chunk keys, and how a version came of others.

PROTOCOL.md, section 10, gives the bytes.
"""

import heapq
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

from protocol import codec, limits
from protocol.content import file_paths, sealing
from protocol.content.packed import PackedBytes, bytes_of, numbers_of
from protocol.errors import Malformed

FILE_HASH_BYTES = 32
_FIELDS = 13
_PREVIOUS_BYTES = 64
_OFFER = struct.Struct(">32s32s32sQ")
"""A patch: the mod id of the version that it changes, its own mod id, its content key, its sealed
bytes."""


@dataclass(frozen=True, slots=True)
class ModFile:
    """One file of a mod."""

    path: str
    size: int
    """In bytes."""
    executable: bool = False
    sha256: bytes = bytes(FILE_HASH_BYTES)
    """Of its bytes, 32 bytes."""
    modified_ns: int | None = None
    """When it was modified, in nanoseconds since 1970; None if the publisher does not tell."""


@dataclass(frozen=True, slots=True)
class VersionKeys:
    """A version by its mod id, and the content key that opens it; 32 bytes each."""

    mod_id: bytes
    content_key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class PatchOffer:
    """A mod that rebuilds this version out of the version `base`, another mod id of 32 bytes."""

    base: bytes
    patch: VersionKeys
    sealed_bytes: int
    """Of all its chunks."""


@dataclass(frozen=True, slots=True)
class Contents:
    """The sealed part. `keys` and `lengths` (plaintext bytes) go with the manifest's chunks.

    `order` has the chunk numbers of the byte stream; chunks are numbered by first appearance.
    """

    name: str
    version: int
    """Within the lineage, counted from 1."""
    files: tuple[ModFile, ...] = field(repr=False)
    keys: Sequence[bytes] = field(repr=False)
    lengths: Sequence[int] = field(repr=False)
    order: Sequence[int] = field(repr=False)
    empty_folders: tuple[str, ...] = field(default=(), repr=False)
    """Paths of folders in which neither file nor folder lies, in order, without a slash behind."""
    previous: VersionKeys | None = None
    """The version before this one."""
    patches: tuple[PatchOffer, ...] = field(default=(), repr=False)
    patch_of: bytes | None = None
    """Of a mod that is a patch: the mod id of the version that it changes."""

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


def encode_contents(contents: Contents) -> bytes:
    """The sealed part of a manifest, before it is compressed and sealed."""
    files, previous = contents.files, contents.previous
    return codec.encode_long(
        [
            contents.name,
            contents.version,
            b"" if previous is None else previous.mod_id + previous.content_key,
            [file.path for file in files],
            struct.pack(f">{len(files)}Q", *(file.size for file in files)),
            bytes(file.executable for file in files),
            b"".join(file.sha256 for file in files),
            _packed_times(files),
            b"".join(contents.keys),
            bytes_of(contents.lengths),
            bytes_of(contents.order),
            list(contents.empty_folders),
            _packed_patches(contents),
        ]
    )


def _packed_times(files: Sequence[ModFile]) -> bytes:
    times = [file.modified_ns for file in files if file.modified_ns is not None]
    if len(times) not in (0, len(files)):
        raise ValueError("the times of some files only")
    return struct.pack(f">{len(times)}q", *times)


def _packed_patches(contents: Contents) -> bytes:
    """Those that lead to this version; of a patch the version that it changes."""
    if contents.patch_of is not None:
        return contents.patch_of
    return b"".join(
        _OFFER.pack(offer.base, offer.patch.mod_id, offer.patch.content_key, offer.sealed_bytes)
        for offer in contents.patches
    )


def decode_contents(source: codec.Readable) -> Contents:
    """What `encode_contents` made; raises Malformed. `checks` has still to pass."""
    fields = codec.FieldReader(source, fields=_FIELDS, max_bytes=limits.MANIFEST_BYTES)
    name, version, previous = fields.text(), fields.number(), fields.bytes()
    names = fields.texts(limits.MANIFEST_FILES)
    sizes, flags, hashes, times = (fields.bytes() for _ in range(4))
    keys, lengths, order = (fields.bytes() for _ in range(3))
    empty_folders, patches = fields.texts(limits.MANIFEST_FOLDERS), fields.bytes()
    fields.end()
    offers, patch_of = _patches_of(patches)
    return Contents(
        name,
        codec.ranged(version, 1, limits.LINEAGE_VERSION_MAX),
        _files_of(names, sizes, flags, hashes, times),
        _keys_of(keys),
        _numbers_in(lengths),
        _numbers_in(order),
        tuple(empty_folders),
        _previous_of(previous),
        offers,
        patch_of,
    )


def _files_of(
    names: Sequence[str], sizes: bytes, flags: bytes, hashes: bytes, times: bytes
) -> tuple[ModFile, ...]:
    count = len(names)
    codec.sized(sizes, 8 * count)
    codec.sized(flags, count)
    codec.sized(hashes, FILE_HASH_BYTES * count)
    if flags.translate(None, b"\0\1"):
        raise Malformed("an executable flag that is neither 0 nor 1")
    if times:
        codec.sized(times, 8 * count)
    rows = zip(
        names,
        struct.unpack(f">{count}Q", sizes),
        flags,
        PackedBytes(hashes, FILE_HASH_BYTES),
        struct.unpack(f">{count}q", times) if times else (None,) * count,
        strict=True,
    )
    return tuple(
        ModFile(path, size, flag == 1, digest, at) for path, size, flag, digest, at in rows
    )


def _keys_of(data: bytes) -> PackedBytes:
    size = sealing.AES_KEY_BYTES
    if len(data) % size or len(data) > size * limits.MANIFEST_CHUNKS:
        raise Malformed(f"{len(data)} bytes are no array of {size}-byte items")
    return PackedBytes(data, size)


def _numbers_in(data: bytes) -> Sequence[int]:
    if len(data) % 4 or len(data) > 4 * limits.MANIFEST_CHUNKS:
        raise Malformed(f"{len(data)} bytes are no array of 4-byte numbers")
    return numbers_of(data)


def _previous_of(data: bytes) -> VersionKeys | None:
    if not data:
        return None
    codec.sized(data, _PREVIOUS_BYTES)
    return VersionKeys(data[:32], data[32:])


def _patches_of(data: bytes) -> tuple[tuple[PatchOffer, ...], bytes | None]:
    """The patches that lead to a version; of a patch the version that it changes."""
    if len(data) == FILE_HASH_BYTES:
        return (), data
    if len(data) % _OFFER.size or len(data) > limits.PATCHES * _OFFER.size:
        raise Malformed(f"{len(data)} bytes are no patches")
    rows = _OFFER.iter_unpack(data)
    return tuple(PatchOffer(base, VersionKeys(*keys), size) for base, *keys, size in rows), None
