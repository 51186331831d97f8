"""The search for holders of a mod: what a contact sends in place of provider records is counted."""

import asyncio
from random import Random
from types import SimpleNamespace
from typing import Any, cast

import pytest

from node.diagnosis import Diagnosis
from node.environment import Environment
from node.holders.failures import HoldersUnreachable
from node.holders.hints import HolderHints
from node.holders.search import HolderSearch
from node.overlay.server import OverlayServer
from protocol import limits, records
from protocol.availability import Availability
from protocol.causes.cause import Cause
from protocol.errors import LinkFailed, NetworkError, NotFound, Unreachable
from protocol.identity import Identity, PeerId
from protocol.records import Body, PeerBody, ProviderBody, Record
from tests.identities import SEEDS
from tests.node.holder_doubles import OverlayDouble, PoolDouble

MOD = bytes(range(32))
OWN = Identity(SEEDS[0])
BODIES: dict[int, Body] = {
    records.PEER: PeerBody((), 1, (1, 1), 0),
    records.AVAILABILITY: Availability(0, 0, 8, b"\0"),
    records.PROVIDER: ProviderBody(MOD, complete=True),
}


def record(number: int, kind: int) -> Record:
    return Record(kind, Identity(SEEDS[number]).public_key, 1, 0, 1, BODIES[kind], b"raw")


class Pool(PoolDouble):
    """Opens no link but those that are there."""

    def __init__(self, *linked: PeerId) -> None:
        super().__init__()
        still_open = asyncio.get_running_loop().create_future()
        for peer_id in linked:
            self._links[peer_id] = SimpleNamespace(
                peer_id=peer_id, signaled_via=(), closed=still_open
            )

    async def open_link(self, peer_id: PeerId) -> Any:
        """It fails."""
        raise LinkFailed("no")


class Answering(PoolDouble):
    """Opens a link at once."""

    async def open_link(self, peer_id: PeerId) -> Any:
        """It stays open."""
        closed = asyncio.get_running_loop().create_future()
        return SimpleNamespace(peer_id=peer_id, signaled_via=(), closed=closed)


async def search(overlay: OverlayDouble) -> tuple[list[PeerId], NetworkError]:
    """The peers to which a link was wanted, and how the search ended."""
    pool = Pool()
    searching = HolderSearch(cast("OverlayServer", overlay), cast("Any", pool), Random(1))
    with pytest.raises(NetworkError) as ended:
        _ = [link async for link in searching.links(MOD)]
    return pool.called, ended.value


async def found_before(
    searching: HolderSearch, kind: type[NetworkError]
) -> tuple[list[bytes], NetworkError]:
    """The peers of the links that a search yields before it fails, and how."""
    links = searching.links(MOD)
    found: list[bytes] = []

    async def collect() -> None:
        async for link in links:
            peer_id = link.peer_id
            found.append(peer_id)

    with pytest.raises(kind) as ended:
        await collect()
    return found, ended.value


async def test_records_of_another_kind_are_counted_and_passed_over() -> None:
    provider = record(1, records.PROVIDER)
    overlay = OverlayDouble([record(2, records.PEER), provider, record(3, records.AVAILABILITY)])
    asked, _ = await search(overlay)
    assert asked == [provider.peer_id]
    assert overlay.refused == {"unexpected": 2}


async def test_records_of_another_kind_alone_are_none() -> None:
    overlay = OverlayDouble([record(2, records.PEER)])
    asked, _ = await search(overlay)
    assert asked == []
    assert overlay.refused == {"unexpected": 1}


async def test_a_hint_waits_for_no_lookup() -> None:
    overlay, hinted = OverlayDouble(lookup_s=5.0), PeerId(b"h" * 20)
    pool = Pool(hinted)
    searching = HolderSearch(cast("OverlayServer", overlay), cast("Any", pool), Random(1))
    loop = asyncio.get_running_loop()
    started = loop.time()
    found = [(link.peer_id, loop.time() - started) async for link in searching.links(MOD, [hinted])]
    assert found == [(hinted, 0.0)]
    assert loop.time() - started == 2 * 5.0, "a page, and the word that it was the last"


async def test_who_has_the_mod_by_a_filter_waits_for_no_lookup() -> None:
    """Nor is its word one for the mod: where it does not have it, nobody was named."""
    overlay, seen = OverlayDouble(lookup_s=5.0), PeerId(b"s" * 20)
    pool = Answering()
    hints = HolderHints(lambda mod_id: [seen] if mod_id == MOD else [])
    searching = HolderSearch(
        *(cast("OverlayServer", overlay), cast("Any", pool), Random(1)), hints=hints
    )
    loop = asyncio.get_running_loop()
    links = searching.links(MOD)
    assert (await anext(links)).peer_id == seen
    assert loop.time() == 0.0
    pool.get(seen).closed.set_result("it does not have the mod")
    searching.left(seen)
    with pytest.raises(NotFound):
        await anext(links)
    async with asyncio.timeout(60.0):
        await found_before(searching, NotFound)
    assert pool.called == [seen], "it is not called again for a filter"


