"""Attacks on what is saved, and on what the simulation must be able to hold: clock and chance."""

import asyncio
import json
import pickle
import random
from pathlib import Path
from typing import Any

import pytest
from kademlia.network import Server

from node.home import Home
from protocol import records
from protocol.records import ProviderBody
from tests.identities import give_identities
from tests.node.overlay.attacks.arena import (
    both,
    key_pair,
    our_server,
    our_world,
    stock_id,
    stock_server,
    stock_world,
)

# 19: a file that runs -----------------------------------------------------------------------------


class Bomb:
    """Unpickling it creates a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_19_a_saved_state_runs_code_of_its_writer(tmp_path: Path) -> None:
    stock_ran, ours_ran = tmp_path / "stock ran", tmp_path / "ours ran"
    state = tmp_path / "state"

    state.write_bytes(pickle.dumps(Bomb(stock_ran)))
    with pytest.raises(TypeError):
        asyncio.run(Server.load_state(str(state), 0))
    assert stock_ran.exists()

    home = tmp_path / "home"
    give_identities([home])
    for data in (
        pickle.dumps(Bomb(ours_ran)),
        json.dumps({"format": 1, "contacts": ["00" * 37, 5, None]}).encode(),
        b"[" * 100_000,
        b"\xff" * 1000,
    ):
        (home / "contacts.json").write_bytes(data)
        opened = Home.open(home)
        assert opened.saved_contacts() == []
        opened.close()
    assert not ours_ran.exists()


# 20: clock and chance -----------------------------------------------------------------------------


async def _stock_waits_for_a_week() -> bool:
    world = stock_world()
    _, victim = await stock_server(world)
    victim.storage[stock_id(1)] = b"v"
    await asyncio.sleep(8 * 24 * 3600.0)
    return bool(victim.storage.get(stock_id(1)) == b"v")


async def _ours_waits_for_a_week() -> bool:
    world = our_world()
    _, victim = await our_server(world)
    record = records.make(
        key_pair(1),
        records.PROVIDER,
        ProviderBody(bytes(32), complete=True),
        now=world.loop.wall_time(),
        sequence=1,
    )
    victim.storage[record.key] = record
    await asyncio.sleep(8 * 24 * 3600.0)
    return bool(victim.storage.get((record.key, records.PROVIDER)))


@both(_stock_waits_for_a_week, _ours_waits_for_a_week)
def test_20_time_is_taken_from_the_machine_past_the_loop(attack: Any, works: bool) -> None:
    assert attack() is works


async def _stock_draws_an_id() -> bool:
    drawn = []
    for _ in range(2):
        random.seed(1)
        drawn.append(Server().node.id)
    random.seed()
    # One seed of the process decides the ids of every node in it.
    return bool(drawn[0] == drawn[1])


async def _ours_draws_an_id() -> bool:
    world = our_world()
    drawn = []
    for _ in range(2):
        random.seed(1)
        resident, victim = await our_server(world)
        drawn.append((resident.identity.peer_id, victim.wire._epoch))
    random.seed()
    return drawn[0] == drawn[1]


@both(_stock_draws_an_id, _ours_draws_an_id)
def test_20_chance_is_the_process_wide_one(attack: Any, works: bool) -> None:
    assert attack() is works
