"""Tasks that no loop will resume: what is suspended in them ends now, and not at a later time.

Python closes a suspended coroutine when it collects it, at a time of its own choosing, and reports
an error if the coroutine awaits once more in its cleanup, as each `async with asyncio.TaskGroup()`
does. That error would meet other code than the one that left the task behind.
"""

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Sequence
from typing import Any, Final

AWAITS_MAX: Final = 1000
"""Awaits in the cleanup of one coroutine; real ones have a few, one inside the other."""


class Abandoned(BaseException):
    """What an abandoned coroutine meets at its `await`. Not an error, and not to be caught."""


def forget(tasks: Sequence["asyncio.Task[Any]"]) -> None:
    """Let neither their loop know these tasks any more, nor asyncio complain of their end."""
    for task in tasks:
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        asyncio.tasks._unregister_task(task)


def abandon(tasks: Sequence["asyncio.Task[Any]"]) -> None:
    """End the coroutines of these tasks. Their cleanup runs as far as it goes without waiting.

    Raises RuntimeError for a coroutine that awaits on and on.
    """
    for task in tasks:
        coroutine = task.get_coro()
        assert isinstance(coroutine, Coroutine)
        _unwind(coroutine)


def unwind_generator(generator: AsyncGenerator[Any, Any]) -> None:
    """Close an asynchronous generator in the same way; raises RuntimeError likewise."""
    closing = generator.aclose()
    try:
        closing.send(None)
    except BaseException:  # noqa: BLE001 - its end, whichever it is
        return
    _unwind(closing)


def _unwind(coroutine: Coroutine[Any, Any, Any]) -> None:
    """End one coroutine; what its cleanup raises is of no interest any more."""
    for _ in range(AWAITS_MAX):
        try:
            coroutine.throw(Abandoned())
        except BaseException:  # noqa: BLE001 - its end, whichever it is
            return
    raise RuntimeError(f"{coroutine!r} does not end")
