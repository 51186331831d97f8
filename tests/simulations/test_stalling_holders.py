"""A download with one good holder is hardly later for nine that stall on the way to a link."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from node.links.link import Link
from node.links.stages import Stage
from protocol.content.link import ModLink
from simulations.residents.whole import WholeResident
from simulations.runtime.sleeping import current_host
from tests.simulations.mods_shared import get, share
from tests.simulations.pair_world import Town, pair_world

STALLERS = 9
MOD_BYTES = 200_000
STALLS = (Stage.DTLS, Stage.SCTP, Stage.SESSION)
"""The stage at which nothing more comes of a staller."""
_DTLS_FIRST_BYTES = range(20, 64)
_DTLS_APPLICATION_DATA = 23


class Stallers:
    """Machines whose nodes go no further than to a stage; empty until they are told to stall."""

    def __init__(self) -> None:
        self.stage_of: dict[object, Stage] = {}

    def sent(self, data: bytes) -> bytes | None:
        """What a machine sends in place of a datagram: nothing that leads past its stage."""
        stage = self.stage_of.get(current_host.get())
        first = data[0] if data else 0
        if stage is Stage.DTLS and first in _DTLS_FIRST_BYTES:
            return None
        if stage is Stage.SCTP and first == _DTLS_APPLICATION_DATA:
            return None
        return data

    def opening(self, original: Callable[[Link], object]) -> Callable[[Link], object]:
        """A session that is never opened on machines that stall there."""

        async def open_or_stall(link: Link) -> None:
            if self.stage_of.get(current_host.get()) is Stage.SESSION:
                await asyncio.Event().wait()
            await original(link)  # type: ignore[misc]

        return open_or_stall


async def _held(town: Town, folder: Path, holders: list[WholeResident]) -> ModLink:
    """Let the first of these share a mod, and the others get it; the link."""
    data = town.world.loop.time().hex().encode() * (MOD_BYTES // 20)
    link = await share(holders[0], folder, data)
    for holder in holders[1:]:
        await get(holder, link, folder / f"held by {holder.number}")
    return link


async def _time_of_get(folder: Path, stallers: Stallers, count: int, good_first: bool) -> float:
    async with pair_world(folder) as town:
        holders = list(await town.settled(*["public"] * (count + 1)))
        (getter,) = await town.settled("public")
        town.world.internet.carrier.tamper(stallers.sent)
        link = await _held(town, folder, holders)
        await asyncio.sleep(60.0)
        bad = holders[1:] if good_first else holders[:-1]
        for number, holder in enumerate(bad):
            stallers.stage_of[holder.host] = STALLS[number % len(STALLS)]
        _, seconds = await get(getter, link, folder / "got")
        stallers.stage_of.clear()
        return seconds


@pytest.mark.parametrize("good_first", [True, False])
async def test_a_get_with_nine_stalling_holders_is_hardly_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, good_first: bool
) -> None:
    stallers = Stallers()
    monkeypatch.setattr(Link, "open", stallers.opening(Link.open))
    alone_s = await _time_of_get(tmp_path / "alone", stallers, 0, good_first)
    among_s = await _time_of_get(tmp_path / "among", stallers, STALLERS, good_first)
    assert among_s <= 2.0 + 1.1 * alone_s
