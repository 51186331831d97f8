"""A `get` of a node that no other answers: what is here is written, the rest says why not."""

from pathlib import Path

import pytest

from protocol.content.link import ModLink
from protocol.errors import Unreachable
from simulations.libraries.seams import virtual_libraries
from simulations.residents.pairs import move_in
from simulations.residents.sites import SITES
from simulations.residents.world import World


async def test_a_node_alone_writes_what_it_has_and_says_that_it_has_not_joined(
    tmp_path: Path,
) -> None:
    world = World(1, folder=tmp_path)
    with virtual_libraries(world.internet):
        person = move_in(world, SITES["public"])
        await person.start()
        mod = tmp_path / "mod"
        mod.mkdir()
        (mod / "a.txt").write_bytes(b"abc" * 1000)
        sharing = person.running_node.sharing
        with person.host.running():
            shared = await sharing.share(mod)
            started = world.loop.time()
            got = await sharing.get(shared.link, tmp_path / "out")
            assert world.loop.time() - started < 1.0
            assert (got.bytes, got.bytes_fetched, got.sources) == (3000, 0, ())
            with pytest.raises(Unreachable, match="has not joined"):
                await sharing.get(ModLink(bytes(32), bytes(32)), tmp_path / "other")
        await world.close()
