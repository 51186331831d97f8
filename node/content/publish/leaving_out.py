"""What a share leaves out: the rules of `.modswarmignore` files, and those of a person.

As with .gitignore, a file counts for the folder that it lies in and what is below, one deeper down
before one above it, a person's `--exclude` before all, and the last pattern that means a path
decides. A folder that is left out is not looked into, so nothing in it is shared by a later `!`.
The files with rules are left out as well: they name what others need not know of.
"""

import bisect
import os
import stat
from collections.abc import Sequence

from node.content.publish.patterns import Comparisons, Pattern, composed, read_pattern
from node.disk.descent import Descent
from node.machine.refusals import refused
from protocol import limits
from protocol.content.file_paths import quoted
from protocol.errors import BadFolder, BadInput

IGNORE_FILE = ".modswarmignore"
_OPEN_FLAGS = (
    os.O_RDONLY
    | getattr(os, "O_BINARY", 0)
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)
)
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_SPECIAL = frozenset("*?[")
_HARD_TO_QUOTE = frozenset("\"'\\$`!%")
"""Shells differ in what these mean between double quotes."""
_OPTION_CHARS = 60


class LeavingOut:
    """The rules of one share, and what they left out so far."""

    def __init__(self, options: Sequence[Pattern] = ()) -> None:
        self._options = tuple(reversed(options))
        self._idle = dict.fromkeys(self._options)
        """Those of a person that decided nothing so far."""
        self._of_folders: dict[str, tuple[Pattern, ...]] = {}
        """The patterns of each folder that has some, by its path with a slash behind."""
        self._deepest = -1
        self._patterns = len(options)
        self._work = Comparisons()
        self.count = 0
        """Files, and folders with all that is in them."""
        self.first: list[str] = []
        """The paths of the first, folders with a slash at the end."""

    @classmethod
    def of(cls, excludes: Sequence[str]) -> "LeavingOut":
        """The rules that a person gives; raises BadInput."""
        options = []
        for text in excludes:
            pattern = _read(text, f"--exclude {quoted(text)}")
            if pattern is None:
                raise BadInput(
                    f"--exclude {quoted(text)} leaves nothing out: what begins with # is a "
                    "comment; write \\# for a name that does"
                )
            options.append(pattern)
        return cls(options)

    def enter(self, prefix: str, descent: Descent, folder: str) -> None:
        """Read the rules of a folder at `prefix`, which is empty or ends in a slash, once.

        It lies below the descent's root, at the real path `folder`.

        Blocking; raises BadFolder, BadInput.
        """
        if prefix in self._of_folders:
            return
        lines = enumerate(_lines_of(descent, folder), 1)
        where = f"of {prefix}{IGNORE_FILE}"
        found = [_read(line, f"line {number} {where}") for number, line in lines]
        patterns = tuple(pattern for pattern in reversed(found) if pattern is not None)
        if not patterns:
            return
        self._patterns += len(patterns)
        if self._patterns > limits.IGNORE_PATTERNS:
            raise BadFolder(f"more than {limits.IGNORE_PATTERNS} patterns of what is left out")
        self._of_folders[prefix] = patterns
        self._deepest = max(self._deepest, prefix.count("/"))

    def covers(self, path: str, *, is_folder: bool) -> bool:
        """Whether a path, no folder of which is left out, is; raises BadInput at too much work."""
        raw = path.split("/")
        if raw[-1] == IGNORE_FILE and not is_folder:
            return True
        names = composed(path).split("/")
        for pattern in self._options:
            if pattern.matches(names, is_folder, self._work):
                self._idle.pop(pattern, None)
                return not pattern.negated
        for depth in range(min(self._deepest, len(raw) - 1), -1, -1):
            prefix = "".join(f"{name}/" for name in raw[:depth])
            for pattern in self._of_folders.get(prefix, ()):
                if pattern.matches(names[depth:], is_folder, self._work):
                    return not pattern.negated
        return False

    @property
    def idle(self) -> tuple[str, ...]:
        """The patterns that a person gave in vain: no path was decided by them."""
        return tuple(pattern.text for pattern in reversed(self._idle))

    def leave_out(self, path: str, *, is_folder: bool) -> bool:
        """As `covers`; what is left out is counted."""
        if not self.covers(path, is_folder=is_folder):
            return False
        self.count += 1
        bisect.insort(self.first, path + "/" * is_folder)
        del self.first[limits.LEFT_OUT_SHOWN :]
        return True


def option_for(path: str) -> str:
    """The option that leaves this path out, for a person to copy."""
    text = "/" + "".join("\\" + char if char in _SPECIAL else char for char in path)
    hard = path.endswith(" ") or not text.isprintable() or not _HARD_TO_QUOTE.isdisjoint(path)
    if hard or len(text) > _OPTION_CHARS:
        return "--exclude"
    return f'--exclude "{text}"'


def _read(line: str, where: str) -> Pattern | None:
    try:
        return read_pattern(line)
    except BadInput as error:
        raise BadInput(f"{where}: {error}") from None


def _lines_of(descent: Descent, folder: str) -> list[str]:
    """The lines of a folder's file of rules, which may be missing; raises BadFolder."""
    place = descent.root / folder / IGNORE_FILE
    try:
        descriptor = descent.open(f"{folder}/{IGNORE_FILE}".lstrip("/"), _OPEN_FLAGS)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        if not os.access(place.parent, os.R_OK | os.X_OK):
            return []  # the walk says so of the folder
        if place.is_symlink():
            raise BadFolder(f"{place} is a link; it must be a file of the folder") from None
        raise refused(error, f"cannot read {place}", BadFolder) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise BadFolder(f"{place} is no file; it has to be one with patterns")
    with os.fdopen(descriptor, "rb") as file:
        data = file.read(limits.IGNORE_FILE_BYTES + 1)
    if len(data) > limits.IGNORE_FILE_BYTES:
        raise BadFolder(f"{place} has more than {limits.IGNORE_FILE_BYTES} bytes")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        kind = "UTF-16" if data.startswith(_UTF16_MARKS) else f"no UTF-8 at byte {error.start}"
        raise BadFolder(f"{place} is {kind}; save it as UTF-8") from None
    if "\0" in text:
        raise BadFolder(f"{place} holds a NUL character, so it is no text; save it as UTF-8")
    return text.split("\n")
