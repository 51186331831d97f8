"""The text form of a mod's address: its id, where to ask first, and the key that opens it.

`modswarm:<mod id>[?x=<hint>[&o=<origin>]][#<content key>]`, both 32-byte values in base32 with a
checksum of 3 bytes behind each. An origin is a URL with its special characters escaped. The key
stands after `#` as in a URL: nodes that route or store the mod never need that part.

`modswarm:l<lineage key>[?...][#<reading key>][@<version>]` is a lineage: that version of it, or
whatever is its newest one.
"""

import contextlib
import hashlib
import re
from dataclasses import dataclass, field

from protocol import limits
from protocol.content.origins.urls import hinted_origin, origin_hint, origin_url
from protocol.errors import BadInput, BadLink, BadPeerId
from protocol.identity import PeerId, base32_bytes, base32_text, parse_peer_id

SCHEME = "modswarm:"
_KEY_BYTES = 32
_CHECKSUM_BYTES = 3
_PART_CHARS = (_KEY_BYTES + _CHECKSUM_BYTES) * 8 // 5
_BASE32 = re.compile("[A-Za-z2-7]*")
_MOD_ID = "mod id"
_CONTENT_KEY = "content key"
_LINEAGE_KEY = "lineage key"
_READING_KEY = "reading key"
_LINEAGE_MARK = "l"
"""Before a lineage key; a mod id that begins with it has a character less."""
_VERSION = re.compile(r"@([1-9][0-9]{0,9})$")
_HINT = re.compile(rf"[A-Za-z0-9.:\[\]/-]{{1,{limits.HINT_BYTES}}}")
_PIECE = re.compile(
    r"(?:(?P<scheme>[a-z]*):)?(?P<id>[a-z2-7]*)(?:\?[^#\s]*)?(?:#(?P<key>[a-z2-7]*))?",
    re.IGNORECASE,
)
_ENDS_IN_KEY = re.compile(rf"[^#\s]*#[a-z2-7]{{{_PART_CHARS}}}", re.IGNORECASE)
_PIECE_CHARS_MIN = 20
"""Of base32: words have fewer."""


@dataclass(frozen=True, slots=True)
class ModLink:
    """A mod's address. `hints` are peer ids or `host:port[/peer id]`, not resolved here, and
    `origins` URLs as `origin_url` spells them.
    """

    mod_id: bytes
    content_key: bytes | None = field(default=None, repr=False)
    hints: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raise BadLink for values that no link can spell."""
        _check(self)

    @property
    def parts(self) -> tuple[bytes, bytes | None]:
        """What it names, and the key that opens that."""
        return self.mod_id, self.content_key

    @property
    def hinted_peers(self) -> tuple[PeerId, ...]:
        """The peers that the hints name, each once; an address without one names none."""
        return _hinted_peers(self.hints)

    def __str__(self) -> str:
        return _spelled(self, "", _MOD_ID, _CONTENT_KEY)


@dataclass(frozen=True, slots=True)
class LineageLink:
    """A lineage's address: that of its newest version, or of `version`. Hints as of a ModLink."""

    lineage_key: bytes
    reading_key: bytes | None = field(default=None, repr=False)
    hints: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    version: int | None = None

    def __post_init__(self) -> None:
        """Raise BadLink for values that no link can spell."""
        _check(self)
        if self.version is not None and not 1 <= self.version <= limits.LINEAGE_VERSION_MAX:
            raise BadLink(f"not a modswarm link: no version is called {self.version}")

    @property
    def parts(self) -> tuple[bytes, bytes | None]:
        """What it names, and the key that opens that."""
        return self.lineage_key, self.reading_key

    @property
    def hinted_peers(self) -> tuple[PeerId, ...]:
        """The peers that the hints name, each once; an address without one names none."""
        return _hinted_peers(self.hints)

    def __str__(self) -> str:
        version = "" if self.version is None else f"@{self.version}"
        return _spelled(self, _LINEAGE_MARK, _LINEAGE_KEY, _READING_KEY) + version


AnyLink = ModLink | LineageLink


def _check(link: AnyLink) -> None:
    """Raise BadLink for values that no link can spell."""
    if any(len(part) != _KEY_BYTES for part in link.parts if part is not None):
        raise BadLink("not a modswarm link: a mod id and a content key have 32 bytes")
    if len(link.hints) > limits.HINTS:
        raise BadLink(f"not a modswarm link: more than {limits.HINTS} hints")
    for hint in link.hints:
        if not _HINT.fullmatch(hint):
            raise BadLink(f"not a modswarm link: a hint cannot read {hint[:80]!r}")
    if len(link.origins) > limits.ORIGINS_NAMED:
        raise BadLink(f"not a modswarm link: more than {limits.ORIGINS_NAMED} origins")
    for origin in link.origins:
        if not _is_origin(origin):
            raise BadLink(f"not a modswarm link: no origin has the address {origin[:80]!r}")
    if link.origins and len(str(link)) > limits.LINK_TEXT_BYTES:
        raise BadLink("not a modswarm link: it is too long; name fewer origins")


def _hinted_peers(hints: tuple[str, ...]) -> tuple[PeerId, ...]:
    found = []
    for hint in hints:
        with contextlib.suppress(BadPeerId):
            found.append(parse_peer_id(hint.rpartition("/")[2]))
    return tuple(dict.fromkeys(found))


