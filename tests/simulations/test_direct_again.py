"""A relayed link looks for a direct path anew, where the kinds of both routers allow one."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from node.overlay.signaling.caller import Caller
from simulations.internet.boxes.behaviour import Dependence, NatBehaviour, PortAssignment
from simulations.residents.pairs import move_in, settle
from simulations.residents.sites import SITES, Site
from tests.simulations.pair_world import Talk, pair_world

_DEPENDENT = Dependence.ADDRESS_AND_PORT_DEPENDENT
BUSY = Site(
    (
        NatBehaviour(
            mapping=_DEPENDENT,
            filtering=_DEPENDENT,
            ports=PortAssignment.SEQUENTIAL,
            foreign_per_s=40.0,
        ),
    )
)
"""A router that counts and has so much to do that a window of ports is missed now and then."""

PAIRS = 8
A_WHILE_S = 60.0


async def test_missed_predictions_are_mended(tmp_path: Path) -> None:
    async with pair_world(tmp_path) as town:
        people = await town.settled(*[BUSY] * 2 * PAIRS)
        callers = list(zip(people[::2], people[1::2], strict=True))
        both = [await town.linked(one, other) for one, other in callers]
        assert sum(link.path.way == "relayed" for link, _ in both) >= 2, "nothing to mend"
        talks = [Talk(link, theirs) for link, theirs in both]
        for _ in range(int(A_WHILE_S)):
            await asyncio.gather(*(talk.goes_on() for talk in talks))
            await asyncio.sleep(1.0)
        assert sum(link.path.way == "relayed" for link, _ in both) <= 1
        assert not any(who.defects for who in people)


@pytest.mark.parametrize(
    ("caller", "callee", "hides"),
    [
        ("port-restricted", "port-restricted", False),
        ("sequential", "symmetric", False),
        ("port-restricted", "port-restricted", True),
    ],
)
async def test_no_call_where_nothing_can_be_won(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caller: str, callee: str, hides: bool
) -> None:
    """A direct link, two routers between which none can be, a person who hides an address."""
    calls: list[object] = []
    call = Caller.call

    async def counted(self: Caller, *args: Any) -> Any:
        calls.append(args)
        return await call(self, *args)

    async with pair_world(tmp_path) as town:
        one, other = (move_in(town.world, SITES[site]) for site in (caller, callee))
        other.hides_address = hides
        await asyncio.gather(settle(one), settle(other))
        link, _ = await town.linked(one, other)
        monkeypatch.setattr(Caller, "call", counted)
        await asyncio.sleep(A_WHILE_S)
        assert not link.closed.done()
        assert calls == []
