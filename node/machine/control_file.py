"""`control.json`: where the control API of the node in a home is, and its token.

It stays behind where a node was killed, and travels where a home is copied, so it counts only with
the lock of its home.
"""

import contextlib
import json
import os
from pathlib import Path
from typing import Any, NamedTuple

from node.disk.lock import is_held, mark_of
from node.files import PRIVATE_FILE, write_atomically

CONTROL_FILE = "control.json"
LOCK_FILE = "lock"
_FORMAT = 1
_BYTES_MAX = 2**16


def is_node_running(home: Path) -> bool | None:
    """Whether a node holds the lock of a home; None where the system does not say."""
    try:
        return is_held(home / LOCK_FILE)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return None


def may_be_a_copys(home: Path) -> bool:
    """Whether its lock is a file that names a process, which a copy of the home has as well."""
    return mark_of(home / LOCK_FILE).exists()


class Control(NamedTuple):
    """`address` is `host:port`; both are what the node wrote."""

    address: str
    token: str


def write_control(home: Path, address: str, token: str) -> None:
    """Write it for the commands; raises DiskError."""
    told = {"format": _FORMAT, "address": address, "token": token, "pid": os.getpid()}
    data = json.dumps(told | {"home": _places(home)})
    write_atomically(home / CONTROL_FILE, data.encode(), PRIVATE_FILE)


def remove_control(home: Path) -> None:
    """Remove it once the control API is closed, or that of a node that was killed."""
    (home / CONTROL_FILE).unlink(missing_ok=True)


def read_control(home: Path) -> Control | None:
    """What it says; None where there is none that can be used."""
    told = _told(home)
    address, token = told.get("address"), told.get("token")
    if not isinstance(address, str) or not isinstance(token, str):
        return None
    return Control(address, token)


def is_damaged(home: Path) -> bool:
    """Whether it is there and cannot be used."""
    return os.path.lexists(home / CONTROL_FILE) and read_control(home) is None


def why_unreadable(home: Path) -> OSError | None:
    """What the system says to a file that is there and may not be read, as another user's."""
    try:
        (home / CONTROL_FILE).open("rb").close()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        return error
    return None


def process_of(home: Path) -> int | None:
    """The number of the node's process, if the file says it."""
    pid = _told(home).get("pid")
    return pid if isinstance(pid, int) else None


def is_of(home: Path) -> bool:
    """Whether it was written in this very home, and not in one that this one is a copy of."""
    written = _told(home).get("home")
    return not isinstance(written, list) or any(place in written for place in _places(home))


def _told(home: Path) -> dict[str, Any]:
    try:
        with (home / CONTROL_FILE).open("rb") as file:
            told = json.loads(file.read(_BYTES_MAX))
    except (OSError, ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def _places(home: Path) -> list[str]:
    """What tells a home from its copies: its path, and where its lock is on the disk.

    A home that was moved keeps the one, and one on a file system without inodes the other.
    """
    places = [os.path.realpath(home)]
    with contextlib.suppress(OSError):
        status = (home / LOCK_FILE).stat()
        places.append(f"{status.st_dev:x}:{status.st_ino:x}")
    return places
