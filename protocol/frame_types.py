"""The type of a frame on a link, and which types belong to what.

A frame is a canonical MessagePack list of 1..15 items, of which the first is its type, 0..127. So
byte 0 is a fixarray's (0x91..0x9f) and byte 1 is the type as a positive fixint: a link finds the
handler of a frame without decoding it.
"""

from protocol.errors import Malformed

CONTENT_TYPES = range(32)
"""About mods (`content.frames`): requests 0..15, answers 16..31."""

LINEAGE_TYPES = range(32, 34)
"""About versions of mods (`content.lineage.frames`)."""

RESTART_TYPES = range(34, 36)
"""About the link's own path (`restarting.frames`)."""

LINK_TYPES = range(126, 128)
"""About the link itself, as PROTOCOL.md, 8 says."""

WANTED_FRAME = bytes([0x91, LINK_TYPES.start])
"""`[126]`: the sender wants this link to be kept, though it carries nothing at present."""

IDLE_FRAME = bytes([0x91, LINK_TYPES.start + 1])
"""`[127]`: the sender would close this link, over which no other frame has gone for long. It does
not count as a use of the link."""

_LISTS = range(0x91, 0xA0)
_TYPES = range(128)


def frame_type(frame: bytes) -> int:
    """The type of a frame; raises Malformed if the bytes do not begin as a frame does."""
    if len(frame) < 2 or frame[0] not in _LISTS or frame[1] not in _TYPES:
        raise Malformed("a frame without a type")
    return frame[1]
