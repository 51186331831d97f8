"""A linked peer that asks for restart after restart of its link: the link stays, and costs little.

The one asked is behind a router that counts, so an answer has a sample of the router's ports.
"""

import asyncio
import contextlib
from dataclasses import replace
from pathlib import Path

import pytest

from node.links.punching.sampling import PortSampler
from protocol import limits
from protocol.errors import ModswarmError
from protocol.overlay.contacts import Contact
from simulations.residents.whole import WholeResident
from tests.simulations.pair_world import ROUND_TRIP_S, Talk, pair_world
from tests.simulations.test_restart import restart_of

ASKED_S = 90.0
SAMPLED_AT_FIRST_S = 5.0


async def ask(attacker: WholeResident, victim: WholeResident) -> bool:
    """One offer to restart the only link, by registrars; whether it was answered."""
    restart = restart_of(attacker)
    description = replace(restart._link.own, link=restart._link.link_id, sctp_init=b"", session=b"")
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
        for _ in range(round(ASKED_S / every_s)):
            asking.append(attacker.host.create_task(ask(attacker, victim)))
            await asyncio.sleep(every_s)
            assert await talk.goes_on() <= 2 * ROUND_TRIP_S
        answered = sum(await asyncio.gather(*asking))
        turns = limits.LINK_RESTARTS * (1 + ASKED_S // 60.0)
        assert limits.LINK_RESTARTS <= answered <= turns
        assert 0 < len(sampled) <= answered
        assert not link.closed.done()
