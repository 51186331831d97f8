"""Whatever bytes come: every decoder gives a value or its own error, and a node lives on."""

import asyncio
import gc
import random
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from protocol import limits, records
from protocol.datagrams import DATAGRAM_BODY_BYTES
from protocol.errors import ModswarmError
from protocol.overlay import contacts
from protocol.records import ProviderBody
from scripts.fuzzing.memory import Memory
from simulations.fuzzing.corruption import Damager, DamagingCipher
from simulations.fuzzing.decoders import DECODERS, feed
from simulations.fuzzing.node import _ATTACKS, SEEDS, FuzzedNode
from simulations.internet.latency import UniformLatency
from simulations.libraries.seams import virtual_libraries
from simulations.residents.whole import WholeResident
from simulations.residents.world import World, simulated_settings
from simulations.runtime.running import run_virtually
from tests.simulations.mods_shared import FILE, get, share

VECTORS = Path(__file__).parents[1] / "vectors" / "fuzz"

repeatable = settings(deadline=None, derandomize=True, max_examples=60)


@pytest.mark.parametrize("name", DECODERS)
def test_honest_bytes_are_read(name: str) -> None:
    assert not all(isinstance(feed(name, seed), ModswarmError) for seed in DECODERS[name].seeds)


@pytest.mark.parametrize("name", DECODERS)
@repeatable
@given(data=st.binary(max_size=300), seed=st.integers(0, 2**32))
def test_any_bytes_and_damaged_ones_are_read_or_refused_by_name(
    name: str, data: bytes, seed: int
) -> None:
    feed(name, data)
    damager = Damager(seed, share=1.0)
    for honest in DECODERS[name].seeds:
        for _ in range(4):
            honest = damager.damaged(honest) or honest
            feed(name, honest)


def _kept() -> list[Path]:
    return sorted(VECTORS.rglob("*.bin"))


@pytest.mark.parametrize("path", _kept(), ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_what_once_broke_something_is_harmless(path: Path) -> None:
    name = path.parent.name.replace("_", " ")
    if name in DECODERS:
        feed(name, path.read_bytes())
        return
    fire = FuzzedNode()
    fire.feed(path.read_bytes())
    assert fire.answers()
    fire.close()


# A whole node -------------------------------------------------------------------------------------


@settings(deadline=None, derandomize=True, max_examples=15)
@given(st.integers(0, 2**32))
@example(1)
def test_a_node_under_fire_works_on_and_grows_by_nothing(seed: int) -> None:
    fire = FuzzedNode()
    damager, rng = Damager(seed, share=0.9), random.Random(seed)
    for _ in range(150):
        data = rng.choice(SEEDS)
        fire.feed(bytes((data[0], rng.randrange(256))) + damager.damaged(data[2:]))
    assert damager.count > 50
    assert fire.answers()
    fire.close()


def test_each_attack_on_the_node_reaches_it() -> None:
    fire = FuzzedNode()
    refused = fire.node.server.counters.refused
    attacks = {seed[0] % len(_ATTACKS): seed for seed in SEEDS}
    assert set(attacks) == set(range(len(_ATTACKS)))
    for number, seed in sorted(attacks.items()):
        before = sum(refused.values()), fire.node.server.counters.datagrams_received
        fire.feed(seed)
        after = sum(refused.values()), fire.node.server.counters.datagrams_received
        assert after[1] > before[1], number
    fire.close()


# Real traffic, damaged ----------------------------------------------------------------------------


@settings(deadline=None, derandomize=True, max_examples=6)
@given(st.integers(0, 2**32))
def test_nodes_that_lie_at_random_break_none(seed: int) -> None:
    damager = Damager(seed, share=0.0)
    cipher = DamagingCipher(damager, DATAGRAM_BODY_BYTES)

    async def main() -> None:
        world = World(seed, settings=simulated_settings(cipher=cipher))
        await world.populate(8)
        hidden = world.add(unreachable=True)
        await hidden.start()
        await hidden.running.registrations.registered.wait()
        damager.share = 0.3
        await _busy(world, 60)
        assert damager.count > 200
        damager.share = 0.0
        # Lies about one's own counter are forgotten when the tokens of that time have died.
        await asyncio.sleep(2 * limits.TOKEN_PERIOD_S + 120.0)
        assert await _busy(world, 8) == 8
        await world.close()

    run_virtually(main())


async def _busy(world: World, rounds: int) -> int:
    """Publish, read and call across the world; returns how many reads found their record."""
    rng = random.Random(world.seed)
    found = 0
    for number in range(rounds):
        writer, reader, callee = (rng.choice(world.residents).running for _ in range(3))
        body = ProviderBody(number.to_bytes(32), complete=True)
        record = writer.republisher.make(records.PROVIDER, body)
        await writer.server.publish(record)
        reading = await reader.server.read(record.key, records.PROVIDER)
        found += record.public_key in reading.records
        await callee.server.lookup(rng.randbytes(20))
    return found


async def test_a_mod_arrives_whole_over_a_line_that_damages_datagrams(tmp_path: Path) -> None:
    damager = Damager(5, share=0.0)
    world = World(3, latency=UniformLatency(0.02), folder=tmp_path)
    with virtual_libraries(world.internet):
        await world.populate(4)
        people = [world.add(WholeResident) for _ in range(2)]
        for one in people:
            await one.start()
            await one.running.joined.wait()
        sharer, getter = people
        assert isinstance(sharer, WholeResident)
        assert isinstance(getter, WholeResident)
        link = await share(sharer, tmp_path, random.Random(1).randbytes(400_000))
        world.internet.carrier.tamper(damager.damaged)
        damager.share = 0.06
        await get(getter, link, tmp_path / "out")
        assert damager.count > 10
        assert sharer.running_node.defects == getter.running_node.defects == []
        await world.close()
    fetched = (tmp_path / "out" / FILE).read_bytes()
    assert fetched == random.Random(1).randbytes(400_000)


def test_the_fuzzer_sees_a_defect(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = replace(DECODERS["frame"], read=lambda data: 1 // (len(data) - 3))
    monkeypatch.setitem(DECODERS, "frame", broken)
    with pytest.raises(ZeroDivisionError):
        feed("frame", b"abc")


class _Leaked:
    """What a leak keeps alive."""


def test_memory_is_flat_while_bounded_caches_fill_up() -> None:
    memory = Memory(0.0)
    for count in range(6):
        for number in range(1000):
            contacts.unpack_contacts((1000 * count + number).to_bytes(38), 4)
        memory.count()
    figures = memory.figures()
    assert figures["growth"] < 0.002
    assert figures["objects_with_caches"] > figures["objects"] + 900


def test_memory_is_not_flat_while_something_leaks() -> None:
    memory, kept = Memory(0.0), []
    leaked = len(gc.get_objects()) // 50  # growth is a share of what the process holds
    for _ in range(6):
        memory.count()
        kept += [_Leaked() for _ in range(leaked)]
    figures = memory.figures()
    assert figures["growth"] > 0.02
    assert figures["grown"][f"{__name__}._Leaked"] == 2 * leaked
