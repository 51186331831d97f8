"""A node whose network passes no UDP links with every other kind, by TLS streams over TCP."""

import asyncio
import random
from dataclasses import replace
from pathlib import Path

import pytest

from protocol import limits
from protocol.causes.network_kind import NetworkKind
from simulations.experiments.parts.path_transfer import Transfer
from simulations.internet import Access, UniformLatency
from simulations.residents.sites import SITES, Site
from tests.simulations.pair_world import Talk, pair_world

LINE_BYTES_S = 2_500_000
POUR_S = 6.0
BEGUN_S = 2.0
"""After this a transfer has found the rate of its line."""


@pytest.mark.parametrize("kind", list(SITES))
async def test_a_blocked_node_links_with_every_other_kind(tmp_path: Path, kind: str) -> None:
    async with pair_world(tmp_path, publics=6, v6=True, streams=True) as town:
        blocked, other = await town.settled("blocked", kind)
        assert len(blocked.running.streams.kept) == limits.STREAM_GATEWAYS
        assert blocked.running_node.doctor.network().kind is NetworkKind.BY_STREAM
        blocked_too = kind == "blocked"
        told = other.running_node.doctor.network().kind
        assert (told is NetworkKind.BY_STREAM) is blocked_too
        link, theirs = await town.linked(other, blocked)
        assert link.path.way == ("stream" if blocked_too else "relayed")
        await Talk(link, theirs).goes_on()


@pytest.mark.parametrize("ports", [{limits.STREAM_PORT}, {limits.STREAM_PORT, 80}])
async def test_where_443_alone_gets_out_a_blocked_node_links(
    tmp_path: Path, ports: set[int]
) -> None:
    """As in networks of companies; six public nodes are too few to prove that they are public."""
    (box,) = SITES["blocked"].boxes
    closed = Site((replace(box, tcp_ports=frozenset(ports)),))
    async with pair_world(tmp_path, publics=6, streams=True) as town:
        await asyncio.sleep(120.0)
        blocked, other = await town.settled(closed, "symmetric")
        link, theirs = await town.linked(blocked, other)
        await Talk(link, theirs).goes_on()


@pytest.mark.parametrize("other_kind", ["public", "blocked"])
@pytest.mark.parametrize("up", [True, False], ids=["up", "down"])
async def test_a_blocked_node_gets_most_of_its_line(
    tmp_path: Path, other_kind: str, *, up: bool
) -> None:
    """At 50 ms to the gateway, another 50 ms to the peer, and no loss; relays allow more."""
    latency = UniformLatency(0.05)
    async with pair_world(
        tmp_path, publics=6, latency=latency, streams=True, relay_rate=10**8
    ) as town:
        blocked, other = await town.settled("blocked", other_kind)
        town.world.internet.set_access(blocked.host, Access(LINE_BYTES_S, LINE_BYTES_S))
        ours, theirs = await town.linked(blocked, other)
        sender, ends = (blocked, (ours, theirs)) if up else (other, (theirs, ours))
        enough = asyncio.Event()
        transfer = Transfer(sender, ends, random.Random(1))
        town.world.loop.call_later(POUR_S, enough.set)
        trace = await transfer.run(enough)
        assert trace.is_intact, trace.lost
        rate = trace.bytes_between(BEGUN_S, POUR_S) / (POUR_S - BEGUN_S)
        assert rate >= 0.5 * LINE_BYTES_S
