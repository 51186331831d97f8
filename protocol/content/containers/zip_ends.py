"""The end of a zip, which says where its directory is (APPNOTE 6.3.10, 4.3.14 to 4.3.16).

Read strictly: what two readers could understand in two ways is no zip here.
"""

import struct
from collections.abc import Callable
from typing import NamedTuple

from protocol import limits
from protocol.errors import Malformed

ReadAt = Callable[[int, int], bytes]
"""Bytes from an offset on, so many of them, or fewer where the file ends before."""

_END = struct.Struct("<4s4H2LH")
_END_64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR_64 = struct.Struct("<4sLQL")
_END_SIGNATURE = b"PK\x05\x06"
_END_64_SIGNATURE = b"PK\x06\x06"
_LOCATOR_64_SIGNATURE = b"PK\x06\x07"
_COMMENT_BYTES_MAX = 2**16 - 1
_UNCOUNTED_64 = 12
"""Bytes of the zip64 end that its own length leaves out: the signature and that length."""


class Directory(NamedTuple):
    """Where the central directory of a zip is, and how many members it names."""

    offset: int
    size: int
    members: int


class _End(NamedTuple):
    """What either end says; `offset` and before are those of the directory."""

    disk: int
    directory_disk: int
    members_here: int
    members: int
    size: int
    offset: int


_FULL = _End(0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF)
"""What stands in an end where only zip64 has room for the number."""


def read_directory(read: ReadAt, size: int) -> Directory:
    """The directory of a zip of so many bytes; raises Malformed for anything odd or too large."""
    place, end = _find_end(read, size)
    locator = b""
    if place >= _LOCATOR_64.size:
        locator = read_exactly(read, place - _LOCATOR_64.size, _LOCATOR_64.size)
    if locator.startswith(_LOCATOR_64_SIGNATURE):
        place, end = _read_64(read, place - _LOCATOR_64.size, locator, end)
    if end.disk or end.directory_disk or end.members_here != end.members:
        raise Malformed("a zip of several disks")
    if end.offset + end.size != place:
        raise Malformed("a zip's directory that does not end where its end begins")
    if not 1 <= end.members <= limits.CONTAINER_MEMBERS:
        raise Malformed(f"a zip of {end.members} members")
    if end.size > limits.CONTAINER_DIRECTORY_BYTES:
        raise Malformed(f"a zip's directory of {end.size} bytes")
    return Directory(end.offset, end.size, end.members)


def read_exactly(read: ReadAt, offset: int, size: int) -> bytes:
    """So many bytes; raises Malformed where the file, which changes maybe, has them not."""
    data = read(offset, size)
    if len(data) != size:
        raise Malformed("a zip that is cut short")
    return data


def _find_end(read: ReadAt, size: int) -> tuple[int, _End]:
    """Where the end is, and what it says: with its comment it takes the file's last bytes."""
    for tail_bytes in (_END.size, _END.size + _COMMENT_BYTES_MAX):
        start = max(0, size - tail_bytes)
        tail = read_exactly(read, start, size - start)
        at = tail.rfind(_END_SIGNATURE)
        while at >= 0:
            if at + _END.size <= len(tail):
                _, *fields, comment_bytes = _END.unpack_from(tail, at)
                if at + _END.size + comment_bytes == len(tail):
                    return start + at, _End(*fields)
            at = tail.rfind(_END_SIGNATURE, 0, at)
    raise Malformed("a zip without an end")


def _read_64(read: ReadAt, locator_at: int, locator: bytes, short: _End) -> tuple[int, _End]:
    """The zip64 end, which has to lie before its locator and to say what the short one says."""
    _, disk, place, disks = _LOCATOR_64.unpack(locator)
    if disk or disks != 1 or place + _END_64.size != locator_at:
        raise Malformed("a zip64 end that is elsewhere, or longer than it was at first")
    signature, length, _, _, *fields = _END_64.unpack(read_exactly(read, place, _END_64.size))
    if signature != _END_64_SIGNATURE or length != _END_64.size - _UNCOUNTED_64:
        raise Malformed("a zip64 end of another form")
    end = _End(*fields)
    for said, full, really in zip(short, _FULL, end, strict=True):
        if said not in (full, really):
            raise Malformed("a zip64 end that differs from the other end")
    return place, end
