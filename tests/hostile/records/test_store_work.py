"""What a request to the store costs: a full key or a full store is not sorted for each.

Counted are the orders that are made and the distances that are looked at, as these were once 512
and 1024 for each request, also for one that was refused before.
"""

import random

import pytest

from protocol import limits, records
from protocol.errors import KeyFull, RemoteError
from protocol.identity import Identity
from protocol.overlay.store.record_store import RecordStore
from protocol.overlay.store.storer import Storer
from protocol.overlay.store.values import TurnOrder
from protocol.records import PROVIDER, ProviderBody, Record

NOW = 1000.0
ASKED = 50
RNG = random.Random(1)


def record_of(mod_id: bytes, identity: Identity | None = None, sequence: int = 1) -> Record:
    identity = identity or Identity(RNG.randbytes(32))
    body = ProviderBody(mod_id, complete=True)
    return records.make(identity, PROVIDER, body, now=NOW, sequence=sequence)


def store_of(max_bytes: int = limits.STORE_BYTES) -> RecordStore:
    return RecordStore(secret=b"s", own_number=7, radius=lambda: 0, max_bytes=max_bytes)


class Made:
    """How often something is called from now on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, owner: type, name: str) -> None:
        self.count = 0
        original = getattr(owner, name)

        def counting(*args: object) -> object:
            self.count += 1
            return original(*args)

        monkeypatch.setattr(owner, name, counting)


def test_a_full_key_is_not_sorted_for_each_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """A value that is refused, stored again and again; and one that is refreshed and read."""
    store, mod_id = store_of(), RNG.randbytes(32)
    for number in range(limits.STORE_VALUES_PER_KEY):
        held = record_of(mod_id)
        host = f"{11 + number // 256}.{number % 256}.1.1"
        store.put(held, Storer.at(held.peer_id, host), NOW)
    own = Identity(RNG.randbytes(32))
    refused: Record | None = None
    while refused is None:
        candidate = record_of(mod_id)
        try:
            store.put(candidate, Storer.at(candidate.peer_id, "11.1.1.1"), NOW)
        except KeyFull:
            refused = candidate
    made = Made(monkeypatch, TurnOrder, "__init__")
    for _ in range(ASKED):
        with pytest.raises(KeyFull):
            store.put(refused, Storer.at(refused.peer_id, "11.1.1.1"), NOW)
    own_storer = Storer.at(own.peer_id, "99.1.1.1")
    for sequence in range(ASKED):
        store.put(record_of(mod_id, own, sequence + 1), own_storer, NOW)
        assert len(store.get(refused.key, PROVIDER, NOW)) == limits.STORE_VALUES_PER_KEY
    assert made.count == 0


def test_a_full_store_is_not_searched_for_each_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """A record that is refused because its storer has nothing farther, stored again and again."""
    store, publisher = store_of(limits.STORE_VALUES_PER_PEER * 500), Identity(RNG.randbytes(32))
    storer = Storer.at(publisher.peer_id, "11.1.1.1")
    refused, names = record_of(bytes(32), publisher), []
    for _ in range(limits.STORE_VALUES_PER_PEER):
        record = record_of(RNG.randbytes(32), publisher)
        try:
            store.put(record, storer, NOW)
        except RemoteError as error:
            names.append(error.name)
            refused = record
    assert set(names) == {"store_full"}
    with pytest.raises(RemoteError):
        store.put(refused, storer, NOW)  # what is farthest is looked for here, or was before
    looked = Made(monkeypatch, RecordStore, "_distance")
    for _ in range(ASKED):
        with pytest.raises(RemoteError):
            store.put(refused, storer, NOW)
    assert looked.count <= 4 * ASKED
