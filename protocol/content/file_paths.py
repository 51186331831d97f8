"""The file paths that a mod may hold: every system can write each of them, inside the folder.

A file path is relative, its parts joined by `/`. One that some system cannot hold, or would write
somewhere else, is refused for all of them, so that a mod means the same files everywhere.
"""

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Sequence
from itertools import takewhile

from protocol import limits
from protocol.errors import UnsafePath
from protocol.texts import characters

_RESERVED_CHARACTERS = frozenset('<>:"\\|?*')
_RESERVED_NAMES = frozenset(
    {"con", "prn", "aux", "nul", "conin$", "conout$"}
    | {port + digit for port in ("com", "lpt") for digit in "0123456789\u00b9\u00b2\u00b3"}
)
"""Devices in every Windows folder, whatever the extension (Naming Files, Paths and Namespaces)."""

_DIGEST_BYTES = 16
_QUOTED_CHARS = 80

_UNSAFE = re.compile(f"[{characters.CONTROL}]")
_BIDIRECTIONAL = re.compile(f"[{characters.BIDIRECTIONAL}]")
_OVERRIDES = re.compile(f"[{characters.OVERRIDES}]")
"""Those that no language needs in a file's name: `abc\\u202etxt.exe` reads as `abcexe.txt`."""

_INVISIBLE = re.compile("[\u00ad\u061c\u200b-\u200f\u2060-\u2064\ufe00-\ufe0f\ufeff]")
"""What some languages and emoji need, and what no reader sees: names may not differ by it alone."""


_TURNING = "has a character that changes the direction of the text around it, or breaks a line"


def check_path(path: str) -> str:
    """Return `path` itself; raise UnsafePath, saying why, if some system could not hold it."""
    _check_length(path)
    _check_names(path, path)
    return path


def _check_length(path: str) -> None:
    try:
        size = len(path.encode())
    except UnicodeEncodeError:
        raise UnsafePath(f"the path {quoted(path)} is not text") from None
    if size > limits.FILE_PATH_BYTES:
        raise UnsafePath(f"the path {quoted(path)} is longer than {limits.FILE_PATH_BYTES} bytes")


def _check_names(part: str, path: str) -> None:
    """Raise UnsafePath unless each name in this part of a path is good."""
    if path.startswith("/"):
        raise UnsafePath(f"the path {quoted(path)} is absolute")
    for name in part.split("/"):
        reason = _objection(name)
        if reason:
            raise UnsafePath(f"the path {quoted(path)} {reason}")


def check_text(text: str, what: str, max_bytes: int) -> str:
    """Return `text` if it is one line of at most `max_bytes` in UTF-8; else raise UnsafePath."""
    if _is_no_text(text):
        raise UnsafePath(f"{what} {quoted(text)} is not text in UTF-8; give it another")
    if _UNSAFE.search(text):
        raise UnsafePath(f"{what} {quoted(text)} has a control character; give it another")
    if len(text.encode()) > max_bytes:
        raise UnsafePath(f"{what} {quoted(text)} is longer than {max_bytes} bytes")
    return text


def _is_no_text(text: str) -> bool:
    return any("\ud800" <= char <= "\udfff" for char in text)


def normalized(name: str) -> str:
    """A name in the one spelling in which names are compared (Unicode's NFC)."""
    return unicodedata.normalize("NFC", name)


def check_name(name: str) -> str:
    """Return the name of a mod, which names its folder; raise UnsafePath if none could have it."""
    reason = 'has a "/"' if "/" in name else _objection(name) or _objection_to_folder(name)
    if reason:
        advice = "a mod's name is that of a folder: give it another"
        raise UnsafePath(f"the name {quoted(name)} {reason}; {advice}")
    return name


def check_last_name(path: str) -> None:
    """As `check_path`, for a path whose folder was looked at before."""
    _check_length(path)
    _check_names(path.rpartition("/")[2], path)


