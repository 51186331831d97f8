"""A link with one relay, which drops what is more than its rate: the link stays, and is as fast."""

import asyncio
import random
from pathlib import Path

import pytest

from simulations.experiments.parts.path_transfer import Trace, Transfer
from simulations.internet import UniformLatency
from tests.simulations.pair_world import Town, pair_world

DEFAULT = 2_000_000
LEFT_S = 1.0


async def poured(town: Town, kind: str, seconds: float) -> Trace:
    """What came of a transfer to a node of this kind, with all relays but that in use gone."""
    receiver, sender = await town.settled(kind, "symmetric")
    ours, theirs = await town.linked(receiver, sender)
    await asyncio.sleep(LEFT_S)
    for one in town.publics:
        if one.identity.peer_id != ours.path.relay:
            one.host.unplug()
    enough = asyncio.Event()
    transfer = Transfer(sender, (theirs, ours), random.Random(1))
    town.world.loop.call_later(seconds, enough.set)
    return await transfer.run(enough)


@pytest.mark.parametrize("kind", ["blocked", "symmetric"])
@pytest.mark.parametrize("round_trip_s", [0.001, 0.1])
async def test_a_transfer_beyond_its_rate_gets_most_of_it(
    tmp_path: Path, kind: str, round_trip_s: float
) -> None:
    latency = UniformLatency(round_trip_s)
    async with pair_world(tmp_path, publics=6, latency=latency, streams=True) as town:
        trace = await poured(town, kind, 20.0)
    assert trace.is_intact, trace.lost
    assert trace.bytes_between(2.0, 20.0) >= 0.8 * 18.0 * DEFAULT / 2
    assert [move.path for move in trace.moves] == ["relay A"]


async def test_a_slow_one_of_which_only_what_was_lost_gets_through_for_long_is_no_stalled_link(
    tmp_path: Path,
) -> None:
    """Its link ended after 119 s, as no new data left for 30 s; what had left was acknowledged."""
    latency = UniformLatency(0.001)
    async with pair_world(
        tmp_path, publics=6, latency=latency, streams=True, relay_rate=15_000
    ) as town:
        trace = await poured(town, "symmetric", 120.0)
    assert trace.is_intact, trace.lost
