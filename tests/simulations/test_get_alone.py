"""A `get` of a node that no other answers: what is here is written, the rest is refused."""

from pathlib import Path

import pytest

from protocol import limits
from protocol.causes.cause import Cause
from protocol.content.link import ModLink
from protocol.errors import Unreachable
from protocol.identity import PeerId
from simulations.libraries.seams import virtual_libraries
from simulations.residents.pairs import move_in
from simulations.residents.sites import SITES
from simulations.residents.whole import WholeResident
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
            started = world.loop.time()
            with pytest.raises(Unreachable) as refused:
                await sharing.get(ModLink(bytes(32), bytes(32)), tmp_path / "other")
            with pytest.raises(Unreachable) as not_linked:
                await person.running_node.pool.connect(PeerId(bytes(20)))
            assert world.loop.time() - started < 0.1
            for error in (refused.value, not_linked.value):
                assert error.cause is Cause.NO_NODE_KNOWN
                assert "--bootstrap" in error.cause.advice
        await world.close()


async def test_a_node_that_finds_nobody_says_so_after_its_first_try_and_then_at_once(
    tmp_path: Path,
) -> None:
    world = World(1, folder=tmp_path)
    with virtual_libraries(world.internet):
        friend, person = move_in(world, SITES["public"]), move_in(world, SITES["public"])
        for one in (friend, person):
            await one.start()
        await person.running.joined.wait()
        await person.stop()
        await friend.stop()
        await person.start()
        with person.host.running():
            took = [await _seconds_until_refused(world, person, tmp_path / "out") for _ in "12"]
        assert 0.1 < took[0] <= limits.LATE_REPLY_S
        assert took[1] < 0.1
        await world.close()


async def _seconds_until_refused(world: World, person: WholeResident, target: Path) -> float:
    started = world.loop.time()
    with pytest.raises(Unreachable, match="has not joined"):
        await person.running_node.sharing.get(ModLink(bytes(32), bytes(32)), target)
    return world.loop.time() - started
