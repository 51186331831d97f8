"""What waits, and where: the list in the error of a simulation that is stuck."""

import asyncio
from typing import Any, Final

LISTED_MAX: Final = 50


def live_tasks(loop: asyncio.AbstractEventLoop) -> list["asyncio.Task[Any]"]:
    """The loop's unfinished tasks in the order of their creation."""
    return sorted(asyncio.all_tasks(loop), key=lambda task: getattr(task, "sequence", -1))


def awaiting_chain(task: "asyncio.Task[Any]") -> list[str]:
    """Where the task is suspended, outermost call first: `function (file:line)` each."""
    chain = []
    awaited: Any = task.get_coro()
    while awaited is not None:
        frame = getattr(awaited, "cr_frame", None) or getattr(awaited, "gi_frame", None)
        if frame is None:
            break
        code = frame.f_code
        chain.append(f"{code.co_qualname} ({code.co_filename}:{frame.f_lineno})")
        awaited = getattr(awaited, "cr_await", None) or getattr(awaited, "gi_yieldfrom", None)
    return chain


def describe_waiting(loop: asyncio.AbstractEventLoop) -> str:
    """One line a task, at most `LISTED_MAX` of them: its name and the chain of its awaits."""
    tasks = live_tasks(loop)
    lines = [f"  {task.get_name()}: " + " > ".join(awaiting_chain(task)) for task in tasks]
    if len(lines) > LISTED_MAX:
        lines[LISTED_MAX:] = [f"  and {len(lines) - LISTED_MAX} more"]
    return "\n".join(lines) if lines else "  no task; only the future itself"
