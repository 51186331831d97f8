"""What the operating system refuses: one table from its error numbers to a cause and a way out.

Every OSError that a person reads is worded here, so that no cause has the advice of another one.
"""

import errno
import os
import socket
import sqlite3
from typing import NamedTuple

from protocol.errors import DiskError, LocalError, OutOfResources


class Refusal(NamedTuple):
    """Why the system refuses: a clause that stands behind `cannot write PLACE: `, and a way out.

    `at_port`: the way out where it is a port that is refused and not a file. `kind` is the error
    that it always is; None where that depends on what was tried.
    """

    reason: str
    advice: str = ""
    kind: type[LocalError] | None = None
    at_port: str = ""


_OTHER_PLACE = "name another place"
_MOUNTED = "Connect or mount it again, then repeat the command."
_GONE = Refusal("the disk or network folder is not connected any more", _MOUNTED, DiskError)
_NO_MEMORY = Refusal(
    "the system has no memory left for it",
    "End other programs, or give this one more memory; then repeat the command.",
    OutOfResources,
)
_UNABLE = Refusal(
    "this disk or this system cannot do that",
    f"Use a disk of the system's own kind: {_OTHER_PLACE}.",
    at_port="Use a system whose network has it, or leave the setting out.",
)
_NO_NETWORK = Refusal(
    "no network leads there",
    at_port="Connect this computer to a network, or name another address.",
)
_NO_FAMILY = Refusal(
    "this computer does not have that kind of address",
    at_port="Name an IPv4 address where it has no IPv6, and the other way round.",
)

