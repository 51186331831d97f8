"""What the shim logged of one run: operations with their data, in the order in which they came."""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_HEAD = struct.Struct("@IIQQII")


class Operation(NamedTuple):
    """One operation.

    `kind` is a letter: C a file is made, T cut to `number` bytes, W written at `number`, F flushed,
    S everything is flushed, R renamed to `other`, L linked as `other`, U removed, D a folder is
    made; A is no operation, but `data` was acknowledged.
    """

    kind: str
    inode: int
    number: int
    path: str
    other: str
    data: bytes


def read_log(path: Path) -> Iterator[Operation]:
    """The records of a log; the last one may be cut short, of a process that was killed."""
    log, at = path.read_bytes(), 0
    while at + _HEAD.size <= len(log):
        size, kind, inode, number, path_bytes, other_bytes = _HEAD.unpack_from(log, at)
        at += _HEAD.size
        ends = at + path_bytes, at + path_bytes + other_bytes, at + path_bytes + other_bytes + size
        names = log[at : ends[0]].decode(), log[ends[0] : ends[1]].decode()
        yield Operation(chr(kind), inode, number, *names, log[ends[1] : ends[2]])
        at = ends[2]


def acknowledged(path: Path) -> list[str]:
    """What a run had acknowledged."""
    if not path.exists():
        return []
    return [one.data.decode() for one in read_log(path) if one.kind == "A"]
