"""Lineages in the DHT: read, polled, judged by what was seen, stored again, and renewed."""

import asyncio
import logging
from typing import Any

import pytest

from node.overlay.lineages import publisher
from node.overlay.lineages import reader as reader_module
from node.overlay.lineages.heard import LineageNews
from node.overlay.lineages.lineages import Lineages
from protocol import limits
from protocol.content.lineage import history
from protocol.content.lineage.history import Age
from protocol.errors import Unreachable
from protocol.identity import Identity
from protocol.overlay.messages import Code, Method
from protocol.records import LINEAGE, Record, lineage_key
from simulations.internet.latency import UniformLatency
from simulations.residents.world import Resident, World, cipher_named, simulated_settings
from simulations.seeds import derive_rng
from tests.node.overlay.village import Village, village
from tests.protocol.content.lineage.signed import LINEAGE_KEY, PUBLISHER, signed

RTT_S = 0.05
KEY = lineage_key(LINEAGE_KEY)
FASTER = 1200
DAY_S = 86400.0 / FASTER
"""Each day of a lineage takes 72 s here: what nodes do otherwise is not what is tested."""

FORGOTTEN_S = 1200.0
"""After which no node names contacts that have died."""


@pytest.fixture
def short_days(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("READ_S", "STORED_FIRST_S", "STORED_AGAIN_S", "STORED_PAUSE_S", "RENEWED_S"):
        monkeypatch.setattr(limits, f"LINEAGE_{name}", getattr(limits, f"LINEAGE_{name}") / FASTER)
    monkeypatch.setitem(limits.RECORD_LIFETIME_S, "lineage", 30 * 86400 // FASTER)
    monkeypatch.setattr(publisher, "_LOOK_S", publisher._LOOK_S / FASTER)


def of(resident: Resident) -> Lineages:
    return resident.running.lineages


def watched(lineages: Lineages) -> list[LineageNews]:
    told: list[LineageNews] = []
    lineages.heard.watch(told.append)
    return told


async def world_of(count: int, k: int = limits.K) -> World:
    settings = simulated_settings(cipher=cipher_named("test"), k=k)
    world = World(1, latency=UniformLatency(RTT_S), settings=settings)
    await world.populate(count)
    return world


async def publish(resident: Resident, record: Record) -> None:
    with resident.host.running():
        await resident.running.server.publish(record)
    await asyncio.sleep(1.0)


def holders(world: World, record: Record) -> list[Resident]:
    """The residents in whose stores a record is."""
    now = world.loop.wall_time()
    return [
        one
        for one in world.running()
        if record in one.running.server.store.get(record.key, LINEAGE, now)
    ]


def requests(resident: Resident) -> int:
    return resident.running.server.counters.datagrams_sent


async def test_a_read_finds_the_newest_and_a_poll_finds_it_for_three_requests() -> None:
    world = await world_of(30)
    sharer, reader = world.residents[3], world.residents[7]
    first = signed(None, world.loop.wall_time())
    await publish(sharer, first)
    with reader.host.running():
        found = await of(reader).reader.read(LINEAGE_KEY)
        assert (found.newest, found.is_new, found.is_expired) == (first, True, False)
        assert len(found.missing) <= 1, "one more, where the reader is among the nearest itself"
        before = requests(reader)
        polled = await of(reader).reader.poll(LINEAGE_KEY)
        assert (polled.newest, polled.is_new, polled.answered) == (first, False, 3)
        assert requests(reader) - before <= limits.LINEAGE_POLLED
    second = signed(first, world.loop.wall_time())
    await publish(sharer, second)
    with reader.host.running():
        polled = await of(reader).reader.poll(LINEAGE_KEY)
        assert (polled.newest, polled.is_new) == (second, True)
    await world.close()


async def test_a_poll_looks_up_where_its_contacts_are_gone() -> None:
    world = await world_of(30)
    sharer, reader = world.residents[3], world.residents[7]
    first = signed(None, world.loop.wall_time())
    await publish(sharer, first)
    with reader.host.running():
        await of(reader).reader.read(LINEAGE_KEY)
    for one in holders(world, first):
        if one is not sharer and one is not reader:
            one.crash()
    await publish(sharer, first)
    with reader.host.running():
        polled = await of(reader).reader.poll(LINEAGE_KEY)
        assert polled.newest == first
        assert polled.nearest, "it was looked up"
        await asyncio.sleep(FORGOTTEN_S)
        await of(reader).reader.poll(LINEAGE_KEY)
        assert not (await of(reader).reader.poll(LINEAGE_KEY)).nearest
    await world.close()


async def test_a_poll_looks_up_where_others_are_nearest_by_now() -> None:
    """They alone get the next version: those that were the nearest before do not hear of it."""
    world = await world_of(12, k=8)
    sharer, reader = world.residents[3], world.residents[7]
    first = signed(None, world.loop.wall_time())
    await publish(sharer, first)
    with reader.host.running():
        await of(reader).reader.read(LINEAGE_KEY)
        assert not (await of(reader).reader.poll(LINEAGE_KEY)).nearest
    await world.populate(48)
    second = signed(first, world.loop.wall_time())
    await publish(sharer, second)
    stale = [one for one in holders(world, first) if one not in holders(world, second)]
    assert len(stale) >= 4
    with reader.host.running():
        assert (await of(reader).reader.poll(LINEAGE_KEY)).newest == second
        assert not (await of(reader).reader.poll(LINEAGE_KEY)).nearest
    await world.close()


@pytest.mark.usefixtures("short_days")
async def test_a_poll_looks_up_now_and_then() -> None:
    world = await world_of(30)
    reader = world.residents[7]
    await publish(world.residents[3], signed(None, world.loop.wall_time()))
    with reader.host.running():
        await of(reader).reader.read(LINEAGE_KEY)
        assert not (await of(reader).reader.poll(LINEAGE_KEY)).nearest
        await asyncio.sleep(1.3 * limits.LINEAGE_READ_S)
        assert (await of(reader).reader.poll(LINEAGE_KEY)).nearest, "it was looked up"
    await world.close()


async def test_what_is_older_than_what_was_seen_is_refused_and_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, reader_module.__name__)
    world = await world_of(12)
    sharer, reader = world.residents[3], world.residents[7]
    first = signed(None, world.loop.wall_time())
    second = signed(first, world.loop.wall_time())
    of(reader).heard.keep(LINEAGE_KEY, second)
    told = watched(of(reader))
    await publish(sharer, first)
    with reader.host.running():
        for read in (of(reader).reader.read, of(reader).reader.poll):
            found = await read(LINEAGE_KEY)
            assert (found.newest, found.is_replayed, found.is_new) == (second, True, False)
    assert told == []
    assert caplog.text.count("older than one seen") == 2
    await world.close()


async def test_a_fork_is_told_once_and_all_readers_follow_the_same() -> None:
    world = await world_of(12)
    first = signed(None, world.loop.wall_time())
    one, other = (signed(first, world.loop.wall_time(), number=number) for number in (1, 2))
    winner = min(one, other, key=history.hash_of)
    readers = world.residents[5:7]
    told = [watched(of(reader)) for reader in readers]
    for record, reader in zip((one, other), readers, strict=True):
        of(reader).heard.keep(LINEAGE_KEY, record)
    await publish(world.residents[3], one)
    await publish(world.residents[4], other)
    for reader in readers:
        with reader.host.running():
            for _ in range(3):
                found = await of(reader).reader.read(LINEAGE_KEY)
                assert found.newest == winner
                await asyncio.sleep(10.0)
    forks = [[news.fork for news in each if news.fork is not None] for each in told]
    assert sorted(map(len, forks)) in ([0, 1], [1, 1]), "one may have seen the winner alone"
    for fork in (fork for each in forks for fork in each):
        assert set(fork.hashes) == {history.hash_of(one), history.hash_of(other)}
    assert len(holders(world, winner)) > len(holders(world, max(one, other, key=history.hash_of)))
    await world.close()


async def _lies(town: Village, values: list[bytes], host: str) -> None:
    def found(_request: Any) -> Any:
        return Code.OK, [b"", b"", values, len(values), b""]

    await town.contact(
        host, ping=lambda _: [2, 0], find_node=found, find_value=found, store=lambda _: []
    )


async def test_records_that_others_signed_or_of_another_lineage_count_for_nothing() -> None:
    async with village() as town:
        now = town.world.loop.wall_time()
        first = signed(None, now)
        other = signed(None, now, lineage=Identity(bytes(32)))
        forged = first.raw[:-1] + bytes((first.raw[-1] ^ 1,))
        await _lies(town, [other.raw, forged, b""], "1.1.1.1")
        await _lies(town, [first.raw], "8.8.8.8")
        with town.node.host.running():
            found = await of(town.node).reader.read(LINEAGE_KEY)
        assert found.newest == first
        assert of(town.node).heard.seen(other.public_key) is None


async def test_without_any_node_a_read_fails_and_what_was_known_stays() -> None:
    async with village() as town:
        first = signed(None, town.world.loop.wall_time())
        of(town.node).heard.keep(LINEAGE_KEY, first)
        with town.node.host.running(), pytest.raises(Unreachable):
            await of(town.node).reader.read(LINEAGE_KEY)
        assert of(town.node).heard.newest(LINEAGE_KEY) == first


@pytest.mark.usefixtures("short_days")
async def test_a_record_outlives_its_publishers_holiday_for_as_long_as_it_is_valid() -> None:
    """Stores come and go, followers stay. After its time it is followed, and that is said."""
    world = await world_of(12, k=4)
    sharer, *followers = world.residents[:4]
    first = signed(None, world.loop.wall_time())
    for follower in followers:
        of(follower).heard.keep(LINEAGE_KEY, first)
    await publish(sharer, first)
    await sharer.stop()
    rng = derive_rng(1, "who leaves")
    for day in range(0, 28, 2):
        kept = {follower.number for follower in followers}
        leaving = [one for one in world.running() if one.number not in kept]
        for resident in rng.sample(leaving, 4):
            resident.crash()
            await resident.start()
        await asyncio.sleep(2 * DAY_S)
        newcomer = world.residents[10]
        with newcomer.host.running():
            found = await of(newcomer).reader.read(LINEAGE_KEY)
        assert found.newest == first, f"after {day + 2} days"
        assert not found.is_expired
    await asyncio.sleep(4 * DAY_S)
    assert holders(world, first) == []
    for follower in followers:
        with follower.host.running():
            found = await of(follower).reader.read(LINEAGE_KEY)
        assert (found.newest, found.is_expired) == (first, True)
    await world.close()


async def test_what_is_stored_again_does_not_grow_with_those_who_follow() -> None:
    world = await world_of(14, k=4)
    sharer, *followers = world.residents[:9]
    first = signed(None, world.loop.wall_time())
    for follower in followers:
        of(follower).heard.keep(LINEAGE_KEY, first)
    await publish(sharer, first)
    for one in holders(world, first):
        one.running.server.store.expire(first.expires)
    assert holders(world, first) == []
    await asyncio.sleep(limits.LINEAGE_STORED_FIRST_S + 60.0)
    stored = sum(of(one).storing.stored for one in followers)
    assert 4 <= stored < len(world.residents), "the first that looked mended it for all"
    assert len(holders(world, first)) >= 4
    await world.close()


@pytest.mark.usefixtures("short_days")
async def test_a_follower_that_is_alone_has_the_record_for_whoever_joins_by_it() -> None:
    world = World(1, latency=UniformLatency(RTT_S))
    follower, newcomer = world.add(), world.add()
    await follower.start()
    first = signed(None, world.loop.wall_time())
    of(follower).heard.keep(LINEAGE_KEY, first)
    await newcomer.start()
    await newcomer.running.joined.wait()
    await asyncio.sleep(DAY_S)
    with newcomer.host.running():
        assert (await of(newcomer).reader.read(LINEAGE_KEY)).newest == first
    await newcomer.stop()
    await follower.stop()
    await follower.start()
    of(follower).heard.keep(LINEAGE_KEY, first)
    await asyncio.sleep(DAY_S)
    assert holders(world, first) == []
    await newcomer.start()
    await newcomer.running.joined.wait()
    await asyncio.sleep(DAY_S)
    assert follower in holders(world, first)
    await world.close()


@pytest.mark.usefixtures("short_days")
async def test_a_publisher_renews_before_the_record_expires_and_writes_it_down_first() -> None:
    world = await world_of(8)
    sharer, reader = world.residents[2:4]
    written: list[tuple[Record, int]] = []

    async def save(record: Record, _vouched: Record) -> None:
        written.append((record, len(holders(world, record))))

    own = of(sharer).publisher
    own.keep(PUBLISHER, None, save)
    with sharer.host.running():
        first, published = await own.publish(
            LINEAGE_KEY, mod_id=bytes(32), version=1, wrapped_key=bytes(48)
        )
    assert published.confirmed
    await asyncio.sleep(31 * DAY_S)
    assert [record.sequence for record, _ in written] == [1, 2, 3, 4]
    assert [stores for _, stores in written] == [0] * 4, "none was stored before"
    assert written[0][0] == first
    with reader.host.running():
        found = await of(reader).reader.read(LINEAGE_KEY)
    assert found.newest == written[-1][0]
    assert history.body_of(found.newest).version == 1
    assert found.newest.issued - first.issued > 0.9 * 3 * 0.9 * limits.LINEAGE_RENEWED_S
    await world.close()


@pytest.mark.usefixtures("short_days")
async def test_two_machines_with_one_key_go_on_from_one_another_and_tell_of_a_fork() -> None:
    world = await world_of(12)
    machines = world.residents[2:4]
    told = [watched(of(one)) for one in machines]

    async def save(_record: Record, _vouched: Record) -> None:
        return

    for one in machines:
        of(one).publisher.keep(PUBLISHER, None, save)

    async def share(machine: Resident, version: int) -> Record:
        with machine.host.running():
            record, _ = await of(machine).publisher.publish(
                LINEAGE_KEY,
                mod_id=version.to_bytes() * 32,
                version=version,
                wrapped_key=bytes(48),
            )
        return record

    version_1 = await share(machines[0], 1)
    version_2 = await share(machines[1], 2)
    assert history.body_of(version_2).previous == history.hash_of(version_1)
    assert [news.fork for each in told for news in each] == [None] * sum(map(len, told))
    follower = world.residents[7]
    of(follower).heard.keep(LINEAGE_KEY, version_2)
    told.append(watched(of(follower)))
    both = await asyncio.gather(share(machines[0], 3), share(machines[1], 4))
    assert both[0].sequence == both[1].sequence == 3
    hashes = {history.hash_of(record) for record in both}
    await asyncio.sleep(2 * DAY_S)
    for each in told:
        assert [set(news.fork.hashes) for news in each if news.fork is not None] == [hashes]
    newest = [of(one).heard.newest(LINEAGE_KEY) for one in (*machines, follower)]
    assert newest[0] is not None
    assert {one.raw for one in newest if one is not None} == {newest[0].raw}
    assert history.body_of(newest[0]).version == 4, "whichever lost"
    await world.close()


async def test_a_peer_that_stores_a_record_here_tells_this_node_of_it() -> None:
    async with village() as town:
        first = signed(None, town.world.loop.wall_time())
        told = watched(of(town.node))
        peer = await town.peer("1.1.1.1")
        await peer.ask(Method.STORE, [KEY, first.raw], town.node.contact)
        assert told == [], "it is no lineage of this node"
        second = signed(first, town.world.loop.wall_time())
        of(town.node).heard.keep(LINEAGE_KEY)
        await peer.ask(Method.STORE, [KEY, second.raw], town.node.contact)
        assert [(news.record, news.age) for news in told] == [(second, Age.NEWER)]
