"""Where an archive is cut besides by its content: at its members, which so keep their chunks.

A member that did not change has the same chunks wherever it lies, and a stored one has those of the
same file in a folder. Nothing is unpacked or packed: only cuts are forced, and the bytes stay as
they stand. An odd archive gets none of them and is cut as any file is.
"""

from array import array
from collections.abc import Iterator, Sequence

from protocol.content.containers.zip_ends import ReadAt, read_directory, read_exactly
from protocol.content.containers.zip_members import (
    DESCRIPTOR,
    FULL,
    LOCAL_HEADER,
    LOCAL_SIGNATURE,
    ZipMember,
    read_members,
)
from protocol.errors import Malformed

START_BYTES = len(LOCAL_SIGNATURE)


def may_be_split(start: bytes) -> bool:
    """Whether a file that begins with these START_BYTES is worth asking `member_cuts` about."""
    return start == LOCAL_SIGNATURE


def member_cuts(read: ReadAt, size: int, alone_bytes: int) -> Sequence[int]:
    """The offsets in a file of so many bytes at which cuts are forced, ascending; none are 0.

    They stand before and after the data of each member of at least `alone_bytes` as packed, and
    before the directory; smaller members flow together with the headers around them. An archive
    that is odd in any way has none: one that begins or ends with something else, is of several
    disks or encrypted beyond its members' data, has members that overlap, or a directory that is
    too large or disagrees with what it describes.
    """
    if not may_be_split(read(0, START_BYTES)):
        return ()
    try:
        return array("Q", _cuts(read, size, alone_bytes))
    except Malformed:
        return ()


def _cuts(read: ReadAt, size: int, alone_bytes: int) -> Iterator[int]:
    directory = read_directory(read, size)
    members = read_members(read_exactly(read, directory.offset, directory.size), directory)
    nexts = [member.offset for member in members[1:]]
    last = 0
    for member, behind in zip(members, [*nexts, directory.offset], strict=True):
        if member.packed_bytes < alone_bytes:
            continue
        start = _data_start(read, member)
        end = start + member.packed_bytes
        if end > behind:
            raise Malformed("a member of a zip that reaches into the next")
        yield start
        yield end
        last = end
    if last < directory.offset:
        yield directory.offset


def _data_start(read: ReadAt, member: ZipMember) -> int:
    """The offset of a member's data; raises Malformed unless its local header agrees."""
    data = read_exactly(read, member.offset, LOCAL_HEADER.size + len(member.name))
    fields = LOCAL_HEADER.unpack_from(data)
    signature, _, flags, method, *_, packed, _, name_bytes, extra_bytes = fields
    named = data[LOCAL_HEADER.size :] if name_bytes == len(member.name) else None
    if (signature, method, named) != (LOCAL_SIGNATURE, member.method, member.name):
        raise Malformed("a local header of a zip that is not as the directory says")
    if packed not in (member.packed_bytes, FULL) and not flags & DESCRIPTOR:
        raise Malformed("a local header of a zip with another size than the directory says")
    return member.offset + len(data) + int(extra_bytes)
