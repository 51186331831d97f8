"""The table of what an operating system refuses: a cause of its own for each, and its advice."""

import errno
import os
import socket
import sqlite3

import pytest

from node.machine.refusals import port_refused, reason_of, refused
from protocol.errors import BadAddress, BadConfig, BadFolder, DiskError, LocalError, OutOfResources


def os_error(name: str) -> OSError:
    number = getattr(errno, name)
    return OSError(number, os.strerror(number))


@pytest.mark.parametrize(
    ("name", "reason", "advice", "kind"),
    [
        ("EMFILE", "no more files open", "ulimit -n", OutOfResources),
        ("ENFILE", "system as a whole", "administrator", OutOfResources),
        ("ENOMEM", "no memory", "other programs", OutOfResources),
        ("ENOSPC", "is full", "Make room", DiskError),
        ("EDQUOT", "used up", "quota", DiskError),
        ("EFBIG", "larger", "FAT32", DiskError),
        ("EROFS", "read-only", "Mount it for writing", DiskError),
        ("EIO", "disk fails", "save what is on it", DiskError),
        ("ESTALE", "replaced at its server", "mount it again", DiskError),
        ("ENOTCONN", "not connected", "mount it again", DiskError),
        ("EACCES", "this user may not", "the right", BadFolder),
        ("EPERM", "forbids", "locked", BadFolder),
        ("ENAMETOOLONG", "too long", "shorter", BadFolder),
        ("ELOOP", "circle", "Remove the link", BadFolder),
        ("ENOTDIR", "is a file", "how the path is written", BadFolder),
        ("ENOENT", "no such", "how the path is written", BadFolder),
        ("EISDIR", "is a folder", "another place", BadFolder),
        ("EEXIST", "of that name", "another place", BadFolder),
        ("ENOTEMPTY", "not empty", "Empty it", BadFolder),
        ("EXDEV", "another disk", "one disk", BadFolder),
        ("EBUSY", "another program", "End that program", BadFolder),
        ("ETXTBSY", "program that runs", "End that program", BadFolder),
        ("EILSEQ", "characters", "Rename", BadFolder),
        ("EINVAL", "does not take", "characters", BadFolder),
        ("ENOSYS", "cannot do that", "system's own kind", BadFolder),
        ("EOPNOTSUPP", "cannot do that", "system's own kind", BadFolder),
    ],
)
def test_a_cause_has_its_own_advice(
    name: str, reason: str, advice: str, kind: type[LocalError]
) -> None:
    told = refused(os_error(name), "cannot read PLACE", BadFolder)
    assert type(told) is kind
    assert str(told).startswith("cannot read PLACE: ")
    assert reason in str(told)
    assert advice in told.advice
    assert ("Make room" in told.advice) == (name == "ENOSPC")


@pytest.mark.parametrize(
    ("name", "reason", "advice"),
    [
        ("EADDRINUSE", "another program uses that port", "another port"),
        ("EADDRNOTAVAIL", "does not have that address", "0.0.0.0"),
        ("EAFNOSUPPORT", "kind of address", "IPv4"),
        ("ENETUNREACH", "no network", "Connect"),
        ("EACCES", "this user may not", "1024"),
        ("EMFILE", "no more files open", "ulimit -n"),
    ],
)
def test_a_port_has_the_advice_of_ports(name: str, reason: str, advice: str) -> None:
    told = port_refused(os_error(name), "cannot listen there", BadAddress)
    assert reason in str(told)
    assert advice in told.advice
    assert "another place" not in told.advice


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (4, "no more files open"),
        (32, "another program"),
        (33, "another program"),
        (39, "is full"),
        (112, "is full"),
        (19, "read-only"),
        (206, "too long"),
        (1117, "disk fails"),
        (1295, "used up"),
        (64, "not connected"),
        (10055, "no memory"),
    ],
)
def test_windows_has_codes_of_its_own(code: int, reason: str) -> None:
    class OfWindows(OSError):
        winerror = code

    assert reason in reason_of(OfWindows(errno.EACCES, "Access is denied"))


def sqlite_error(code: int) -> sqlite3.Error:
    error = sqlite3.OperationalError("unable")
    error.sqlite_errorcode = code
    return error


def test_sqlite_tells_by_extended_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "is full" in reason_of(sqlite_error(sqlite3.SQLITE_FULL))
    assert "read-only" in reason_of(sqlite_error(sqlite3.SQLITE_READONLY_DBMOVED))
    assert "disk fails" in reason_of(sqlite_error(sqlite3.SQLITE_IOERR_WRITE))
    assert "cannot be opened" in reason_of(sqlite_error(sqlite3.SQLITE_CANTOPEN))

    def none_left(*_: object) -> int:
        raise os_error("EMFILE")

    monkeypatch.setattr(os, "open", none_left)
    assert "no more files open" in reason_of(sqlite_error(sqlite3.SQLITE_CANTOPEN))


def test_what_the_table_does_not_have_is_told_in_the_systems_words() -> None:
    told = refused(OSError(9999, "the dog ate it"), "cannot read PLACE", BadConfig)
    assert str(told) == "cannot read PLACE: the dog ate it"
    assert told.advice == ""
    assert "no address is known" in reason_of(socket.gaierror(socket.EAI_NONAME, "x"))
    assert "does not answer" in reason_of(socket.gaierror(socket.EAI_AGAIN, "x"))
    assert "in time" in reason_of(TimeoutError())
