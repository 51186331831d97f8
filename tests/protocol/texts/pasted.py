"""What people do to a link, a peer id or an address between copying and pasting it."""

import html
import textwrap
from collections.abc import Callable
from urllib.parse import quote

Wrapping = Callable[[str], str]


def full_width(text: str) -> str:
    return "".join(chr(ord(char) + 0xFEE0) if "!" <= char <= "~" else char for char in text)


def by_mail(text: str) -> str:
    lines = (textwrap.wrap(line, 60, break_on_hyphens=False) or [""] for line in text.split("\n"))
    return "\n".join(part for line in lines for part in line)


def quoted_printable(text: str) -> str:
    """No escape is broken by a line end, and no blank lost (RFC 2045, 6.7)."""
    lines = (textwrap.wrap(line, 60, drop_whitespace=False) or [""] for line in text.split("\n"))
    escaped = ([part.replace("=", "=3D") for part in parts] for parts in lines)
    return "\r\n".join("=\r\n".join(parts) for parts in escaped)


WHOLE: dict[str, Wrapping] = {
    "a blank before": lambda text: f" {text}",
    "single quotes, as cmd.exe leaves them": lambda text: f"'{text}'",
    "double quotes": lambda text: f'"{text}"',
    "typographic quotes": lambda text: f"\u201c{text}\u201d",
    "German quotes": lambda text: f"\u201e{text}\u201c",
    "guillemets": lambda text: f"\u00ab\u00a0{text}\u00a0\u00bb",
    "backticks": lambda text: f"`{text}`",
    "a block of code": lambda text: f"```\n{text}\n```",
    "angle brackets": lambda text: f"<{text}>",
    "parentheses": lambda text: f"({text})",
    "a full stop": lambda text: f"{text}.",
    "a comma": lambda text: f"{text},",
    "a semicolon": lambda text: f"{text};",
    "a mark of exclamation": lambda text: f"{text}!",
    "bold": lambda text: f"**{text}**",
    "a byte-order mark": lambda text: f"\ufeff{text}",
    "a zero-width space": lambda text: f"{text[:9]}\u200b{text[9:]}\u200b",
    "soft hyphens": lambda text: "\u00ad".join(text),
    "a non-breaking space": lambda text: f"\u00a0{text}\u00a0",
    "marks of direction": lambda text: f"\u2066\u200e{text}\u202c\u2069",
    "an override": lambda text: f"\u202d{text}",
    "a bracketed paste": lambda text: f"\x1b[200~{text}\x1b[201~",
    "colours": lambda text: f"\x1b[1;32m{text}\x1b[0m",
    "a NUL": lambda text: f"{text}\0",
    "lines of mail": by_mail,
    "lines of mail from Windows": lambda text: by_mail(text).replace("\n", "\r\n"),
    "lines of a quoted mail": lambda text: "> " + by_mail(text).replace("\n", "\n> "),
    "lines of a mail quoted twice": lambda text: ">> " + by_mail(text).replace("\n", "\n>> "),
    "quoted-printable": quoted_printable,
    "percent escapes": lambda text: quote(text, safe=""),
    "double percent escapes": lambda text: quote(quote(text, safe=""), safe=""),
    "entities": html.escape,
    "numbered entities": lambda text: "".join(f"&#{ord(char)};" for char in text),
    "JSON": lambda text: text.replace("&", "\\u0026").replace("/", "\\/"),
    "carets of cmd.exe": lambda text: text.replace("&", "^&").replace("#", "^#"),
    "full-width letters": full_width,
    "a frame of a terminal": lambda text: (
        "\u2502 " + by_mail(text).replace("\n", " \u2502\n\u2502 ")
    ),
    "marks of lines that go on": lambda text: by_mail(text).replace("\n", "\u21a9\n"),
    "breaks of HTML": lambda text: by_mail(text).replace("\n", "<br/>"),
    "places for breaks in HTML": lambda text: "<wbr>".join(text),
    "marks of a paste in letters": lambda text: f"00~{text}01~",
    "marks of a paste as cat -v has them": lambda text: f"^[[200~{text}^[[201~",
    "a line end in letters": lambda text: f"{text}\\r\\n",
    "a line end as cat -v has it": lambda text: f"{text}^M",
    "a link of Markdown": lambda text: f"[{text}]({text})",
    "Markdown with a text": lambda text: f"[x]({text})",
}
"""What leaves a whole text of its own."""

OF_LINKS: dict[str, Wrapping] = {
    "a scheme with slashes": lambda text: text.replace(":", "://", 1),
    "a hash sign escaped": lambda text: text.replace("#", "%23"),
    "a hash sign escaped twice": lambda text: text.replace("#", "%2523"),
    "a scheme in capitals": lambda text: text.replace("modswarm:", "MODSWARM:", 1),
    "a first letter in capitals": lambda text: text[:1].upper() + text[1:],
    "a blank behind the scheme": lambda text: text.replace(":", ": ", 1),
    "a message": lambda text: f"get it: {text} thanks",
    "a message with lines": lambda text: f"Hi,\n\n{text}\n\nAnn",
    "an element of HTML": lambda text: f'<p>Get <a href="{text}">it</a></p>',
    "words of a script without blanks": lambda text: f"\u94fe\u63a5{text}\u8c22\u8c22",
    "a link that a terminal shows as a word": lambda text: f"\x1b]8;;{text}\x07x\x1b]8;;\x07",
    "a slash before its parts": lambda text: text.replace("?", "/?").replace("#", "/#"),
    "a key that phones draw": lambda text: text.replace("#", "#\ufe0f\u20e3"),
    "twice": lambda text: f"{text} {text}",
    "twice without a blank": lambda text: text + text,
    "a redirection": lambda text: f"https://example.org/?u={quote(text, safe='')}&v=1",
    "a label that is cut": lambda text: f"[{text[:40]}\u2026]({text})",
    "escapes of Markdown": lambda text: text.replace("#", "\\#"),
}

ENCODINGS = (
    *("entities", "numbered entities", "JSON", "quoted-printable", "full-width letters"),
    *("percent escapes", "double percent escapes", "a redirection", "escapes of Markdown"),
    *("a bracketed paste", "colours", "a NUL", "a link that a terminal shows as a word"),
    *("marks of a paste in letters", "marks of a paste as cat -v has them", "breaks of HTML"),
    *("a line end in letters", "a line end as cat -v has it", "places for breaks in HTML"),
)
"""Of a whole text: what is pasted has one at most, around all else."""


def in_order(names: list[str]) -> list[str]:
    """Wrappings that one text may have, from the inner ones outwards.

    Quoted-printable text has soft line ends: without one, `=3D` may be the name of a host.
    """
    encoding = [name for name in names if name in ENCODINGS][:1]
    inner = [name for name in names if name not in ENCODINGS]
    if encoding == ["quoted-printable"]:
        inner = [name for name in inner if not name.startswith("lines of")]
    return inner + encoding
