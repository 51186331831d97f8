"""Homes of nodes hold keys: nothing in one is shared, and nothing is written into one by a `get`.

The homes in reach, which are this node's, the user's default one and those beside them, are told by
device and inode, under any name: symbolic and hard links, bind mounts, other cases. Other homes are
told by the names in them, and a file with secrets that came out of one by a hard link or a copy by
what it holds (`secrets`).
"""

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from node.content.secrets import Secrets
from node.home import FORMAT_FILE, says_format
from protocol.errors import UnsafePath

_Place = tuple[int, int]
"""Device and inode."""

_HOME_MARKS = ("format.json", "vault", "lock")
"""A home has `identity.key` and one of these."""
_VAULT_MARKS = ("index.sqlite", "packs")
_HOME_PARTS = ("vault", "lock", "control.json", "contacts.json", "certificate.pem", "config.toml")
"""One of these makes a folder with a format file a home."""
HOME_NAMES = frozenset({"identity.key", *_HOME_MARKS, *_VAULT_MARKS, *_HOME_PARTS})
"""All that is looked for."""
_NEIGHBOURS_LOOKED_AT = 1024
_PLACES_KNOWN = 2**18
"""Names of folders and files in homes in reach, this node's first: a vault has a file for 64 MB."""


class HomeGuard:
    """Knows the home of this node, and every other one by what it looks like. Blocking."""

    def __init__(self, home: Path, *others: Path) -> None:
        """`others` may be homes as well, or not there."""
        self._home = home
        self._others = others

    def places(self) -> frozenset[_Place]:
        """The folders and files of the homes in reach, as they are now."""
        found = (place for home in self._in_reach() for place in _places_in(home))
        return frozenset(itertools.islice(found, _PLACES_KNOWN))

    def _in_reach(self) -> Iterator[Path]:
        yield self._home
        for folder in dict.fromkeys(home.parent for home in (self._home, *self._others)):
            try:
                with os.scandir(folder) as entries:
                    for entry in itertools.islice(entries, _NEIGHBOURS_LOOKED_AT):
                        if entry.is_dir() and is_home(Path(entry.path)):
                            yield Path(entry.path)
            except OSError:
                continue  # it is not there, or not to be read

    def homes(self) -> list[Path]:
        """The real paths of the homes in reach."""
        return [Path(os.path.realpath(home)) for home in self._in_reach() if home.exists()]

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
                raise UnsafePath(
                    f"{path} is in the home of a node, where nothing is {doing}: "
                    f"name a place outside {folder}"
                )


def _places_in(home: Path) -> Iterator[_Place]:
    for folder, _, files in os.walk(home):
        for name in ("", *files):
            try:
                status = (Path(folder) / name).stat()
            except OSError:
                continue  # removed meanwhile, as the database's files are
            if status.st_ino:  # or all files of this disk would be one
                yield status.st_dev, status.st_ino


def is_home(folder: Path) -> bool:
    """Whether the names in a folder are those of a home or of its vault."""
    return looks_like_home(
        folder, lambda name: any(os.path.lexists(folder / one) for one in (name, name.upper()))
    )


def looks_like_home(folder: Path, has: Callable[[str], bool]) -> bool:
    """Whether a folder that `has` these names, in any case, is a home or a vault.

    Then it has a node's key, or says which format of a home it has: older, newer or a copy.
    """
    if (has("identity.key") and any(map(has, _HOME_MARKS))) or all(map(has, _VAULT_MARKS)):
        return True
    if not (has(FORMAT_FILE) and any(map(has, _HOME_PARTS))):
        return False
    return any(says_format(folder / name) for name in (FORMAT_FILE, FORMAT_FILE.upper()))
