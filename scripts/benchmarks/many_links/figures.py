"""Many links of one node on the product itself: a pool with one socket, and peers with theirs.

The peers are in another process, so what is measured of the node's process is one side's.
"""

import asyncio
import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from scripts.benchmarks.many_links.ends import Callees, Caller
from scripts.benchmarks.many_links.offers import offers_ready_s
from scripts.benchmarks.process import Process

_FOLDER = Path(__file__).parent
_AT_ONCE = 20
_ROUNDS = 5
_OFFERS = 200
_IDLE_LINKS = 200
_SETTLE_S = 10.0
_MEGA = 1e6
_MILLI = 1000


def connecting() -> dict[str, Any]:
    """Milliseconds, from the call to a message that came back, and until an offer is sealed.

    `at_once_ms`: until that is so on all of 20 links that were asked for together, with caller and
    callees in two processes and in one.
    """
    ready = sorted(asyncio.run(offers_ready_s(_OFFERS)))
    return {
        "links_at_once": _AT_ONCE,
        "at_once_ms": {
            "two_processes": _ms(_in_two_processes()),
            "one_process": _ms(median(asyncio.run(_in_one_process()))),
        },
        "offers": _OFFERS,
        "offer_ready_ms": {"median": _ms(median(ready)), "worst": _ms(ready[-1])},
    }


def idling(seconds: float, links: int = _IDLE_LINKS) -> dict[str, float]:
    """Of 200 links of one node: percent of a core that they cost idle, and megabytes each.

    With fewer links the percentage is scaled up.
    """
    with _two_processes(links + 1) as caller:
        before = _ask(caller, [0, 1, False])
        opened = _ask(caller, [1, links + 1, False])
        time.sleep(_SETTLE_S)
        begun = _ask(caller, links + 1)
        time.sleep(seconds)
        ended = _ask(caller, links + 1)
    cpu = (ended[1] - begun[1]) / (ended[0] - begun[0])
    each = (max(opened[2], ended[2]) - before[2]) / links
    return {
        "cpu_percent": round(100 * cpu * _IDLE_LINKS / (links + 1), 2),
        "MB_each": round(each / _MEGA, 3),
    }


@contextlib.contextmanager
def _two_processes(nodes: int) -> Iterator[Process]:
    """The process that calls, told where to reach the other, which has so many nodes."""
    callees = Process(_FOLDER / "answering.py", {"nodes": nodes})
    caller = Process(_FOLDER / "calling.py", {})
    try:
        caller.tell(callees.hear())
        yield caller
    finally:
        caller.end()
        callees.end()


def _ask(caller: Process, what: Any) -> list[float]:
    caller.tell(what)
    mark: list[float] = caller.hear()
    return mark


def _in_two_processes() -> float:
    """Seconds; the first link loads what links stand on, and does not count."""
    rounds = []
    with _two_processes(1 + _ROUNDS * _AT_ONCE) as caller:
        _ask(caller, [0, 1, False])
        for first in range(1, 1 + _ROUNDS * _AT_ONCE, _AT_ONCE):
            rounds.append(_ask(caller, [first, first + _AT_ONCE, True])[3])
            _ask(caller, "close")
    return median(rounds)


async def _in_one_process() -> list[float]:
    caller, callees = Caller(), Callees()
    keys = await callees.open(1 + _ROUNDS * _AT_ONCE)
    await caller.open(callees.answer)
    await caller.link_all(keys[:1])
    rounds = []
    for first in range(1, len(keys), _AT_ONCE):
        rounds.append(await caller.link_at_once(keys[first : first + _AT_ONCE]))
        await caller.close_links()
    await caller.close()
    await callees.close()
    return rounds


def _ms(seconds: float) -> float:
    return round(_MILLI * seconds, 2)
