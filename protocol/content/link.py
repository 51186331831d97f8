"""The text form of a mod's address: its id, where to ask first, and the key that opens it.

`modswarm:<mod id>[?x=<hint>[&x=<hint>]][#<content key>]`, both 32-byte values in base32. The key
stands after `#` as in a URL: nodes that route or store the mod never need that part.
"""

import re
from dataclasses import dataclass, field

from protocol import limits
from protocol.errors import BadLink
from protocol.identity import base32_bytes, base32_text

SCHEME = "modswarm:"
_KEY_BYTES = 32
_HINT = re.compile(rf"[A-Za-z0-9.:\[\]/-]{{1,{limits.HINT_BYTES}}}")


@dataclass(frozen=True, slots=True)
class ModLink:
    """A mod's address. `hints` are peer ids or `host:port[/peer id]`, not resolved here."""

    mod_id: bytes
    content_key: bytes | None = field(default=None, repr=False)
    hints: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raise BadLink for values that no link can spell."""
        keys = (self.mod_id,) if self.content_key is None else (self.mod_id, self.content_key)
        if any(len(key) != _KEY_BYTES for key in keys):
            raise BadLink("not a modswarm link: a mod id and a content key have 32 bytes")
        if len(self.hints) > limits.HINTS:
            raise BadLink(f"not a modswarm link: more than {limits.HINTS} hints")
        for hint in self.hints:
            if not _HINT.fullmatch(hint):
                raise BadLink(f"not a modswarm link: a hint cannot read {hint[:80]!r}")

    def __str__(self) -> str:
        hints = "&".join(f"x={hint}" for hint in self.hints)
        return "".join(
            (
                SCHEME,
                base32_text(self.mod_id),
                f"?{hints}" if hints else "",
                f"#{base32_text(self.content_key)}" if self.content_key is not None else "",
            )
        )


def parse(text: str) -> ModLink:
    """The link that `text` spells, in either case and with blanks around it.

    Raises BadLink, whose message never repeats the content key.
    """
    text = text.strip()
    if text[: len(SCHEME)].lower() != SCHEME:
        raise BadLink(f"not a modswarm link: it does not start with {SCHEME}")
    if len(text) > limits.LINK_TEXT_BYTES:
        raise BadLink("not a modswarm link: it is too long")
    address, hash_sign, key_text = text[len(SCHEME) :].partition("#")
    id_text, question_mark, query = address.partition("?")
    return ModLink(
        _key(id_text, "mod id"),
        _key(key_text, "content key") if hash_sign else None,
        _hints(query) if question_mark else (),
    )


def _key(text: str, what: str) -> bytes:
    try:
        return base32_bytes(text, _KEY_BYTES)
    except ValueError:
        raise BadLink(
            f"not a modswarm link: its {what} is not 52 letters and digits of base32"
        ) from None


def _hints(query: str) -> tuple[str, ...]:
    hints = []
    for part in query.split("&"):
        name, _, value = part.partition("=")
        if name != "x":
            raise BadLink(f"not a modswarm link: {part[:80]!r} is not a hint of the form x=...")
        hints.append(value)
    return tuple(hints)
