"""A linked peer that asks for restart after restart of its link: the link stays, and costs little.

The one asked is behind a router that counts, so an answer has a sample of the router's ports.
"""

import asyncio
import contextlib
from dataclasses import replace
from pathlib import Path

import pytest

from node.links.punching.sampling import PortSampler
from node.links.restarting import frame_calls
from node.links.restarting.restart import LinkRestart
from protocol import limits
from protocol.description import Description
from protocol.errors import ModswarmError
from protocol.overlay.contacts import Contact
from protocol.restarting.frames import RestartOffer, decode_restart_frame, encode_restart_frame
from simulations.residents.whole import WholeResident
from tests.simulations.pair_world import ROUND_TRIP_S, Talk, pair_world
from tests.simulations.test_restart import restart_of

ASKED_S = 90.0
SAMPLED_AT_FIRST_S = 5.0


def fresh_offer(attacker: WholeResident, number: int) -> Description:
    """An offer to restart the only link, unlike the ones before."""
    link, ufrag = restart_of(attacker)._link, f"again{number}"
    return replace(link.own, ufrag=ufrag, link=link.link_id, sctp_init=b"", session=b"")


async def ask(attacker: WholeResident, victim: WholeResident, number: int) -> bool:
    """One offer by registrars; whether it was answered."""
    restart, description = restart_of(attacker), fresh_offer(attacker, number)
    with contextlib.suppress(ModswarmError):
        await restart._parts.place_call(victim.identity.peer_id, lambda _: description)
        return True
    return False


@pytest.mark.parametrize("every_s", [10.0, 2.0, 0.5])
async def test_restarts_that_a_peer_asks_for_without_end_cost_those_of_the_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every_s: float
) -> None:
    sampled: list[float] = []
    sample = PortSampler.sample

    async def counted(sampler: PortSampler, contact: Contact) -> tuple[int, float] | None:
        sampled.append(asyncio.get_running_loop().time())
        return await sample(sampler, contact)

    async with pair_world(tmp_path) as town:
        attacker, victim = await town.settled("public", "sequential")
        link, theirs = await town.linked(attacker, victim)
        await asyncio.sleep(SAMPLED_AT_FIRST_S)
        talk = Talk(link, theirs)
        monkeypatch.setattr(PortSampler, "sample", counted)
        asking = []
        for number in range(round(ASKED_S / every_s)):
            asking.append(attacker.host.create_task(ask(attacker, victim, number)))
            await asyncio.sleep(every_s)
            assert await talk.goes_on() <= 2 * ROUND_TRIP_S
        answered = sum(await asyncio.gather(*asking))
        turns = limits.LINK_RESTARTS * (1 + ASKED_S // 60.0)
        assert limits.LINK_RESTARTS <= answered <= turns
        assert 0 < len(sampled) <= answered
        assert not link.closed.done()


async def test_a_hundred_offers_a_second_by_frames_cost_those_of_the_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[object] = []
    begun: list[object] = []
    describe = LinkRestart._describe

    def counted(restart: LinkRestart, *args: object) -> Description:
        begun.append(restart)
        return describe(restart, *args)  # type: ignore[arg-type]

    def decoded(data: bytes) -> object:
        read.append(data)
        return decode_restart_frame(data)

    async with pair_world(tmp_path) as town:
        attacker, victim = await town.settled("public", "sequential")
        link, theirs = await town.linked(attacker, victim)
        talk = Talk(link, theirs)
        await talk.goes_on()
        monkeypatch.setattr(LinkRestart, "_describe", counted)
        monkeypatch.setattr(frame_calls, "decode_restart_frame", decoded)
        for number in range(round(100 * ASKED_S)):
            link.send(encode_restart_frame(RestartOffer(fresh_offer(attacker, number))))
            await asyncio.sleep(0.01)
        assert await talk.goes_on() <= 2 * ROUND_TRIP_S
        turns = limits.LINK_RESTARTS * (1 + ASKED_S // 60.0)
        assert limits.LINK_RESTARTS <= len(begun) <= turns
        assert len(read) <= 3 * turns, "an offer, its answer, and an offer that met the last turn"
        assert not any(end.closed.done() for end in (link, theirs))
        assert not any(who.defects for who in (attacker, victim))
