"""The Zstandard frame of a part of a patch: plaintexts of a version after those of another.

The frame refers to the base's bytes as if they stood before it (Zstandard's prefix), also to those
that are far away (long-distance matching), and says how many bytes it becomes.
"""

from collections.abc import Iterator, Sequence

from backports.zstd import (
    CompressionParameter,
    DecompressionParameter,
    ZstdCompressor,
    ZstdDecompressor,
    ZstdDict,
    ZstdError,
)

from protocol import limits
from protocol.content.zstd_header import read_header
from protocol.errors import BadContent

_WINDOW_LOG_MAX = limits.PATCH_WINDOW_BYTES.bit_length() - 1
_WINDOW_LOG_MIN = 18
_PREFIX_BYTES_MIN = 8
_SLICE_BYTES = 2**16
_OUT_BYTES = 2**18
"""What is unpacked at once at most, however little it was packed into."""


class Prefix:
    """Plaintext of the base that a frame refers to; a copy, so that the bytes given may go."""

    def __init__(self, data: bytes | bytearray) -> None:
        self.size = len(data)
        # The library takes none that is shorter than a reference is.
        self._dict = ZstdDict(data, is_raw=True) if len(data) >= _PREFIX_BYTES_MIN else None

    @property
    def zstd_dict(self) -> tuple[ZstdDict, int] | None:
        """As the library takes it."""
        return None if self._dict is None else self._dict.as_prefix


class PatchFrame:
    """Makes one frame, piece by piece; blocks for about a second for each 30 MB at level 12.

    Takes as much memory as its prefix and what is yielded have, and that of the level's tables.
    """

    def __init__(self, prefix: Prefix, size: int, level: int) -> None:
        """`size`: the bytes that will be given to `add`, PATCH_PART_BYTES at most."""
        both = prefix.size + size
        self._compressor = ZstdCompressor(
            options={
                CompressionParameter.compression_level: level,
                # It reaches from the last byte back to the prefix's first.
                CompressionParameter.window_log: max(_WINDOW_LOG_MIN, both.bit_length()),
                CompressionParameter.enable_long_distance_matching: 1,
            },
            zstd_dict=prefix.zstd_dict,
        )
        self._compressor.set_pledged_input_size(size)

    def add(self, plaintext: bytes) -> bytes:
        """What the next plaintext becomes so far."""
        return self._compressor.compress(plaintext)

    def end(self) -> bytes:
        """The rest of the frame, of which all `size` bytes were added."""
        return self._compressor.flush()


class Rebuilding:
    """The chunks that one frame yields, as its bytes come. Raises BadContent, also when made.

    Its memory is that of the prefix and of the chunks' bytes, as the head of its part promised
    them, and no more, whatever the frame claims or becomes.
    """

    def __init__(self, prefix: Prefix, lengths: Sequence[int]) -> None:
        """`lengths`: the plaintext bytes of each chunk, in order."""
        self._prefix = prefix
        self._lengths = lengths
        self._size = sum(lengths)
        self._begun = bytearray()
        self._decompressor: ZstdDecompressor | None = None
        self._chunk = bytearray()
        self._number = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The chunks that are whole now; to be exhausted."""
        if self._decompressor is None:
            data = self._begin(data)
        decompressor = self._decompressor
        if decompressor is None:
            return
        for start in range(0, len(data), _SLICE_BYTES):
            yield from self._unpacked(decompressor, data[start : start + _SLICE_BYTES])

    def _begin(self, data: bytes) -> bytes:
        """The bytes that came so far, once their header is whole and as it must be."""
        self._begun += data
        header = read_header(bytes(self._begun))
        if header is None:
            return b""
        if header.content_bytes != self._size or header.has_dictionary:
            raise BadContent("a frame of a patch that becomes another number of bytes")
        if header.window_bytes > limits.PATCH_WINDOW_BYTES:
            raise BadContent("a frame of a patch that needs too wide a window")
        self._decompressor = ZstdDecompressor(
            zstd_dict=self._prefix.zstd_dict,
            options={DecompressionParameter.window_log_max: _WINDOW_LOG_MAX},
        )
        data = bytes(self._begun)
        self._begun.clear()
        return data

    def _unpacked(self, decompressor: ZstdDecompressor, part: bytes) -> Iterator[bytes]:
        is_first = True
        while is_first or not (decompressor.needs_input or decompressor.eof):
            try:
                data = decompressor.decompress(part if is_first else b"", _OUT_BYTES)
            except (ZstdError, EOFError):
                raise BadContent("a frame of a patch that does not unpack") from None
            yield from self._cut(data)
            is_first = False
        if decompressor.unused_data:
            raise BadContent("bytes after a frame of a patch")

    def _cut(self, data: bytes) -> Iterator[bytes]:
        self._chunk += data
        while self._chunk:
            if self._number == len(self._lengths):
                raise BadContent("a frame of a patch that becomes more than it says")
            length = self._lengths[self._number]
            if len(self._chunk) < length:
                return
            yield bytes(self._chunk[:length])
            del self._chunk[:length]
            self._number += 1

    def end(self) -> None:
        """No more comes; raises BadContent if something is missing."""
        if self._decompressor is None or not self._decompressor.eof:
            raise BadContent("a frame of a patch that ends early")
        if self._chunk or self._number < len(self._lengths):
            raise BadContent("a frame of a patch that becomes fewer bytes than it says")
