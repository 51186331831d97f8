"""ChannelData (RFC 8656, 12.4): channel number, length, data; one message, or a joined buffer.

A buffer here is datagrams of one size, end to end, of which the last may be shorter, as a port
reads and writes them.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from protocol.errors import Malformed, Truncated

CHANNEL_HEADER_BYTES: Final = 4
CHANNEL_MIN: Final = 0x4000
CHANNEL_MAX: Final = 0x7FFF
"""Numbers that are accepted. RFC 8656 leaves those above 0x4FFF to other protocols on the same
port, but clients of RFC 5766 choose them."""

_BUFFER_BYTES_MAX: Final = 65_507
_SEGMENTS_MAX: Final = 64
"""A joined buffer is one UDP datagram to the kernel until it is cut, into so many at most."""

Parts = list[bytes | memoryview]


class Gathered(NamedTuple):
    """Pieces of a buffer of datagrams of `size` bytes each."""

    parts: Parts
    size: int


def wrap(channel: bytes, buffer: bytes, size: int) -> Iterator[Gathered]:
    """Each datagram of a buffer as ChannelData; nothing is copied.

    `channel` has 2 bytes. More than one buffer comes where the headers do not fit the first.
    """
    length = len(buffer)
    header = channel + size.to_bytes(2)
    if length <= size:
        yield Gathered([channel + length.to_bytes(2), buffer], length + CHANNEL_HEADER_BYTES)
        return
    view = memoryview(buffer)
    whole = size + CHANNEL_HEADER_BYTES
    most = _datagrams_at_once(whole) * size
    for begin in range(0, length, most):
        end = min(begin + most, length)
        parts: Parts = []
        for at in range(begin, end - size + 1, size):
            parts += (header, view[at : at + size])
        if rest := (end - begin) % size:
            parts += (channel + rest.to_bytes(2), view[end - rest : end])
        yield Gathered(parts, whole)


def rewrap(channel: bytes, buffer: bytes, size: int) -> Iterator[Gathered]:
    """The same ChannelData messages on another channel; nothing is copied."""
    view = memoryview(buffer)
    length = len(buffer)
    most = _datagrams_at_once(size) * size
    for begin in range(0, length, most):
        end = min(begin + most, length)
        parts: Parts = []
        for at in range(begin, end, size):
            parts += (channel, view[at + 2 : min(at + size, end)])
        yield Gathered(parts, size)


def untouched(buffer: bytes, size: int) -> Iterator[Gathered]:
    """The same ChannelData messages as they are."""
    length = len(buffer)
    most = _datagrams_at_once(size) * size
    if length <= most:
        yield Gathered([buffer], size)
        return
    view = memoryview(buffer)
    for begin in range(0, length, most):
        yield Gathered([view[begin : begin + most]], size)


def _datagrams_at_once(size: int) -> int:
    return min(_SEGMENTS_MAX, _BUFFER_BYTES_MAX // size) or 1


def unwrap(buffer: bytes, size: int) -> tuple[bytes, int]:
    """The data of ChannelData messages as a buffer, and the size of each but the last.

    Raises Malformed for lengths that are not those of the datagrams; padding is allowed only to a
    datagram that is alone.
    """
    length = len(buffer)
    if length <= size:
        return _one(buffer)
    inner = size - CHANNEL_HEADER_BYTES
    view = memoryview(buffer)
    if inner < 1 or not has_lengths(buffer, size):
        raise Malformed("joined ChannelData of unequal lengths")
    parts = [view[at + CHANNEL_HEADER_BYTES : at + size] for at in range(0, length, size)]
    return b"".join(parts), inner


def _one(message: bytes) -> tuple[bytes, int]:
    if len(message) < CHANNEL_HEADER_BYTES:
        raise Truncated("less than a ChannelData header")
    inner = message[2] << 8 | message[3]
    end = CHANNEL_HEADER_BYTES + inner
    if end > len(message):
        raise Truncated("ChannelData that ends before its length")
    return message[CHANNEL_HEADER_BYTES:end], inner


def has_lengths(buffer: bytes, size: int) -> bool:
    """Whether each message of a joined buffer is as long as its header says."""
    length = len(buffer)
    inner = size - CHANNEL_HEADER_BYTES
    whole = length // size
    end = whole * size
    if (
        buffer[2:end:size].count(inner >> 8) != whole
        or buffer[3:end:size].count(inner & 0xFF) != whole
    ):
        return False
    rest = length - end
    return not rest or (
        rest >= CHANNEL_HEADER_BYTES
        and int.from_bytes(buffer[end + 2 : end + 4]) == rest - CHANNEL_HEADER_BYTES
    )


def is_one_channel(buffer: bytes, size: int) -> bool:
    """Whether all messages of a joined buffer are of the channel of the first."""
    count = -(-len(buffer) // size)
    return buffer[::size].count(buffer[0]) == count and buffer[1::size].count(buffer[1]) == count
