"""A mod that is shared right after its node's start, while that joins."""

from pathlib import Path

from simulations.libraries.seams import virtual_libraries
from simulations.residents.pairs import move_in
from simulations.residents.sites import SITES
from simulations.residents.world import World


async def test_what_is_shared_while_a_node_joins_is_announced_once_it_has(tmp_path: Path) -> None:
    world = World(1, folder=tmp_path)
    with virtual_libraries(world.internet):
        friend, person = move_in(world, SITES["public"]), move_in(world, SITES["public"])
        await friend.start()
        mod = tmp_path / "mod"
        mod.mkdir()
        (mod / "a.txt").write_bytes(b"abc" * 1000)
        await person.start()
        assert not person.running.joined.is_set()
        with person.host.running():
            shared = await person.running_node.sharing.share(mod)
        assert shared.published.confirmed == shared.published.asked == 1
        assert shared.published.cause is None
        await world.close()
