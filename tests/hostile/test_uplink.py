"""Whole nodes: the way out of a holder's line, while many identities fetch from it without an end.

Who may hold it: four links at once, of a public network two while another wants to. For how long:
0.1 s while others wait. How it is won back: networks take turns, then their peers, and what a peer
has had comes after all that others have not had.
"""

import asyncio
import contextlib
from pathlib import Path

import pytest

from protocol.content import frames
from protocol.errors import LinkClosed, ModswarmError
from simulations.internet.lines import Access
from simulations.residents.pairs import settle
from simulations.residents.whole import WholeResident
from simulations.seeds import derive_rng
from tests.hostile.told import RecordProperty
from tests.simulations.mods_shared import get, share
from tests.simulations.pair_world import Town, pair_world

UP_BYTES_S = 2.5e6
LINE = Access(up_bytes_s=UP_BYTES_S, down_bytes_s=6e6)
CONTENT = derive_rng(1, "content").randbytes(4_000_000)
MEASURE_S = 3.0
ATTACKERS = 10
LATER_S = 0.5


async def drink(
    attacker: WholeResident, holder: WholeResident, mod_id: bytes, chunks: tuple[int, ...]
) -> None:
    """Ask for the same chunks again and again, ahead of what comes."""
    while True:
        with contextlib.suppress(ModswarmError, LinkClosed):
            node = attacker.running_node
            link = await node.pool.connect(holder.identity.peer_id)
            node.sharing._exchanges.attach(link)._answered = lambda *_: None  # type: ignore[method-assign]
            link.send(frames.encode_frame(frames.Open(7, mod_id)))
            wish = frames.encode_frame(frames.GetChunks(7, chunks))
            before = link.bytes_received
            link.send(wish)
            await asyncio.sleep(MEASURE_S)
            size = max(link.bytes_received - before, 1)
            asked = link.bytes_received
            while not link.closed.done():
                if asked - link.bytes_received < size:  # no more than comes, or the link ends
                    asked += size
                    link.send(wish)
                await asyncio.sleep(0.05)
        await asyncio.sleep(1.0)


async def resident(town: Town, access: Access | None = None, address: str = "") -> WholeResident:
    addresses = [address] if address else None
    host = town.world.internet.add_host(addresses=addresses, access=access)
    made = town.world.add(WholeResident, host=host)
    assert isinstance(made, WholeResident)
    await settle(made)
    return made


@pytest.mark.parametrize("one_network", [False, True])
async def test_a_get_beside_endless_downloaders(
    tmp_path: Path, one_network: bool, record_property: RecordProperty
) -> None:
    async with pair_world(tmp_path, publics=8) as town:
        holder = await resident(town, LINE)
        link = await share(holder, tmp_path, CONTENT)
        first = await resident(town)
        _, alone_s = await get(first, link, tmp_path / "alone")
        record_property("alone_s", alone_s)
        await first.stop()
        places = [f"81.2.69.{number + 1}" if one_network else "" for number in range(ATTACKERS)]
        attackers = [await resident(town, address=place) for place in places]
        person = await resident(town)
        mod_id = link.mod_id
        drinking = [one.host.create_task(drink(one, holder, mod_id, (0,) * 4)) for one in attackers]
        await asyncio.sleep(MEASURE_S + 4.0)
        links = holder.running_node.pool.links()
        sent = sum(one.bytes_sent for one in links)
        assert sent > UP_BYTES_S  # nothing else waits, so they are served
        _, seconds = await get(person, link, tmp_path / "got")
        for task in drinking:
            task.cancel()
        await asyncio.gather(*drinking, return_exceptions=True)
        record_property("attacked_s", seconds)
        record_property("attackers", ATTACKERS)
        assert seconds <= 1.25 * alone_s + LATER_S
