"""What peers are worth to a whole node: friends, registrars, and who gave or was given a mod."""

import asyncio
import math
from pathlib import Path

import pytest

from node.config import Config
from node.environment import Environment
from node.runtime import Node
from protocol import limits
from protocol.identity import Identity, PeerId, peer_id_text
from simulations.internet.host import Host
from simulations.residents.world import simulated_settings
from simulations.runtime.loop import VirtualLoop
from simulations.seeds import derive_rng
from tests.simulations.mods_shared import get, share
from tests.simulations.pair_world import pair_world

FRIEND, NEWCOMER = (Identity(bytes([number]) * 32).peer_id for number in (1, 2))


def worth(node: Node, peer_id: PeerId) -> float:
    return node.pool.usefulness.worth(peer_id, asyncio.get_running_loop().time())


@pytest.mark.usefixtures("links")
async def test_the_pinned_bootstrap_is_a_friend(
    tmp_path: Path, loop: VirtualLoop, machine: Host
) -> None:
    rng = derive_rng(1, "node")
    here = Environment(loop.wall_time, rng, lambda: list(machine.addresses), None)
    pinned = f"198.51.100.7:4001/{peer_id_text(FRIEND)}"
    config = Config(bootstrap=(pinned, "198.51.100.8:4001"), listen=("198.51.100.1:4001",))
    node = Node.open(tmp_path / "home", config, here, lambda _: None, simulated_settings())
    await node.start()
    assert worth(node, FRIEND) == math.inf
    assert worth(node, NEWCOMER) == 0
    await node.stop()


async def test_registrars_of_ours_are_worth_keeping(tmp_path: Path) -> None:
    async with pair_world(tmp_path) as town:
        (person,) = await town.settled("linux")
        node = person.running_node
        registrars = node.membership.registrations.registrars
        assert registrars
        assert {worth(node, one.peer_id) for one in registrars} == {limits.REGISTRAR_WORTH}
        assert worth(node, NEWCOMER) == 0


async def test_a_mod_that_came_is_worth_its_bytes_to_both_sides(tmp_path: Path) -> None:
    async with pair_world(tmp_path) as town:
        holder, getter = town.publics[:2]
        link = await share(holder, tmp_path, derive_rng(1, "content").randbytes(300_000))
        await get(getter, link, tmp_path / "got")
        for one, peer in ((holder, getter), (getter, holder)):
            earned = worth(one.running_node, peer.identity.peer_id) % limits.REGISTRAR_WORTH
            assert earned == pytest.approx(300_000, rel=0.1)
