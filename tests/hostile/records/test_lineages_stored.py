"""Records of lineages at the nodes that store them: floods of self-made ones, and replayed ones.

An attacker pays 2 s of CPU a lineage, once, and may store any lineage's record. No record may be
lost for that, or replaced by an older one.
"""

from protocol import limits, records
from protocol.identity import Identity
from protocol.overlay.messages import Code, Method
from protocol.records import Record
from simulations.attacks.record_flooder import AHEAD_S, RecordFlooder
from simulations.internet.latency import UniformLatency
from simulations.residents.world import Resident, World
from simulations.seeds import derive_rng
from tests.node.overlay.village import Village, village
from tests.protocol.content.lineage.signed import signed

RTT_S = 0.05
IDENTITIES = 8
LINEAGES_EACH = 64
SMALL_STORE = limits.STORE_BYTES // 256


def _self_made(flooder: RecordFlooder) -> list[list[Record]]:
    """For each of the attacker's identities records of lineages of its own."""
    now = flooder.wall() + AHEAD_S

    def self_made(place: int, number: int) -> Record:
        seed = derive_rng(1, "lineage", place, number).randbytes(32)
        return signed(None, now, lineage=Identity(seed))

    return [
        [self_made(place, number) for number in range(LINEAGES_EACH)] for place in range(IDENTITIES)
    ]


def _held(world: World, node: Resident, key: bytes) -> list[Record]:
    return node.running.server.store.get(key, records.LINEAGE, world.loop.wall_time())


async def test_lineages_that_an_attacker_makes_push_out_nobody_elses() -> None:
    world = World(1, latency=UniformLatency(RTT_S))
    victim = world.add()
    await victim.start()
    victim.running.server.store._max_bytes = SMALL_STORE
    people = [world.add() for _ in range(4)]
    for person in people:
        await person.start()
        await person.running.joined.wait()
    first = signed(None, world.loop.wall_time())
    flooder = await RecordFlooder.at(world.internet.add_host(), world.loop.wall_time, IDENTITIES)
    stolen = [[first, *made] for made in _self_made(flooder)]
    await flooder.store_each(stolen, [victim.contact])
    assert victim.running.server.store.used_bytes > 0.9 * SMALL_STORE, "the flood came in"
    # Each stores the record that the attacker has stored already, as those who follow it do.
    for person in people[:2]:
        with person.host.running():
            await person.running.server.publish(first)
    second = signed(first, world.loop.wall_time())
    with people[2].host.running():
        published = await people[2].running.server.publish(second)
    assert published.confirmed
    assert not published.refused
    await flooder.store_each(stolen, [victim.contact])
    assert _held(world, victim, second.key) == [second]
    assert flooder.answers[Code.SEQUENCE_TOO_LOW.name.lower()] > 0
    with people[3].host.running():
        reading = await people[3].running.server.read(second.key, records.LINEAGE)
    assert list(reading.records.values()) == [second]
    assert victim.running.server.store.used_bytes <= SMALL_STORE
    await world.close()


async def _store(town: Village, key: bytes, raw: bytes, host: str) -> int:
    """The code by which the node answers a store of a peer at this host."""
    peer = await town.peer(host)
    answer = await peer.ask(Method.STORE, [key, raw], town.node.contact)
    assert answer is not None
    return answer.code


async def test_a_lineages_key_takes_its_own_records_alone_and_no_older_one() -> None:
    async with village() as town:
        now = town.world.loop.wall_time()
        older = signed(None, now)
        newest = signed(older, now)
        assert await _store(town, newest.key, newest.raw, "1.1.1.1") == Code.OK
        assert await _store(town, newest.key, newest.raw, "8.8.8.8") == Code.OK
        for host in ("1.1.1.2", "9.9.9.9"):
            code = await _store(town, older.key, older.raw, host)
            assert code == Code.SEQUENCE_TOO_LOW
        other = signed(None, now, lineage=Identity(bytes(32)))
        assert await _store(town, newest.key, other.raw, "1.1.1.3") == Code.WRONG_KEY
        forged = newest.raw[:-1] + bytes((newest.raw[-1] ^ 1,))
        assert await _store(town, newest.key, forged, "1.1.1.4") == Code.NOT_AUTHENTIC
        assert _held(town.world, town.node, newest.key) == [newest]
