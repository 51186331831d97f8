"""Pages that prove nothing, or the wrong thing, or ask for more than there is: in Chromium."""

import asyncio
import contextlib
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from protocol import limits
from protocol.sctp.errors import ProtocolViolation
from tests.browser.foreign import MISSING
from tests.browser.page_node import Scene, scene
from tests.identities import SEEDS

pytestmark = [
    pytest.mark.real_loop,
    pytest.mark.skipif(bool(MISSING["chromium"]), reason=f"{MISSING['chromium']}"),
]

LIMIT_S = 90.0


@pytest.mark.parametrize("action", ["unproved", "silent"])
async def test_a_page_that_skips_the_session_is_served_nothing(tmp_path: Path, action: str) -> None:
    async with asyncio.timeout(LIMIT_S), scene(tmp_path) as stage:
        told = await stage.do(action)
        assert told["messages"] == 0
        assert stage.mover.links == []
        assert stage.node.pool.links() == []


async def test_a_page_that_proves_another_identity_is_refused_by_its_own_module(
    tmp_path: Path,
) -> None:
    async with asyncio.timeout(LIMIT_S), scene(tmp_path) as stage:
        with pytest.raises(RuntimeError, match="the node has not proved its identity"):
            await stage.do("otherKey")
        assert stage.mover.links == []


async def test_a_page_that_proves_another_identity_is_served_nothing(tmp_path: Path) -> None:
    async with asyncio.timeout(LIMIT_S), scene(tmp_path) as stage:
        told = await stage.do("otherKeyOverlooked")
        assert told["messages"] == 0
        assert stage.mover.links == []
        assert stage.node.counters.refused["not_authentic"] == 1


async def test_a_page_that_replays_a_recorded_proof_is_served_nothing(tmp_path: Path) -> None:
    async with asyncio.timeout(LIMIT_S), scene(tmp_path) as stage:
        told = await stage.do("replayed")
        assert told["messages"] == 0
        await stage.mover.the_link()  # the one of which the proof is
        assert stage.node.counters.refused["not_authentic"] == 1


async def test_many_channels_cost_the_node_nothing(tmp_path: Path) -> None:
    async with asyncio.timeout(LIMIT_S), scene(tmp_path) as stage:
        with _held_at_most(4 << 20):
            told = await stage.do("channels", count=1000)
        assert told == {"late": "OperationError", "answer": "served"}
        link = await stage.mover.the_link()
        await asyncio.shield(link.closed)


async def test_a_page_is_told_how_long_a_message_may_be(tmp_path: Path) -> None:
    async with asyncio.timeout(LIMIT_S), scene(tmp_path) as stage:
        told = await stage.do("huge", size=limits.MESSAGE_BYTES + 1)
        assert told == {"refused": "TypeError", "answer": "served"}


@pytest.mark.parametrize("size", [limits.MESSAGE_BYTES + 1, 1 << 18])
async def test_a_message_that_is_too_long_ends_its_link(tmp_path: Path, size: int) -> None:
    async with asyncio.timeout(LIMIT_S), scene(tmp_path) as stage:
        with _held_at_most(4 << 20):
            told = await stage.do("huge", size=size, overlooks=True)
        assert told == {"refused": "", "answer": "the node closed the link"}
        link = await stage.mover.the_link()
        assert isinstance(link.error, ProtocolViolation)


async def test_a_page_that_never_reads_fills_its_browser_and_not_the_node(tmp_path: Path) -> None:
    size = 20_000_000
    async with asyncio.timeout(LIMIT_S), scene(tmp_path) as stage:
        assert await stage.do("deaf", size=size) == "wished"
        await stage.mover.gave.wait()
        link = await stage.mover.the_link()
        assert link.bytes_sent > size, "the browser takes it all, and keeps it"
        assert stage.mover.most_buffered_bytes < 2 << 20


async def test_a_hundred_offers_at_once_leave_a_node_that_links(tmp_path: Path) -> None:
    """Of more pages than have places: eight are answered at a time."""
    seeds = [seed.hex() for seed in SEEDS[1:]]  # the first one is the node's
    assert len(seeds) > 8
    async with asyncio.timeout(LIMIT_S), scene(tmp_path) as stage:
        flood = asyncio.create_task(stage.do("flood", count=100, seeds=seeds))
        most = 0
        while not flood.done():
            most = max(most, len(stage.node.pool.answering))
            await asyncio.sleep(0)
        told: dict[str, Any] = await flood
        assert sum(told.values()) == 100
        assert most == 8
        assert told["busy"] > 0
        assert told["linked"] > 8, "others have their turns"
        await asyncio.wait_for(_nothing_under_way(stage), 20.0)


async def _nothing_under_way(stage: Scene) -> None:
    while stage.node.pool.answering:  # noqa: ASYNC110 - attempts end without an event
        await asyncio.sleep(0.02)


@contextlib.contextmanager
def _held_at_most(most_bytes: int) -> Iterator[None]:
    """What Python holds at any time in between, beyond what it held before: the node is here."""
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < most_bytes, f"{peak} bytes"
