"""What open links tell of their paths, whole nodes in virtual time."""

import asyncio
from pathlib import Path

import pytest

from protocol.ice.paths.report import PathReason
from protocol.ice.paths.selector import PathClass
from tests.simulations.pair_world import ROUND_TRIP_S, pair_world
from tests.simulations.test_direct_by_frames import EVERY_S, Transfer

RATE = 1000 / EVERY_S


async def test_a_relayed_link_tells_both_relays_and_the_rate_of_the_one_in_use(
    tmp_path: Path,
) -> None:
    async with pair_world(tmp_path) as town:
        people = await town.settled("symmetric", "symmetric")
        links = await town.linked(*people)
        await asyncio.sleep(6.0)
        transfer = Transfer(*links)
        running = asyncio.ensure_future(transfer.run(10.0))
        await asyncio.sleep(8.0)
        relays = []
        for link in links:
            in_use, other = link.paths
            assert in_use.ends == link.path
            assert (in_use.report.selected, other.report.selected) == (True, False)
            assert in_use.report.path_class is other.report.path_class is PathClass.RELAYED
            assert in_use.report.round_trip_s == pytest.approx(2 * ROUND_TRIP_S, rel=0.2)
            assert in_use.report.rate == pytest.approx(RATE, rel=0.1)
            assert (other.report.rate, other.report.loss) == (None, 0.0)
            assert {in_use.report.reason, other.report.reason} <= {
                *(PathReason.ROUND_TRIP, PathReason.IN_USE, PathReason.PEER)
            }
            assert other.ends.local == other.ends.remote, "that of the relay"
            relays.append((in_use.ends.relay, other.ends.relay))
        assert relays[0] == relays[1]
        assert len(set(relays[0])) == 2
        assert set(relays[0]) <= {public.identity.peer_id for public in town.publics}
        await running
        await asyncio.sleep(2.0)
        assert [path.report.rate for link in links for path in link.paths] == 4 * [None]


async def test_a_link_with_one_path_says_so_and_one_that_has_ended_has_none(
    tmp_path: Path,
) -> None:
    async with pair_world(tmp_path) as town:
        link, theirs = await town.linked(*await town.settled("public", "public"))
        for one in (link, theirs):
            (path,) = one.paths
            assert (path.ends, path.report.reason) == (one.path, PathReason.ONLY)
            assert path.report.path_class is PathClass.DIRECT
        await link.close()
        assert link.paths == ()
