"""A relayed link that has lost one of its two relays comes to have two again."""

import asyncio
import itertools
from pathlib import Path

import pytest

from node.links.link import Link
from node.links.punching.search import PortSearch
from node.links.relaying.run import RelayRun
from node.links.restarting.frame_calls import FrameCalls
from protocol import limits
from protocol.description import Description
from protocol.identity import PeerId
from protocol.places.tenure import network_of
from tests.simulations.pair_world import Talk, Town, pair_world, until
from tests.simulations.test_direct_by_frames import Transfer

OPENED_S = 6.0
MENDED_S = 3.0
NOTICED_S = limits.PATH_CHECK_IDLE_S + 26.0
"""An idle link checks the second relay with the first consent check after so long; the check fails
after 3.5 s, the other side keeps the new relay after 4 s, and may have checked the old one late."""


def relays_of(link: Link) -> list[PeerId]:
    """Those by which the link would go on, that in use first."""
    found = [path.ends.relay for path in link.paths if path.report.loss < 0.5]
    return [relay for relay in found if relay is not None]


def take_down(town: Town, relay: PeerId) -> None:
    (gone,) = [one for one in town.publics if one.identity.peer_id == relay]
    gone.host.unplug()


async def relayed_link(town: Town) -> tuple[Link, Link]:
    """A link that has chosen its two relays, as both ends see it."""
    links = await town.linked(*await town.settled("symmetric", "symmetric"))
    await asyncio.sleep(OPENED_S)
    return links


async def two_relays(links: tuple[Link, ...], gone: PeerId, limit_s: float) -> None:
    await until(
        lambda: all(
            len(relays_of(link)) == 2 and gone not in {*relays_of(link), *used_by(link)}
            for link in links
        ),
        limit_s,
    )
    assert len({frozenset(relays_of(link)) for link in links}) == 1


def used_by(link: Link) -> set[PeerId | None]:
    return {path.ends.relay for path in link.paths}


def network(town: Town, relay: PeerId) -> bytes:
    (host,) = [one.host for one in town.publics if one.identity.peer_id == relay]
    return network_of(next(iter(host.addresses)))


@pytest.mark.parametrize("lost", [0, 1], ids=["in use", "second"])
async def test_a_new_second_relay_is_found_where_one_of_two_is_gone(
    tmp_path: Path, lost: int
) -> None:
    async with pair_world(tmp_path) as town:
        people = await town.settled("symmetric", "symmetric")
        links = await town.linked(*people)
        await asyncio.sleep(OPENED_S)
        before = relays_of(links[0])
        assert len(before) == 2
        take_down(town, before[lost])
        talk = Talk(*links)
        await talk.goes_on()
        await two_relays(links, before[lost], NOTICED_S)
        kept, new = relays_of(links[0])
        assert kept == before[1 - lost]
        assert network(town, new) != network(town, kept)
        await asyncio.sleep(10.0)
        assert sum(len(one.running.relay_client) for one in people) == 4, "and no third one"
        take_down(town, kept)
        assert await talk.goes_on() < 2.0
        assert links[0].path.relay == new


@pytest.mark.parametrize("after_s", [1.0, 8.0])
async def test_an_idle_link_goes_on_whose_second_relay_and_then_its_first_one_are_gone(
    tmp_path: Path, after_s: float
) -> None:
    """It is not known yet that there is no second one any more."""
    async with pair_world(tmp_path) as town:
        links = await relayed_link(town)
        first, second = relays_of(links[0])
        take_down(town, second)
        await asyncio.sleep(after_s)
        take_down(town, first)
        assert await Talk(*links).goes_on(10.0) < MENDED_S
        assert links[0].path.relay not in {first, second}


@pytest.mark.parametrize("after_s", [1.0, 8.0])
async def test_so_does_a_transfer(tmp_path: Path, after_s: float) -> None:
    async with pair_world(tmp_path) as town:
        links = await relayed_link(town)
        first, second = relays_of(links[0])
        transfer = Transfer(*links)
        running = asyncio.ensure_future(transfer.run(20.0))
        await asyncio.sleep(1.0)
        take_down(town, second)
        await asyncio.sleep(after_s)
        transfer.stall_s = 0.0
        take_down(town, first)
        await running
        assert transfer.stall_s < MENDED_S
        assert links[0].path.relay not in {first, second}


@pytest.fixture
def searches(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """When searches by many probes began, which find nothing here."""
    began: list[float] = []

    async def fruitless(_search: PortSearch, _part: object) -> None:
        began.append(asyncio.get_running_loop().time())

    monkeypatch.setattr(PortSearch, "_run", fruitless)
    return began


async def test_no_search_of_ports_is_made_for_it(tmp_path: Path, searches: list[float]) -> None:
    async with pair_world(tmp_path) as town:
        links = await town.linked(*await town.settled("port-restricted", "symmetric"))
        await asyncio.sleep(OPENED_S)
        before = relays_of(links[0])
        assert (len(before), len(searches)) == (2, 2)
        take_down(town, before[1])
        await two_relays(links, before[1], NOTICED_S)
        assert len(searches) == 2


async def test_a_link_that_finds_no_other_relay_asks_ever_more_rarely(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None gives an allocation any more."""
    async with pair_world(tmp_path) as town:
        links = await relayed_link(town)
        kept, gone = relays_of(links[0])
        take_down(town, gone)
        offered: list[float] = []
        ask = FrameCalls.ask

        def counted(calls: FrameCalls, offer: Description) -> asyncio.Future[Description]:
            offered.append(asyncio.get_running_loop().time())
            return ask(calls, offer)

        async def refused(*_: object) -> None:
            return

        monkeypatch.setattr(FrameCalls, "ask", counted)
        monkeypatch.setattr(RelayRun, "_allocate", refused)
        await asyncio.sleep(400.0)
        pauses = [later - sooner for sooner, later in itertools.pairwise(offered)]
        assert 4 <= len(pauses) <= 7
        assert all(later > 1.5 * sooner for sooner, later in itertools.pairwise(pauses))
        assert relays_of(links[0]) == [kept]
