"""The header of a Zstandard frame (RFC 8878, 3.1.1.1): what it says before anything is unpacked.

Python's library (`compression.zstd`, `backports.zstd`) tells the size but not the window, from
which follows what a decompressor allocates.
"""

from dataclasses import dataclass

from protocol.errors import BadContent

_MAGIC = bytes.fromhex("28b52ffd")
_SINGLE_SEGMENT = 0x20
_RESERVED = 0x08
_DICTIONARY_ID_BYTES = (0, 1, 2, 4)
_SIZE_BYTES = (0, 2, 4, 8)
_TWO_BYTES_MORE = 256
"""A size of two bytes is less by this than what it says."""
_WINDOW_LOG_MIN = 10


@dataclass(frozen=True, slots=True)
class FrameHeader:
    """What a frame claims. `content_bytes` is None where it does not say."""

    content_bytes: int | None
    window_bytes: int
    has_dictionary: bool


def read_header(frame: bytes | memoryview) -> FrameHeader | None:
    """The header at the beginning of a frame; None where more bytes are needed.

    Raises BadContent for what is no frame, a skippable one too.
    """
    start = bytes(frame[:18])
    if start[:4] != _MAGIC[: len(start)]:
        raise BadContent("packed data that is no Zstandard frame")
    if len(start) < len(_MAGIC) + 1:
        return None
    descriptor = start[4]
    if descriptor & _RESERVED:
        raise BadContent("packed data with a reserved bit")
    is_single = bool(descriptor & _SINGLE_SEGMENT)
    at = 5 if is_single else 6
    dictionary_bytes = _DICTIONARY_ID_BYTES[descriptor & 3]
    size_bytes = _SIZE_BYTES[descriptor >> 6] or int(is_single)
    end = at + dictionary_bytes + size_bytes
    if len(start) < end:
        return None
    size = int.from_bytes(start[end - size_bytes : end], "little") if size_bytes else None
    if size is not None and size_bytes == 2:
        size += _TWO_BYTES_MORE
    window = size if is_single and size is not None else _window(start[5])
    return FrameHeader(size, window, any(start[at : at + dictionary_bytes]))


def _window(descriptor: int) -> int:
    base = 1 << (_WINDOW_LOG_MIN + (descriptor >> 3))
    return base + base // 8 * (descriptor & 7)
