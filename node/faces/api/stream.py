"""Long work, reported line by line: progress while it runs, then its result or its error.

The work lives as long as its connection: when that breaks, the work is cancelled. A
line goes out at least every LINE_EVERY_S, so that both sides notice within seconds.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from node.content.progress import Progress, ReportProgress
from node.faces.api import details, errors
from node.faces.api.forms import to_json
from protocol.errors import ModswarmError, NotRunning

_log = logging.getLogger(__name__)

Work = Callable[[ReportProgress], Awaitable[object]]
Write = Callable[[dict[str, Any]], Awaitable[None]]

TICK_S = 0.1
LINE_EVERY_S = 1.0


async def tell(work: Work, write: Write, stopping: asyncio.Event) -> None:
    """Run `work` and write `{"progress"}` lines, then `{"result"}` or `{"error"}`.

    What the work raises before anything was written is raised on, so that it can still be answered
    with a status of its own. Ends early with NotRunning when `stopping` is set. A client that is
    gone (ConnectionResetError from `write`) cancels the work.
    """
    written = False
    latest: Progress | None = None

    def note(progress: Progress) -> None:
        nonlocal latest
        latest = progress

    async def do() -> Any:
        return await work(note)

    async def write_line(line: dict[str, Any]) -> None:
        nonlocal written
        written = True
        await write(line)

    task = asyncio.ensure_future(do())
    try:
        await _tell_progress(task, lambda: latest, write_line, stopping)
        await write_line({"result": task.result()})
    except ConnectionResetError:
        raise
    except Exception as error:
        if not written:
            raise
        await write(details.as_json(_told_as(error)))
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _told_as(error: Exception) -> ModswarmError:
    if isinstance(error, ModswarmError):
        return error
    _log.error("long work failed", exc_info=error)
    return errors.defect()


async def _tell_progress(
    task: asyncio.Future[Any],
    latest: Callable[[], Progress | None],
    write: Write,
    stopping: asyncio.Event,
) -> None:
    loop = asyncio.get_running_loop()
    told: dict[str, Any] | None = None
    told_at = loop.time()
    while True:
        await asyncio.wait({task}, timeout=TICK_S)
        if task.done():
            return
        if stopping.is_set():
            raise NotRunning("the node was stopped before this was done")
        progress = latest()
        now_told = to_json(progress) if progress else None
        if now_told == told and loop.time() - told_at < LINE_EVERY_S:
            continue
        told, told_at = now_told, loop.time()
        await write({"progress": told})
