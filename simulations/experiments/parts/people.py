"""Whole nodes with lines of homes, as people have them that come and go."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Final

from simulations.internet.lines import Access
from simulations.residents.whole import WholeResident
from simulations.residents.world import World

HOME_LINES: Final = ((5.0, 20.0), (10.0, 50.0), (20.0, 100.0), (50.0, 50.0))
"""Mbit/s up and down; people have them in equal numbers."""
_MEGABIT: Final = 1_000_000 / 8


def move_in(world: World, up: float, down: float) -> WholeResident:
    """One more whole node, not started yet, with a line of so many Mbit/s up and down."""
    access = Access(up_bytes_s=up * _MEGABIT, down_bytes_s=down * _MEGABIT)
    resident = world.add(WholeResident, host=world.internet.add_host(access=access))
    assert isinstance(resident, WholeResident)
    return resident


async def join(one: WholeResident) -> None:
    """Start its node, and wait until that has joined."""
    await one.start()
    await one.running.joined.wait()


async def whole(work: Coroutine[Any, Any, None]) -> None:
    """Do all of it, also where its caller is cancelled meanwhile: no node is half there."""
    doing = asyncio.ensure_future(work)
    try:
        await asyncio.shield(doing)
    except asyncio.CancelledError:
        await doing
        raise
