"""Zips of every usual kind, made by `zipfile`, and odd ones made of them."""

import io
import random
import struct
import warnings
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest

from protocol.content.containers.member_cuts import member_cuts

ALONE = 1000
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
_LOCAL_BYTES = 30
END_BYTES, ENTRY, LOCATOR_64, END_64 = 22, b"PK\1\2", b"PK\6\7", b"PK\6\6"
"""The length of an end without a comment, and how other parts begin."""


class Unseekable(io.RawIOBase):
    """A stream, as one writes to a pipe: sizes follow the data in descriptors."""

    def __init__(self) -> None:
        self.data = bytearray()

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, data: Any, /) -> int:
        """Append."""
        self.data += data
        return len(data)


def some_members(seed: int = 1, sizes: tuple[int, ...] = (5000, 10, 3000, 0, 2000)) -> list[bytes]:
    """Bytes that nothing packs."""
    rng = random.Random(seed)
    return [rng.randbytes(size) for size in sizes]


def zip_of(
    members: list[bytes], method: int = zipfile.ZIP_STORED, kind: str = "", *, comment: bytes = b""
) -> bytes:
    """A zip; of a kind, `streamed` with data descriptors, `wide` with zip64 headers, `alike`."""
    target: Any = Unseekable() if kind == "streamed" else io.BytesIO()
    with zipfile.ZipFile(target, "w", method) as made:
        made.comment = comment
        for number, data in enumerate(members):
            info = zipfile.ZipInfo("same" if kind == "alike" else f"folder/{number}.bin")
            info.compress_type = method
            info.comment = b"of a member" * (number % 2)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # of names alike
                member = made.open(info, "w", force_zip64=kind == "wide")
            with member:
                member.write(data)
    return bytes(target.data) if kind == "streamed" else bytes(target.getvalue())


def wide_zip(monkeypatch: pytest.MonkeyPatch, members: list[bytes]) -> bytes:
    """A zip64 in all its parts, as if its members were too many and too large."""
    with monkeypatch.context() as patched:
        patched.setattr(zipfile, "ZIP64_LIMIT", 100)
        patched.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 1)
        return zip_of(members, kind="wide")


def data_spans(data: bytes) -> Iterator[tuple[int, int]]:
    """Where `zipfile` finds the data of each member, in the order of the directory."""
    with zipfile.ZipFile(io.BytesIO(data)) as read:
        for info in read.infolist():
            names = struct.unpack_from("<2H", data, info.header_offset + _LOCAL_BYTES - 4)
            start = info.header_offset + _LOCAL_BYTES + sum(names)
            yield start, start + info.compress_size


def directory_offset(data: bytes) -> int:
    """Where the directory begins, for `zipfile`."""
    with zipfile.ZipFile(io.BytesIO(data)) as read:
        return int(read.start_dir)


def put(data: bytes, at: int, form: str, *values: int) -> bytes:
    """The bytes with other numbers at a place, which counts from the end if it is negative."""
    changed, at = bytearray(data), at % len(data)
    struct.pack_into(form, changed, at, *values)
    return bytes(changed)


def entry_at(data: bytes, number: int) -> int:
    """Where the directory's entry of a member is."""
    at = directory_offset(data)
    for _ in range(number):
        at = data.index(ENTRY, at + 1)
    return at


class File:
    """Bytes that are read by offset, and how much of them was."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.reads = 0
        self.bytes_read = 0

    def read(self, offset: int, size: int) -> bytes:
        """As a file has it."""
        assert offset >= 0
        assert size >= 0
        found = self.data[offset : offset + size]
        self.reads += 1
        self.bytes_read += len(found)
        return found


def cuts_of(data: bytes, alone: int = ALONE) -> list[int]:
    """Where the zip is cut."""
    return list(member_cuts(File(data).read, len(data), alone))


def expected(data: bytes, alone: int = ALONE) -> list[int]:
    """Where it should be, by `zipfile`."""
    spans = [span for span in data_spans(data) if span[1] - span[0] >= alone]
    return sorted({*(edge for span in spans for edge in span), directory_offset(data)})
