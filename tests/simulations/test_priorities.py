"""Whole nodes: what a person says of a download's priority decides its part of the line."""

import asyncio
from pathlib import Path

from node.answers.downloads import Priority
from node.content.progress import Progress
from node.content.queue.entry import WEIGHTS, DownloadRequest
from protocol import limits
from simulations.seeds import derive_rng
from tests.simulations.mods_shared import share
from tests.simulations.pair_world import pair_world

SIZE = 1_500_000
DOWN = "300k"
SEED = 1


async def test_a_download_of_a_higher_priority_has_the_larger_part_of_the_limit(
    tmp_path: Path,
) -> None:
    """All the way from the queue, by `Sharing.get`, to what is asked of the holder."""
    done: dict[Priority, int] = {}
    async with pair_world(tmp_path, publics=6, seed=SEED) as town:
        holder, getter = await town.settled("public", "public")
        rng = derive_rng(SEED, "mods")
        wanted = {
            priority: await share(holder, tmp_path / priority.value, rng.randbytes(SIZE))
            for priority in (Priority.LOW, Priority.HIGH)
        }
        node = getter.running_node
        node.transfers.command(down=DOWN)

        async def get(priority: Priority) -> None:
            def report(told: Progress) -> None:
                done[priority] = told.bytes_done

            target = tmp_path / f"got {priority.value}"
            request = DownloadRequest(wanted[priority], target, priority=priority)
            await node.downloads.watch(request, report)

        getting = [getter.host.create_task(get(priority)) for priority in wanted]
        await asyncio.wait(getting, return_when=asyncio.FIRST_COMPLETED)
        assert not getting[0].done()
        low, high = done[Priority.LOW], done[Priority.HIGH]
        assert high >= SIZE
        part = SIZE * WEIGHTS[Priority.LOW] / WEIGHTS[Priority.HIGH]
        assert low <= part + 1.1 * limits.WINDOW_BYTES_MIN  # asked while it was the only one
        await asyncio.gather(*getting)
