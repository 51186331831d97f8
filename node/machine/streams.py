"""Standard input, output and error, made so that what stands at their other ends decides nothing.

A terminal that cannot show a letter, a full disk, a closed pipe or one that is not read: the work
is done, the command returns what it would, and a node lives. What cannot be written is lost.
"""

import contextlib
import io
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, TextIO

from node.machine.refusals import reason_of

_WAITING_BYTES = 2**18
"""Of output that a reader has not taken; more than `run` says in a day."""
_MOMENT_S = 0.05
"""How long a writer waits for a reader, until that has once been slower."""
_LAST_S = 0.2
"""How long the end waits for a reader; a node ends within 2 s."""
_LOST = "Some of the output is lost: standard output cannot be written: {why}."

RawWrite = Callable[[bytes], int | None]
"""Gives how many bytes were taken; None if the reader's pipe is full, which is not waited for."""


OnRefusal = Callable[[OSError], object]


@contextlib.contextmanager
def harmless(*, background: bool = False) -> Iterator[None]:
    """Within, writing to standard output and error raises nothing, and reading no wrong letters.

    In the `background` it does not wait for readers either, for longer than a moment.
    """
    _open_missing()
    before = sys.stdin, sys.stdout, sys.stderr
    pumps: list[Pump] = []
    complaint: list[OSError] = []

    def replaced(stream: TextIO | None, number: int, told: list[OSError]) -> TextIO:
        raw = _raw_of(stream, number)
        if raw is None:
            assert stream is not None
            return stream
        write: RawWrite = raw.write
        if background:
            pumps.append(Pump(raw.write, told.append))
            write = pumps[-1].take
        return _text(stream, HarmlessOutput(raw, write, told.append))

    sys.stdin = _reading(sys.stdin)
    sys.stdout = replaced(sys.stdout, 1, complaint)
    sys.stderr = replaced(sys.stderr, 2, [])
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        if complaint:
            with contextlib.suppress(OSError, ValueError):
                sys.stderr.write(_LOST.format(why=reason_of(complaint[0])) + "\n")
                sys.stderr.flush()
        for pump in pumps:
            pump.end()
        sys.stdin, sys.stdout, sys.stderr = before


def _open_missing() -> None:
    """Open what is closed of the three: else the next file, a database, would get the number."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def _reading(stream: TextIO | None) -> TextIO:
    """Standard input, of which no byte raises an error."""
    if stream is None:
        return io.StringIO()
    if isinstance(stream, io.TextIOWrapper):
        with contextlib.suppress(OSError, ValueError):
            stream.reconfigure(errors="backslashreplace")
    return stream


def _raw_of(stream: TextIO | None, number: int) -> io.RawIOBase | None:
    """What writes to the system; None for a stream that does not, as one of a test."""
    if stream is None:
        return io.FileIO(number, "w", closefd=False)
    buffer = getattr(stream, "buffer", None)
    raw = getattr(buffer, "raw", buffer)  # PYTHONUNBUFFERED leaves the buffer out
    return raw if isinstance(raw, io.RawIOBase) else None


def _text(like: TextIO | None, raw: "HarmlessOutput") -> TextIO:
    """Text output to `raw`, of the same encoding as before; other letters are told by number."""
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=getattr(like, "encoding", None) or "utf-8",
        errors="backslashreplace",
        line_buffering=True,
    )


class HarmlessOutput(io.RawIOBase):
    """Writes by `write`, and takes what that refuses as written; `refused` gets the refusal.

    All else is as `raw` has it, which stays open.
    """

    def __init__(self, raw: io.RawIOBase, write: RawWrite, refused: OnRefusal) -> None:
        super().__init__()
        self._raw = raw
        self._write = write
        self._refused = refused

    def write(self, data: Any, /) -> int:
        """Take all of `data`."""
        taken = bytes(data)
        _write_all(self._write, taken, self._refused)
        return len(taken)

    def writable(self) -> bool:
        """Yes."""
        return True

    def isatty(self) -> bool:
        """Whether a terminal is there."""
        return self._raw.isatty()

    def fileno(self) -> int:
        """Its number."""
        return self._raw.fileno()


class Pump:
    """Writes in a thread, in order, so that a reader that is slow or stuck holds up no writer.

    `take` waits a moment for it, so that lines of two streams stay in order on one terminal.
    """

    def __init__(self, write: RawWrite, refused: OnRefusal) -> None:
        self._write = write
        self._refused = refused
        self._lock = threading.Condition()
        self._waiting: deque[bytes] = deque()
        self._bytes = 0
        self._is_stuck = False
        self._thread: threading.Thread | None = None

    def take(self, data: bytes) -> int:
        """Write it soon; drop it if too much waits already."""
        with self._lock:
            if self._bytes + len(data) > _WAITING_BYTES:
                return len(data)
            self._waiting.append(data)
            self._bytes += len(data)
            self._lock.notify_all()
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, daemon=True, name="output")
                self._thread.start()
            if not self._is_stuck:
                self._is_stuck = not self._lock.wait_for(lambda: not self._bytes, _MOMENT_S)
        return len(data)

    def end(self) -> None:
        """Wait a little for what was not taken yet."""
        with self._lock:
            self._lock.wait_for(lambda: not self._bytes, _LAST_S)

    def _work(self) -> None:
        while True:
            with self._lock:
                self._lock.wait_for(lambda: bool(self._waiting))
                data = self._waiting.popleft()
            _write_all(self._write, data, self._refused)
            with self._lock:
                self._bytes -= len(data)
                self._is_stuck = self._is_stuck and bool(self._bytes)
                self._lock.notify_all()


def _write_all(write: RawWrite, data: bytes, refused: OnRefusal) -> None:
    """Write all of `data`, in as many pieces as it takes, unless it is refused."""
    try:
        while data:
            written = write(data)
            if written is None:
                time.sleep(_MOMENT_S)  # a pipe in which no process may wait is full
            data = data[written or 0 :]
    except BrokenPipeError:
        pass  # its reader has what it wanted
    except OSError as error:
        refused(error)
