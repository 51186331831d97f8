"""The frames about mods on a link: requests (types 0..15) and answers (16..31).

The requester numbers its streams; a stream is one download of one mod over one link. Requests and
answers have distinct types, so both sides can download over one link with the same numbers. A
holder sends the pieces of one chunk (or of the manifest) one after another, never interleaved with
another chunk's of the same stream, so a requester never holds more than one unfinished chunk.

Each frame is a canonical MessagePack list [type, stream, ...]; PROTOCOL.md gives the fields.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import ClassVar

from protocol import codec, limits
from protocol.errors import Malformed
from protocol.identity import PeerId

STREAM_MAX = 2**32 - 1
PIECE_OVERHEAD_BYTES = 24
"""The most that a frame with a piece has besides the piece."""

NOT_HELD = 0
"""The reason of `Refused`: the holder does not have the mod, or not any more."""

_FIELDS_MAX = 5


@dataclass(frozen=True, slots=True)
class _Streamed:
    """The field that every frame has: its stream's number."""

    stream: int

    def __post_init__(self) -> None:
        """Raise Malformed for a value out of its bounds."""
        codec.ranged(self.stream, 0, STREAM_MAX)


@dataclass(frozen=True, slots=True)
class Open(_Streamed):
    """Begin a stream for one mod. Answered by Opened (and Have, if partial) or Refused."""

    type: ClassVar[int] = 0
    mod_id: bytes

    def __post_init__(self) -> None:
        """Raise Malformed for a value out of its bounds."""
        _Streamed.__post_init__(self)
        codec.sized(self.mod_id, 32)


@dataclass(frozen=True, slots=True)
class GetManifest(_Streamed):
    """Ask for the whole manifest. Answered by ManifestPiece frames in order."""

    type: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class GetChunks(_Streamed):
    """Ask for whole chunks by their numbers in the manifest's table, in this order."""

    type: ClassVar[int] = 2
    chunks: tuple[int, ...]

    def __post_init__(self) -> None:
        """Raise Malformed for a value out of its bounds."""
        _Streamed.__post_init__(self)
        _check_chunk_numbers(self.chunks)


@dataclass(frozen=True, slots=True)
class Cancel(_Streamed):
    """Forget every chunk asked for on this stream whose first piece has not been sent.

    Answered by Cancelled.
    """

    type: ClassVar[int] = 3


@dataclass(frozen=True, slots=True)
class Close(_Streamed):
    """End the stream; nothing is answered."""

    type: ClassVar[int] = 4


@dataclass(frozen=True, slots=True)
class Opened(_Streamed):
    """The mod is held: the length of its manifest, and whether all of its chunks are held."""

    type: ClassVar[int] = 16
    manifest_bytes: int
    complete: bool

    def __post_init__(self) -> None:
        """Raise Malformed for a value out of its bounds."""
        _Streamed.__post_init__(self)
        codec.ranged(self.manifest_bytes, 1, limits.MANIFEST_BYTES)


@dataclass(frozen=True, slots=True)
class Have(_Streamed):
    """The held chunks from number `first` (a multiple of 8) on.

    One bit a chunk, the highest bit of a byte first (as in BEP 3). Only adds to earlier ones.
    """

    type: ClassVar[int] = 17
    first: int
    bits: bytes

    def __post_init__(self) -> None:
        """Raise Malformed for a value out of its bounds."""
        _Streamed.__post_init__(self)
        codec.ranged(self.first, 0, limits.MANIFEST_CHUNKS)
        codec.ranged(self.first + 8 * len(self.bits), 8, limits.MANIFEST_CHUNKS)
        if self.first % 8 or not self.bits:
            raise Malformed("a bit field that starts inside a byte, or is empty")


@dataclass(frozen=True, slots=True)
class ManifestPiece(_Streamed):
    """A part of the manifest, from byte `offset` on."""

    type: ClassVar[int] = 18
    offset: int
    data: bytes

    def __post_init__(self) -> None:
        """Raise Malformed for a value out of its bounds."""
        _Streamed.__post_init__(self)
        codec.ranged(self.offset, 0, limits.MANIFEST_BYTES)
        codec.ranged(len(self.data), 1, limits.MANIFEST_BYTES - self.offset)


@dataclass(frozen=True, slots=True)
class ChunkPiece(_Streamed):
    """A part of a sealed chunk, from byte `offset` on."""

    type: ClassVar[int] = 19
    chunk: int
    offset: int
    data: bytes

    def __post_init__(self) -> None:
        """Raise Malformed for a value out of its bounds."""
        _Streamed.__post_init__(self)
        codec.ranged(self.chunk, 0, limits.MANIFEST_CHUNKS - 1)
        codec.ranged(self.offset, 0, limits.SEALED_CHUNK_BYTES)
        codec.ranged(len(self.data), 1, limits.SEALED_CHUNK_BYTES - self.offset)


