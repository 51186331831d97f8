"""Exit statuses: one table from errors to what a script sees."""

from collections.abc import Sequence

from protocol.errors import (
    BadInput,
    BadLink,
    DiskError,
    LocalError,
    ModswarmError,
    NetworkError,
    NodeSilent,
    NoSources,
    NotFound,
    NotRunning,
    TargetExists,
    TimedOut,
    TooLarge,
)

OK = 0
FAILURE = 1
USAGE = 2
NOT_RUNNING = 3
NOT_FOUND = 4
NETWORK = 5
DISK = 6
INTERRUPTED = 130

MEANINGS = {
    OK: "done",
    FAILURE: "failed, or not done because you said no",
    USAGE: "wrong usage or bad input, such as a link with a typo",
    NOT_RUNNING: "no node is running in that home",
    NOT_FOUND: "not found, or on no peer that can be reached",
    NETWORK: "the network: not joined, peer not reached, no link, timed out",
    DISK: "the disk: full, read-only, the target exists, or the mod is larger than allowed",
    INTERRUPTED: "interrupted by Ctrl-C",
}
"""What `modswarm --help` shows for each status."""

_STATUSES: dict[type[ModswarmError], int] = {
    BadInput: USAGE,
    DiskError: DISK,
    TargetExists: DISK,
    TooLarge: DISK,
    NotRunning: NOT_RUNNING,
    NotFound: NOT_FOUND,
    NoSources: NOT_FOUND,
    NetworkError: NETWORK,
    ModswarmError: FAILURE,
}
"""The status of an error is that of its nearest ancestor here."""


def when_interrupted(args: Sequence[str]) -> int:
    """The status of a command that Ctrl-C ends: for `run` this is the way to end, at any time."""
    return OK if args[:1] == ["run"] else INTERRUPTED


def exit_status_of(error: ModswarmError) -> int:
    """The exit status for an error that ended a command."""
    return next(_STATUSES[kind] for kind in type(error).__mro__ if kind in _STATUSES)


_ADVICE: dict[type[ModswarmError], str] = {
    BadLink: "Copy the whole link, and put it in double quotes.",
    TooLarge: "See what it is; then allow as much with --max-size, or any size with --yes alone.",
    TargetExists: "Name another folder with --to.",
    NoSources: "Try again when a peer that has it is online.",
    NodeSilent: "It may be suspended, busy or waiting for its disk; its log is in its home. If "
    "nothing helps, end its process and start it again: what it has verified is kept.",
    TimedOut: "`modswarm status` shows whether the node has joined; then try again.",
    ModswarmError: "",
}


def advice_for(error: ModswarmError) -> str:
    """What to do about an error, in whole sentences; empty if its message says all."""
    if isinstance(error, NetworkError) and error.cause is not None:
        return error.cause.advice
    if isinstance(error, LocalError) and error.advice:
        return error.advice
    return next(_ADVICE[kind] for kind in type(error).__mro__ if kind in _ADVICE)
