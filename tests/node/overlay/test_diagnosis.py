"""What the node shows for debugging: near contacts, stored records, the network's size."""

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest

from node.answers.dht import ProviderBodyView
from node.diagnosis import Diagnosis, parse_kind, parse_target
from protocol import limits, records
from protocol.causes.cause import Cause
from protocol.content.link import ModLink
from protocol.errors import BadInput, BadLink, BadPeerId, Unreachable
from protocol.identity import peer_id_text
from protocol.records import ProviderBody
from simulations.internet.latency import UniformLatency
from simulations.residents.world import (
    Resident,
    World,
    cipher_named,
    simulated_settings,
)

MOD = bytes(range(32))
RTT_S = 0.05


async def _world(count: int) -> World:
    settings = simulated_settings(cipher=cipher_named("test"))
    world = World(4, latency=UniformLatency(RTT_S), settings=settings)
    await world.populate(count)
    await asyncio.sleep(30.0)
    return world


def _diagnosis(resident: Resident) -> Diagnosis:
    running = resident.running
    return Diagnosis(running.server, running.environment, running.check_joined)


def test_what_a_person_may_name() -> None:
    peer_id = bytes(range(20))
    assert parse_target(peer_id_text(peer_id)) == (peer_id, records.PEER)
    provider = records.provider_key(MOD), records.PROVIDER
    assert parse_target(str(ModLink(MOD))) == provider
    assert parse_target(peer_id.hex()) == (peer_id, records.PROVIDER)
    for text in ("", "p", "00" * 19, "00" * 21, "zz" * 20, "modswarm:x", " " * 40, "0x" * 20):
        with pytest.raises(BadInput):
            parse_target(text)
    link = str(ModLink(MOD, bytes(32)))
    for cut in (link[:-1], link[3:], link[len("modswarm:") :]):
        with pytest.raises(BadLink, match=r"^the link is cut: ") as caught:
            parse_target(cut)
        assert "aaaa" not in str(caught.value)
    for cut in (peer_id_text(peer_id)[:-2], peer_id_text(peer_id)[1:]):
        with pytest.raises(BadPeerId, match=r"^the peer id is cut: "):
            parse_target(cut)
    assert parse_kind("availability") == records.AVAILABILITY
    with pytest.raises(BadInput, match="peer, provider, availability"):
        parse_kind("pear")


async def test_a_lookup_shows_the_closest_with_round_trips_and_the_contacts_that_named_them() -> (
    None
):
    world = await _world(150)
    asker = world.residents[0]
    target = random.Random(1).randbytes(20)
    others = world.residents[1:]
    with asker.host.running():
        told = await _diagnosis(asker).lookup(target.hex(), paths=2)
    ids = [peer_id_text(one) for one in world.true_closest(target, others, limits.K)]
    shown = told.closest
    assert [peer_id_text(one.peer_id) for one in shown] == ids
    assert all(one.rtt_ms == pytest.approx(RTT_S * 1000, abs=1) for one in shown)
    known = {e.contact.peer_id for e in asker.running.server.tables.entries()}
    paths = [one.path for one in shown]
    assert any(paths), "with 150 nodes some of the nearest are not known beforehand"
    assert all(path[0] in known for path in paths if path)
    assert told.requests >= limits.K
    with pytest.raises(BadInput, match="paths"):
        await _diagnosis(asker).lookup(target.hex(), paths=9)
    await world.close()


async def test_a_read_shows_verified_records_and_the_contacts_that_keep_them() -> None:
    world = await _world(40)
    publisher = world.residents[3].running
    record = publisher.republisher.make(records.PROVIDER, ProviderBody(MOD, complete=True))
    await publisher.server.publish(record)
    await asyncio.sleep(5.0)
    told = await _diagnosis(world.residents[9]).records(str(ModLink(MOD)))
    (shown,) = told.records
    assert shown.publisher == publisher.server.identity.peer_id
    assert shown.body == ProviderBodyView(MOD, complete=True)
    assert shown.expires - shown.issued == 24 * 3600
    assert shown.bytes == len(record.raw)
    assert len(told.holders) >= 12
    nothing = await _diagnosis(world.residents[9]).records("00" * 20, "availability")
    assert (nothing.records, nothing.holders) == ((), ())
    await world.close()


async def test_a_crawl_sees_the_whole_of_a_network_and_its_silent_contacts() -> None:
    world = await _world(120)
    dead = random.Random(2).sample(world.residents[1:], 20)
    for resident in dead:
        resident.host.unplug()
    told = await _diagnosis(world.residents[0]).crawl()
    assert told.answered == 99
    assert told.silent == 20
    assert told.named == told.asked == 119
    assert told.whole is True
    assert told.versions == {2: 99}
    assert told.families == {4: 99, 6: 0}
    assert told.size_estimate in range(70, 141)
    assert told.rtt_p50_ms == pytest.approx(RTT_S * 1000, abs=1)
    await world.close()


async def test_a_crawl_stays_within_its_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    world = await _world(80)
    loop = world.loop
    told = await _diagnosis(world.residents[0]).crawl(30)
    assert (told.named, told.asked, told.whole) == (30, 30, False)
    monkeypatch.setattr(limits, "CRAWL_S", 3 * RTT_S)
    started = loop.time()
    told = await _diagnosis(world.residents[0]).crawl()
    assert told.whole is False
    assert told.answered < 79
    assert loop.time() - started < 5.0
    assert not [task for task in asyncio.all_tasks() if "visit" in task.get_name()]
    await world.close()


ASKED: list[Callable[[Diagnosis], Awaitable[object]]] = [
    lambda diagnosis: diagnosis.lookup("00" * 20),
    lambda diagnosis: diagnosis.records("00" * 20),
    lambda diagnosis: diagnosis.records(str(ModLink(MOD)), "availability"),
    lambda diagnosis: diagnosis.crawl(),
]


@pytest.mark.parametrize("ask", ASKED)
async def test_a_node_that_knows_no_other_says_so(
    ask: Callable[[Diagnosis], Awaitable[object]],
) -> None:
    world = World(4, latency=UniformLatency(RTT_S))
    resident = world.add()
    await resident.start()
    with pytest.raises(Unreachable) as caught:
        await ask(_diagnosis(resident))
    assert caught.value.cause is Cause.NO_NODE_KNOWN
    await world.close()


@pytest.mark.parametrize("ask", ASKED)
async def test_a_node_whose_contacts_are_all_silent_says_so(
    ask: Callable[[Diagnosis], Awaitable[object]],
) -> None:
    world = await _world(3)
    asker = world.residents[0]
    own = asker.running.republisher.make(records.PROVIDER, ProviderBody(MOD, complete=True))
    await asker.running.server.publish(own)
    for other in world.residents[1:]:
        other.host.unplug()
    with asker.host.running(), pytest.raises(Unreachable) as caught:
        await ask(_diagnosis(asker))
    assert caught.value.cause is Cause.NO_CONTACTS
    await world.close()
