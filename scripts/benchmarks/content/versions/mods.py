"""A mod as tools make them, textures that pack to half, and what an update changes in it.

All is drawn from a seed. A change lies in one place of a file, as a painter's or a patch's does.
"""

import random
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

_TILE_BYTES = 2**14
_TONES = 16
_LEVEL = 6
"""Of deflate: what tools take, and what a change is measured by."""
_SPREAD = 1.1
_LEAST_BYTES = 500
_LARGEST_PART = 25
"""Files are at most this part of the mod."""

Tree = dict[str, bytes]


@dataclass(frozen=True, slots=True)
class Update:
    """A later version of a tree: its files, which of them changed, and what the change came to."""

    tree: Tree
    changed: tuple[str, ...]
    bytes: int
    """That are other ones."""
    packed_bytes: int
    """The same as deflate packs them."""

    def members_bytes(self) -> int:
        """What the changed files come to, each deflated as a whole."""
        return sum(packed(self.tree[path]) for path in self.changed)


def packed(data: bytes) -> int:
    """The length of bytes as a zip would hold them."""
    return len(zlib.compress(data, _LEVEL))


def texture(rng: random.Random, size: int) -> bytes:
    """So many bytes with few tones in each tile."""
    tiles = []
    for at in range(0, size, _TILE_BYTES):
        tones = bytes(rng.sample(range(256), _TONES) * (256 // _TONES))
        tiles.append(rng.randbytes(min(_TILE_BYTES, size - at)).translate(tones))
    return b"".join(tiles)


def tree(size: int, files: int, seed: int = 31) -> Tree:
    """About so many files, so many bytes together: most are small, most bytes in large ones."""
    rng = random.Random(seed)
    made: Tree = {}
    left = size
    while left:
        drawn = int(rng.lognormvariate(0, _SPREAD) * size / files / 2) + _LEAST_BYTES
        length = min(drawn, left, size // _LARGEST_PART)
        name = f"files/chara/{rng.getrandbits(6):02x}/{rng.getrandbits(40):010x}_d.tex"
        made[name] = texture(rng, length)
        left -= length
    return made


def in_files(first: Tree, count: int, each: int, seed: int = 32) -> Update:
    """So many bytes changed in one place of each of so many files that are larger than that."""
    rng = random.Random(seed)
    large = sorted(path for path, data in first.items() if len(data) >= 2 * each)
    return _changed(first, [(path, each) for path in rng.sample(large, count)], rng)


def in_a_texture(first: Tree, share: float, seed: int = 33) -> Update:
    """A share of the largest file, in one place."""
    path = max(first, key=lambda path: (len(first[path]), path))
    return _changed(first, [(path, int(len(first[path]) * share))], random.Random(seed))


def _changed(first: Tree, changes: list[tuple[str, int]], rng: random.Random) -> Update:
    later, pieces = dict(first), []
    for path, length in changes:
        data = first[path]
        at = rng.randrange(len(data) - length)
        piece = texture(rng, length)
        later[path] = data[:at] + piece + data[at + length :]
        pieces.append(piece)
    paths = tuple(path for path, _ in changes)
    return Update(later, paths, sum(map(len, pieces)), sum(map(packed, pieces)))


def write_folder(files: Tree, folder: Path) -> None:
    """The files of a tree, each one anew, below a folder."""
    for path, data in files.items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)


def write_archive(files: Tree, folder: Path) -> None:
    """All as the only file of a folder, a deflated zip as game tools export it."""
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(
        folder / "mod.pmp", "w", zipfile.ZIP_DEFLATED, compresslevel=_LEVEL
    ) as made:
        for path, data in sorted(files.items()):
            made.writestr(zipfile.ZipInfo(path), data, zipfile.ZIP_DEFLATED, _LEVEL)
