"""All that a node follows is polled soon after its start, and by turns."""

import asyncio
from random import Random
from types import SimpleNamespace
from typing import Any, cast

import pytest

from node.content.vault.stored_follow import StoredFollow
from node.following.follow_parts import FollowParts
from node.following.follower import Follower
from protocol import limits

NOTICED_S = 300.0


class Reader:
    """A network that takes so long to answer; `began` has when it was asked."""

    def __init__(self, takes_s: float) -> None:
        self._takes_s = takes_s
        self._running = 0
        self.most = 0
        self.began: list[float] = []

    async def poll(self, _: bytes) -> None:
        """Ask."""
        self.began.append(asyncio.get_running_loop().time())
        self._running += 1
        self.most = max(self.most, self._running)
        await asyncio.sleep(self._takes_s)
        self._running -= 1


async def _nothing(*_: object) -> Any:
    return []


async def _no_state(_: object) -> None:
    return None


async def _joined() -> bool:
    return True


def parts(reader: Reader) -> FollowParts:
    vault = SimpleNamespace(mods=_nothing, kept=_nothing)
    nothing = SimpleNamespace(newest=lambda _: None, state_of=_no_state)
    environment = SimpleNamespace(rng=Random(1))
    rooms: Any = (vault, environment, nothing, reader, nothing, nothing, nothing)
    make: Any = FollowParts
    return cast("FollowParts", make(*rooms, lambda: 0.0, _joined))


@pytest.mark.parametrize("takes_s", [0.5, 30.0])
async def test_all_are_polled_in_time_however_slow_the_network_is(takes_s: float) -> None:
    reader = Reader(takes_s)
    shared, rng, begun_at = parts(reader), Random(2), asyncio.get_running_loop().time()
    tasks = []
    for number in range(limits.FOLLOWS):
        follow = StoredFollow(number.to_bytes(32), bytes(32), cast("Any", "there"), None)
        poll_in_s = limits.FOLLOW_START_S * limits.FOLLOWS * rng.random()
        tasks.append(asyncio.ensure_future(Follower(follow, shared).run(poll_in_s)))
    await asyncio.sleep(NOTICED_S - takes_s)
    first = reader.began[: limits.FOLLOWS]
    assert len(first) == limits.FOLLOWS
    assert first[0] - begun_at < 5.0
    assert first[-1] - begun_at <= NOTICED_S - takes_s
    at_once = limits.FOLLOW_POLLS * max(1.0, takes_s / limits.FOLLOW_POLL_TURN_S)
    assert reader.most <= at_once
    for task in tasks:
        task.cancel()
