"""The vault's one thread: who may use it next, and what it did.

The owner's jobs come first. Then each peer's come by turns, one at a time, however many a peer has
waiting: who asks much waits for itself alone.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

from node.files import writing

_Result = TypeVar("_Result")

OWNER: Final = ""
"""For whom a job is done that no peer has asked for."""


class VaultJob(NamedTuple):
    """What is to be done, and who waits for it."""

    run: Callable[[], Any]
    result: "asyncio.Future[Any]"


class VaultTurns:
    """The jobs that wait. `add` on the event loop, `take` in the vault's thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._owner: deque[VaultJob] = deque()
        self._peers: dict[str, deque[VaultJob]] = {}

    def add(self, who: str, job: VaultJob) -> None:
        """Let a job wait for its turn; `who` is OWNER or a peer's name."""
        with self._lock:
            waiting = self._owner if who == OWNER else self._peers.setdefault(who, deque())
            waiting.append(job)

    def take(self) -> VaultJob:
        """The next job; there must be one."""
        with self._lock:
            if self._owner:
                return self._owner.popleft()
            peer = next(iter(self._peers))
            waiting = self._peers.pop(peer)
            job = waiting.popleft()
            if waiting:
                self._peers[peer] = waiting  # behind all others
            return job


class VaultJobs:
    """Runs the jobs of one vault, which is in `folder`, in one thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._turns = VaultTurns()
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="vault")

    async def run(self, who: str, job: Callable[[], _Result]) -> _Result:
        """What the job returns or raises; the disk's errors as DiskError.

        `who` is OWNER or the name of the peer that it is done for. A job that has not
        begun when its caller is cancelled is not done.
        """
        loop = asyncio.get_running_loop()
        result: asyncio.Future[_Result] = loop.create_future()
        self._turns.add(who, VaultJob(job, result))
        # Each job brings one turn of the thread, and a turn is for the job that is first by then.
        loop.run_in_executor(self._executor, self._take_turn).add_done_callback(_settle)
        return await result

    def _take_turn(self) -> "_Outcome":
        job = self._turns.take()
        if job.result.cancelled():
            return _Outcome(job.result, None, None)
        try:
            with writing(self._folder, "use"):
                return _Outcome(job.result, job.run(), None)
        except BaseException as error:  # noqa: BLE001 - the caller gets it
            return _Outcome(job.result, None, error)

    def shut_down(self) -> None:
        """Take no more jobs."""
        self._executor.shutdown(wait=False)


class _Outcome(NamedTuple):
    result: "asyncio.Future[Any]"
    value: Any
    error: BaseException | None


def _settle(turn: "asyncio.Future[_Outcome]") -> None:
    outcome = turn.result()
    if outcome.result.done():
        return  # its caller was cancelled
    if outcome.error is not None:
        outcome.result.set_exception(outcome.error)
    else:
        outcome.result.set_result(outcome.value)
