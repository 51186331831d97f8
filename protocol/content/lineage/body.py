"""The body of a lineage record: the newest version of one mod, and the key that opens it.

The record is signed by the lineage's key, so all may store it and only its publisher makes it. The
content key is wrapped for those who hold the lineage's reading key. `previous` is the hash of the
record before it, so that a publisher who signs two records after one shows (`history`).
"""

from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from protocol import limits
from protocol.codec import decode_canonical, encode, list_of, ranged, shape, sized
from protocol.content.sealing import AES_KEY_BYTES, derive_key
from protocol.errors import BadContent, Malformed

OPEN_POLICY: Final = 0
"""The only policy so far: the lineage's readers read all of its versions."""

WRAPPED_KEY_BYTES: Final = AES_KEY_BYTES + 16
_NONCE = bytes(12)
_ITEMS = 7
_PRINTABLE = range(0x21, 0x7F)


@dataclass(frozen=True, slots=True)
class LineageBody:
    """Version `version` is the newest of the lineage, and is the mod `mod_id`.

    `previous` is the SHA-256 of the lineage's record before this one, empty for the first one.
    `origins` are addresses of HTTP servers, in ASCII, as the publisher wrote them.
    """

    mod_id: bytes
    version: int
    wrapped_key: bytes
    previous: bytes = b""
    origins: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raise Malformed for a value out of its bounds."""
        sized(self.mod_id, 32)
        ranged(self.version, 1, limits.LINEAGE_VERSION_MAX)
        sized(self.wrapped_key, WRAPPED_KEY_BYTES)
        if self.previous:
            sized(self.previous, 32)
        list_of(list(self.origins), str, max_items=limits.ORIGINS_NAMED)
        for origin in self.origins:
            ranged(len(origin), 1, limits.ORIGIN_BYTES)
            if any(ord(one) not in _PRINTABLE for one in origin):
                raise Malformed("an origin with a character that no address has")

    def encode(self) -> bytes:
        """The body's bytes; the last field is reserved for what will revoke versions."""
        origins = list(self.origins)
        fields = [self.mod_id, self.version, self.wrapped_key, self.previous, origins]
        return encode([*fields, OPEN_POLICY, b""])

    @classmethod
    def decode(cls, data: bytes) -> "LineageBody":
        """Read a body; raises Malformed. A policy that is not known is an error, never a guess."""
        value = decode_canonical(data, max_bytes=limits.RECORD_BYTES, max_items=_ITEMS)
        mod_id, version, wrapped_key, previous, origins, policy, reserved = shape(
            value, bytes, int, bytes, bytes, list, int, bytes
        )
        list_of(origins, str, max_items=limits.ORIGINS_NAMED)
        ranged(policy, OPEN_POLICY, OPEN_POLICY)
        sized(reserved, 0)
        return cls(mod_id, version, wrapped_key, previous, tuple(origins))

    def content_key(self, reading_key: bytes) -> bytes:
        """The content key of the mod, 32 bytes; raises BadContent for another reading key."""
        cipher = AESGCM(_wrapping_key(reading_key, self.mod_id))
        try:
            return cipher.decrypt(_NONCE, self.wrapped_key, None)
        except InvalidTag:
            raise BadContent("the lineage's reading key does not open this record") from None


def wrapped_content_key(content_key: bytes, reading_key: bytes, mod_id: bytes) -> bytes:
    """The content key of a mod (32 bytes) for those who hold the reading key, 48 bytes.

    The key that wraps it is that of one mod, and a mod has one content key: so no key ever meets a
    second plaintext, and the nonce can be zero.
    """
    sized(content_key, AES_KEY_BYTES)
    return AESGCM(_wrapping_key(reading_key, mod_id)).encrypt(_NONCE, content_key, None)


def _wrapping_key(reading_key: bytes, mod_id: bytes) -> bytes:
    return derive_key(reading_key, "lineage content key", mod_id)
