"""Where a mod's byte stream is cut: content-defined, so an edit changes only the chunks it touches.

FastCDC (Xia et al. 2020), finer for what is small in a mod that is small: there a coarse chunk
around an edit would be much of the file, and elsewhere each chunk costs a getter the same work,
however long it is. Two publishers need not cut alike to read each other's mods, but a publisher
must cut alike in every version, or nothing would stay unchanged.
"""

from collections.abc import Iterator
from typing import NamedTuple

from protocol import limits

try:
    from pyfastcdc.cy import FastCDC
except ImportError as error:
    raise ImportError(
        "pyfastcdc has no compiled module here, and without it chunking is a hundred times slower;"
        " install it from a wheel"
    ) from error

_NORMALIZATION = 1
_BATCH_BYTES = 4 * limits.CHUNK_BYTES_MAX
"""Fewer bytes than this wait for more, so that small feeds do not cut the same bytes again."""


class Grain(NamedTuple):
    """How finely a byte stream is cut: bytes of plaintext."""

    alone: int
    """A file, or a member of an archive, from so many bytes on begins and ends at a boundary."""
    minimum: int
    average: int
    maximum: int
    """FastCDC's three sizes."""


FINE = Grain(16 * 1024, 4 * 1024, 16 * 1024, 64 * 1024)
COARSE = Grain(32 * 1024, 16 * 1024, 64 * 1024, limits.CHUNK_BYTES_MAX)


def grain_of(mod_bytes: int, run_bytes: int = 0) -> Grain:
    """The grain of a run of so many bytes between two forced boundaries, in a mod of so many.

    A run lies in one file. What flows together of small files is cut as the shortest run is.
    """
    is_fine = mod_bytes <= limits.FINE_MOD_BYTES and run_bytes <= limits.FINE_RUN_BYTES
    return FINE if is_fine else COARSE


class Chunker:
    """Cuts a byte stream that arrives in pieces; the cuts do not depend on the pieces."""

    def __init__(self, grain: Grain) -> None:
        self._fastcdcs = {FINE: _fastcdc(FINE), COARSE: _fastcdc(COARSE)}
        self._grain = grain
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next bytes; return the chunks that no later byte can change."""
        self._waiting.append(data)
        self._waiting_bytes += len(data)
        if self._waiting_bytes < _BATCH_BYTES:
            return []
        return list(self._chunks(final=False))

    def cut(self) -> list[bytes]:
        """Force a boundary here; return the chunks up to it."""
        return list(self._chunks(final=True))

    def begin(self, grain: Grain) -> list[bytes]:
        """Force a boundary here, and cut by this grain what follows; return the chunks up to it."""
        chunks = self.cut()
        self._grain = grain
        return chunks

    def _chunks(self, *, final: bool) -> Iterator[bytes]:
        buffer = b"".join(self._waiting)
        # A cut depends on at most the longest chunk's bytes after the chunk's start.
        settled = len(buffer) if final else len(buffer) - self._grain.maximum
        position = 0
        if buffer:
            for chunk in self._fastcdcs[self._grain].cut_buf(buffer):
                if chunk.offset >= settled:
                    break
                position = chunk.offset + chunk.length
                yield buffer[chunk.offset : position]
        rest = buffer[position:]
        self._waiting = [rest] if rest else []
        self._waiting_bytes = len(rest)


def _fastcdc(grain: Grain) -> FastCDC:
    return FastCDC(
        grain.average,
        min_size=grain.minimum,
        max_size=grain.maximum,
        normalized_chunking=_NORMALIZATION,
        seed=0,
    )
