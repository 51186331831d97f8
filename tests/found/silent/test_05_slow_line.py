"""A node whose line is slow to everybody joins, looks up, links and downloads like any other."""

import asyncio
import random
from pathlib import Path

import pytest

from node.overlay.settings import OverlaySettings
from protocol import limits
from protocol.errors import Unreachable
from protocol.reachability.own_line import OwnLine
from simulations.errors import NotJoined
from simulations.internet.latency import Latency, UniformLatency
from simulations.residents.whole import WholeResident
from simulations.residents.world import Resident, World, cipher_named, simulated_settings
from tests.simulations.mods_shared import FILE, get, share

SLOW_S = 2.5
NEAR_S = 0.05


def _cheap() -> OverlaySettings:
    return simulated_settings(cipher=cipher_named("test"))


def _one_slow(count: int, slow_s: float = SLOW_S) -> Latency:
    """Site 0 is far from all others, and these are near one another."""
    return Latency(
        [
            [slow_s / 2 if (a == 0) != (b == 0) else NEAR_S / 2 for b in range(count)]
            for a in range(count)
        ]
    )


def _slow(world: World) -> Resident:
    return next(one for one in world.residents if one.host.site == 0)


@pytest.mark.parametrize("round_trip_s", [1.0, 2.0, SLOW_S])
async def test_an_overlay_of_nodes_on_slow_lines_joins_and_finds_the_nearest(
    round_trip_s: float,
) -> None:
    """Before: at 2 s none ever joined, and `populate` waited for ever."""
    world = World(1, latency=UniformLatency(round_trip_s), settings=_cheap())
    await world.populate(20)
    for number, asker in enumerate(world.residents[:3]):
        target = bytes([70 * number + 3]) * 20
        found = await asker.running.server.lookup(target)
        others = [one for one in world.residents if one is not asker]
        expected = world.true_closest(target, others, 16)
        assert [contact.peer_id for contact in found.closest()] == expected
    await world.close()


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_a_node_on_a_slow_line_joins_an_overlay_of_others_and_is_registered(
    seed: int,
) -> None:
    world = World(seed, latency=_one_slow(16), settings=_cheap())
    await world.populate(16)
    slow = _slow(world)
    assert slow.running.own_network.line.is_slow
    assert not any(one.running.own_network.line.is_slow for one in world.residents if one != slow)
    target = bytes(20)
    found = await slow.running.server.lookup(target)
    expected = world.true_closest(target, [one for one in world.residents if one != slow], 15)
    assert [contact.peer_id for contact in found.closest()] == expected
    # Faster nodes keep it in no table, so calls reach it by registrars.
    async with asyncio.timeout(120):
        await slow.running.registrations.registered.wait()
    await world.close()


async def test_jitter_of_a_second_is_borne() -> None:
    rng = random.Random(1)
    sites = 12
    rows = [[0.0] * sites for _ in range(sites)]
    for a in range(sites):
        for b in range(a + 1):
            rows[a][b] = rows[b][a] = rng.uniform(0.25, 0.75)
    world = World(1, latency=Latency(rows), settings=_cheap())
    await world.populate(12)
    target = bytes([9]) * 20
    found = await world.residents[0].running.server.lookup(target)
    assert len(found.closest()) == 11
    await world.close()


async def test_links_downloads_and_what_a_person_reads_on_a_slow_line(tmp_path: Path) -> None:
    world = World(1, latency=_one_slow(8), folder=tmp_path)
    await world.populate(8, kind=WholeResident)
    slow = _slow(world)
    fast = next(one for one in world.residents if one is not slow)
    assert isinstance(slow, WholeResident)
    assert isinstance(fast, WholeResident)
    await asyncio.sleep(60)
    data = random.Random(1).randbytes(200_000)
    for sharer, getter in ((fast, slow), (slow, fast)):
        link = await share(sharer, tmp_path / f"of{sharer.number}", data)
        target = tmp_path / f"to{getter.number}"
        await get(getter, link, target)
        assert (target / FILE).read_bytes() == data
    status = slow.running_node.status()
    assert status.slow_line
    assert status.round_trip_ms == pytest.approx(1000 * SLOW_S, rel=0.1)
    assert slow.running_node.doctor.network().slow_line
    assert not fast.running_node.status().slow_line
    await world.close()


async def test_run_says_once_that_the_line_is_slow() -> None:
    world = World(1, latency=_one_slow(6), settings=_cheap())
    for _ in range(6):
        world.add()
    slow = _slow(world)
    said: list[str] = []
    for one in world.residents:
        await one.start()
        one.running._say = said.append if one is slow else lambda _: None
    await slow.running.joined.wait()
    await asyncio.sleep(300)
    assert [one for one in said if one.startswith("This line is slow: ")] == said
    assert len(said) == 1
    await world.close()


async def test_what_waits_for_the_overlay_waits_longer_and_says_why() -> None:
    world = World(1, latency=_one_slow(6, 4.5), settings=_cheap())
    for _ in range(6):
        world.add()
    slow = _slow(world)
    for one in world.residents:
        if one is not slow:
            await one.start()
    await asyncio.sleep(10)
    slow.saved = world.residents[-1 if slow is world.residents[0] else 0].contacts
    await slow.start()
    began_at = world.loop.time()
    await slow.running.check_joined()
    waited_s = world.loop.time() - began_at
    assert waited_s > limits.JOIN_WAIT_S, "the limit grew while it was waited for"
    slow.running.joining.joined.clear()
    told = await asyncio.gather(slow.running.check_joined(), return_exceptions=True)
    assert isinstance(told[0], Unreachable)
    assert "line is slow, even the nearest nodes answer only" in str(told[0])
    slow.running.joining.joined.set()
    await world.close()


async def test_a_world_names_who_has_not_joined() -> None:
    world = World(1, latency=_one_slow(8, 20.0), settings=_cheap())
    told = await asyncio.gather(world.populate(8), return_exceptions=True)
    slow = _slow(world)
    assert isinstance(told[0], NotJoined)
    assert f"{slow.number} at {slow.host.addresses[0]}" in str(told[0])
    assert str(told[0]).startswith("1 of 8 residents")
    await world.close()


def _is_slow(line: OwnLine) -> bool:
    return line.is_slow


def test_limits_follow_the_fastest_quarter() -> None:
    line = OwnLine()
    assert line.round_trip_s is None
    assert line.limit_s(1.5) == 1.5
    for number in range(4):
        line.measured(bytes([number]), 2.5)
    assert _is_slow(line)
    assert line.limit_s(1.5) == pytest.approx(1.5 + 2.5 - limits.LINE_USUAL_S)
    assert line.limit_s(15.0, 10) == pytest.approx(15.0 + 10 * (2.5 - limits.LINE_USUAL_S))
    line.measured(b"near", 0.04)
    line.measured(b"near too", 0.05)
    assert not _is_slow(line)
    assert line.limit_s(1.5) == 1.5
    line.forget()
    assert line.round_trip_s is None


def test_what_answers_in_the_own_house_says_nothing_of_the_line() -> None:
    line = OwnLine()
    for number in range(8):
        line.measured(bytes([number]), 0.001, distant=False)
    assert not _is_slow(line)
    line.measured(b"far", 2.5)
    assert _is_slow(line)
    line.measured(b"\x01", 0.001, distant=False)
    assert _is_slow(line)
