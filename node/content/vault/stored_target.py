"""What a vault knows of a target: a folder that modswarm wrote, and how its files were then."""

import os
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from protocol import codec, limits
from protocol.content import sealing
from protocol.content.manifests.contents import FILE_HASH_BYTES

_FIELDS = 6
_NUMBER_BYTES = 8
_UNKNOWN = -(2**63)
"""In place of a time that says nothing."""
_TREE_BYTES = limits.MANIFEST_BYTES + _NUMBER_BYTES * limits.MANIFEST_FILES
"""A manifest has all of this but the times, where its publisher tells none."""


class WrittenFile(NamedTuple):
    """A file of a mod, as it was on the disk after it was written.

    `modified_ns` is what the disk says, which may be less exact than what the mod says. It is None
    where the time says nothing: the file may have been changed within the same moment, so that
    only its bytes tell.
    """

    path: str
    size: int
    modified_ns: int | None
    executable: bool
    sha256: bytes


@dataclass(frozen=True, slots=True)
class WrittenTree:
    """All files of a target, and its folders in which nothing lies, each in the order of paths."""

    files: tuple[WrittenFile, ...] = field(repr=False)
    empty_folders: tuple[str, ...] = field(default=(), repr=False)

    def packed(self) -> bytes:
        """Some bytes for each file."""
        files = self.files
        times = (_UNKNOWN if file.modified_ns is None else file.modified_ns for file in files)
        return sealing.Packer().pack(
            codec.encode_long(
                [
                    [file.path for file in files],
                    struct.pack(f">{len(files)}Q", *(file.size for file in files)),
                    struct.pack(f">{len(files)}q", *times),
                    bytes(file.executable for file in files),
                    b"".join(file.sha256 for file in files),
                    list(self.empty_folders),
                ]
            )
        )

    @classmethod
    def of_packed(cls, data: bytes) -> "WrittenTree":
        """What `packed` made; raises Malformed, BadContent."""
        unpacking = sealing.Unpacking(data, _TREE_BYTES)
        fields = codec.FieldReader(unpacking, fields=_FIELDS, max_bytes=_TREE_BYTES)
        paths = fields.texts(limits.MANIFEST_FILES)
        count = len(paths)
        sizes, times = (
            codec.sized(fields.bytes(), _NUMBER_BYTES * count),
            codec.sized(fields.bytes(), _NUMBER_BYTES * count),
        )
        flags = codec.sized(fields.bytes(), count)
        hashes = codec.sized(fields.bytes(), FILE_HASH_BYTES * count)
        empty_folders = fields.texts(limits.MANIFEST_FOLDERS)
        fields.end()
        return cls(
            tuple(
                WrittenFile(path, size, None if time == _UNKNOWN else time, flag == 1, sha256)
                for path, size, time, flag, (sha256,) in zip(
                    paths,
                    struct.unpack(f">{count}Q", sizes),
                    struct.unpack(f">{count}q", times),
                    flags,
                    struct.iter_unpack(f"{FILE_HASH_BYTES}s", hashes),
                    strict=True,
                )
            ),
            tuple(empty_folders),
        )


@dataclass(frozen=True, slots=True)
class StoredTarget:
    """A target: its real path, the mod that is there, and what is under way."""

    path: Path
    mod_id: bytes
    plan: bytes
    """What is under way: a direction and the SHA-256 of its plan; empty if nothing is."""


def path_bytes(path: Path) -> bytes:
    """What a target is kept under: a name may have bytes that are no text."""
    return os.fsencode(path)
