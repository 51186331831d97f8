"""Folders to share: bytes that nothing compresses, as one file or as many."""

import random
import shutil
from pathlib import Path

_PART_BYTES = 2**24
_FOLDERS = 100
_CHANGES = 10


def one_file(folder: Path, size: int, seed: int = 1) -> Path:
    """A folder with one file of so many bytes."""
    folder.mkdir()
    _write(folder / "mod.bin", size, random.Random(seed))
    return folder


def small_files(folder: Path, count: int, size: int) -> Path:
    """A folder with so many files of so many bytes, in 100 folders."""
    rng = random.Random(2)
    folder.mkdir()
    for number in range(_FOLDERS):
        (folder / f"{number:02}").mkdir()
    for number in range(count):
        path = folder / f"{number % _FOLDERS:02}" / f"{number}.bin"
        path.write_bytes(rng.randbytes(size))
    return folder


def changed(source: Path, target: Path, share: float) -> Path:
    """A second version of `one_file`: so much of it has changed, in ten places, lengths too."""
    shutil.copytree(source, target)
    data = bytearray((target / "mod.bin").read_bytes())
    rng = random.Random(3)
    length = int(len(data) * share / _CHANGES)
    for number in reversed(range(_CHANGES)):
        at = len(data) * number // _CHANGES + rng.randrange(len(data) // _CHANGES - length)
        data[at : at + length] = rng.randbytes(length + number)
    (target / "mod.bin").write_bytes(data)
    return target


def _write(path: Path, size: int, rng: random.Random) -> None:
    with path.open("wb") as file:
        for at in range(0, size, _PART_BYTES):
            file.write(rng.randbytes(min(_PART_BYTES, size - at)))
