"""Datagrams in a stream: each with its length, and where it goes to or comes from.

length (2)  of what follows, big-endian
kind (1)    0  a datagram between the two ends of the stream
1  a question whether the other end is there, 2 its answer; both are empty
4  address and port (6), then a datagram for, or from, that address
6  address and port (18), then the same for IPv6
"""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from protocol import limits
from protocol.addresses import Address, pack_address, unpack_address
from protocol.errors import Malformed, Oversized

_LENGTH_BYTES: Final = 2
_OWN: Final = 0
_ASK: Final = 1
_ANSWER: Final = 2
_ADDRESS_BYTES: Final = {4: 6, 6: 18}
_FRAME_MAX: Final = 1 + max(_ADDRESS_BYTES.values()) + limits.STREAM_DATAGRAM_BYTES

ASK: Final = (1).to_bytes(_LENGTH_BYTES) + bytes((_ASK,))
"""The whole frame by which an end asks whether the other one is there."""

ANSWER: Final = (1).to_bytes(_LENGTH_BYTES) + bytes((_ANSWER,))
"""The whole frame that answers it."""


class Framed(NamedTuple):
    """Datagrams of one size in a buffer, of which the last may be shorter.

    `address` is where they go to or come from; None: the other end of the stream.
    """

    buffer: bytes
    size: int
    address: Address | None


def frames_of(buffer: bytes, size: int, address: Address | None) -> bytes:
    """Frames of a buffer of datagrams of `size` bytes each; those that are too long are left out.

    As on a path of packets, what does not fit does not arrive.
    """
    head = bytes((_OWN,)) if address is None else _addressed(address)
    if len(buffer) <= size or not size:
        return _frame(head, buffer)
    return b"".join(
        _frame(head, buffer[start : start + size]) for start in range(0, len(buffer), size)
    )


def _addressed(address: Address) -> bytes:
    return bytes((address.family,)) + pack_address(address)


def _frame(head: bytes, datagram: bytes) -> bytes:
    if not 0 < len(datagram) <= limits.STREAM_DATAGRAM_BYTES:
        return b""
    return (len(head) + len(datagram)).to_bytes(_LENGTH_BYTES) + head + datagram


class FrameReader:
    """Reads what arrived of a stream; it keeps less than one frame, or what was beyond `most`.

    `frames`: how many the last call of `read` has read. `is_behind`: whether more may be there.
    """

    def __init__(self) -> None:
        self._begun = b""
        self._asked = 0
        self.frames = 0
        self.is_behind = False

    def take_asked(self) -> int:
        """How often the other end has asked since this was called last whether we are there."""
        asked, self._asked = self._asked, 0
        return asked

    def read(self, data: bytes, most: int = limits.STREAM_FRAMES_BURST) -> list[Framed]:
        """The datagrams of `most` frames that are whole now, those of one size and address joined.

        Raises Malformed, Oversized, NotUnicast: then the stream is of no use any more.
        """
        data = self._begun + data
        at, found, left = 0, _Joining(), most
        while left and len(data) - at >= _LENGTH_BYTES:
            length = int.from_bytes(data[at : at + _LENGTH_BYTES])
            if length > _FRAME_MAX:
                raise Oversized(f"a frame of {length} bytes")
            end = at + _LENGTH_BYTES + length
            if end > len(data):
                break
            self._read_frame(data[at + _LENGTH_BYTES : end], found)
            at = end
            left -= 1
        self._begun = data[at:]
        self.frames, self.is_behind = most - left, not left
        return list(found.framed())

    def _read_frame(self, frame: bytes, found: "_Joining") -> None:
        kind = frame[0] if frame else -1
        if kind == _OWN and 1 < len(frame) <= 1 + limits.STREAM_DATAGRAM_BYTES:
            found.add(frame[1:], None)
        elif kind in _ADDRESS_BYTES and (
            0 < len(frame) - (end := 1 + _ADDRESS_BYTES[kind]) <= limits.STREAM_DATAGRAM_BYTES
        ):
            found.add(frame[end:], unpack_address(frame[1:end]))
        elif kind == _ASK and len(frame) == 1:
            self._asked += 1
        elif kind != _ANSWER or len(frame) != 1:
            raise Malformed(f"a frame of {len(frame)} bytes and kind {kind}")


class _Joining:
    """Joins neighbours, as a burst of a socket has them: what follows a shorter one begins anew."""

    def __init__(self) -> None:
        self._runs: list[tuple[Sequence[bytes], Address | None]] = []
        self._parts: list[bytes] = []
        self._address: Address | None = None

    def add(self, datagram: bytes, address: Address | None) -> None:
        parts = self._parts
        if parts and address == self._address:
            size = len(parts[0])
            if len(parts[-1]) == size and len(datagram) <= size:
                parts.append(datagram)
                return
        self._parts, self._address = [datagram], address
        self._runs.append((self._parts, address))

    def framed(self) -> Iterator[Framed]:
        for parts, address in self._runs:
            yield Framed(b"".join(parts), len(parts[0]), address)