async def test_linked_peers_alone_are_no_holders() -> None:
    pool = Pool(PeerId(b"a" * 20), PeerId(b"b" * 20))
    searching = HolderSearch(cast("OverlayServer", OverlayDouble()), cast("Any", pool), Random(1))
    found, ended = await found_before(searching, NotFound)
    assert len(found) == 2, "no record names them, and yet they are asked"
    assert ended.cause is Cause.MOD_UNKNOWN


async def test_the_most_useful_of_many_linked_peers_are_asked() -> None:
    linked = [PeerId(bytes([number]) * 20) for number in range(2 * limits.LINKED_ASKED)]
    pool = Pool(*linked)
    pool.usefulness.received(linked[-1], 1000, asyncio.get_running_loop().time())
    overlay = OverlayDouble([record(1, records.PROVIDER)])
    searching = HolderSearch(cast("OverlayServer", overlay), cast("Any", pool), Random(1))
    found, _ = await found_before(searching, HoldersUnreachable)
    assert len(found) == limits.LINKED_ASKED
    assert linked[-1] in found


async def test_who_brought_most_lately_is_called_first() -> None:
    numbers = range(1, len(SEEDS))
    best = Identity(SEEDS[numbers[-1]]).peer_id
    overlay, pool = OverlayDouble([record(one, records.PROVIDER) for one in numbers]), Pool()
    pool.usefulness.received(best, 1000, asyncio.get_running_loop().time())
    pool.usefulness.served(Identity(SEEDS[1]).peer_id, MOD, 1, 99_999, 0.0)
    searching = HolderSearch(cast("OverlayServer", overlay), cast("Any", pool), Random(2))
    await found_before(searching, HoldersUnreachable)
    assert pool.called[0] == best
    assert len(pool.called) == len(numbers) > 2


async def test_one_s_own_record_is_no_holder() -> None:
    asked, error = await search(OverlayDouble([record(0, records.PROVIDER)]))
    assert (asked, error.cause) == ([], Cause.MOD_UNKNOWN)


async def test_why_nothing_is_fetched_is_told_in_one_sentence() -> None:
    overlay = OverlayDouble([record(1, records.PROVIDER), record(2, records.PROVIDER)])
    _, error = await search(overlay)
    assert isinstance(error, HoldersUnreachable)
    assert (
        str(error)
        == "none of the 2 nodes that are known to share this mod is reached: no (2 of them)"
    )
    assert [(one.name, one.message) for one in error.failures] == [("link_failed", "no")] * 2
    _, error = await search(OverlayDouble())
    assert (type(error), error.cause) == (NotFound, Cause.MOD_UNKNOWN)


async def test_who_is_not_reached_before_a_record_names_it_is_told_of() -> None:
    """Its filter came by, so it was called at once, and the call failed before any lookup ended."""
    provider = record(1, records.PROVIDER)
    hints = HolderHints(lambda _: [provider.peer_id])
    overlay, pool = OverlayDouble([provider], lookup_s=5.0), Pool()
    searching = HolderSearch(
        *(cast("OverlayServer", overlay), cast("Any", pool), Random(1)), hints=hints
    )
    with pytest.raises(HoldersUnreachable, match=r"the only node .* no") as ended:
        _ = [link async for link in searching.links(MOD)]
    assert [one.peer_id for one in ended.value.failures] == [provider.peer_id]
    assert pool.called == [provider.peer_id]


async def test_where_records_name_liars_alone_a_search_ends_without_a_word() -> None:
    """Why nothing comes of them is told already, and other sources may serve."""
    provider = record(1, records.PROVIDER)
    pool = Answering()
    searching = HolderSearch(
        cast("OverlayServer", OverlayDouble([provider])), cast("Any", pool), Random(1)
    )
    assert [link.peer_id async for link in searching.links(MOD)] == [provider.peer_id]
    searching.left(provider.peer_id, for_good=True)
    assert [link async for link in searching.links(MOD)] == []
    assert pool.called == [provider.peer_id]


async def test_a_node_without_contacts_does_not_say_that_no_node_shares_the_mod() -> None:
    alone = OverlayDouble()
    alone.answered = ()
    _, error = await search(alone)
    assert (type(error), error.cause) == (Unreachable, Cause.NO_CONTACTS)


@pytest.mark.parametrize("kind", [records.PEER, records.PROVIDER, records.AVAILABILITY])
async def test_diagnosis_shows_a_record_of_any_kind(kind: int) -> None:
    overlay = OverlayDouble([record(1, kind)])

    async def joined() -> None:
        """It has."""

    diagnosis = Diagnosis(cast("OverlayServer", overlay), Environment(), joined)
    told = await diagnosis.records(MOD[:20].hex(), "provider")
    assert [one.publisher for one in told.records] == [record(1, kind).peer_id]
