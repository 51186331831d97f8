"""Fellows of a search: those that sources named, and those that came, are called between rounds."""

import asyncio
from random import Random
from types import SimpleNamespace
from typing import Any, cast

from node.content.ports import LinkPort
from node.holders.search import HolderSearch
from node.overlay.server import OverlayServer
from protocol import limits, records
from protocol.content.holders.order import Standing
from protocol.errors import NotFound
from protocol.identity import Identity, PeerId
from protocol.records import ProviderBody, Record
from tests.identities import SEEDS
from tests.node.holder_doubles import OverlayDouble, PoolDouble

MOD = bytes(range(32))
SHARER = Identity(SEEDS[1])
RECORD = Record(
    records.PROVIDER, SHARER.public_key, 1, 0, 1, ProviderBody(MOD, complete=True), b"raw"
)


def peer(number: int) -> PeerId:
    return PeerId(number.to_bytes(20))


class Pool(PoolDouble):
    """Every peer but the dead is linked with at once."""

    def __init__(self, *dead: PeerId) -> None:
        super().__init__()
        self.dead = set(dead)
        self.open = asyncio.get_running_loop().create_future()

    async def open_link(self, peer_id: PeerId) -> Any:
        """A link, or none."""
        await asyncio.sleep(0.01)
        if peer_id in self.dead:
            raise NotFound("it is off")
        return SimpleNamespace(peer_id=peer_id, signaled_via=(), closed=self.open)

    def add(self, peer_id: PeerId) -> None:
        """One that linked with this node."""
        self._links[peer_id] = SimpleNamespace(peer_id=peer_id, signaled_via=(), closed=self.open)


def searching(pool: Pool) -> tuple[HolderSearch, OverlayDouble]:
    overlay = OverlayDouble([RECORD])
    return HolderSearch(cast("OverlayServer", overlay), cast("Any", pool), Random(1)), overlay


async def one_round(search: HolderSearch) -> list[PeerId]:
    """The peers that a round links with; all of them are asked."""
    links: list[LinkPort] = [link async for link in search.links(MOD)]
    found = [PeerId(link.peer_id) for link in links]
    for peer_id in found:
        search.opened(peer_id, lambda: None)
    return found


async def test_those_that_a_source_names_are_called_and_no_record_is_read() -> None:
    search, overlay = searching(Pool())
    assert await one_round(search) == [SHARER.peer_id]
    reads = overlay.reads
    due = asyncio.ensure_future(search.until_named())
    await asyncio.sleep(0)
    assert not due.done()
    search.named(SHARER.peer_id, (peer(1), peer(2)))
    await due
    assert set(await one_round(search)) == {peer(1), peer(2)}
    assert overlay.reads == reads
    search.named(peer(1), (peer(2), SHARER.peer_id))
    assert set(await one_round(search)) == set(), "they are known"
    assert overlay.reads > reads, "and this was a search as any other"


async def test_few_are_called_however_many_are_named() -> None:
    search, _ = searching(pool := Pool())
    await one_round(search)
    for namer in range(1, 9):
        search.named(peer(namer), [peer(100 * namer + n) for n in range(limits.PEERS_NAMED)])
    await one_round(search)
    assert len(pool.called) == limits.FELLOWS_CALLED
    search.left(pool.called[-1])
    await asyncio.wait_for(search.until_named(), 1.0)
    await one_round(search)
    assert len(pool.called) == limits.FELLOWS_CALLED + 1, "the place of one that left"


async def test_names_of_the_dead_end_with_their_source_s_say() -> None:
    dead = [peer(1000 + number) for number in range(100)]
    search, _ = searching(pool := Pool(*dead))
    await one_round(search)
    for start in range(0, 100, 10):
        search.named(SHARER.peer_id, dead[start : start + 10])
        await one_round(search)
    assert len(pool.called) <= 1 + limits.NAMES_DEAD + limits.FELLOWS_CALLED_OF_ONE


async def test_a_linked_peer_that_asks_for_the_mod_is_asked_in_turn() -> None:
    search, overlay = searching(pool := Pool())
    await one_round(search)
    reads = overlay.reads
    pool.add(peer(7))
    search.came(peer(7))
    await asyncio.wait_for(search.until_named(), 1.0)
    assert await one_round(search) == [peer(7)]
    assert overlay.reads == reads
    search.came(peer(7))
    due = asyncio.ensure_future(search.until_named())
    await asyncio.sleep(1.0)
    assert not due.done(), "it is asked by now"
    due.cancel()


def test_a_named_peer_comes_before_one_of_which_only_a_record_tells() -> None:
    assert Standing.SAYS_YES < Standing.NAMED < Standing.UNKNOWN
