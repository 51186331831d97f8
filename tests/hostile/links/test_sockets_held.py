"""Callers that make a node open sockets for a port search and then never probe: it opens no more.

Who may hold them: the peer whose turn it is, 384 for 7 s. A call takes one more for 0.3 s, to
sample the router's ports, and each link that a search made keeps one.
"""

import asyncio
from pathlib import Path

from protocol import limits
from simulations.residents.whole import WholeResident
from tests.hostile.links.test_search_turns_held import (
    HOSTILE,
    SEARCH_S,
    Hostile,
    attacked,
    direct_s,
    hostile,
)
from tests.hostile.told import RecordProperty
from tests.simulations.pair_world import pair_world

__all__ = ["hostile"]

LOOK_S = 0.05
FEW = 2
"""The one that is bound, and one for dial-backs."""


async def look(victim: WholeResident, seen: list[int]) -> None:
    while True:
        seen.append(len(victim.host.sockets))
        await asyncio.sleep(LOOK_S)


async def test_callers_that_never_probe_make_a_node_open_the_sockets_of_one_search(
    tmp_path: Path, hostile: Hostile, record_property: RecordProperty
) -> None:
    async with pair_world(tmp_path, seed=2) as town:
        victim, honest = await attacked(town, hostile, "symmetric", "port-restricted", networks=1)
        record_property("attackers", HOSTILE)
        seen: list[int] = []
        looking = asyncio.create_task(look(victim, seen))
        took_s = await direct_s(town, honest, victim)
        record_property("attacked_s", took_s)
        assert took_s <= limits.BIRTHDAY_PAUSE_S + SEARCH_S
        await asyncio.sleep(2 * limits.BIRTHDAY_PAUSE_S)
        looking.cancel()
        assert max(seen) > limits.BIRTHDAY_SOCKETS
        assert max(seen) <= limits.BIRTHDAY_SOCKETS + FEW + 2, "a call's, and the honest link's"
        assert min(seen[-100:]) <= FEW + 1
