"""Homes of nodes hold keys: nothing in one is shared, and nothing is written into one by a `get`.

This node's home is told by device and inode, under any name: symbolic and hard links, bind mounts,
other cases. Homes of other nodes are told by the names in them, and a file with secrets that came
out of one by a hard link or a copy by what it holds (`secrets`).
"""

import os
from collections.abc import Callable
from pathlib import Path

from node.content.secrets import Secrets
from protocol.errors import UnsafePath

_Place = tuple[int, int]
"""Device and inode."""

_HOME_MARKS = ("format.json", "vault", "lock")
"""A home has `identity.key` and one of these."""
_VAULT_MARKS = ("index.sqlite", "packs")


class HomeGuard:
    """Knows the home of this node, and every other one by what it looks like. Blocking."""

    def __init__(self, home: Path) -> None:
        self._home = home

    def places(self) -> frozenset[_Place]:
        """The folders and files of this node's home, as they are now."""
        found = set()
        for folder, _, files in os.walk(self._home):
            for name in ("", *files):
                try:
                    status = (Path(folder) / name).stat()
                except OSError:
                    continue  # removed meanwhile, as the database's files are
                found.add((status.st_dev, status.st_ino))
        return frozenset(found)

    def secrets(self) -> Secrets:
        """What no file may hold that is shared: this node's secrets as they are now, and others."""
        return Secrets(self._home)

    def check_outside(self, path: Path, doing: str) -> None:
        """Raise UnsafePath if the real path `path` is a home, in one, or one of its files.

        `doing` says what is refused, such as `shared`. The path may not exist yet.
        """
        own = self.places()
        for folder in (path, *path.parents):
            try:
                status = folder.stat()
            except OSError:
                continue
            if (status.st_dev, status.st_ino) in own or is_home(folder):
                raise UnsafePath(f"{path} is in the home of a node, where nothing is {doing}")


def is_home(folder: Path) -> bool:
    """Whether the names in a folder are those of a home or of its vault."""
    return looks_like_home(lambda name: os.path.lexists(folder / name))


def looks_like_home(has: Callable[[str], bool]) -> bool:
    """Whether a folder that `has` these names is a home or a vault."""
    return (has("identity.key") and any(map(has, _HOME_MARKS))) or all(map(has, _VAULT_MARKS))
