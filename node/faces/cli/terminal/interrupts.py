"""Ctrl-C ends a command with a sentence and a status, at any moment, and never with a traceback.

While Python imports, or calls what cannot raise, nothing is half done: the process ends there.
"""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from node.faces.cli import exits

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

_SAID = b"Interrupted.\n"
_STDERR = 2
_IMPORT_SYSTEM = "<frozen importlib"


@contextmanager
def watched(status: int = exits.INTERRUPTED) -> Iterator[None]:
    """Take Ctrl-C over: the first raises KeyboardInterrupt, or ends the process with `status`.

    It ends it where nothing can be half done.
    """
    hook = sys.unraisablehook

    def on_interrupt(number: int, frame: FrameType | None) -> None:
        signal.signal(number, lambda *_: leave(status))
        if _is_importing(frame):
            leave(status)
        raise KeyboardInterrupt

    def on_unraisable(unraisable: "UnraisableHookArgs") -> None:
        """An interrupt that came within a finalizer would be printed there and lost."""
        if issubclass(unraisable.exc_type, KeyboardInterrupt):
            leave(status)
        sys.__unraisablehook__(unraisable)

    handler = signal.signal(signal.SIGINT, on_interrupt)
    sys.unraisablehook = on_unraisable
    try:
        yield
    finally:
        sys.unraisablehook = hook
        signal.signal(signal.SIGINT, handler)


def leave(status: int) -> NoReturn:
    """End the process as interrupted, at once."""
    with suppress(OSError):
        os.write(_STDERR, _SAID)
    os._exit(status)


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith(_IMPORT_SYSTEM):
            return True
        frame = frame.f_back
    return False
