"""Two friends and no other node: the first is public, and knows the other as registered with it."""

import asyncio
from pathlib import Path

import pytest

from protocol.causes.cause import Cause
from protocol.errors import Unreachable
from protocol.identity import PeerId
from simulations.residents.pairs import move_in
from simulations.residents.sites import SITES
from simulations.residents.whole import WholeResident
from tests.simulations.pair_world import Talk, Town, pair_world


async def _two(town: Town, kind: str) -> tuple[WholeResident, WholeResident]:
    first, friend = (move_in(town.world, SITES[one]) for one in ("public", kind))
    await first.start()
    await asyncio.sleep(5.0)
    await friend.start()
    await asyncio.sleep(60.0)
    assert bool(len(first.running.server.tables)) == (kind == "public")
    return first, friend


@pytest.mark.parametrize("first_calls", [True, False])
@pytest.mark.parametrize("kind", ["port-restricted", "symmetric", "blocked", "public"])
async def test_both_link_whoever_calls(tmp_path: Path, kind: str, first_calls: bool) -> None:
    async with pair_world(tmp_path, publics=0, streams=True) as town:
        first, friend = await _two(town, kind)
        link, theirs = await town.linked(*((first, friend) if first_calls else (friend, first)))
        for end in (link, theirs):
            assert end.path.way == ("stream" if kind == "blocked" else "direct")
            assert end.path.relay is None
        await Talk(link, theirs).goes_on()


@pytest.mark.parametrize("kind", ["port-restricted", "symmetric", "blocked", "public"])
async def test_each_gets_what_the_other_shares(tmp_path: Path, kind: str) -> None:
    async with pair_world(tmp_path, publics=0, streams=True) as town:
        first, friend = await _two(town, kind)
        for sharer, getter in ((friend, first), (first, friend)):
            folder = tmp_path / f"of {sharer.host.name}"
            folder.mkdir()
            (folder / "a.txt").write_text(folder.name * 1000)
            with sharer.host.running():
                shared = await sharer.running_node.sharing.share(folder)
            with getter.host.running():
                known = await getter.running_node.sharing.peers(shared.link)
                assert [one.has for one in known] == [True]
                got = await getter.running_node.sharing.get(
                    shared.link, tmp_path / folder.name / "to"
                )
            assert got.bytes_fetched > 0


async def test_a_friend_that_is_gone_is_no_node_to_ask(tmp_path: Path) -> None:
    async with pair_world(tmp_path, publics=0, streams=True) as town:
        first, friend = await _two(town, "port-restricted")
        await friend.stop()
        with first.host.running(), pytest.raises(Unreachable) as refused:
            await first.running_node.pool.connect(PeerId(bytes(20)))
        assert refused.value.cause is Cause.NO_NODE_KNOWN


async def test_what_the_first_shares_is_found_a_day_later(tmp_path: Path) -> None:
    async with pair_world(tmp_path, publics=0, streams=True) as town:
        first, friend = await _two(town, "port-restricted")
        (tmp_path / "hats").mkdir()
        (tmp_path / "hats" / "a.txt").write_text("hats")
        with first.host.running():
            shared = await first.running_node.sharing.share(tmp_path / "hats")
        await asyncio.sleep(30 * 3600)  # records last a day
        with friend.host.running():
            got = await friend.running_node.sharing.get(shared.link, tmp_path / "to")
        assert got.bytes_fetched > 0
