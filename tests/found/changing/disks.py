"""Small real disks, to be filled to their last byte and their last file; root mounts them."""

import contextlib
import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

TMPFS_4 = ("tmpfs", 4, 64)
TMPFS_50 = ("tmpfs", 50, 400)
EXT4_16 = ("ext4", 16, 64)
Disk = tuple[str, int, int]
"""File system, megabytes, and how many files it may have."""

_FULL = {errno.ENOSPC, errno.EDQUOT}


@contextlib.contextmanager
def mounted(disk: Disk, folder: Path) -> Iterator[Path]:
    """A disk of a few megabytes, as a folder."""
    kind, megabytes, files = disk
    if os.name == "nt" or not hasattr(os, "geteuid") or os.geteuid():
        pytest.skip("only root mounts disks")
    folder.mkdir()
    if kind == "tmpfs":
        words = [
            "mount",
            "-t",
            "tmpfs",
            "-o",
            f"size={megabytes}m,nr_inodes={files}",
            "t",
            str(folder),
        ]
    else:
        image = folder.with_suffix(".img")
        with image.open("wb") as file:
            file.truncate(megabytes * 2**20)
        make = ["mkfs.ext4", "-q", "-F", "-N", str(files), "-m", "0", str(image)]
        try:
            subprocess.run(make, check=True, capture_output=True)
        except FileNotFoundError:
            pytest.skip("there is no mkfs.ext4")
        words = ["mount", "-o", "loop", str(image), str(folder)]
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"this root may not mount: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True, capture_output=True)


def fill(disk: Path) -> None:
    """Let another program take all bytes and all files that are left."""
    others = disk / "others"
    with contextlib.suppress(OSError):
        others.mkdir(exist_ok=True)
    names = sorted(others.iterdir()) if others.exists() else []
    number = max((int(path.name) + 1 for path in names), default=0)
    # The files first: each takes an inode, and in the folder a little room.
    while _has_room(others / f"{number:06}", b""):
        number += 1
    first = others / f"{0:06}"
    for size in (2**16, 4096, 1):
        while first.exists() and _has_room(first, bytes(size)):
            pass


def _has_room(path: Path, data: bytes) -> bool:
    """Append, and whether all of it found room."""
    try:
        with path.open("ab", buffering=0) as file:
            return file.write(data) == len(data)
    except OSError as error:
        if error.errno not in _FULL:
            raise
        return False


def is_full(disk: Path) -> bool:
    """Whether nobody could write anything more there."""
    usage = os.statvfs(disk)
    return usage.f_bavail * usage.f_frsize < 4096 * 4 or not usage.f_ffree
