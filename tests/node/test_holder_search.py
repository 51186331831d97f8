"""The search for holders of a mod: what a contact sends in place of provider records is counted."""

from collections import Counter
from random import Random
from typing import Any, cast

import pytest

from node.diagnosis import Diagnosis
from node.environment import Environment
from node.holder_failures import HoldersUnreachable
from node.holder_search import HolderSearch
from node.overlay.records.reading import Reading
from node.overlay.server import OverlayServer
from protocol import records
from protocol.addresses import Address
from protocol.availability import Availability
from protocol.causes.cause import Cause
from protocol.errors import LinkFailed, NetworkError, NotFound, RemoteError, Unreachable
from protocol.identity import Identity, PeerId
from protocol.overlay.contacts import Contact
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

    def refuse(self, error: RemoteError) -> None:
        self.refused[error.name] += 1

    async def read_more(self, reading: Any, key: bytes, kind: int) -> bool:
        return False

    async def read(self, key: bytes, kind: int) -> Any:
        return Reading(records=self._found, answered=list(self.answered), hops=1, requests=1)


class Pool:
    """Opens no link, and remembers to which peers one was wanted."""

    def __init__(self) -> None:
        self.asked: list[PeerId] = []

    def get(self, peer_id: PeerId) -> None:
        return None

    async def connect(self, peer_id: PeerId) -> Any:
        self.asked.append(peer_id)
        raise LinkFailed("no")


async def search(overlay: Overlay) -> tuple[list[PeerId], NetworkError]:
    """The peers to which a link was wanted, and how the search ended."""
    pool = Pool()
    searching = HolderSearch(cast("OverlayServer", overlay), cast("Any", pool), Random(1))
    with pytest.raises(NetworkError) as ended:
        _ = [link async for link in searching.links(MOD)]
    return pool.asked, ended.value


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
