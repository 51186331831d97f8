"""When files were changed: set as a mod says, and remembered as the disk has it.

Blocking.
"""

import os
from pathlib import Path
from typing import Final

from node.content.vault.stored_target import WrittenFile
from protocol.content.manifests.contents import ModFile

YOUNG_NS: Final = 2_100_000_000
"""FAT tells times by 2 s: a younger file may be changed once more and look as it did."""


def disk_time_ns(folder: Path) -> int:
    """What the disk of a folder of ours takes for now; raises OSError."""
    os.utime(folder)
    return folder.stat().st_mtime_ns


def set_time(place: str | Path | int, modified_ns: int, folder: int | None = None) -> None:
    """Set when a file was changed; a disk that cannot hold that time keeps its own.

    `place` is a descriptor, or a path that may begin in an open folder.
    """
    try:
        os.utime(place, ns=(modified_ns, modified_ns), dir_fd=folder)
    except (OSError, OverflowError):
        return


def written_file(file: ModFile, status: os.stat_result, now_ns: int) -> WrittenFile:
    """How a file is on the disk; `now_ns` is the disk's time."""
    is_old = status.st_mtime_ns <= now_ns - YOUNG_NS
    time = status.st_mtime_ns if is_old else None
    return WrittenFile(file.path, file.size, time, file.executable, file.sha256)
