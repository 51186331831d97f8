"""The members that a zip's directory names, in the order of their bytes (APPNOTE 4.3.12, 4.5.3)."""

import struct
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from protocol.content.containers.zip_ends import Directory
from protocol.errors import Malformed

_ENTRY = struct.Struct("<4s6H3L5H2L")
_ENTRY_SIGNATURE = b"PK\x01\x02"
LOCAL_HEADER = struct.Struct("<4s5H3L2H")
LOCAL_SIGNATURE = b"PK\x03\x04"

_ENCRYPTED = 1 << 0
DESCRIPTOR = 1 << 3
_MASKED = 1 << 13
"""Flags: encrypted data; sizes that follow the data; a directory that is encrypted."""
_STORED = 0
FULL = 0xFFFFFFFF
_FULL_DISK = 0xFFFF
"""What stands in a field where only zip64 has room for the number."""
_ZIP64 = 1
"""The id of the extra field with these numbers."""
_WIDE = ((FULL, struct.Struct("<Q")),) * 3 + ((_FULL_DISK, struct.Struct("<L")),)
"""Plain size, packed size, offset and disk: what stands for those there, and their forms there."""


class ZipMember(NamedTuple):
    """One member: where its local header begins, and what the directory says that it has."""

    offset: int
    packed_bytes: int
    method: int
    name: bytes

    @property
    def least_end(self) -> int:
        """The first byte behind the member if its local header has no extra fields."""
        return self.offset + LOCAL_HEADER.size + len(self.name) + self.packed_bytes


def read_members(data: bytes, directory: Directory) -> list[ZipMember]:
    """The members by offset; raises Malformed for a directory that lies, and where two overlap."""
    members = sorted(_entries(data, directory.members))
    for one, other in pairwise(members):
        if one.least_end > other.offset:
            raise Malformed("members of a zip that overlap")
    if members[-1].least_end > directory.offset:
        raise Malformed("a member of a zip that reaches into the directory")
    return members


def _entries(data: bytes, count: int) -> Iterator[ZipMember]:
    at = 0
    for _ in range(count):
        if at + _ENTRY.size > len(data):
            raise Malformed("a zip's directory with fewer members than it says")
        signature, _, _, flags, method, *numbers = _ENTRY.unpack_from(data, at)
        _, _, _, packed, plain, name_bytes, extra_bytes, comment_bytes, disk, *_, offset = numbers
        name_at = at + _ENTRY.size
        extra_at = name_at + name_bytes
        at = extra_at + extra_bytes + comment_bytes
        if signature != _ENTRY_SIGNATURE:
            raise Malformed("a zip's directory with something else than members")
        if FULL in (packed, plain, offset):
            extra = data[extra_at : extra_at + extra_bytes]
            plain, packed, offset, disk = _widened(extra, (plain, packed, offset, disk))
        if disk or flags & _MASKED:
            raise Malformed("a member of a zip on another disk, or one whose header is hidden")
        if method == _STORED and not flags & _ENCRYPTED and packed != plain:
            raise Malformed("a stored member of a zip with two sizes")
        yield ZipMember(offset, packed, method, data[name_at:extra_at])
    if at != len(data):
        raise Malformed("a zip's directory with more than its members")


def _widened(extra: bytes, numbers: tuple[int, ...]) -> tuple[int, ...]:
    """The numbers, those that are full by what the zip64 extra field has in their order."""
    field = _extra_field(extra, _ZIP64)
    at, found = 0, []
    for short, (full, form) in zip(numbers, _WIDE, strict=True):
        number = short
        if short == full:
            if at + form.size > len(field):
                raise Malformed("a zip64 field that lacks a number")
            (number,) = form.unpack_from(field, at)
            at += form.size
        found.append(number)
    return tuple(found)


def _extra_field(extra: bytes, wanted: int) -> bytes:
    """The first extra field with an id; raises Malformed if there is none."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, at)
        at += 4
        if kind == wanted:
            return extra[at : at + length]
        at += length
    raise Malformed("a member of a zip that lacks its zip64 field")
