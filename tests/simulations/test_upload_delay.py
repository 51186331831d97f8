"""Uploads over several links at once leave most of the queue of a slow uplink empty."""

import asyncio
import random
from collections.abc import Iterable
from pathlib import Path

import pytest

from node.links.link import Link
from simulations.internet.latency import UniformLatency
from simulations.internet.lines import Access
from tests.simulations.mods_shared import share
from tests.simulations.pair_world import pair_world

UP_BYTES_S = 625_000.0
QUEUE_S = 0.3
GETTERS = 3


def sent_bytes(links: Iterable[Link]) -> int:
    return sum(link.bytes_sent for link in links)


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
async def test_three_uploads_add_little_delay_to_what_else_uses_the_line(
    tmp_path: Path, seed: int
) -> None:
    async with pair_world(tmp_path, publics=4, latency=UniformLatency(0.04), seed=seed) as town:
        sharer, *getters = await town.settled(*["public"] * (GETTERS + 1))
        link = await share(sharer, tmp_path / "shared", random.Random(1).randbytes(6_000_000))
        access = Access(UP_BYTES_S, None, queue_bytes=int(UP_BYTES_S * QUEUE_S))
        town.world.internet.set_access(sharer.host, access)
        getting = []
        for number, getter in enumerate(getters):
            with getter.host.running():
                got = getter.running_node.sharing.get(link, tmp_path / f"out{number}")
                getting.append(getter.host.create_task(got))
        await asyncio.sleep(3.0)
        delays_s, sent = [], sent_bytes(sharer.running_node.pool.links())
        for _ in range(200):
            await asyncio.sleep(0.02)
            assert sharer.host.up is not None
            delays_s.append(sharer.host.up.waiting_s(town.world.loop.time()))
        sent = sent_bytes(sharer.running_node.pool.links()) - sent
        for task in getting:
            task.cancel()
        await asyncio.gather(*getting, return_exceptions=True)
    delays_s.sort()
    assert sent > 0.8 * 4.0 * UP_BYTES_S
    assert delays_s[100] < 0.08
    assert delays_s[190] < 0.12
