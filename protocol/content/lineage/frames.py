"""The frames about versions of mods on a link, of types 32 and 33.

    [32, DHT keys of lineages (20 bytes each, 1 to 64)]    the sender follows these from now on
    [33, lineage record]                                   the newest that the sender knows

The keys are those under which lineages' records are in the DHT: to a peer that does not know a
lineage they say as much as a lookup of its record does.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from protocol import codec, limits
from protocol.errors import Malformed

_ITEMS = 2


@dataclass(frozen=True, slots=True)
class FollowFrame:
    """The sender wants to hear of newer records of these lineages, besides earlier ones."""

    type: ClassVar[int] = 32
    keys: tuple[bytes, ...]

    def __post_init__(self) -> None:
        """Raise Malformed for a value out of its bounds."""
        codec.ranged(len(self.keys), 1, limits.FOLLOWS_PER_FRAME)
        for key in self.keys:
            codec.sized(key, limits.ID_BYTES)


@dataclass(frozen=True, slots=True)
class NewsFrame:
    """A record of a lineage that the receiver follows; not verified yet."""

    type: ClassVar[int] = 33
    record: bytes

    def __post_init__(self) -> None:
        """Raise Malformed for a value out of its bounds."""
        codec.ranged(len(self.record), 1, limits.RECORD_BYTES)


LineageFrame = FollowFrame | NewsFrame


def encode_lineage_frame(frame: LineageFrame) -> bytes:
    """The bytes of a frame."""
    data = b"".join(frame.keys) if isinstance(frame, FollowFrame) else frame.record
    return codec.encode([frame.type, data])


def decode_lineage_frame(data: bytes) -> LineageFrame:
    """The frame that `data` spells; raises Malformed."""
    value = codec.decode_canonical(data, max_bytes=limits.MESSAGE_BYTES, max_items=_ITEMS)
    kind, content = codec.shape(value, int, bytes)
    if kind == NewsFrame.type:
        return NewsFrame(content)
    if kind != FollowFrame.type:
        raise Malformed(f"a frame of the unknown type {kind}")
    size = limits.ID_BYTES
    if len(content) % size:
        raise Malformed(f"keys that are not {size} bytes each")
    return FollowFrame(tuple(content[at : at + size] for at in range(0, len(content), size)))


def follow_frames(keys: Sequence[bytes]) -> Iterator[FollowFrame]:
    """As many frames as these keys need."""
    for at in range(0, len(keys), limits.FOLLOWS_PER_FRAME):
        yield FollowFrame(tuple(keys[at : at + limits.FOLLOWS_PER_FRAME]))
