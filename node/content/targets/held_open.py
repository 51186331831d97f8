"""Whether another program holds a file so that it can lose its name to no other one.

Blocking. Only Windows has that: elsewhere a program goes on with the file that it opened.
"""

import errno
import os
from pathlib import Path
from typing import Final

_SHARING_VIOLATIONS: Final = {32, 33}
"""Of Windows (winerror.h): another program has the file, or a part of it, for itself."""
_BUSY: Final = {errno.EBUSY, errno.ETXTBSY}


def is_held_open(place: Path) -> bool:
    """Whether a file cannot be renamed for now; to rename it to its own name tells."""
    if os.name != "nt":
        return False
    try:
        os.rename(place, place)  # noqa: PTH104 (Path.rename is the same call)
    except OSError as error:
        return is_busy(error)
    return False


def is_busy(error: OSError) -> bool:
    """Whether the system refuses something because another program uses the file."""
    return getattr(error, "winerror", None) in _SHARING_VIOLATIONS or error.errno in _BUSY