@dataclass(frozen=True, slots=True)
class Missing(_Streamed):
    """Chunks that were asked for and are not held (any more)."""

    type: ClassVar[int] = 20
    chunks: tuple[int, ...]

    def __post_init__(self) -> None:
        """Raise Malformed for a value out of its bounds."""
        _Streamed.__post_init__(self)
        _check_chunk_numbers(self.chunks)


@dataclass(frozen=True, slots=True)
class Refused(_Streamed):
    """The stream is over: NOT_HELD, or a reason that a later version gives."""

    type: ClassVar[int] = 21
    reason: int

    def __post_init__(self) -> None:
        """Raise Malformed for a value out of its bounds."""
        _Streamed.__post_init__(self)
        codec.ranged(self.reason, 0, 255)


@dataclass(frozen=True, slots=True)
class Cancelled(_Streamed):
    """Every chunk that was asked for before the Cancel has been sent or forgotten."""

    type: ClassVar[int] = 22


@dataclass(frozen=True, slots=True)
class Peers(_Streamed):
    """Other peers that were sent chunks of the same mod by this holder, by their ids.

    A claim, and no more: whether they exist and hold anything is for the requester to find out.
    """

    type: ClassVar[int] = 23
    peers: tuple[PeerId, ...]

    def __post_init__(self) -> None:
        """Raise Malformed for a value out of its bounds."""
        _Streamed.__post_init__(self)
        codec.ranged(len(self.peers), 1, limits.PEERS_NAMED)
        for peer_id in self.peers:
            codec.sized(peer_id, limits.ID_BYTES)


ContentRequest = Open | GetManifest | GetChunks | Cancel | Close
ContentAnswer = Opened | Have | ManifestPiece | ChunkPiece | Missing | Refused | Cancelled | Peers
ContentFrame = ContentRequest | ContentAnswer

REQUESTS = (Open, GetManifest, GetChunks, Cancel, Close)
ANSWERS = (Opened, Have, ManifestPiece, ChunkPiece, Missing, Refused, Cancelled, Peers)

_KINDS: dict[int, type[ContentFrame]] = {kind.type: kind for kind in (*REQUESTS, *ANSWERS)}
_NAMES = {kind: tuple(field.name for field in fields(kind)) for kind in _KINDS.values()}
_WIRE_TYPES: dict[type[ContentFrame], tuple[type, ...]] = {
    Open: (int, int, bytes),
    GetManifest: (int, int),
    GetChunks: (int, int, bytes),
    Cancel: (int, int),
    Close: (int, int),
    Opened: (int, int, int, bool),
    Have: (int, int, int, bytes),
    ManifestPiece: (int, int, int, bytes),
    ChunkPiece: (int, int, int, int, bytes),
    Missing: (int, int, bytes),
    Refused: (int, int, int),
    Cancelled: (int, int),
    Peers: (int, int, bytes),
}
_WITH_CHUNK_NUMBERS = (GetChunks, Missing)


def encode_frame(frame: ContentFrame) -> bytes:
    """The bytes of a frame."""
    if isinstance(frame, ChunkPiece):
        return codec.encode_long((frame.type, frame.stream, frame.chunk, frame.offset, frame.data))
    if isinstance(frame, _WITH_CHUNK_NUMBERS):
        numbers = struct.pack(f">{len(frame.chunks)}I", *frame.chunks)
        return codec.encode([frame.type, frame.stream, numbers])
    if isinstance(frame, Peers):
        return codec.encode([frame.type, frame.stream, b"".join(frame.peers)])
    values = (getattr(frame, name) for name in _NAMES[type(frame)])
    return codec.encode([frame.type, *values])


def decode_frame(data: bytes) -> ContentFrame:
    """The frame that `data` spells; raises Malformed."""
    values = codec.decode_canonical(data, max_bytes=limits.MESSAGE_BYTES, max_items=_FIELDS_MAX)
    if type(values) is not list or not values or type(values[0]) is not int:
        raise Malformed("a frame without a type")
    kind = _KINDS.get(values[0])
    if kind is None:
        raise Malformed(f"a frame of the unknown type {values[0]}")
    _, *arguments = codec.shape(values, *_WIRE_TYPES[kind])
    if issubclass(kind, _WITH_CHUNK_NUMBERS):
        stream, packed = arguments
        if len(packed) % 4:
            raise Malformed("chunk numbers that are not 4 bytes each")
        return kind(stream, struct.unpack(f">{len(packed) // 4}I", packed))
    if kind is Peers:
        stream, packed = arguments
        return Peers(stream, _peer_ids(packed))
    return kind(*arguments)


def _peer_ids(packed: bytes) -> tuple[PeerId, ...]:
    size = limits.ID_BYTES
    if len(packed) % size:
        raise Malformed(f"peer ids that are not {size} bytes each")
    return tuple(PeerId(packed[at : at + size]) for at in range(0, len(packed), size))


def _check_chunk_numbers(chunks: Sequence[int]) -> None:
    codec.ranged(len(chunks), 1, limits.REQUESTS_PER_STREAM)
    codec.ranged(min(chunks), 0, limits.MANIFEST_CHUNKS - 1)
    codec.ranged(max(chunks), 0, limits.MANIFEST_CHUNKS - 1)
