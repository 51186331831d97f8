"""Open links whose mappings or addresses change: ICE restarts under them, whole nodes."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from node.links.link import Link
from node.links.restarting.restart import LinkRestart
from protocol import limits
from protocol.description import Description
from protocol.errors import Busy, CallCrossed, NoSuchLink
from protocol.identity import Identity
from protocol.signaling import Offer
from simulations.internet import NatBehaviour
from simulations.residents.sites import SITES, Site
from simulations.residents.whole import WholeResident
from tests.simulations.pair_world import ROUND_TRIP_S, Talk, Town, pair_world, until

GAP_S = 1.5
TYPES = range(64, 96)
HEAD = bytes((0x92, TYPES[0])) + b"\xc5\x03\xe8"
"""A list of two, the type and a binary of 1000 bytes (MessagePack)."""

MOVING_PORTS = Site((NatBehaviour(ports=SITES["symmetric"].boxes[0].ports),))
"""A home whose box has other ports after it has lost its mappings."""


def lose_mappings(person: WholeResident) -> None:
    assert person.host.behind is not None
    person.host.behind.reboot()


def restart_of(person: WholeResident) -> LinkRestart:
    """That of the only link."""
    ((_, restart),) = person.running_node.pool._parts.restarts._links.values()
    return restart


def generations(person: WholeResident) -> Iterator[str]:
    """The ufrag of the only link's ICE, as it is whenever it is asked for."""
    ice = restart_of(person)._ice
    while True:
        yield ice._credentials.ufrag


class Stream:
    """A transfer from one end to the other; `longest_gap_s` is between two frames that arrive."""

    def __init__(self, link: Link, theirs: Link) -> None:
        self._link = link
        self._loop = asyncio.get_running_loop()
        self._heard_at = self._loop.time()
        self.longest_gap_s = 0.0
        self.frames = 0
        theirs.register(TYPES, self._arrived)

    def _arrived(self, _frame: bytes) -> None:
        now = self._loop.time()
        self.longest_gap_s = max(self.longest_gap_s, now - self._heard_at)
        self._heard_at = now
        self.frames += 1

    async def run(self, seconds: float) -> None:
        end_at = self._loop.time() + seconds
        sent = 0
        while self._loop.time() < end_at:
            self._link.send(HEAD + bytes(1000))
            sent += 1
            await asyncio.sleep(0.01)
        await until(lambda: self.frames == sent)


async def linked_homes(town: Town, *sites: Site | str) -> tuple[list[WholeResident], list[Link]]:
    people = await town.settled(*sites)
    return list(people), list(await town.linked(*people))


@pytest.mark.parametrize("loser", [0, 1])
@pytest.mark.parametrize("after_s", [5.0, 700.0])
async def test_a_peer_that_does_not_admit_the_new_mapping_is_told_of_it(
    tmp_path: Path, loser: int, after_s: float
) -> None:
    """Also when no way to the peer is known from a call of late."""
    async with pair_world(tmp_path) as town:
        sites = ["port-restricted", "port-restricted"]
        people, (link, theirs) = await linked_homes(
            town, *[MOVING_PORTS if number == loser else site for number, site in enumerate(sites)]
        )
        talk = Talk(link, theirs)
        for _ in range(int(after_s / 100)):
            await asyncio.sleep(100.0)
            await talk.goes_on()
        lose_mappings(people[loser])
        assert await talk.goes_on() <= GAP_S
        assert await talk.goes_on() < ROUND_TRIP_S


@pytest.mark.parametrize("loser", [0, 1])
@pytest.mark.parametrize("sender", [0, 1])
async def test_a_transfer_pauses_for_a_moment_and_loses_nothing(
    tmp_path: Path, loser: int, sender: int
) -> None:
    async with pair_world(tmp_path) as town:
        sites = [MOVING_PORTS if number == loser else "port-restricted" for number in range(2)]
        people, links = await linked_homes(town, *sites)
        stream = Stream(links[sender], links[1 - sender])
        transfer = asyncio.ensure_future(stream.run(10.0))
        await asyncio.sleep(3.0)
        lose_mappings(people[loser])
        await transfer
        assert ROUND_TRIP_S < stream.longest_gap_s <= GAP_S


@pytest.mark.parametrize("loser", [0, 1])
async def test_an_idle_link_is_mended_before_it_is_used_again(tmp_path: Path, loser: int) -> None:
    async with pair_world(tmp_path) as town:
        sites = [MOVING_PORTS if number == loser else "port-restricted" for number in range(2)]
        people, (link, theirs) = await linked_homes(town, *sites)
        talk = Talk(link, theirs)
        await asyncio.sleep(30.0)
        lose_mappings(people[loser])
        await asyncio.sleep(15.0)
        assert await talk.goes_on() < ROUND_TRIP_S


async def test_a_link_whose_both_mappings_are_lost_goes_on(tmp_path: Path) -> None:
    async with pair_world(tmp_path) as town:
        people, (link, theirs) = await linked_homes(town, MOVING_PORTS, MOVING_PORTS)
        talk = Talk(link, theirs)
        await talk.goes_on()
        for person in people:
            lose_mappings(person)
        assert await talk.goes_on() <= 2 * GAP_S
        assert await talk.goes_on() < ROUND_TRIP_S


@pytest.mark.parametrize("seed", [3, 8])
async def test_what_contacts_see_after_a_move_is_not_forgotten_when_the_move_is_noticed(
    tmp_path: Path, seed: int
) -> None:
    """A look at the host's addresses between answers and offer made the link go by a relay."""
    async with pair_world(tmp_path, seed=seed) as town:
        people, (link, theirs) = await linked_homes(town, "port-restricted", "port-restricted")
        talk = Talk(link, theirs)
        await talk.goes_on()
        internet = town.world.internet
        internet.move(people[0].host, behind=internet.add_nat(NatBehaviour()))
        assert await talk.goes_on() <= GAP_S
        assert link.path.way == "direct"


