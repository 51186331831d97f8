"""A link with one relay, which drops what is more than its rate: the link stays, and is as fast."""

import asyncio
import random
from pathlib import Path

import pytest

from protocol import limits
from protocol.addresses import Address
from protocol.errors import RelayRefusal
from protocol.stun.attributes import ErrorCode
from protocol.turn.table import AllocationTable
from simulations.experiments.parts.path_transfer import Trace, Transfer
from simulations.internet import UniformLatency
from tests.simulations.pair_world import Talk, Town, pair_world

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


@pytest.mark.parametrize("kind", ["blocked", "symmetric"])
async def test_it_is_asked_anew_when_streams_to_it_end_again_and_again(
    tmp_path: Path, kind: str
) -> None:
    """A peer has two allocations of a relay, and those of streams that had ended counted for 60 s:
    the third was refused, and asked for without a pause.
    """
    async with pair_world(tmp_path, publics=6, streams=True) as town:
        blocked, other = await town.settled("blocked", kind)
        ours, theirs = await town.linked(blocked, other)
        await asyncio.sleep(LEFT_S)
        relay = next(one for one in town.publics if one.identity.peer_id == ours.path.relay)
        for one in town.publics:
            if one is not relay:
                one.host.unplug()
        talk = Talk(ours, theirs)
        for _ in range(4):
            with blocked.host.running():
                for stream in blocked.running.own_streams.all():
                    stream.port.close()
            await talk.goes_on(25.0)
            await asyncio.sleep(limits.STREAM_SILENT_S)
        assert relay.running.relay.allocations <= 4


async def test_a_relay_that_refuses_is_asked_ever_more_rarely_and_then_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with pair_world(tmp_path, publics=6, streams=True) as town:
        blocked, other = await town.settled("blocked", "symmetric")
        ours, _ = await town.linked(blocked, other)
        relay = next(one for one in town.publics if one.identity.peer_id == ours.path.relay)
        asked: list[float] = []

        def refused(*_: object) -> None:
            asked.append(town.world.loop.time())
            raise RelayRefusal(ErrorCode.ALLOCATION_QUOTA_REACHED, "no more")

        monkeypatch.setattr(AllocationTable, "make_room", refused)
        with blocked.host.running():
            blocked.running.relay_client.way_ended(Address(relay.host.addresses[0], 4001))
        await asyncio.sleep(60.0)
        assert 3 <= len(asked) <= 8
        assert asked[2] - asked[1] > 1.5 * (asked[1] - asked[0])