def _spelled(link: AnyLink, mark: str, named: str, opening: str) -> str:
    value, key = link.parts
    origins = (f"o={origin_hint(origin)}" for origin in link.origins)
    hints = "&".join((*(f"x={hint}" for hint in link.hints), *origins))
    address = f"{SCHEME}{mark}{_part(named, value)}" + (f"?{hints}" if hints else "")
    return address if key is None else f"{address}#{_part(opening, value, key)}"


def _is_origin(text: str) -> bool:
    try:
        return origin_url(text) == text
    except BadInput:
        return False


def is_link(text: str) -> bool:
    """Whether `text` is meant as a link, spelled well or not."""
    return text.strip()[: len(SCHEME)].lower() == SCHEME


def is_piece(text: str) -> bool:
    """Whether `text` looks like a link that has lost its beginning, and perhaps its end."""
    if _ENDS_IN_KEY.fullmatch(text.strip()):
        return SCHEME not in text.lower()
    found = _PIECE.fullmatch(text.strip())
    if found is None or _is_peer_id(found[0]):
        return False
    is_scheme_s_end = SCHEME.endswith(f"{found['scheme'] or ''}:".lower())
    return is_scheme_s_end and len(found["id"] + (found["key"] or "")) >= _PIECE_CHARS_MIN


def _is_peer_id(text: str) -> bool:
    try:
        parse_peer_id(text)
    except BadPeerId:
        return False
    return True


def parse(text: str) -> AnyLink:
    """The link that `text` spells, in either case and with blanks around it.

    What people paste is read by `protocol.texts.links`. Raises BadLink, whose message never
    repeats the content key.
    """
    text = text.strip()
    if not is_link(text):
        raise BadLink(_why_no_link(text))
    if len(text) > limits.LINK_TEXT_BYTES:
        raise BadLink("not a modswarm link: it is too long")
    if len(text.split()) > 1:
        raise BadLink("not a modswarm link: a blank or a line break stands in it; take it out")
    text, version = _without_version(text[len(SCHEME) :])
    address, hash_sign, key_text = text.partition("#")
    id_text, question_mark, query = address.partition("?")
    is_lineage = len(id_text) == 1 + _PART_CHARS and id_text[0].lower() == _LINEAGE_MARK
    named, opening = (_LINEAGE_KEY, _READING_KEY) if is_lineage else (_MOD_ID, _CONTENT_KEY)
    is_end = not (question_mark or hash_sign)
    value = _value(id_text[1:] if is_lineage else id_text, named, is_end=is_end)
    hints, origins = _hints(query, is_end=not hash_sign) if question_mark else ((), ())
    key = _value(key_text, opening, value, is_end=True) if hash_sign else None
    if is_lineage:
        return LineageLink(value, key, hints, origins, version)
    if version is not None:
        raise BadLink(f"@{version} names a version, and this is the link of one version already")
    return ModLink(value, key, hints, origins)


def _without_version(text: str) -> tuple[str, int | None]:
    found = _VERSION.search(text)
    return (text, None) if found is None else (text[: found.start()], int(found[1]))


def _why_no_link(text: str) -> str:
    if not text:
        return f"not a modswarm link: it is empty, and a link starts with {SCHEME}"
    if is_piece(text):
        return f"the link is cut: its beginning is missing, and a link starts with {SCHEME}"
    return f"not a modswarm link: it does not start with {SCHEME}"


def _part(what: str, *values: bytes) -> str:
    """The last of `values` with its checksum, which covers them all."""
    return base32_text(values[-1] + _checksum(what, *values))


def _checksum(what: str, *values: bytes) -> bytes:
    """That of a content key covers the mod id too, so that no link is put together from two."""
    covered = b"modswarm/link " + what.encode() + b"/1\0" + b"".join(values)
    return hashlib.sha256(covered).digest()[:_CHECKSUM_BYTES]


def _value(text: str, what: str, *before: bytes, is_end: bool) -> bytes:
    """The value that a part of a link spells, perhaps at the link's end.

    Raises BadLink, without repeating the part.
    """
    if not _BASE32.fullmatch(text):
        raise BadLink(f"the link has a typo: a character of its {what} is neither a-z nor 2-7")
    if len(text) != _PART_CHARS:
        fault = "is cut" if is_end and len(text) < _PART_CHARS else "has a typo"
        raise BadLink(f"the link {fault}: its {what} has {len(text)} characters, not {_PART_CHARS}")
    data = base32_bytes(text, _KEY_BYTES + _CHECKSUM_BYTES)
    value, checksum = data[:_KEY_BYTES], data[_KEY_BYTES:]
    if checksum != _checksum(what, *before, value):
        raise BadLink(f"the link has a typo: a character of its {what} is wrong")
    return value


def _hints(query: str, *, is_end: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The hints and the origins of a link."""
    hints: list[str] = []
    origins: list[str] = []
    for part in query.split("&"):
        name, _, value = part.partition("=")
        if is_end and part.lower() in {"", "x", "x=", "o", "o="}:
            raise BadLink("the link is cut: it ends in the middle of its hints")
        if name.lower() == "o":
            origins.append(_origin(value))
        elif name.lower() == "x":
            hints.append(value)
        else:
            raise BadLink(f"not a modswarm link: {part[:80]!r} is not a hint of the form x=...")
    return tuple(hints), tuple(dict.fromkeys(origins))


def _origin(value: str) -> str:
    try:
        return hinted_origin(value)
    except BadInput as error:
        raise BadLink(f"not a modswarm link: {error}") from None
