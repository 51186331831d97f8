"""The log of a running node: bounded, as peers cause most of it, and harmless to a terminal.

It goes to standard error, and to a file in the home that is renamed when it is full, over the one
before.
"""

import contextlib
import logging
import os
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

from node.disk.refusals import replace
from node.faces.cli.output import printable
from node.files import PRIVATE_FILE
from protocol import limits

_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class PrintableFormatter(logging.Formatter):
    """One line for a record, and one for each line of its traceback, without control characters.

    A peer's words (why it closed a link, for example) can neither begin a line of their own nor
    steer the terminal.
    """

    def __init__(self) -> None:
        super().__init__(_FORMAT)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """The line of a record."""
        return printable(super().formatMessage(record))

    def formatException(self, ei: object) -> str:  # noqa: N802 - logging's name
        """The lines of a traceback."""
        lines = super().formatException(ei).split("\n")  # type: ignore[arg-type]
        return "\n".join(map(printable, lines))


class LineBudget(logging.Filter):
    """Lets LOG_LINES records of one place in the code pass in LOG_PERIOD_S, by their own times.

    The next one that passes tells how many did not.
    """

    def __init__(self) -> None:
        super().__init__()
        self._places: dict[tuple[str, int], _Spent] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record passes."""
        place = (record.pathname, record.lineno)
        spent = self._places.get(place)
        if spent is None:
            if len(self._places) >= limits.LOG_PLACES:
                self._places.clear()
            spent = self._places[place] = _Spent(record.created)
        if record.created - spent.since >= limits.LOG_PERIOD_S:
            if spent.left_out:
                record.msg = f"{record.getMessage()} ({spent.left_out} more like this left out)"
                record.args = ()
            spent.begin(record.created)
        spent.lines += 1
        spent.left_out += spent.lines > limits.LOG_LINES
        return spent.lines <= limits.LOG_LINES


class _Spent:
    """What one place has logged since a period began."""

    def __init__(self, since: float) -> None:
        self.begin(since)

    def begin(self, since: float) -> None:
        """A new period."""
        self.since = since
        self.lines = self.left_out = 0


def log_to_stderr(verbose: int) -> None:
    """Warnings; with -v what this node does; with -vv also what the libraries below it do.

    -vv, by which a person looks for something, is not bounded.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(PrintableFormatter())
    handler.setLevel(logging.NOTSET if verbose else logging.WARNING)
    if verbose <= 1:
        handler.addFilter(LineBudget())
    logging.basicConfig(level=logging.DEBUG if verbose > 1 else logging.WARNING, handlers=[handler])
    if verbose == 1:
        logging.getLogger("node").setLevel(logging.INFO)


def log_to_file(path: Path) -> None:
    """Also write warnings, and what this node does, into a file, whatever -v says."""
    handler = _PrivateFile(path, maxBytes=limits.LOG_FILE_BYTES, backupCount=1, delay=True)
    handler.setFormatter(PrintableFormatter())
    handler.setLevel(logging.INFO)
    handler.addFilter(LineBudget())
    logging.getLogger().addHandler(handler)
    node = logging.getLogger("node")
    node.setLevel(min(node.getEffectiveLevel(), logging.INFO))


class _PrivateFile(RotatingFileHandler):
    def _open(self) -> Any:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        return os.fdopen(
            os.open(self.baseFilename, flags, PRIVATE_FILE),
            "a",
            encoding="utf-8",
            errors="backslashreplace",
        )

    def rotate(self, source: str, dest: str) -> None:
        """Keep the full log beside the new one; where it cannot be renamed it begins anew."""
        try:
            replace(Path(source), Path(dest))
        except OSError:
            with contextlib.suppress(OSError):
                os.truncate(source, 0)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """A full disk must not fill the terminal as well."""
