"""Publishing: told when most stores are confirmed, finished in the background, honest in both."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from node.overlay.lookup.sybil_region import SybilRegions
from node.overlay.records.publishing import Published
from protocol import limits, records
from protocol.identity import Identity
from protocol.overlay.contacts import Contact
from protocol.overlay.messages import Code, Method, Request
from protocol.records import ProviderBody, Record
from simulations.attacks.raw_peer import RawPeer
from simulations.experiments import lookup
from simulations.experiments.parts.lookup_legs import Parameters
from simulations.internet.latency import UniformLatency
from simulations.residents.world import Resident, World
from simulations.seeds import derive_rng

RTT_S = 0.1


async def _publisher(world: World) -> tuple[Resident, Record]:
    resident = world.add()
    await resident.start()
    body = ProviderBody(bytes(32), complete=True)
    return resident, resident.running.republisher.make(records.PROVIDER, body)


async def _keeper(world: World, publisher: Resident, number: int, store: Any) -> RawPeer:
    """A contact of the publisher; see `_peer`."""
    keeper = await _peer(world, number, store)
    publisher.running.server.protocol.maintenance.answered(keeper.contact)
    return keeper


async def _peer(world: World, number: int, store: Any) -> RawPeer:
    """A peer that answers all but STORE like an honest node without contacts."""
    answers: dict[Method, Any] = {
        Method.PING: lambda _: [1],
        Method.MEET: lambda _: [1],
        Method.FIND_NODE: lambda _: [b"", b"", [], 0, b""],
    }
    if store is not None:
        answers[Method.STORE] = store
    identity = Identity(derive_rng(1, "keeper", number).randbytes(32))
    keeper = RawPeer(identity, answers)
    await keeper.move_in(world.internet)
    return keeper


def _suspect(
    monkeypatch: pytest.MonkeyPatch, beyond: Callable[..., Awaitable[list[Contact]]]
) -> None:
    """Whatever is published next has sybils nearest, and this region around."""

    async def may_have(*_arguments: object) -> bool:
        return True

    monkeypatch.setattr(SybilRegions, "may_have_sybils", may_have)
    monkeypatch.setattr(SybilRegions, "expects_sybils", lambda *_: True)
    monkeypatch.setattr(SybilRegions, "beyond", beyond)


def _takes(_request: Request) -> list[Any]:
    return []


async def test_the_publisher_does_not_wait_for_the_slowest_store() -> None:
    world = World(1, latency=UniformLatency(RTT_S))
    publisher, record = await _publisher(world)
    for number in range(3):
        await _keeper(world, publisher, number, _takes)
    silent = await _keeper(world, publisher, 3, None)
    started = world.loop.time()
    published = await publisher.running.server.publish(record)
    assert published == Published(3, 4)
    assert world.loop.time() - started < 3 * RTT_S
    assert any("store a record" in task.get_name() for task in asyncio.all_tasks())
    await asyncio.sleep(10.0)
    stores = [one for one in silent.requests if one.arguments == [record.key, record.raw]]
    assert len(stores) == 2, "it was asked again in the background"
    assert not any("store a record" in task.get_name() for task in asyncio.all_tasks())
    await world.close()


async def test_refusals_are_told_by_their_names_and_too_few_stores_are_waited_for() -> None:
    world = World(1, latency=UniformLatency(RTT_S))
    publisher, record = await _publisher(world)
    refusals = (Code.STORE_FULL, Code.KEY_FULL, Code.PUBLISHER_FULL, 99)
    for number, code in enumerate(refusals):
        await _keeper(world, publisher, number, lambda _, code=code: (code, []))
    await _keeper(world, publisher, 8, _takes)
    await _keeper(world, publisher, 9, None)
    published = await publisher.running.server.publish(record)
    assert (published.confirmed, published.asked) == (1, 6)
    assert published.refused == {
        "99": 1,
        "key_full": 1,
        "publisher_full": 1,
        "store_full": 1,
        "timed_out": 1,
    }
    await world.close()


async def test_a_node_tells_which_contacts_do_not_keep_its_records() -> None:
    world = World(1, latency=UniformLatency(RTT_S))
    publisher, record = await _publisher(world)
    for number in range(3):
        await _keeper(world, publisher, number, lambda _: (Code.STORE_FULL, []))
    republisher = publisher.running.republisher
    assert republisher.refused() == {}
    republisher.keep("one", records.PROVIDER, lambda: record.body)
    await republisher.publish_now("one")
    assert republisher.refused()["store_full"] == 3
    await world.close()


async def test_a_publisher_whose_own_store_is_full_publishes_elsewhere() -> None:
    world = World(1, latency=UniformLatency(RTT_S))
    publisher, record = await _publisher(world)
    publisher.running.server.store._max_bytes = 10
    await _keeper(world, publisher, 0, _takes)
    assert (await publisher.running.server.publish(record)).confirmed == 1
    assert len(publisher.running.server.store) == 0
    await world.close()


async def test_a_region_that_is_not_found_keeps_a_publisher_for_a_bounded_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def beyond(*_arguments: object, certain: bool) -> list[Contact]:
        assert certain
        await asyncio.sleep(100.0)
        return []

    _suspect(monkeypatch, beyond)
    world = World(1, latency=UniformLatency(RTT_S))
    publisher, record = await _publisher(world)
    for number in range(3):
        await _keeper(world, publisher, number, _takes)
    started = world.loop.time()
    assert await publisher.running.server.publish(record) == Published(3, 3)
    took_s = world.loop.time() - started
    assert limits.REGION_STORED_S <= took_s <= limits.REGION_STORED_S + 3 * RTT_S
    await world.close()


async def test_contacts_of_the_region_are_waited_for_and_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(1, latency=UniformLatency(RTT_S))
    publisher, record = await _publisher(world)
    await _keeper(world, publisher, 0, _takes)
    kept = await _peer(world, 1, _takes)
    full = await _peer(world, 2, lambda _: (Code.STORE_FULL, []))

    async def beyond(*_arguments: object, certain: bool) -> list[Contact]:
        assert certain
        await asyncio.sleep(1.0)
        return [kept.contact, full.contact]

    _suspect(monkeypatch, beyond)
    published = await publisher.running.server.publish(record)
    assert published == Published(2, 3, {"store_full": 1})
    assert [one.arguments for one in kept.requests] == [[record.key, record.raw]]
    await world.close()


async def test_a_publisher_that_stops_leaves_no_store_behind() -> None:
    world = World(1, latency=UniformLatency(RTT_S))
    publisher, record = await _publisher(world)
    for number in range(3):
        await _keeper(world, publisher, number, None)
    publishing = asyncio.ensure_future(publisher.running.server.publish(record))
    await asyncio.sleep(2 * RTT_S)
    await publisher.stop()
    assert (await publishing).confirmed == 0
    await world.close()


@pytest.mark.parametrize("dead", [0.0, 0.1])
def test_most_records_are_published_within_a_second(dead: float) -> None:
    parameters = Parameters(
        nodes=100, dead=(dead,), op=("publish",), lookups=60, cipher="test", processes=1
    )
    (row,) = lookup.run(parameters, lambda _: None).data["results"]
    assert row["success"] == 1.0
    assert row["recall"] >= 0.75
    assert 0.2 < row["p50_s"] <= 1.0


def test_a_publisher_among_the_dead_counts_as_failed_for_either_library() -> None:
    parameters = Parameters(
        nodes=20, dead=(0.95,), op=("publish",), lookups=3, cipher="test", processes=1, stock=True
    )
    rows = lookup.run(parameters, lambda _: None).data["results"]
    assert [(row["who"], row["success"]) for row in rows] == [("ours", 0.0), ("stock", 0.0)]
