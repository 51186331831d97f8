"""The hidden names beside a target, while it is written and where a killed process left it.

Each has a mark of the target, so that its lock tells whether some `get` still needs it.

.modswarm-MARK.lock        holds the target's place
.modswarm-MARK.part        the folder that grows until it is renamed to the target
.modswarm-MARK.gone        what was a .part, while it is removed
.modswarm-MARK.update      what an update of the target brings and takes away, until it is done
.modswarm-MARK-NUMBER.try  a folder in which the target's names are tried, for a moment
"""

import hashlib
import itertools
import os
import re
from pathlib import Path
from typing import Final

_DIGITS: Final = 16
_MOST: Final = 2**32 - 1
_probes = itertools.count()
_NAME: Final = re.compile(
    r"\.modswarm-([0-9a-f]{16})(?:-[0-9a-f]{16})?\.(lock|part|try|gone|update)(?:\.held)?",
    re.IGNORECASE,
)


def lock_of(target: Path) -> Path:
    """The lock of a target, whatever is written there."""
    return target.parent / _lock_name(_mark(os.fsencode(target.name)))


def growing_of(target: Path) -> Path:
    """The folder that becomes the target; the same each time, whichever mod is written there."""
    return target.parent / f".modswarm-{_mark(os.fsencode(target.name))}.part"


def update_of(target: Path) -> Path:
    """The folder beside a target in which an update of it is prepared and carried out."""
    return target.parent / f".modswarm-{_mark(os.fsencode(target.name))}.update"


def probe_in(folder: Path, target: Path) -> Path:
    """A new folder in which it is tried whether the names of a target can be."""
    number = f"{os.getpid() & _MOST:08x}{next(_probes) & _MOST:08x}"
    return folder / f".modswarm-{_mark(os.fsencode(target.name))}-{number}.try"


def what_is(path: Path) -> tuple[str, Path] | None:
    """For a hidden name: what it is (lock, part, try, gone, update), and the lock of its target."""
    found = _NAME.fullmatch(path.name)
    if found is None:
        return None
    return found[2].lower(), path.with_name(_lock_name(found[1].lower()))


def _lock_name(mark: str) -> str:
    return f".modswarm-{mark}.lock"


def _mark(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:_DIGITS]