_REFUSALS = {
    "EMFILE": Refusal(
        "this process may have no more files open",
        "Allow it more with `ulimit -n 1024` in the shell that starts it, and start it again.",
        OutOfResources,
    ),
    "ENFILE": Refusal(
        "the system as a whole has too many files open",
        "End programs that are not needed, or let the administrator raise the system's limit.",
        OutOfResources,
    ),
    "ENOMEM": _NO_MEMORY,
    "ENOBUFS": _NO_MEMORY,
    "EAGAIN": Refusal(
        "the system has no more processes, threads or locks to give for now",
        "End programs that are not needed, or raise the limit (`ulimit -u`); then try again.",
        OutOfResources,
    ),
    "ENOSPC": Refusal(
        "the disk is full", f"Make room on it, or {_OTHER_PLACE} on another disk.", DiskError
    ),
    "EDQUOT": Refusal(
        "this user's part of the disk is used up",
        f"Remove files of yours there, get a larger quota, or {_OTHER_PLACE} on another disk.",
        DiskError,
    ),
    "EFBIG": Refusal(
        "the file is larger than this disk or this user may have one",
        f"Use a disk without that limit (FAT32 ends at 4 GB) or raise `ulimit -f`, or "
        f"{_OTHER_PLACE}.",
        DiskError,
    ),
    "EROFS": Refusal(
        "the disk is read-only",
        f"Mount it for writing, or {_OTHER_PLACE} on a disk that can be written.",
        DiskError,
    ),
    "EACCES": Refusal(
        "this user may not do that there",
        f"Give this user the right to it, or {_OTHER_PLACE}.",
        at_port="Name a port from 1024 on, or let the administrator allow this one.",
    ),
    "EPERM": Refusal(
        "the system forbids it",
        f"It may be locked, immutable or protected by the system: {_OTHER_PLACE}.",
        at_port="A firewall or a sandbox may be set so: allow it there.",
    ),
    "EIO": Refusal(
        "the disk fails, or its connection does",
        f"Look at the disk and its connection, save what is on it, and {_OTHER_PLACE}.",
        DiskError,
    ),
    "ESTALE": Refusal("the network folder was replaced at its server", _MOUNTED, DiskError),
    **dict.fromkeys(("ENOTCONN", "EHOSTDOWN", "EREMOTEIO", "ENODEV", "ENXIO"), _GONE),
    "ETIMEDOUT": Refusal("no answer came in time", "Try again."),
    "ENOENT": Refusal("there is no such file or folder", "Look at how the path is written."),
    "ENOTDIR": Refusal(
        "a part of the path is a file, not a folder", "Look at how the path is written."
    ),
    "EISDIR": Refusal("it is a folder, not a file", f"Remove it, or {_OTHER_PLACE}."),
    "EEXIST": Refusal("something of that name is there", f"Remove it, or {_OTHER_PLACE}."),
    "ENOTEMPTY": Refusal("the folder is not empty", f"Empty it, or {_OTHER_PLACE}."),
    "EXDEV": Refusal(
        "a part of the folder is on another disk", f"Do all on one disk: {_OTHER_PLACE}."
    ),
    "EBUSY": Refusal("another program uses it", "End that program, then repeat the command."),
    "ETXTBSY": Refusal("it is a program that runs", "End that program, then repeat the command."),
    "ENAMETOOLONG": Refusal(
        "the name or the path is too long for this disk", f"Use a shorter one: {_OTHER_PLACE}."
    ),
    "ELOOP": Refusal("its symbolic links lead in a circle", "Remove the link that leads back."),
    "EILSEQ": Refusal(
        "this disk cannot hold the characters of that name", f"Rename it, or {_OTHER_PLACE}."
    ),
    "EINVAL": Refusal(
        "this disk or this system does not take that",
        f"The name may have characters that are not allowed there: {_OTHER_PLACE}.",
        at_port="Look at how the address is written.",
    ),
    **dict.fromkeys(("ENOSYS", "EOPNOTSUPP", "ENOTSUP"), _UNABLE),
    "EADDRINUSE": Refusal(
        "another program uses that port", at_port="End that program, or name another port."
    ),
    "EADDRNOTAVAIL": Refusal(
        "this computer does not have that address",
        at_port="Name an address of this computer, or 0.0.0.0 for all of them.",
    ),
    **dict.fromkeys(("EAFNOSUPPORT", "EPROTONOSUPPORT", "EPFNOSUPPORT"), _NO_FAMILY),
    **dict.fromkeys(("ENETUNREACH", "EHOSTUNREACH", "ENETDOWN"), _NO_NETWORK),
    "ECONNREFUSED": Refusal("nothing answers there"),
    "ECONNRESET": Refusal("the other end closed the connection"),
    "EPIPE": Refusal("whatever read it has closed it"),
}
"""By the names of error numbers, as not every system has all of them."""

_BY_NUMBER = {
    getattr(errno, name): refusal for name, refusal in _REFUSALS.items() if hasattr(errno, name)
}

_OF_WINDOWS = {
    **dict.fromkeys((4,), "EMFILE"),
    **dict.fromkeys((8, 14, 1450, 1455, 10055), "ENOMEM"),
    **dict.fromkeys((39, 112), "ENOSPC"),
    1295: "EDQUOT",
    223: "EFBIG",
    19: "EROFS",
    **dict.fromkeys((5, 1314, 10013), "EACCES"),
    **dict.fromkeys((23, 27, 29, 30, 31, 1117, 1392, 1393), "EIO"),
    **dict.fromkeys((21, 53, 55, 59, 64, 67, 1167), "ENODEV"),
    **dict.fromkeys((32, 33, 170), "EBUSY"),
    **dict.fromkeys((111, 206), "ENAMETOOLONG"),
    **dict.fromkeys((123, 161), "EINVAL"),
    1921: "ELOOP",
    **dict.fromkeys((50, 120), "ENOSYS"),
    17: "EXDEV",
}
"""Codes of Windows (winerror.h) that Python gives another error number, or none of its own."""

