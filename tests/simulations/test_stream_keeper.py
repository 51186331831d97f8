"""A node whose network passes no UDP, in time: back to UDP, gateways that die or refuse."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import pytest

from node.links.link import Link
from node.streams.dialing import StreamDialer
from protocol import limits
from protocol.errors import BadConfig, StreamFailed
from simulations.experiments.parts.path_transfer import Trace, Transfer
from simulations.residents.sites import SITES
from simulations.residents.whole import WholeResident
from tests.simulations.pair_world import Talk, Town, pair_world, until

BACK_S = [(0.0, limits.UDP_PROBE_S[0] * 1.5 + 5.0), (900.0, 95.0), (1000.0, 95.0), (1100.0, 95.0)]
"""How long after UDP came back a node goes by it at the latest, blocked for so long before."""


def gateways_of(town: Town, blocked: WholeResident) -> list[WholeResident]:
    """The public nodes that a blocked one keeps streams to."""
    hosts = [one.gateway.host for one in blocked.running.streams.kept]
    return [one for one in town.publics if one.host.addresses[0] in hosts]


@pytest.mark.parametrize(("blocked_s", "back_s"), BACK_S)
async def test_a_node_goes_back_to_udp_when_that_comes_back(
    tmp_path: Path, blocked_s: float, back_s: float
) -> None:
    async with pair_world(tmp_path, publics=6, streams=True) as town:
        (person,) = await town.settled("port-restricted")
        streams = person.running.streams
        assert not streams.is_blocked
        person.host.block_udp()
        await until(lambda: len(streams.kept) == 2, 120.0)
        held = gateways_of(town, person)
        assert [one.running_node.gateway.served for one in held] == [1, 1]
        await asyncio.sleep(blocked_s)
        person.host.block_udp(blocked=False)
        await until(lambda: not streams.is_blocked, back_s)
        assert streams.kept == ()
        await until(lambda: not any(one.running_node.gateway.served for one in held), 5.0)
        before = person.host.sent_bytes
        other = town.publics[0]
        await town.linked(other, person)
        assert person.host.sent_bytes > before, "calls come by UDP again"


@contextlib.asynccontextmanager
async def sending(
    town: Town, sender: WholeResident, ends: tuple[Link, Link], bytes_s: float = 200_000
) -> AsyncIterator[Trace]:
    """A transfer goes on meanwhile, from 5 s before; its trace is whole afterwards."""
    enough = asyncio.Event()
    transfer = Transfer(sender, ends, random.Random(2), bytes_s=bytes_s)
    running = town.world.loop.create_task(transfer.run(enough))
    await asyncio.sleep(5.0)
    yield transfer.trace
    enough.set()
    await running


async def test_a_link_goes_on_when_one_of_two_gateways_dies_in_mid_transfer(
    tmp_path: Path,
) -> None:
    """The other one is a relay as well; and a third is opened in its place."""
    async with pair_world(tmp_path, publics=6, streams=True) as town:
        blocked, other = await town.settled("blocked", "port-restricted")
        ours, theirs = await town.linked(blocked, other)
        async with sending(town, blocked, (ours, theirs)) as trace:
            relay = next(one for one in town.publics if one.identity.peer_id == ours.path.relay)
            assert relay in gateways_of(town, blocked)
            relay.host.unplug()
            await asyncio.sleep(60.0)
        assert trace.is_intact, trace.lost
        assert trace.stall_s(4.0, 60.0) < 5.0
        kept = gateways_of(town, blocked)
        assert len(kept) == 2
        assert relay not in kept


async def test_the_overlay_is_asked_by_the_other_gateway_when_the_first_dies(
    tmp_path: Path,
) -> None:
    async with pair_world(tmp_path, publics=6, streams=True) as town:
        (blocked,) = await town.settled("blocked")
        leading = blocked.running.streams.kept[0]
        leader = next(one for one in town.publics if one.host.addresses[0] == leading.gateway.host)
        await leader.stop()
        await until(lambda: leading not in blocked.running.streams.kept, 1.0)
        assert blocked.running.streams.is_blocked
        friend = next(one for one in town.publics if one.membership is not None)
        await asyncio.sleep(10.0)
        link, theirs = await town.linked(friend, blocked)
        await Talk(link, theirs).goes_on()


@pytest.mark.parametrize("which", range(10))
async def test_dead_gateways_hold_back_no_living_one(tmp_path: Path, which: int) -> None:
    async with pair_world(tmp_path, publics=12, streams=True) as town:
        (blocked,) = await town.settled("blocked")
        living = [one for one in town.publics if one not in gateways_of(town, blocked)][which]
        for one in town.publics:
            if one is not living:
                one.host.unplug()
        for stream in blocked.running.own_streams.all():
            stream.port.close()
        await until(lambda: gateways_of(town, blocked) == [living], limits.STREAM_CONNECT_S)


async def test_gateways_that_refuse_are_redialled_ever_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with pair_world(tmp_path, publics=4, streams=True) as town:
        (person,) = await town.settled("port-restricted")
        loop = town.world.loop
        dialled: list[float] = []

        async def refused(*_: object) -> None:
            dialled.append(loop.time())
            raise StreamFailed("no")

        monkeypatch.setattr(StreamDialer, "dial_any", refused)
        person.host.block_udp()
        await asyncio.sleep(900.0)
        rounds = [at for before, at in pairwise([0.0, *dialled]) if at - before > 0.5]
        pauses = [later - at for at, later in pairwise(rounds)]
        longest_s = limits.STREAM_RETRY_S[1]
        assert len(rounds) < 40, "every minute, after a few quicker ones"
        assert max(pauses) <= 1.5 * longest_s + limits.UDP_SILENT_S + 1.0
        assert min(pauses[6:]) >= 0.5 * longest_s
        assert pauses[0] < pauses[4]


async def test_why_no_stream_stood_is_forgotten_when_udp_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with pair_world(tmp_path, publics=4, streams=True) as town:
        (person,) = await town.settled("port-restricted")
        node = person.running_node

        async def refused(*_: object) -> None:
            raise BadConfig("no")

        monkeypatch.setattr(StreamDialer, "dial_any", refused)
        person.host.block_udp()
        await until(lambda: node.status().streams.failures == ("no",), 60.0)
        person.host.block_udp(blocked=False)
        await until(lambda: node.status().streams.failures == (), 120.0)


@pytest.mark.parametrize("sleeps", [True, False])
async def test_both_streams_that_die_at_once_are_made_again(
    tmp_path: Path, *, sleeps: bool
) -> None:
    """As when a machine comes to another network, or sleeps for an hour."""
    async with pair_world(tmp_path, publics=6, streams=True) as town:
        (blocked,) = await town.settled("blocked")
        before = blocked.running.streams.kept
        if sleeps:
            blocked.host.sleep()
            await asyncio.sleep(3600.0)
            blocked.host.wake()
        else:
            home = town.world.internet.add_nat(SITES["blocked"].boxes[0])
            town.world.internet.move(blocked.host, behind=home)
        await until(
            lambda: (
                len(blocked.running.streams.kept) == 2
                and not set(before) & set(blocked.running.streams.kept)
            ),
            limits.STREAM_SILENT_S + limits.STREAM_ASKED_S + 5.0,
        )
        await asyncio.sleep(5.0)
        link, theirs = await town.linked(town.publics[0], blocked)
        await Talk(link, theirs).goes_on()


async def test_a_link_goes_on_when_its_streams_are_reset(tmp_path: Path) -> None:
    """As by a proxy that was started again: the relays are there, and are asked by new streams."""
    async with pair_world(tmp_path, publics=6, streams=True) as town:
        blocked, other = await town.settled("blocked", "port-restricted")
        async with sending(town, blocked, await town.linked(blocked, other)) as trace:
            with blocked.host.running():
                for stream in blocked.running.own_streams.all():
                    stream.port.close()
            await asyncio.sleep(25.0)
        assert trace.is_intact, trace.lost
        assert trace.stall_s(4.0, 30.0) < 3.5
        assert len(blocked.running.streams.kept) == 2


async def test_udp_that_comes_and_goes_loses_no_link_and_leaves_nothing(tmp_path: Path) -> None:
    """Every 10 s, 100 times: as many tasks, sockets and streams as after the first ten."""
    async with pair_world(tmp_path, publics=6, streams=True) as town:
        person, other = await town.settled("port-restricted", "port-restricted")
        tasks: list[int] = []
        async with sending(town, person, await town.linked(person, other), 20_000) as trace:
            for flip in range(100):
                person.host.block_udp(blocked=flip % 2 == 0)
                await asyncio.sleep(10.0)
                if flip % 10 == 9:
                    tasks.append(len(asyncio.all_tasks()))
        assert trace.is_intact, trace.lost
        assert trace.stall_s(0.0, 1005.0) < 10.0
        assert max(tasks) <= tasks[0] + 10, "some pass at the time; one of each flip would be 90"
        assert len(person.host.listening) == 1
        # The link may have to become direct again first.
        await until(lambda: not person.running.own_streams, 600.0)
        await until(lambda: not any(one.running_node.gateway.served for one in town.publics))
