"""Availability in the DHT: what is published when, and how little is read to ask about a mod."""

import asyncio
import random
from types import SimpleNamespace
from typing import Any

import pytest

from node.holders.hints import HolderHints
from node.overlay.records.availability_lookup import AvailabilityLookup
from node.overlay.server import OverlayServer
from protocol import records
from protocol.availability import Availability, shard_of
from protocol.identity import PeerId
from protocol.overlay.messages import Method
from protocol.records import Record
from simulations.internet.latency import UniformLatency
from simulations.residents.world import (
    Resident,
    World,
    cipher_named,
    simulated_settings,
)
from tests.node.holder_doubles import PoolDouble

RNG = random.Random(1)
MODS = [RNG.randbytes(32) for _ in range(700)]
HOUR_S = 3600.0


async def _world() -> World:
    settings = simulated_settings(cipher=cipher_named("test"))
    world = World(2, latency=UniformLatency(0.02), settings=settings)
    await world.populate(6)
    return world


def _published(resident: Resident) -> list[Record]:
    """Grows with each record that a node publishes from now on."""
    server: OverlayServer = resident.running.server
    seen: list[Record] = []
    original = server.publish

    async def publish(record: Record) -> object:
        seen.append(record)
        return await original(record)

    server.publish = publish  # type: ignore[method-assign, assignment]
    return seen


def _filters(seen: list[Record]) -> list[Availability]:
    return [record.body for record in seen if isinstance(record.body, Availability)]


async def test_a_filter_is_published_at_once_only_when_it_changed_by_much() -> None:
    world = await _world()
    resident = world.residents[0]
    presence, seen = resident.running.presence, _published(resident)
    presence.serve([(mod, True) for mod in MODS[:500]])
    await asyncio.sleep(600.0)
    assert len(_filters(seen)) == 1
    # One per cent is not more than one per cent.
    presence.serve([(mod, True) for mod in MODS[:505]])
    await asyncio.sleep(600.0)
    assert len(_filters(seen)) == 1
    # Changes add up, and what is gone counts as what came.
    presence.serve([(mod, True) for mod in MODS[1:505]])
    await asyncio.sleep(600.0)
    shards = _filters(seen)
    assert len(shards) == 2
    assert all(map(shards[1].may_have, MODS[1:505]))
    await world.close()


async def test_a_small_change_is_told_within_the_hour() -> None:
    world = await _world()
    resident = world.residents[0]
    presence, seen = resident.running.presence, _published(resident)
    presence.serve([(mod, True) for mod in MODS[:500]])
    await asyncio.sleep(600.0)
    presence.serve([(mod, True) for mod in MODS[:501]])
    await asyncio.sleep(1.1 * HOUR_S)
    first, second = _filters(seen)[:2]
    assert not first.may_have(MODS[500])
    assert second.may_have(MODS[500])
    # It has been told, so the next small change is small again.
    presence.serve([(mod, True) for mod in MODS[:506]])
    told = len(_filters(seen))
    await asyncio.sleep(60.0)
    assert len(_filters(seen)) == told
    await world.close()


async def test_a_shard_that_lost_everything_says_so_and_another_spread_is_published_whole() -> None:
    world = await _world()
    resident = world.residents[0]
    presence, seen = resident.running.presence, _published(resident)
    presence.serve([(mod, True) for mod in MODS])
    await asyncio.sleep(600.0)
    shards = {one.shard: one for one in _filters(seen)}
    assert {one.shard_bits for one in shards.values()} == {1}
    assert set(shards) == {0, 1}
    presence.serve([(mod, True) for mod in MODS[:100]])
    await asyncio.sleep(600.0)
    last = _filters(seen)[-1]
    assert (last.shard_bits, last.capacity) == (0, 160)
    presence.serve([])
    await asyncio.sleep(600.0)
    assert not any(map(_filters(seen)[-1].may_have, MODS[:100]))
    await world.close()


async def test_only_the_shard_that_could_hold_a_mod_is_read() -> None:
    world = await _world()
    holder = world.residents[0]
    asker = world.add(unreachable=True)  # so that it keeps no records of others itself
    await asker.start()
    await asker.running.joined.wait()
    holder.running.presence.serve([(mod, True) for mod in MODS])
    await asyncio.sleep(600.0)
    held, strange = MODS[7], RNG.randbytes(32)
    asked: set[bytes] = set()
    wire = asker.running.server.wire
    original = wire.request

    def request(
        contact: object,
        method: Method,
        arguments: list[object],
        *rest: object,
        **options: object,
    ) -> bytes:
        if method is Method.FIND_VALUE and arguments[1] == records.AVAILABILITY:
            assert isinstance(arguments[0], bytes)
            asked.add(arguments[0])
        return original(contact, method, arguments, *rest, **options)  # type: ignore[arg-type]

    wire.request = request  # type: ignore[method-assign]
    peers = [holder.identity.peer_id, world.residents[3].identity.peer_id]
    read: list[Record] = []
    with asker.host.running():
        filters = AvailabilityLookup(asker.running.server, read.append)
        assert await filters.held_by(held, peers) == {peers[0]: True, peers[1]: None}
        keys = {
            records.availability_key(peers[0], 1, shard_of(held, 1)),
            records.availability_key(peers[1], 0, 0),
        }
        assert asked == keys
        assert [one.peer_id for one in read] == peers[:1]
        assert (await filters.held_by(strange, peers[:1])) == {peers[0]: False}
    await world.close()


async def test_a_filter_that_is_stored_at_a_node_names_its_peer_there() -> None:
    world = await _world()
    holder, other = world.residents[:2]
    pool: Any = PoolDouble()
    with other.host.running():
        hints = HolderHints.of(other.running, pool)
    holder.running.presence.serve([(mod, True) for mod in MODS[:3]])
    await asyncio.sleep(60.0)
    assert list(hints.who_have(MODS[0])) == [holder.identity.peer_id]
    assert list(hints.who_have(MODS[5])) == []
    assert hints.round_trip_s(holder.identity.peer_id) == pytest.approx(0.02)
    assert hints.round_trip_s(PeerId(bytes(20))) is None
    pool.get = lambda _: SimpleNamespace(round_trip_s=0.5)
    assert hints.round_trip_s(holder.identity.peer_id) == 0.5, "a link's packets tell more"
    await asyncio.sleep(HOUR_S)
    holder.running.presence.serve([])
    await asyncio.sleep(600.0)
    assert list(hints.who_have(MODS[0])) == []
    await world.close()
