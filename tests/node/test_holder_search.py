"""The search for holders of a mod: what a contact sends in place of provider records is counted."""

from collections import Counter
from types import SimpleNamespace
from typing import Any, cast

import pytest

from node.diagnosis import Diagnosis
from node.environment import Environment
from node.holder_search import HolderSearch
from node.overlay.server import OverlayServer
from protocol import records
from protocol.availability import Availability
from protocol.errors import LinkFailed, NoSources, NotFound, RemoteError
from protocol.identity import Identity, PeerId
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
        self.refused: Counter[str] = Counter()
        self.protocol = self

    def refuse(self, error: RemoteError) -> None:
        self.refused[error.name] += 1

    async def read(self, key: bytes, kind: int) -> Any:
        reading = {"records": self._found, "hops": 1, "requests": 1}
        return SimpleNamespace(**reading, holders=[], registrars=[])


class Pool:
    """Opens no link, and remembers to which peers one was wanted."""

    def __init__(self) -> None:
        self.asked: list[PeerId] = []

    async def connect(self, peer_id: PeerId) -> Any:
        self.asked.append(peer_id)
        raise LinkFailed("no")


async def search(overlay: Overlay) -> list[PeerId]:
    pool = Pool()
    searching = HolderSearch(cast("OverlayServer", overlay), cast("Any", pool))
    with pytest.raises((NoSources, NotFound)):
        _ = [link async for link in searching.links(MOD)]
    return pool.asked


async def test_records_of_another_kind_are_counted_and_passed_over() -> None:
    provider = record(1, records.PROVIDER)
    overlay = Overlay(record(2, records.PEER), provider, record(3, records.AVAILABILITY))
    assert await search(overlay) == [provider.peer_id]
    assert overlay.refused == {"unexpected": 2}


async def test_records_of_another_kind_alone_are_none() -> None:
    overlay = Overlay(record(2, records.PEER))
    assert await search(overlay) == []
    assert overlay.refused == {"unexpected": 1}


async def test_one_s_own_record_is_no_holder() -> None:
    assert await search(Overlay(record(0, records.PROVIDER))) == []


@pytest.mark.parametrize("kind", [records.PEER, records.PROVIDER, records.AVAILABILITY])
async def test_diagnosis_shows_a_record_of_any_kind(kind: int) -> None:
    overlay = Overlay(record(1, kind))
    diagnosis = Diagnosis(cast("OverlayServer", overlay), Environment())
    told = await diagnosis.records(MOD[:20].hex(), "provider")
    assert [one.publisher for one in told.records] == [record(1, kind).peer_id]
