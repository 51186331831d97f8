"""How many files and sockets this process may have open at once."""

import asyncio
import contextlib
import logging
import os
import sys
from typing import Any

from node.machine.refusals import reason_of, refusal_of, refused
from protocol.errors import OutOfResources

_log = logging.getLogger(__name__)

WANTED = 4096
"""For links, searches of ports (384 sockets) and packs of the vault; shells often allow 256."""


NEEDED = 16
"""Of a node that has joined nothing yet, beside standard input, output and error."""


def check_enough() -> None:
    """Raise OutOfResources unless NEEDED more can be opened: before any work, not half-way."""
    opened: list[int] = []
    try:
        while len(opened) < NEEDED:
            opened.append(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        what = f"a node needs {NEEDED} open files or more, and gets {len(opened)}"
        raise refused(error, what) from None
    finally:
        for descriptor in opened:
            os.close(descriptor)


def tell_exhaustion(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """A loop's handler of exceptions that tells in a line, without a traceback, what ran out.

    The loop itself goes on, and takes the connection that it could not take when it can.
    """
    error = context.get("exception")
    if isinstance(error, OSError) and refusal_of(error).kind is OutOfResources:
        _log.warning("%s: %s", context.get("message"), reason_of(error))
    else:
        loop.default_exception_handler(context)


def allow_many() -> None:
    """Raise the limit to WANTED, or as far as this user may; Windows has none that matters."""
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED if hard == resource.RLIM_INFINITY else min(WANTED, hard)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    with contextlib.suppress(OSError, ValueError):  # macOS has a second limit, which it keeps
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
