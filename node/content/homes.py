"""Homes of nodes hold keys: nothing in one is shared, and nothing is written into one by a `get`.

This node's home is told by device and inode, under any name: symbolic and hard links, bind mounts,
other cases. Homes of other nodes are told by the names in them, and a file with secrets that came
out of one by a hard link or a copy by its first bytes.
"""

import base64
import binascii
import os
import re
from collections.abc import Callable
from pathlib import Path

from node.home import holds_identity
from protocol.content.file_paths import quoted
from protocol.errors import UnsafePath

_Place = tuple[int, int]
"""Device and inode."""

_HOME_MARKS = ("format.json", "vault", "lock")
"""A home has `identity.key` and one of these."""
_VAULT_MARKS = ("index.sqlite", "packs")

_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END")
_CERTIFICATE_NAME = b"WebRTC"
_SECRET_SETTING = re.compile(rb"^relay_secret\s*=\s*[\"']", re.MULTILINE)
_SETTINGS_BYTES = 2**16


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


def check_beginning(path: str, data: bytes) -> None:
    """Raise UnsafePath if a file that begins with `data` is one of a home's secrets."""
    for looks_like, what in _SECRETS:
        if looks_like(data):
            raise UnsafePath(f"{quoted(path)} {what}, which must stay with its node")


def _is_certificate(data: bytes) -> bool:
    if not data.startswith(b"-----BEGIN PRIVATE KEY-----"):
        return False
    found = _PEM.search(data)
    try:
        return found is not None and _CERTIFICATE_NAME in base64.b64decode(found[1])
    except binascii.Error:
        return False


def _is_control(data: bytes) -> bool:
    return data.startswith(b'{"format"') and b'"token"' in data and b'"address"' in data


def _is_index(data: bytes) -> bool:
    return data.startswith(b"SQLite format 3\0") and b"CREATE TABLE lineage_chunks" in data


def _is_settings(data: bytes) -> bool:
    return len(data) <= _SETTINGS_BYTES and _SECRET_SETTING.search(data) is not None


_SECRETS: tuple[tuple[Callable[[bytes], bool], str], ...] = (
    (holds_identity, "holds the identity of a node"),
    (_is_certificate, "holds the certificate of a node with its key"),
    (_is_control, "holds the token of a node's control API"),
    (_is_index, "is the index of a node's vault with its keys"),
    (_is_settings, "holds a relay's secret"),
)
