"""Where the worlds are in which operations are broken off."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

_MEMORY = Path("/dev/shm")
_ROOM = 2**29
"""A world takes some ten megabytes, and several tests may run at once."""


@contextlib.contextmanager
def room_for_worlds(otherwise: Path) -> Iterator[Path]:
    """A folder in memory, where that has room, else one in the folder `otherwise`.

    The shim has what is flushed and what a full disk refuses, so the disk need not be a real one,
    which would take most of the time.
    """
    try:
        is_roomy = shutil.disk_usage(_MEMORY).free >= _ROOM
        made = tempfile.mkdtemp(dir=_MEMORY if is_roomy else otherwise)
    except OSError:  # there is none here, or not for us
        made = tempfile.mkdtemp(dir=otherwise)
    try:
        yield Path(made) / "worlds"
    finally:
        shutil.rmtree(made)
