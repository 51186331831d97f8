"""Worlds of real nodes: they join, crash and come back, and one seed makes one history."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from node.runtime import Node
from protocol import records
from protocol.errors import InsecureRandomness
from protocol.records import ProviderBody
from simulations.internet.boxes.behaviour import NatBehaviour
from simulations.libraries.ciphers import MarkedTestCipher, RememberedAgreements
from simulations.libraries.seams import virtual_libraries
from simulations.residents.whole import WholeResident
from simulations.residents.world import World, simulated_settings
from simulations.runtime.running import run_virtually
from tests.simulations.mods_shared import FILE, get, share

MOD = bytes(32)


async def _history(seed: int, nodes: int) -> str:
    world = World(seed)
    await world.populate(nodes)
    for resident in world.residents[:3]:
        await resident.running.server.lookup(bytes(20))
    await world.close()
    return world.internet.log.digest()


def test_one_seed_makes_one_history_and_another_seed_another() -> None:
    hashes = [run_virtually(_history(seed, 12)) for seed in (1, 1, 2, 2)]
    assert hashes[0] == hashes[1]
    assert hashes[2] == hashes[3]
    assert hashes[0] != hashes[2]


def test_a_history_does_not_depend_on_the_hash_seed() -> None:
    code = (
        "import asyncio; from tests.simulations.test_world import _history;"
        "from simulations.runtime.running import run_virtually;"
        "print(run_virtually(_history(3, 12)))"
    )
    outputs = set()
    for hash_seed in ("0", "4242"):
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": "."},
            capture_output=True,
            text=True,
            check=True,
        )
        outputs.add(done.stdout)
    assert len(outputs) == 1


async def test_every_node_of_a_small_world_knows_every_other() -> None:
    world = World(5)
    await world.populate(10)
    await asyncio.sleep(5)
    for resident in world.residents:
        assert len(resident.running.server.tables) == 9
    await world.close()


async def test_records_survive_a_crash_and_the_crashed_node_comes_back_as_itself() -> None:
    world = World(6)
    await world.populate(25)
    publisher, reader = world.residents[3], world.residents[20]
    body = ProviderBody(MOD, complete=True)
    record = publisher.running.republisher.make(records.PROVIDER, body)
    await publisher.running.server.publish(record)
    for victim in world.residents[5:12]:
        victim.crash()
    reading = await reader.running.server.read(records.provider_key(MOD), records.PROVIDER)
    assert publisher.identity.public_key in reading.records
    again = world.residents[5]
    await again.start()
    await again.running.joined.wait()
    lookup = await reader.running.server.lookup(again.identity.peer_id)
    assert lookup.closest()[0] == again.contact
    await world.close()


@pytest.mark.parametrize("share_lost", [0.0, 0.3])
async def test_a_registered_peer_stays_callable_when_registrars_die(share_lost: float) -> None:
    world = World(7)
    await world.populate(30)
    callee = world.add(unreachable=True)
    await callee.start()
    registrations = callee.running.registrations
    await registrations.registered.wait()
    first = [contact.peer_id for contact in registrations.registrars]
    assert len(first) == 6
    for resident in world.residents[:30]:
        if resident.identity.peer_id in first[: int(share_lost * 20)]:
            resident.crash()
    await asyncio.sleep(60)  # virtual: two keepalives
    now = [contact.peer_id for contact in registrations.registrars]
    running = {one.identity.peer_id for one in world.running()}
    assert len(now) == 6
    assert set(now) <= running
    await world.close()


async def test_a_mod_travels_between_whole_nodes_across_a_nat(tmp_path: Path) -> None:
    world = World(8, folder=tmp_path)
    with virtual_libraries(world.internet):
        await world.populate(8)
        sharer = world.add(WholeResident)
        box = world.internet.add_nat(NatBehaviour())
        host = world.internet.add_host(behind=box)
        getter = world.add(WholeResident, host=host, unreachable=True)
        assert isinstance(sharer, WholeResident)
        assert isinstance(getter, WholeResident)
        for one in (sharer, getter):
            await one.start()
            await one.running.joined.wait()
        link = await share(sharer, tmp_path, bytes(range(256)) * 1000)
        report, _ = await get(getter, link, tmp_path / "out")
        assert report.files == 1
        await world.close()
    assert (tmp_path / "out" / FILE).read_bytes() == bytes(range(256)) * 1000


@pytest.mark.real_loop
async def test_a_real_loop_refuses_a_simulation_s_randomness(tmp_path: Path) -> None:
    import random

    from node.config import Config
    from node.environment import Environment

    node = Node.open(
        tmp_path / "home",
        Config(listen=("127.0.0.1:0",)),
        Environment(rng=random.Random(1)),
        lambda _: None,
        simulated_settings(),
    )
    with pytest.raises(InsecureRandomness):
        await node.start()


def test_the_test_cipher_is_marked_and_the_remembered_one_is_the_real_one() -> None:
    from protocol.datagrams import XChaCha20Poly1305
    from protocol.identity import Identity

    one, other = Identity(bytes(32)), Identity(bytes(31) + b"\1")
    real, remembered = XChaCha20Poly1305(), RememberedAgreements()
    assert remembered.keys(one, other.public_key) == real.keys(one, other.public_key)
    assert remembered.keys(other, one.public_key) == real.keys(other, one.public_key)
    assert remembered.first_byte == real.first_byte != MarkedTestCipher().first_byte


def test_json_of_a_report_is_plain() -> None:
    from simulations.experiments import lookup
    from simulations.experiments.parts.lookup_legs import Parameters

    parameters = Parameters(nodes=15, lookups=5, dead=(0.0,), processes=1)
    report = lookup.run(parameters, lambda _: None)
    data = json.loads(json.dumps(report.as_json(parameters)))
    rows = data["results"]
    assert [(row["who"], row["op"]) for row in rows] == [("ours", "closest"), ("ours", "read")]
    assert all(row["success"] == 1.0 and row["recall"] == 1.0 for row in rows)
