"""Whether two folders hold the same files, byte for byte, checked by code of its own."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from protocol.errors import BadContent

_BLOCK_BYTES = 2**20


class Different(BadContent):
    """Two folders that should hold the same files do not."""


@dataclass(frozen=True, slots=True)
class Compared:
    """How much was found equal; `digest` is the SHA-256 over all paths, sizes and bytes."""

    files: int
    bytes: int
    digest: str


def compare(left: Path, right: Path, shared: int | None = None) -> Compared:
    """Read every file of both folders; raises Different naming the first difference.

    Where `left` has files that were left out, `shared` says how many others it has.
    """
    right_files = files_in(right)
    if shared is None:
        left_files = files_in(left)
    elif shared != len(right_files):
        raise Different(f"{shared} files were shared, and {len(right_files)} came")
    else:
        left_files = {path: left / path for path in right_files}
    if left_files.keys() != right_files.keys():
        path = min(left_files.keys() ^ right_files.keys())
        raise Different(f"{path} is in one of the two folders only")
    digests = (hashlib.sha256(), hashlib.sha256())
    total = 0
    for path, left_file in left_files.items():
        count, pair = _compare_files(left_file, right_files[path], path)
        total += count
        for digest, of_file in zip(digests, pair, strict=True):
            digest.update(f"{path}\0{count}\0".encode() + of_file)
    if digests[0].digest() != digests[1].digest():
        raise Different("the folders' hashes differ")
    return Compared(len(left_files), total, digests[0].hexdigest())


def files_in(folder: Path) -> dict[str, Path]:
    """Every file below a folder by its relative path with slashes, sorted; or the one file.

    Links count as what they lead to, as they do in a mod.
    """
    if folder.is_file():
        return {folder.name: folder}
    found = [
        Path(place, name) for place, _, names in os.walk(folder, followlinks=True) for name in names
    ]
    return {path.relative_to(folder).as_posix(): path for path in sorted(found)}


def _compare_files(left: Path, right: Path, path: str) -> tuple[int, tuple[bytes, bytes]]:
    digests = (hashlib.sha256(), hashlib.sha256())
    count = 0
    if not left.is_file():
        raise Different(f"{path} is in one of the two folders only")
    with left.open("rb") as left_file, right.open("rb") as right_file:
        while True:
            blocks = (left_file.read(_BLOCK_BYTES), right_file.read(_BLOCK_BYTES))
            if blocks[0] != blocks[1]:
                raise Different(f"{path} differs within 1 MiB after byte {count}")
            if not blocks[0]:
                return count, (digests[0].digest(), digests[1].digest())
            count += len(blocks[0])
            for digest, block in zip(digests, blocks, strict=True):
                digest.update(block)
