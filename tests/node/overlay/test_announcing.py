"""A mod is announced by all that others ask for: its record, its filter, and the peer record."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from node.overlay.records.publishing import Published
from protocol import availability, limits, records
from protocol.availability import Availability
from protocol.records import ProviderBody, Record
from simulations.internet.latency import UniformLatency
from simulations.residents.world import Resident, World

RTT_S = 0.1
PUBLISHED_S = 10 * RTT_S
MOD = bytes(32)
MANY = [bytes([number]) + bytes(31) for number in range(1, 151)]
"""So many that a filter with one more differs by less than SHARD_CHANGE."""


class Town:
    """A publisher, and a friend who stores its records; `sent` has those that were published."""

    def __init__(self) -> None:
        self.world = World(1, latency=UniformLatency(RTT_S))
        self.friend, self.publisher = self.world.add(), self.world.add()
        self.sent: list[Record] = []

    async def start(self) -> None:
        await self.friend.start()
        await self.publisher.start()
        self.watch(self.publisher)
        await self.publisher.running.joined.wait()

    def watch(self, resident: Resident) -> None:
        real = resident.running.server.publish

        async def publish(record: Record) -> Published:
            self.sent.append(record)
            return await real(record)

        resident.running.server.publish = publish  # type: ignore[method-assign]

    async def serve(self, *mods: bytes) -> None:
        """Serve these mods besides those of before, and wait until that is published."""
        self.add(*mods)
        await asyncio.sleep(PUBLISHED_S * (len(mods) + 3))
        self.sent.clear()

    def add(self, *mods: bytes) -> None:
        presence = self.publisher.running.presence
        known = [mod for mod in [MOD, *MANY] if presence.serves(mod)]
        presence.serve([(mod, True) for mod in [*known, *mods]])

    def told(self, key: bytes, kind: int) -> Record | None:
        """What the friend stores of the publisher under a key."""
        held = self.friend.running.server.store.get(key, kind, self.world.loop.wall_time())
        own = [one for one in held if one.public_key == self.publisher.identity.public_key]
        return own[0] if own else None

    def tells_of(self, mod: bytes) -> list[bool]:
        """Whether the friend stores the peer record, and finds a mod in the others."""
        peer_id = self.publisher.identity.peer_id
        shard = self.told(records.availability_key(peer_id, 0, 0), records.AVAILABILITY)
        held = shard.body if shard is not None else None
        return [
            self.told(records.peer_key(peer_id), records.PEER) is not None,
            self.told(records.provider_key(mod), records.PROVIDER) is not None,
            isinstance(held, Availability) and held.may_have(mod),
        ]


@asynccontextmanager
async def _town() -> AsyncIterator[Town]:
    town = Town()
    await town.start()
    yield town
    await town.world.close()


def _kinds(sent: list[Record]) -> list[int]:
    return sorted(record.kind for record in sent)


ALL_KINDS = sorted([records.PEER, records.PROVIDER, records.AVAILABILITY])


async def test_what_was_announced_is_found_at_once_and_was_sent_once() -> None:
    async with _town() as town:
        town.add(MOD)
        await town.publisher.running.presence.announce(MOD)
        assert town.tells_of(MOD) == [True, True, True]
        await asyncio.sleep(PUBLISHED_S)
        assert _kinds(town.sent) == ALL_KINDS


async def test_the_records_of_a_mod_are_published_side_by_side() -> None:
    async with _town() as town:
        await town.serve()
        town.add(MOD)
        started = town.world.loop.time()
        await town.publisher.running.presence.announce(MOD)
        took_s = town.world.loop.time() - started
        assert took_s < 3 * RTT_S, "as long as one: a lookup and a store"
        assert town.tells_of(MOD) == [True, True, True]


async def test_what_is_being_published_is_waited_for_and_not_sent_again() -> None:
    async with _town() as town:
        await town.serve()
        town.add(MOD)
        await asyncio.sleep(RTT_S / 2)
        both = sorted([records.PROVIDER, records.AVAILABILITY])
        assert _kinds(town.sent) == both, "the republisher is at it"
        published = await town.publisher.running.presence.announce(MOD)
        assert published == Published(1, 1)
        assert town.tells_of(MOD) == [True, True, True]
        await asyncio.sleep(PUBLISHED_S)
        assert _kinds(town.sent) == both


async def test_records_that_are_due_are_published_so_many_at_once() -> None:
    async with _town() as town:
        await town.serve()
        town.add(*MANY[:20])
        await asyncio.sleep(RTT_S / 2)
        assert len(town.sent) == limits.RECORDS_PUBLISHED_AT_ONCE
        await asyncio.sleep(20 / limits.RECORDS_PUBLISHED_AT_ONCE * 3 * RTT_S)
        assert all(town.tells_of(one) == [True, True, True] for one in MANY[:20])


async def test_a_filter_that_hardly_changed_is_published_for_the_mod_that_is_announced() -> None:
    async with _town() as town:
        await town.serve(*MANY)
        town.add(MOD)
        await asyncio.sleep(PUBLISHED_S)
        assert town.tells_of(MOD) == [True, True, False], "so it waits for its hour"
        await town.publisher.running.presence.announce(MOD)
        assert town.tells_of(MOD) == [True, True, True]
        town.sent.clear()
        await town.publisher.running.presence.announce(MOD)
        assert _kinds(town.sent) == [records.PROVIDER], "the filter has it already"


async def test_a_mod_that_comes_while_its_filter_is_published_is_in_the_next_one() -> None:
    async with _town() as town:
        await town.serve(*MANY[:-1])
        await town.serve(MANY[-1])
        announcing = asyncio.ensure_future(town.publisher.running.presence.announce(MANY[-1]))
        await asyncio.sleep(RTT_S / 2)
        assert records.AVAILABILITY in _kinds(town.sent)
        town.add(MOD)
        await town.publisher.running.presence.announce(MOD)
        assert town.tells_of(MOD) == [True, True, True]
        await announcing


async def test_a_busy_republisher_holds_up_no_announcement() -> None:
    async with _town() as town:
        await town.serve()
        town.add(*MANY)
        await asyncio.sleep(PUBLISHED_S)
        town.publisher.running.presence.publish_peer()
        town.sent.clear()
        await town.publisher.running.presence.announce(MANY[-1])
        assert town.tells_of(MANY[-1]) == [True, True, True]
        assert records.PEER in _kinds(town.sent), "what it says has changed"
        assert town.told(records.provider_key(MANY[-2]), records.PROVIDER) is None


async def test_mods_that_are_announced_at_once_are_sent_once() -> None:
    async with _town() as town:
        await town.serve()
        town.add(MOD)
        announce = town.publisher.running.presence.announce
        told = await asyncio.gather(announce(MOD), announce(MOD))
        assert list(told) == 2 * [Published(1, 1)]
        assert town.tells_of(MOD) == [True, True, True]
        await asyncio.sleep(PUBLISHED_S)
        assert _kinds(town.sent) == sorted([records.PROVIDER, records.AVAILABILITY])


async def test_what_a_command_began_to_publish_is_published_though_it_is_taken_back() -> None:
    async with _town() as town:
        await town.serve(MOD)
        announce = town.publisher.running.presence.announce
        announcing, waiting = (asyncio.ensure_future(announce(MOD)) for _ in range(2))
        await asyncio.sleep(RTT_S / 2)
        announcing.cancel()
        assert await waiting == Published(1, 1)
        assert _kinds(town.sent) == 2 * [records.PROVIDER], "it was begun anew"
        town.sent.clear()
        announcing = asyncio.ensure_future(announce(MOD))
        await asyncio.sleep(RTT_S / 2)
        announcing.cancel()
        await asyncio.sleep(PUBLISHED_S)
        assert _kinds(town.sent) == 2 * [records.PROVIDER]


async def test_what_is_withdrawn_while_it_is_announced_is_stored_nowhere() -> None:
    async with _town() as town:
        await town.serve(MOD)
        presence = town.publisher.running.presence
        announcing = asyncio.ensure_future(presence.announce(MOD))
        await asyncio.sleep(0)
        presence.serve([])
        assert await announcing == Published(0, 0)
        assert records.PROVIDER not in _kinds(town.sent)


async def test_what_was_withdrawn_before_its_turn_is_not_published() -> None:
    async with _town() as town:
        await town.serve()
        town.add(*MANY[:9])
        await asyncio.sleep(RTT_S / 2)
        first = MANY[: limits.RECORDS_PUBLISHED_AT_ONCE]
        town.publisher.running.presence.serve([(one, True) for one in first])
        await asyncio.sleep(PUBLISHED_S)
        told = {one.body.mod_id for one in town.sent if isinstance(one.body, ProviderBody)}
        assert told == set(first)
        assert availability.shard_bits_for(MANY) == 0, "or these tests look at the wrong filter"
