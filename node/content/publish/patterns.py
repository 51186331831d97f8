"""Patterns of what a share leaves out, as gitignore(5) has them.

`pathspec` says what a name between slashes means; how names make a path, and what that may cost, is
ours: each part of a pattern is compared with one name of at most NAME_BYTES, without backtracking.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

from protocol import limits
from protocol.content.file_paths import quoted
from protocol.errors import BadInput

_Part = re.Pattern[str] | None
"""What one name has to match; None for any name."""

_DEEP = re.compile("")
"""`**`: any folders, also none; told from all others by being itself."""

_STARS = "[^/]*"
"""What pathspec makes of `*`."""
_TOKEN = re.compile(r"\\.|\[[!^]?\]?[^\]]*\]|\*+|.", re.DOTALL)
_UNCLEAR_BRACKETS = re.compile(r"\[[!^]?\[|\\|--|&&|~~|\|\|")
"""Git and Python read them differently: a backslash, a class such as [:digit:], operations."""
_WORK_BYTES = 256


@dataclass(frozen=True, slots=True)
class Pattern:
    """One pattern that was read."""

    parts: tuple[_Part, ...]
    texts: tuple[str, ...]
    anchored: bool
    """Whether it is compared with the whole path, not with the last name."""
    folders_only: bool
    negated: bool
    """Whether what it matches is shared all the same."""
    text: str
    """As it was written."""

    def matches(self, names: Sequence[str], is_folder: bool, work: "Comparisons") -> bool:
        """Whether it means the file or folder with this path itself, not one below it."""
        if self.folders_only and not is_folder:
            return False
        return self._compare(names if self.anchored else names[-1:], work)

    def _compare(self, names: Sequence[str], work: "Comparisons") -> bool:
        """Where a name fails, only the latest `**` takes one more: earlier ones took the least."""
        parts = self.parts
        part = name = 0
        deep, resume = -1, 0
        while name < len(names):
            if part < len(parts) and parts[part] is _DEEP:
                deep, resume = part, name
                part += 1
                continue
            if part < len(parts) and self._is_name(part, names[name], work):
                part, name = part + 1, name + 1
                continue
            if deep < 0:
                return False
            resume += 1
            part, name = deep + 1, resume
        return part == len(parts)

    def _is_name(self, part: int, name: str, work: "Comparisons") -> bool:
        wanted = self.parts[part]
        work.spend(1 + len(name) * len(self.texts[part]) // _WORK_BYTES)
        return wanted is None or wanted.fullmatch(name) is not None


class Comparisons:
    """What comparing has cost so far."""

    def __init__(self) -> None:
        self._left = limits.IGNORE_WORK

    def spend(self, units: int) -> None:
        """Raise BadInput if that was too much."""
        self._left -= units
        if self._left < 0:
            raise BadInput(
                "the patterns of what is left out take too long for so many files; "
                "use fewer ones, or leave whole folders out"
            )


def composed(text: str) -> str:
    """One spelling of names that look the same, as macOS writes them otherwise."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def read_pattern(line: str) -> Pattern | None:
    """The pattern in a line; None for a blank line, and for a comment. Raises BadInput."""
    text = composed(_without_blanks(line))
    if not text or text.startswith("#"):
        return None
    if len(text) > limits.IGNORE_PATTERN_CHARS:
        raise BadInput(f"it is longer than {limits.IGNORE_PATTERN_CHARS} characters")
    negated = text.startswith("!")
    rest = text[1:] if negated else text
    folders_only = rest.endswith("/")
    rest = rest.removesuffix("/")
    anchored = "/" in rest
    texts = rest.removeprefix("/").split("/")
    if any(part in {"", ".", ".."} for part in texts):
        raise BadInput(f"{quoted(text)} has an empty part, or the part . or .., which no path has")
    if anchored and texts[-1] == "**":
        texts.append("*")  # what is in a folder, not the folder itself
    texts = [one for at, one in enumerate(texts) if one != "**" or texts[at - 1 : at] != ["**"]]
    if not anchored:
        texts = ["*" if texts == ["**"] else texts[0]]
    parts = tuple(_DEEP if part == "**" else _part(part, text) for part in texts)
    return Pattern(parts, tuple(texts), anchored, folders_only, negated, text)


def _without_blanks(line: str) -> str:
    """A line without the spaces at its end, but for one after a backslash."""
    text = line.removesuffix("\r")
    bare = text.rstrip(" ")
    backslashes = len(bare) - len(bare.rstrip("\\"))
    return bare + " " if backslashes % 2 and len(bare) < len(text) else bare


def _part(text: str, pattern: str) -> _Part:
    """What a name has to match, without backtracking.

    All stars but the last take no more than they must, and keep that.
    """
    tokens = ["*" if token[0] == "*" else token for token in _TOKEN.findall(text)]
    if tokens == ["*"]:
        return None
    if any(token[0] == "[" and _UNCLEAR_BRACKETS.search(token) for token in tokens):
        raise BadInput(
            f"{quoted(pattern)} has brackets that programs read differently: "
            "in them only characters and ranges, as in [a-z0-9], are known here"
        )
    if tokens[-1].lstrip("\\").isspace():
        tokens[-1] = f"[{tokens[-1][-1]}]"  # pathspec takes blanks off the end
    try:
        expression, include = GitIgnoreSpecPattern.pattern_to_regex("/" + "".join(tokens))
        if expression is None or include is None:
            raise BadInput(f"{quoted(pattern)} has a bracket that is not closed: write \\[")
        first, *others = expression.split(_STARS)
        middle = "".join(f"(?>{_STARS}?{one})" for one in others[:-1])
        return re.compile(first + middle + "".join(_STARS + one for one in others[-1:]))
    except (ValueError, re.error) as error:
        raise BadInput(f"{quoted(pattern)} is no pattern of gitignore ({error})") from None