def quoted(text: str) -> str:
    """`text` in quotes on one line, shortened in the middle: safe in any terminal or log.

    What is not seen, or turns the text around it, is escaped; the end of a path keeps its name.
    """
    if len(text) > _QUOTED_CHARS:
        name = len(text) - text.rfind("/")
        end = min(max(name, _QUOTED_CHARS // 2), _QUOTED_CHARS - _QUOTED_CHARS // 4)
        text = f"{text[: _QUOTED_CHARS - 3 - end]}...{text[-end:]}"
    return repr(text)


def _objection(name: str) -> str:
    """The reason why no file or folder may be called `name`; empty if there is none."""
    if name in {"", ".", ".."}:
        return f"has the part {name!r}"
    if name[-1] in ". ":
        return "has a part that ends in a dot or a space"
    if _UNSAFE.search(name):
        return "has a control character"
    if not name.isascii() and _OVERRIDES.search(name):
        return _TURNING
    if (len(name) if name.isascii() else len(name.encode())) > limits.NAME_BYTES:
        return f"has a part of more than {limits.NAME_BYTES} bytes"
    if not _RESERVED_CHARACTERS.isdisjoint(name):
        return "has one of the characters " + " ".join(sorted(_RESERVED_CHARACTERS))
    if name.partition(".")[0].rstrip(" ").lower() in _RESERVED_NAMES:
        return "has a part that names a Windows device"
    return ""


def _objection_to_folder(name: str) -> str:
    """The reason why a mod's publisher may not name a folder at the getter's so."""
    if name.startswith("."):
        return "begins with a dot, as folders do that programs read (.ssh, .git)"
    if name.startswith("-"):
        return "begins with a dash, as options do"
    if _BIDIRECTIONAL.search(name):
        return _TURNING
    if characters.is_blank(name):
        return "has no character that a reader sees"
    return ""


def collision_key(name: str) -> str:
    """Equal for names that some file system or reader takes for the same.

    They differ in case, composition and characters that are not seen.
    """
    if name.isascii():
        return name.lower()
    folded = unicodedata.normalize("NFC", _INVISIBLE.sub("", name)).casefold()
    return unicodedata.normalize("NFC", folded)


def collision_path(path: str) -> str:
    """Equal for paths that some file system takes for the same."""
    return "/".join(map(collision_key, path.split("/")))


class Tree:
    """The files of one mod, each added once; refuses unsafe paths and those that collide.

    Paths that come in order cost the least: what one shares with the path before it is not looked
    at again. A name is kept as a digest, so that long names take no more memory than short ones.
    """

    def __init__(self) -> None:
        self._folders: dict[bytes, tuple[int, str]] = {}
        """By the digest of parent and name: the folder's number, and the first path in it."""
        self._files: dict[bytes, str] = {}
        self._open: list[tuple[str, int]] = [("", 0)]
        """The folders of the latest path and their numbers, each within the one before."""

    def add(self, path: str) -> None:
        """Add a file path; raises UnsafePath if it is unsafe or collides with an earlier one."""
        _check_length(path)
        folder, _, name = path.rpartition("/")
        parent = self._folder(folder, path)
        _check_names(name, path)
        key = _digest(parent, name)
        if key in self._files:
            raise UnsafePath(_collision(self._files[key], path, path.count("/")))
        if key in self._folders:
            raise UnsafePath(f"the path {quoted(path)} is both a file and a folder")
        self._files[key] = path

    def add_empty_folder(self, path: str) -> None:
        """Add a folder in which nothing lies, after all files and what comes behind it in order.

        Raises UnsafePath if it is unsafe, collides, or is there already.
        """
        _check_length(path)
        known = len(self._folders)
        self._folder(path, f"{path}/")
        if len(self._folders) == known:
            raise UnsafePath(f"the folder {quoted(path)} is there twice, or it is not empty")

    def _folder(self, folder: str, path: str) -> int:
        """The number of a folder, which is made with its parents if it is new."""
        latest, number = self._open[-1]
        while latest and folder != latest and not folder.startswith(latest + "/"):
            self._open.pop()
            latest, number = self._open[-1]
        if folder == latest:
            return number
        rest = folder[len(latest) + 1 :] if latest else folder
        _check_names(rest, path)
        for name in rest.split("/"):
            latest = f"{latest}/{name}" if latest else name
            number = self._step(number, name, latest, path)
            self._open.append((latest, number))
        return number

    def _step(self, parent: int, name: str, folder: str, path: str) -> int:
        """The number of a folder in another one."""
        key = _digest(parent, name)
        if key in self._files:
            raise UnsafePath(f"a part of {quoted(path)} is both a file and a folder")
        known = self._folders.get(key)
        if known is None:
            known = self._folders[key] = self._new_folder(), path
        number, known_path = known
        if not known_path.startswith(f"{folder}/"):
            raise UnsafePath(_collision(known_path, path, folder.count("/")))
        return number

    def _new_folder(self) -> int:
        number = len(self._folders) + 1
        if number > limits.MANIFEST_FOLDERS:
            raise UnsafePath(f"more than {limits.MANIFEST_FOLDERS} folders")
        return number


def _digest(parent: int, name: str) -> bytes:
    """What a file or folder is kept under: no two names that some system confuses differ in it."""
    key = f"{parent}/{collision_key(name)}"
    return hashlib.blake2b(key.encode(), digest_size=_DIGEST_BYTES).digest()


def _collision(known: str, path: str, depth: int) -> str:
    """The sentence for a path whose name at this depth is taken by that of a known path."""
    name = known.split("/")[depth]
    if name == path.split("/")[depth]:
        return f"the path {quoted(path)} is there twice"
    other = "/".join(path.split("/")[: depth + 1])
    return f"{quoted(name)} and {quoted(other)} are one name on some systems"


def count_folders(paths: Iterable[str]) -> int:
    """How many folders these paths lie in; those of one folder follow one another."""
    count = 0
    before: list[str] = []
    for path in paths:
        folders = path.split("/")[:-1]
        pairs = zip(folders, before, strict=False)
        known = len(list(takewhile(lambda pair: pair[0] == pair[1], pairs)))
        count += len(folders) - known
        before = folders
    return count


def check_tree(paths: Iterable[str], empty_folders: Sequence[str] = ()) -> None:
    """Raise UnsafePath unless each path is safe, no two collide, and empty folders are empty.

    Empty folders come in order, so that the last of those within one another is added first.
    """
    tree = Tree()
    for path in paths:
        tree.add(path)
    for folder in reversed(empty_folders):
        tree.add_empty_folder(folder)
