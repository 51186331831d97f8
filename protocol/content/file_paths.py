"""The file paths that a mod may hold: every system can write each of them, inside the folder.

A file path is relative, its parts joined by `/`. One that some system cannot hold, or would write
somewhere else, is refused for all of them, so that a mod means the same files everywhere.
"""

import unicodedata
from collections.abc import Sequence

from protocol import limits
from protocol.errors import UnsafePath

_RESERVED_CHARACTERS = frozenset('<>:"\\|?*')
_RESERVED_NAMES = frozenset(
    {"con", "prn", "aux", "nul", "conin$", "conout$"}
    | {port + digit for port in ("com", "lpt") for digit in "0123456789\u00b9\u00b2\u00b3"}
)
"""Devices in every Windows folder, whatever the extension (Naming Files, Paths and Namespaces)."""

_UNSAFE_CATEGORIES = frozenset({"Cc", "Cs"})
"""Control characters (NUL among them) and halves of surrogate pairs."""


def check_path(path: str) -> str:
    """Return `path` itself; raise UnsafePath, saying why, if some system could not hold it."""
    try:
        size = len(path.encode())
    except UnicodeEncodeError:
        raise UnsafePath(f"the path {quoted(path)} is not text") from None
    if size > limits.FILE_PATH_BYTES:
        raise UnsafePath(f"the path {quoted(path)} is longer than {limits.FILE_PATH_BYTES} bytes")
    if path.startswith("/"):
        raise UnsafePath(f"the path {quoted(path)} is absolute")
    for name in path.split("/"):
        reason = _objection(name)
        if reason:
            raise UnsafePath(f"the path {quoted(path)} {reason}")
    return path


def check_text(text: str, what: str, max_bytes: int) -> str:
    """Return `text` if it is one line of at most `max_bytes` in UTF-8; else raise UnsafePath."""
    if any(unicodedata.category(character) in _UNSAFE_CATEGORIES for character in text):
        raise UnsafePath(f"{what} {quoted(text)} has a control character")
    if len(text.encode()) > max_bytes:
        raise UnsafePath(f"{what} {quoted(text)} is longer than {max_bytes} bytes")
    return text


def check_name(name: str) -> str:
    """Return the name of a mod, which names its folder; raise UnsafePath if none could have it."""
    reason = 'has a "/"' if "/" in name else _objection(name)
    if reason:
        raise UnsafePath(f"the name {quoted(name)} {reason}; a mod's name is that of a folder")
    return name


def quoted(text: str) -> str:
    """`text` in quotes, escaped and shortened: safe in any terminal or log."""
    return ascii(text if len(text) <= 80 else text[:77] + "...")


def _objection(name: str) -> str:
    """The reason why no file or folder may be called `name`; empty if there is none."""
    if name in {"", ".", ".."}:
        return f"has the part {name!r}"
    if name[-1] in ". ":
        return "has a part that ends in a dot or a space"
    if not name.isascii() or not name.isprintable():
        if any(unicodedata.category(character) in _UNSAFE_CATEGORIES for character in name):
            return "has a control character"
        if len(name.encode()) > limits.NAME_BYTES:
            return f"has a part of more than {limits.NAME_BYTES} bytes"
    elif len(name) > limits.NAME_BYTES:
        return f"has a part of more than {limits.NAME_BYTES} bytes"
    if not _RESERVED_CHARACTERS.isdisjoint(name):
        return "has one of the characters " + " ".join(sorted(_RESERVED_CHARACTERS))
    if name.partition(".")[0].rstrip(" ").lower() in _RESERVED_NAMES:
        return "has a part that names a Windows device"
    return ""


def collision_key(name: str) -> str:
    """Equal for names that some file system takes for the same (case and composition)."""
    if name.isascii():
        return name.lower()
    folded = unicodedata.normalize("NFC", name).casefold()
    return unicodedata.normalize("NFC", folded)


class Tree:
    """The files of one mod, each added once; refuses file paths that collide on some system."""

    def __init__(self) -> None:
        self._folders: dict[tuple[int, str], tuple[int, str]] = {}
        self._files: dict[tuple[int, str], str] = {}
        self._latest: tuple[str, int] = ("", 0)

    def add(self, path: str) -> None:
        """Add a checked file path; raises UnsafePath if it collides with an earlier one."""
        folder, _, name = path.rpartition("/")
        parent = self._folder(folder, path)
        key = (parent, collision_key(name))
        if key in self._files:
            raise UnsafePath(self._collision(self._files[key], name, path))
        if key in self._folders:
            raise UnsafePath(f"the path {quoted(path)} is both a file and a folder")
        self._files[key] = name

    def _folder(self, folder: str, path: str) -> int:
        """The number of a folder, which is made with its parents if it is new."""
        if folder == self._latest[0]:
            return self._latest[1]
        if not folder:
            return 0
        parent = 0
        for name in folder.split("/"):
            key = (parent, collision_key(name))
            if key in self._files:
                raise UnsafePath(f"a part of {quoted(path)} is both a file and a folder")
            known = self._folders.get(key)
            if known is None:
                known = (self._new_folder(), name)
                self._folders[key] = known
            if known[1] != name:
                raise UnsafePath(self._collision(known[1], name, path))
            parent = known[0]
        self._latest = (folder, parent)
        return parent

    def _new_folder(self) -> int:
        number = len(self._folders) + 1
        if number > limits.MANIFEST_FOLDERS:
            raise UnsafePath(f"more than {limits.MANIFEST_FOLDERS} folders")
        return number

    @staticmethod
    def _collision(known: str, name: str, path: str) -> str:
        if known == name:
            return f"the path {quoted(path)} is there twice"
        return f"{quoted(known)} and {quoted(path)} are one name on systems that ignore case"


def check_tree(paths: Sequence[str]) -> None:
    """Raise UnsafePath unless each file path is safe and no two of them collide."""
    tree = Tree()
    for path in paths:
        tree.add(check_path(path))
