"""A download with one good holder is hardly later for nine that stall on the way to a link."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from node.links.link import Link
from node.links.stages import Stage
from protocol.content.link import parse
from simulations.residents.whole import WholeResident
from simulations.runtime.loop import current_host
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


async def _get(person: WholeResident, link: str, target: Path) -> float:
    """The seconds that a download takes."""
    loop = person.world.loop
    started = loop.time()
    with person.host.running():
        getting = person.host.create_task(person.running_node.sharing.get(parse(link), target))
    await getting
    return loop.time() - started


async def _share(town: Town, folder: Path, holders: list[WholeResident]) -> str:
    """Let the first of these share a mod, and the others get it; the link."""
    mod = folder / "mod"
    mod.mkdir()
    (mod / "content.bin").write_bytes(town.world.loop.time().hex().encode() * (MOD_BYTES // 20))
    with holders[0].host.running():
        shared = await holders[0].running_node.sharing.share(mod)
    for holder in holders[1:]:
        await _get(holder, str(shared.link), folder / f"held by {holder.number}")
    return str(shared.link)


async def _time_of_get(folder: Path, stallers: Stallers, count: int, good_first: bool) -> float:
    async with pair_world(folder) as town:
        holders = list(await town.settled(*["public"] * (count + 1)))
        (getter,) = await town.settled("public")
        town.world.internet.carrier.tamper(stallers.sent)
        link = await _share(town, folder, holders)
        await asyncio.sleep(60.0)
        bad = holders[1:] if good_first else holders[:-1]
        for number, holder in enumerate(bad):
            stallers.stage_of[holder.host] = STALLS[number % len(STALLS)]
        seconds = await _get(getter, link, folder / "got")
        stallers.stage_of.clear()
        return seconds


@pytest.mark.parametrize("good_first", [True, False])
async def test_a_get_with_nine_stalling_holders_is_hardly_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, good_first: bool
) -> None:
    stallers = Stallers()
    monkeypatch.setattr(Link, "open", stallers.opening(Link.open))
    for name in ("alone", "among"):
        (tmp_path / name).mkdir()
    alone_s = await _time_of_get(tmp_path / "alone", stallers, 0, good_first)
    among_s = await _time_of_get(tmp_path / "among", stallers, STALLERS, good_first)
    assert among_s <= 2.0 + 1.1 * alone_s
