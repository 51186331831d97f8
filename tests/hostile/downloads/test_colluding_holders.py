"""Holders that act together, and break no rule until the end, hold up a download no longer.

The scarce thing is the time of the holder that serves: it must have something to send for as long
as chunks are left, whatever others owe, lack, take over or put off.
"""

import asyncio
import random
from pathlib import Path

import pytest

from simulations.attacks.colluding_holders import (
    Erratic,
    JustInTime,
    OneChunkRound,
    OneLieRound,
    Ring,
    RingHolder,
    TakesOver,
)
from simulations.attacks.holders import HostileUploaders
from tests.hostile.told import RecordProperty
from tests.node.content.content_nodes import content_nodes, links_one_by_one, write_files

GOOD_BYTES_PER_SECOND = 4e6


async def _seconds(
    folder: Path,
    uploaders: HostileUploaders,
    kind: type[RingHolder],
    count: int,
    *,
    size: int = 12_000_000,
    bad_rate: float = GOOD_BYTES_PER_SECOND,
    good_rate: float = GOOD_BYTES_PER_SECOND,
    seed: int = 1,
) -> float:
    """How long a download takes from so many of a kind and a good holder that is found last."""
    async with content_nodes(folder, count + 2) as (good, getter, *bad):
        files = {"mod.bin": random.Random(seed).randbytes(size)}
        source = write_files(folder / "source", files)
        link = (await good.publisher.publish(source, "mod")).link
        ring = Ring(random.Random(seed))
        ends = []
        for node in (*bad, good):
            if node is not good:
                uploaders.turn(node.vault, lambda port, vault: kind(port, vault, ring), good.vault)
            ours, theirs = node.connect(getter)
            ours.bytes_per_second = good_rate if node is good else bad_rate
            ends.append(theirs)
        loop = asyncio.get_running_loop()
        started = loop.time()
        async with asyncio.timeout(200.0):
            await getter.download(link, links_one_by_one(*ends, pause_s=0.002))
        assert await getter.vault.missing(link.mod_id) == []
        return loop.time() - started


def _allowed_s(alone_s: float) -> float:
    return 2.0 + 1.1 * alone_s


@pytest.mark.parametrize(
    ("kind", "count", "bad_rate"),
    [
        *((JustInTime, 9, 4e6), (JustInTime, 60, 4e6)),
        *((OneChunkRound, 9, 3e5), (OneChunkRound, 30, 1e6), (OneChunkRound, 60, 5e5)),
        *((OneLieRound, 9, 3e5), (OneLieRound, 30, 1e6), (Erratic, 30, 1e6)),
    ],
)
async def test_the_last_chunks_are_held_by_none_of_many(
    tmp_path: Path,
    uploaders: HostileUploaders,
    kind: type[RingHolder],
    count: int,
    bad_rate: float,
    record_property: RecordProperty,
) -> None:
    record_property("alone_s", 3.0)
    among_s = await _seconds(tmp_path, uploaders, kind, count, bad_rate=bad_rate)
    record_property("attacked_s", among_s)
    record_property("attackers", count)
    assert among_s <= _allowed_s(3.0)


@pytest.mark.parametrize("seed", range(1, 4))
async def test_the_last_chunk_of_a_small_mod_is_held_by_none(
    tmp_path: Path, uploaders: HostileUploaders, seed: int
) -> None:
    size, rate = 2_000_000, 3e5
    among_s = await _seconds(
        tmp_path, uploaders, OneChunkRound, 9, size=size, bad_rate=rate, seed=seed
    )
    assert among_s <= _allowed_s(size / GOOD_BYTES_PER_SECOND)


@pytest.mark.parametrize("seed", range(1, 4))
async def test_a_holder_whose_last_chunks_others_take_over_is_asked_again(
    tmp_path: Path, uploaders: HostileUploaders, seed: int
) -> None:
    size, good_rate = 24_000_000, 1e6
    among_s = await _seconds(
        tmp_path, uploaders, TakesOver, 3, size=size, good_rate=good_rate, bad_rate=2e7, seed=seed
    )
    assert among_s <= _allowed_s(size / good_rate)


@pytest.mark.parametrize("seed", range(1, 7))
async def test_nine_that_do_anything_at_any_time(
    tmp_path: Path, uploaders: HostileUploaders, seed: int
) -> None:
    among_s = await _seconds(tmp_path, uploaders, Erratic, 9, bad_rate=1e6, seed=seed)
    assert among_s <= _allowed_s(3.0)
