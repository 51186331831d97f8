"""The search for holders of a mod: what a contact sends in place of provider records is counted."""

import asyncio
from collections import Counter
from random import Random
from types import SimpleNamespace
from typing import Any, cast

import pytest

from node.diagnosis import Diagnosis
from node.environment import Environment
from node.holder_failures import HoldersUnreachable
from node.holder_search import HolderSearch
from node.overlay.records.reading import Reading
from node.overlay.server import OverlayServer
from protocol import limits, records
from protocol.addresses import Address
from protocol.availability import Availability
from protocol.causes.cause import Cause
from protocol.errors import LinkFailed, NetworkError, NotFound, RemoteError, Unreachable
from protocol.identity import Identity, PeerId
from protocol.overlay.contacts import Contact
from protocol.places.usefulness import Usefulness
from protocol.records import Body, PeerBody, ProviderBody, Record
from tests.identities import SEEDS

MOD = bytes(range(32))
OWN = Identity(SEEDS[0])
BODIES: dict[int, Body] = {
    records.PEER: PeerBody((), 1, (1, 1), 0),
    records.AVAILABILITY: Availability(0, 0, 8, b"\0"),
    records.PROVIDER: ProviderBody(MOD, complete=True),
}


def record(number: int, kind: int) -> Record:
    return Record(kind, Identity(SEEDS[number]).public_key, 1, 0, 1, BODIES[kind], b"raw")


class Overlay:
    """Finds the given records, whatever is looked for, and counts refusals."""

    def __init__(self, *found: Record) -> None:
        self._found = {one.public_key: one for one in found}
        self.identity = OWN
        self.answered: tuple[Contact, ...] = (Contact.at(bytes(32), Address("192.0.2.1", 1)),)
        self.refused: Counter[str] = Counter()
        self.protocol = self
        self.lookup_s = 0.0

    def refuse(self, error: RemoteError) -> None:
        self.refused[error.name] += 1

    async def read_more(self, reading: Any, key: bytes, kind: int) -> bool:
        return False

    async def read(self, key: bytes, kind: int) -> Any:
        await asyncio.sleep(self.lookup_s)
        return Reading(records=self._found, answered=list(self.answered), hops=1, requests=1)


class Pool:
    """Opens no link but those that are there, and remembers to which peers one was wanted."""

    def __init__(self, *linked: PeerId) -> None:
        self._linked = {
            peer_id: SimpleNamespace(peer_id=peer_id, signaled_via=()) for peer_id in linked
        }
        self.asked: list[PeerId] = []
        self.usefulness = Usefulness()

    def get(self, peer_id: PeerId) -> Any:
        return self._linked.get(peer_id)

    def links(self) -> list[Any]:
        return list(self._linked.values())

    async def connect(self, peer_id: PeerId) -> Any:
        if peer_id in self._linked:
            return self._linked[peer_id]
        self.asked.append(peer_id)
        raise LinkFailed("no")


async def search(overlay: Overlay) -> tuple[list[PeerId], NetworkError]:
    """The peers to which a link was wanted, and how the search ended."""
    pool = Pool()
    searching = HolderSearch(cast("OverlayServer", overlay), cast("Any", pool), Random(1))
    with pytest.raises(NetworkError) as ended:
        _ = [link async for link in searching.links(MOD)]
    return pool.asked, ended.value


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
    overlay = Overlay(record(2, records.PEER), provider, record(3, records.AVAILABILITY))
    asked, _ = await search(overlay)
    assert asked == [provider.peer_id]
    assert overlay.refused == {"unexpected": 2}


async def test_records_of_another_kind_alone_are_none() -> None:
    overlay = Overlay(record(2, records.PEER))
    asked, _ = await search(overlay)
    assert asked == []
    assert overlay.refused == {"unexpected": 1}


async def test_a_hint_waits_for_no_lookup() -> None:
    overlay, hinted = Overlay(), PeerId(b"h" * 20)
    overlay.lookup_s = 5.0
    pool = Pool(hinted)
    searching = HolderSearch(cast("OverlayServer", overlay), cast("Any", pool), Random(1))
    loop = asyncio.get_running_loop()
    started = loop.time()
    found = [(link.peer_id, loop.time() - started) async for link in searching.links(MOD, [hinted])]
    assert found == [(hinted, 0.0)]
    assert loop.time() - started == 5.0


async def test_linked_peers_alone_are_no_holders() -> None:
    pool = Pool(PeerId(b"a" * 20), PeerId(b"b" * 20))
    searching = HolderSearch(cast("OverlayServer", Overlay()), cast("Any", pool), Random(1))
    found, ended = await found_before(searching, NotFound)
    assert len(found) == 2, "no record names them, and yet they are asked"
    assert ended.cause is Cause.MOD_UNKNOWN


async def test_the_most_useful_of_many_linked_peers_are_asked() -> None:
    linked = [PeerId(bytes([number]) * 20) for number in range(2 * limits.LINKED_ASKED)]
    pool = Pool(*linked)
    pool.usefulness.received(linked[-1], 1000, asyncio.get_running_loop().time())
    overlay = Overlay(record(1, records.PROVIDER))
    searching = HolderSearch(cast("OverlayServer", overlay), cast("Any", pool), Random(1))
    found, _ = await found_before(searching, HoldersUnreachable)
    assert len(found) == limits.LINKED_ASKED
    assert linked[-1] in found


async def test_one_s_own_record_is_no_holder() -> None:
    asked, error = await search(Overlay(record(0, records.PROVIDER)))
    assert (asked, error.cause) == ([], Cause.MOD_UNKNOWN)


async def test_why_nothing_is_fetched_is_told_in_one_sentence() -> None:
    overlay = Overlay(record(1, records.PROVIDER), record(2, records.PROVIDER))
    _, error = await search(overlay)
    assert isinstance(error, HoldersUnreachable)
    assert str(error) == "none of the 2 nodes that share this mod is reached: no (2 of them)"
    assert [(one.name, one.message) for one in error.failures] == [("link_failed", "no")] * 2
    _, error = await search(Overlay())
    assert (type(error), error.cause) == (NotFound, Cause.MOD_UNKNOWN)


async def test_a_node_without_contacts_does_not_say_that_nobody_shares_the_mod() -> None:
    alone = Overlay()
    alone.answered = ()
    _, error = await search(alone)
    assert (type(error), error.cause) == (Unreachable, Cause.NO_CONTACTS)


@pytest.mark.parametrize("kind", [records.PEER, records.PROVIDER, records.AVAILABILITY])
async def test_diagnosis_shows_a_record_of_any_kind(kind: int) -> None:
    overlay = Overlay(record(1, kind))
    diagnosis = Diagnosis(cast("OverlayServer", overlay), Environment())
    told = await diagnosis.records(MOD[:20].hex(), "provider")
    assert [one.publisher for one in told.records] == [record(1, kind).peer_id]