LOST_VAULT = (
    "Restore the vault from a copy. If there is none, end the node and move the vault's folder "
    "away: the node begins with an empty one and keeps its identity. What it shared must be shared "
    "again, with new links, and what it fetched be fetched again."
)
_DAMAGED = Refusal("its database is damaged", LOST_VAULT, DiskError)
_UNOPENED = Refusal(
    "it cannot be opened",
    "Look whether it is a file that this user may read and write, in a folder of which that holds "
    f"too. {LOST_VAULT}",
    DiskError,
)

_OF_SQLITE = {
    sqlite3.SQLITE_FULL: "ENOSPC",
    sqlite3.SQLITE_READONLY: "EROFS",
    sqlite3.SQLITE_IOERR: "EIO",
    sqlite3.SQLITE_NOMEM: "ENOMEM",
    sqlite3.SQLITE_PERM: "EACCES",
    sqlite3.SQLITE_BUSY: "EBUSY",
    sqlite3.SQLITE_LOCKED: "EBUSY",
    sqlite3.SQLITE_NOLFS: "EFBIG",
    sqlite3.SQLITE_TOOBIG: "EFBIG",
}
"""By SQLite's primary result code, the low byte of the one that it reports."""
_PRIMARY = 0xFF
_DESCRIPTORS_TRIED = 4
"""More than SQLite needs to open a database."""


def refusal_of(error: OSError | sqlite3.Error) -> Refusal:
    """Why the system refused; its own words where the table does not have the number."""
    if isinstance(error, sqlite3.Error):
        return _of_sqlite(error)
    if isinstance(error, socket.gaierror):
        return _of_name(error)
    named = _OF_WINDOWS.get(getattr(error, "winerror", None) or 0)
    found = _REFUSALS[named] if named else _BY_NUMBER.get(error.errno or 0)
    if found is None and isinstance(error, TimeoutError):
        found = _REFUSALS["ETIMEDOUT"]
    return found or Refusal(error.strerror or str(error) or type(error).__name__)


def _of_sqlite(error: sqlite3.Error) -> Refusal:
    code = getattr(error, "sqlite_errorcode", 0) & _PRIMARY
    if code in {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR}:
        lacking = _no_descriptors()
        if lacking is not None:
            return refusal_of(lacking)
    if code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
        return _DAMAGED
    if code == sqlite3.SQLITE_CANTOPEN:
        return _UNOPENED
    if code in _OF_SQLITE:
        return _REFUSALS[_OF_SQLITE[code]]
    return Refusal(f"its database says: {error}")


def _no_descriptors() -> OSError | None:
    """What the system says to a few more open files, as SQLite keeps such a cause to itself."""
    opened: list[int] = []
    try:
        while len(opened) < _DESCRIPTORS_TRIED:
            opened.append(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        return error
    finally:
        for descriptor in opened:
            os.close(descriptor)
    return None


def _of_name(error: socket.gaierror) -> Refusal:
    """Names of hosts have error numbers of their own."""
    if error.errno == socket.EAI_AGAIN:
        return Refusal("the network's name server does not answer")
    if error.errno in {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}:
        return Refusal("no address is known for that name")
    return Refusal(error.strerror or str(error))


def reason_of(error: OSError | sqlite3.Error) -> str:
    """The clause that says why the system refused."""
    return refusal_of(error).reason


def refused(
    error: OSError | sqlite3.Error, what: str, kind: type[LocalError] = DiskError
) -> LocalError:
    """The error for `what`, such as `cannot read PLACE`, with its cause and its way out.

    It is of the `kind`, unless the cause has one that it always is.
    """
    found = refusal_of(error)
    return (found.kind or kind)(f"{what}: {found.reason}", advice=found.advice)


def port_refused(error: OSError, what: str, kind: type[LocalError]) -> LocalError:
    """As `refused`, for a port that the system does not give."""
    found = refusal_of(error)
    advice = found.at_port or (found.advice if found.kind is OutOfResources else "")
    return (found.kind or kind)(f"{what}: {found.reason}", advice=advice)
