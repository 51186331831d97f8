"""Characters that no reader sees, that turn the text around them, or that steer a terminal.

Names, reasons and addresses come from other people, so these never reach a terminal, a log or the
name of a folder as they are.
"""

import re
import unicodedata

CONTROL = "\x00-\x1f\x7f-\x9f\ud800-\udfff"
"""Control characters (category Cc, NUL among them) and halves of surrogate pairs (Cs)."""

OVERRIDES = "\u2028-\u202e\u2066-\u2069"
"""What turns text around (UAX #9), and separators of lines and paragraphs; no name needs them."""

BIDIRECTIONAL = f"\u061c\u200e\u200f{OVERRIDES}"
"""These and the marks of direction, which some languages need within a name."""

UNSEEN = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U000e0000-\U000e0fff]"
)
"""What no reader sees (Default_Ignorable_Code_Point of UAX #44)."""

_STEERING = re.compile(f"[{CONTROL}]")
_JOINERS = "\u200c\u200d"
"""Of Indic and Persian words, and of emoji."""

_BLANK_PICTURE = "\u2800"
"""A pattern of Braille without a dot."""


def is_blank(text: str) -> bool:
    """Whether a reader sees nothing of `text`: blanks, and what is not seen, alone."""
    if any("\ud800" <= char <= "\udfff" for char in text):
        return False  # bytes of a name in another encoding, which are something
    return not visible(text).replace(_BLANK_PICTURE, "").strip()


def visible(text: str) -> str:
    """`text` without what no reader sees, and without control characters but blanks and lines."""
    kept = UNSEEN.sub("", text)
    return _STEERING.sub(lambda found: found[0] if found[0].isspace() else "", kept)


def printable(text: str) -> str:
    """`text` with a question mark for each character that steers a terminal or turns text.

    Blanks of other widths become plain ones; what joins the parts of an emoji or of a word stays.
    """
    return text if text.isprintable() else "".join(map(_printable, text))


def _printable(char: str) -> str:
    if char.isprintable() or char in _JOINERS:
        return char
    return " " if unicodedata.category(char) == "Zs" else "?"