@pytest.mark.parametrize("mover", [0, 1])
@pytest.mark.parametrize("is_used", [True, False])
async def test_a_link_of_a_machine_that_moves_to_another_network_goes_on(
    tmp_path: Path, mover: int, is_used: bool
) -> None:
    async with pair_world(tmp_path) as town:
        people, (link, theirs) = await linked_homes(town, "port-restricted", "port-restricted")
        talk = Talk(link, theirs)
        await talk.goes_on()
        internet = town.world.internet
        internet.move(people[mover].host, behind=internet.add_nat(NatBehaviour()))
        if is_used:
            assert await talk.goes_on() <= GAP_S
        else:
            await asyncio.sleep(10.0)
        assert await talk.goes_on() < ROUND_TRIP_S
        assert not link.closed.done()


async def test_both_sides_that_restart_at_once_agree_on_one_restart(tmp_path: Path) -> None:
    async with pair_world(tmp_path) as town:
        people, (link, theirs) = await linked_homes(town, "port-restricted", "port-restricted")
        talk = Talk(link, theirs)
        ufrags = [generations(person) for person in people]
        before = [next(ufrag) for ufrag in ufrags]
        restarts = [restart_of(person) for person in people]
        for person, restart in zip(people, restarts, strict=True):
            with person.host.running():
                restart._task = restart._start(restart._restart())
        await until(lambda: all(not one._task or one._task.done() for one in restarts))
        assert [next(ufrag) for ufrag in ufrags] != before
        for restart in restarts:
            assert len(restart._turns._taken_at) <= 1
            assert restart._ice.agent.selected is not None
            assert restart._ice.agent._previous is None, "the new generation carries the link"
        assert await talk.goes_on() < ROUND_TRIP_S


async def test_an_offer_that_comes_after_the_answer_to_ours_changes_nothing(tmp_path: Path) -> None:
    """The peer gave it up when it answered; it was on its way for long."""
    async with pair_world(tmp_path) as town:
        people, (link, theirs) = await linked_homes(town, "port-restricted", "port-restricted")
        restart = restart_of(people[0])
        given_up = replace(
            restart._link.peer,
            link=restart._link.link_id,
            ufrag="givenup1",
            candidates=restart._link.peer.candidates[:1],
        )
        with people[0].host.running():
            ours = people[0].host.create_task(restart._restart())
            await until(lambda: restart._is_answered)
            with pytest.raises(CallCrossed):
                await restart.answer(given_up, b"", 0.0)
            await ours
        assert restart._ice.agent._previous is None, "the new generation carries the link"
        assert await Talk(link, theirs).goes_on() < ROUND_TRIP_S


@pytest.mark.parametrize(("mover", "gap_s", "seed"), [(0, 6.0, 1), (1, 6.0, 2), (0, 3.0, 3)])
async def test_a_transfer_goes_on_soon_after_a_time_without_any_network(
    tmp_path: Path, mover: int, gap_s: float, seed: int
) -> None:
    """Between Wi-Fi and mobile there may be none, and the first restarts fail."""
    async with pair_world(tmp_path, seed=seed) as town:
        people, links = await linked_homes(town, "port-restricted", "port-restricted")
        await asyncio.sleep(3.0)
        stream = Stream(links[1 - mover], links[mover])
        transfer = asyncio.ensure_future(stream.run(gap_s + 6.0))
        await asyncio.sleep(3.0)
        people[mover].host.unplug()
        await asyncio.sleep(gap_s)
        internet = town.world.internet
        internet.move(people[mover].host, behind=internet.add_nat(NatBehaviour()))
        people[mover].host.plug()
        before = stream.frames
        assert await until(lambda: stream.frames > before) < 3.0
        await transfer


async def test_nobody_but_the_other_side_restarts_a_link_nor_without_bound(tmp_path: Path) -> None:
    async with pair_world(tmp_path) as town:
        people, (link, theirs) = await linked_homes(town, "port-restricted", "port-restricted")
        pool, caller = people[1].running_node.pool, people[0].identity
        restart = restart_of(people[1])
        asked = replace(restart._link.peer, link=restart._link.link_id, sctp_init=b"", session=b"")

        async def answer(key: bytes, description: Description) -> Description:
            offer = Offer(key, people[1].identity.peer_id, bytes(16), 0, description, b"")
            with people[1].host.running():
                return await pool.answer(offer)

        ufrag = next(generations(people[1]))
        for key, description in (
            (Identity(b"third".ljust(32)).public_key, asked),
            (caller.public_key, replace(asked, link=bytes(16))),
            (caller.public_key, replace(asked, fingerprint=bytes(32))),
        ):
            with pytest.raises(NoSuchLink):
                await answer(key, description)
        assert next(generations(people[1])) == ufrag, "nothing began"
        first = await answer(caller.public_key, asked)
        assert await answer(caller.public_key, asked) == first, "it came once more, by another way"
        for number in range(1, limits.LINK_RESTARTS):
            fresh = replace(asked, ufrag=f"another{number}")
            assert (await answer(caller.public_key, fresh)).link == asked.link
        with pytest.raises(Busy):
            await answer(caller.public_key, replace(asked, ufrag="onemore"))
        assert await Talk(link, theirs).goes_on() < ROUND_TRIP_S, "the pair in use stays"
