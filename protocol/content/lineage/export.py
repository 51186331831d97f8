"""The keys of a lineage as a text, for another machine that shall go on with it.

`modswarm-lineage:` and, in base32, the canonical list [form, name, secret (32), seed (32), newest
record], followed by the first bytes of its SHA-256.
"""

import hashlib
from dataclasses import dataclass, field

from protocol import limits
from protocol.codec import decode_canonical, encode, shape, sized
from protocol.content import file_paths
from protocol.content.lineage.history import recalled
from protocol.content.lineage.keys import LineageKeys
from protocol.errors import BadInput, Malformed, UnsafePath
from protocol.identity import base32_bytes, base32_text
from protocol.records import Record

EXPORT_SCHEME = "modswarm-lineage:"
_FORM = 1
_CHECKSUM_BYTES = 8
_BYTES_MAX = 2048


@dataclass(frozen=True, slots=True)
class LineageExport:
    """What goes on with a lineage elsewhere."""

    name: str
    secret: bytes = field(repr=False)
    seed: bytes = field(repr=False)
    newest: Record | None

    @property
    def keys(self) -> LineageKeys:
        """Those of the lineage."""
        return LineageKeys(self.secret, self.seed)

    def __str__(self) -> str:
        raw = b"" if self.newest is None else self.newest.raw
        data = encode([_FORM, self.name, self.secret, self.seed, raw])
        return EXPORT_SCHEME + base32_text(data + _checksum(data))


def _checksum(data: bytes) -> bytes:
    return hashlib.sha256(b"modswarm/lineage export/1\0" + data).digest()[:_CHECKSUM_BYTES]


def parse_export(text: str) -> LineageExport:
    """What `LineageExport` spells, in either case and with blanks in it.

    Raises BadInput, without repeating it.
    """
    text = "".join(text.split())
    if not text.lower().startswith(EXPORT_SCHEME):
        raise BadInput(f"not an exported mod, which starts with {EXPORT_SCHEME}")
    letters = text[len(EXPORT_SCHEME) :]
    if len(letters) > 2 * _BYTES_MAX:
        raise BadInput("not an exported mod: it is too long")
    try:
        data = base32_bytes(letters, len(letters) * 5 // 8)
    except ValueError:
        raise BadInput("the exported mod has a typo, or is cut") from None
    body, checksum = data[:-_CHECKSUM_BYTES], data[-_CHECKSUM_BYTES:]
    if checksum != _checksum(body):
        raise BadInput("the exported mod has a typo, or is cut")
    try:
        fields = decode_canonical(body, max_bytes=_BYTES_MAX, max_items=5)
        form, name, secret, seed, raw = shape(fields, int, str, bytes, bytes, bytes)
        if form != _FORM:
            raise BadInput(f"an exported mod of the form {form}, which this version does not know")
        found = LineageExport(
            *(file_paths.check_name(name), sized(secret, 32), sized(seed, 32)),
            recalled(raw) if raw else None,
        )
    except (Malformed, UnsafePath) as error:
        raise BadInput(f"not an exported mod: {error}") from None
    if found.newest is not None and found.newest.public_key != found.keys.public_key:
        raise BadInput("the exported mod has the record of another one")
    file_paths.check_text(name, "the mod's name", limits.MOD_NAME_BYTES)
    return found
