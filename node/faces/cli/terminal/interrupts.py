"""Ctrl-C ends a command with a sentence and a status, at any moment, and never with a traceback.

While Python imports, or calls what cannot raise, nothing is half done: the process ends there.
"""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from node.faces.cli import exits

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

_SAID = b"Interrupted.\n"
_STDERR = 2
_IMPORT_SYSTEM = "<frozen importlib"


@contextmanager
def watched() -> Iterator[None]:
    """Take Ctrl-C over: the first raises KeyboardInterrupt, unless nothing can be half done."""
    handler, hook = signal.signal(signal.SIGINT, _on_interrupt), sys.unraisablehook
    sys.unraisablehook = _on_unraisable
    try:
        yield
    finally:
        sys.unraisablehook = hook
        signal.signal(signal.SIGINT, handler)


def leave() -> NoReturn:
    """End the process as interrupted, at once."""
    os.write(_STDERR, _SAID)
    os._exit(exits.INTERRUPTED)


def _on_interrupt(number: int, frame: FrameType | None) -> None:
    signal.signal(number, lambda *_: leave())
    if _is_importing(frame):
        leave()
    raise KeyboardInterrupt


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith(_IMPORT_SYSTEM):
            return True
        frame = frame.f_back
    return False


def _on_unraisable(unraisable: "UnraisableHookArgs") -> None:
    """An interrupt that came within a finalizer would be printed there and lost."""
    if issubclass(unraisable.exc_type, KeyboardInterrupt):
        leave()
    sys.__unraisablehook__(unraisable)
