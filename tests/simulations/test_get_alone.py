"""A `get` of a node that no other answers: what is here is written, the rest is refused."""

from pathlib import Path

import pytest

from node.content.queue.entry import DownloadRequest
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
from tests.simulations.reachability_town import until


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
            known = await sharing.targets.state_of(tmp_path / "out")
            assert known is not None
            assert (known.mod_id, known.pending, known.is_there) == (shared.mod_id, False, True)
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


async def test_a_download_in_the_queue_begins_once_its_node_has_joined(tmp_path: Path) -> None:
    """The friend that it joins through comes back just after the download was tried in vain."""
    world = World(1, folder=tmp_path)
    mod = tmp_path / "mod"
    mod.mkdir()
    (mod / "a.txt").write_bytes(b"abc" * 1000)
    with virtual_libraries(world.internet):
        friend, person = move_in(world, SITES["public"]), move_in(world, SITES["public"])
        for one in (friend, person):
            await one.start()
        await person.running.joined.wait()
        with friend.host.running():
            shared = await friend.running_node.sharing.share(mod)
        for one in (person, friend):
            await one.stop()
        await person.start()
        with person.host.running():
            downloads = person.running_node.downloads
            downloads.add(DownloadRequest(shared.link, tmp_path / "out"))
        await until(lambda: downloads.view().downloads[0].retry_s is not None, 30.0)
        await friend.start()
        await person.running.joined.wait()
        joined_at = world.loop.time()
        await until((tmp_path / "out" / "a.txt").exists, 30.0)
        assert world.loop.time() - joined_at < 5.0
        await world.close()


async def _seconds_until_refused(world: World, person: WholeResident, target: Path) -> float:
    started = world.loop.time()
    with pytest.raises(Unreachable, match="has not joined"):
        await person.running_node.sharing.get(ModLink(bytes(32), bytes(32)), target)
    return world.loop.time() - started
