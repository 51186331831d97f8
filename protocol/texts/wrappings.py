"""What mail, chats, shells and keyboards put around and into what a person pastes.

A link, a peer id or an address is ASCII without blanks. All else is taken away here, and nothing is
guessed: what remains has to verify by its check letters, or to be whole by its form.
"""

import html
import re
import unicodedata
from dataclasses import dataclass
from urllib.parse import unquote

from protocol import limits
from protocol.errors import BadInput
from protocol.texts.characters import visible

_ROUNDS = 4
"""Of escapes within escapes: `%2523` needs two."""

_TERMINAL = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
"""Colours, and the marks of a bracketed paste (ECMA-48, 5.4)."""

_TERMINAL_STRING_END = re.compile(r"\x1b\\|\x07")
"""Of a title, and of a link that a terminal shows as a word (ECMA-48, 5.6)."""

_PASTE_BEGIN = re.compile(r"(?<![A-Za-z0-9])(2?0|)0~")
"""Of a bracketed paste, where a program took the escapes away and kept the rest."""

_DRAWN = str.maketrans(
    dict.fromkeys((*map(chr, range(0x2500, 0x2580)), *"\u21a9\u21aa\u21b5\u23ce"), " ")
    | {"\u20e3": None}
)
"""Frames of terminals and their marks of lines that go on, and the key that phones draw for #."""

_LINE_ENDS = re.compile(r"<br\s*/?>|(?<![:\\])\\{1,4}[rn]|\^M(?=\s|$)", re.IGNORECASE)
"""In letters: of HTML, of JSON and of programs that print what is not seen."""
_WORD_BREAK = re.compile(r"<wbr\s*/?>", re.IGNORECASE)

_SOFT_LINE_END = re.compile(r"=[ \t]*\r?\n(?:[ \t]*[>|][ \t>|]*)?")
"""Of quoted-printable text (RFC 2045, 6.7), in which `=` itself is `=3D`."""

_BROKEN_ESCAPE = re.compile(
    r"(%(?:25)*[0-9A-Fa-f]?|&#?[0-9A-Za-z]{0,9}|\\(?:u[0-9A-Fa-f]{0,3})?)"
    r"(?:(?<![?&][xXoO])=)?[ \t\u2500-\u257f\u21a9]*\r?\n[\s>|\u2500-\u257f]*"
)
"""By the end of a line, within `%23` or `&amp;`; `&x=` or `&o=` begins a hint."""

_JSON_ESCAPE = re.compile(r"\\u00([0-7][0-9A-Fa-f])")

_SHELL_ESCAPES = str.maketrans("", "", "\\^")
"""Of shells, Markdown, JSON and cmd.exe."""

_GAP = re.compile(r"(?:(?<![?&][xXoO])=)?\s[\s>|]*")
"""A blank or a line end, and quote marks; also the `=` of a soft line end, but none of a hint."""

_AROUND = (
    " \t\r\n\"'`\u00b4\u2018\u2019\u201a\u201b\u201c\u201d\u201e\u201f\u2039\u203a\u00ab\u00bb"
    "\u300c\u300d\u300e\u300f<>(){}[]*_~|,.;:!?\u3001\u3002"
)
"""Quotes, brackets, emphasis and punctuation; nothing that is pasted ends in one."""

_IPV6 = re.compile(r"\[[0-9A-Fa-f:.\s>]{2,60}\]:")
"""In brackets that belong to it."""


@dataclass(frozen=True, slots=True)
class Joined:
    """A pasted text without its blanks and line ends.

    `gaps`: for each place in `text` before which something was taken away, whether a line ended.
    """

    text: str
    gaps: dict[int, bool]

    def gap_within(self, start: int, end: int) -> int | None:
        """The first gap between the characters from `start` to before `end`."""
        return min((place for place in self.gaps if start < place < end), default=None)


def plain(text: str) -> str:
    """`text` as it was meant: without escapes, unseen characters and full-width letters.

    Raises BadInput if it has more than PASTED_CHARS characters.
    """
    if len(text) > limits.PASTED_CHARS:
        raise BadInput(f"it is too long: more than {limits.PASTED_CHARS} characters")
    text = unicodedata.normalize("NFKC", text)
    text = _TERMINAL.sub("", _TERMINAL_STRING_END.sub(" ", text))
    text = _without_paste_marks(text)
    text = _WORD_BREAK.sub("", _LINE_ENDS.sub("\n", text))
    if "=3D" in text and _SOFT_LINE_END.search(text):
        text = _SOFT_LINE_END.sub("", text).replace("=3D", "=")
    for _ in range(_ROUNDS):
        before = text
        text = _BROKEN_ESCAPE.sub(r"\1", text)
        text = visible(unicodedata.normalize("NFKC", text))
        text = _JSON_ESCAPE.sub(lambda found: chr(int(found[1], 16)), text)
        text = html.unescape(unquote(text.translate(_SHELL_ESCAPES)))
        if text == before or len(text) > limits.PASTED_CHARS:
            break
    return text.translate(_DRAWN)[: limits.PASTED_CHARS]


def _without_paste_marks(text: str) -> str:
    begin = _PASTE_BEGIN.search(text)
    if begin is None:
        return text
    return text.replace(f"{begin[1]}0~", " ").replace(f"{begin[1]}1~", " ")


def joined(text: str) -> Joined:
    """A plain text without its gaps."""
    parts: list[str] = []
    gaps: dict[int, bool] = {}
    at = length = 0
    for found in _GAP.finditer(text):
        parts.append(text[at : found.start()])
        length += len(parts[-1])
        gaps[length] = gaps.get(length, False) or not {"\n", "\r"}.isdisjoint(found[0])
        at = found.end()
    return Joined("".join((*parts, text[at:])), gaps)


def bare(text: str) -> str:
    """A plain text without the quotes, brackets and punctuation around it.

    Of a link of Markdown, `[x](y)`, it is where it leads.
    """
    text = text.rstrip(_AROUND).rpartition("](")[2]
    start = 0
    while start < len(text) and text[start] in _AROUND and not _IPV6.match(text, start):
        start += 1
    return text[start:]


def unbroken(text: str) -> str:
    """A plain text with its broken lines joined, if it has no other blanks; else as it is."""
    found = joined(text)
    return found.text if all(found.gaps.values()) else text
