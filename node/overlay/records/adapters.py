"""Adapters to kademlia's interfaces: its Node and its IStorage."""

from collections.abc import Callable, Iterator
from typing import Any

from kademlia.node import Node
from kademlia.storage import IStorage

from node.overlay.reachability.own_clock import OwnClock
from protocol.addresses import Address
from protocol.identity import PeerId
from protocol.overlay.store.record_store import RecordStore
from protocol.overlay.store.storer import Storer
from protocol.records import Record


class OverlayNode(Node):
    """A node whose id is the hash of its public key, so that an id cannot be claimed."""

    def __init__(self, peer_id: bytes, public_key: bytes, address: Address | None = None) -> None:
        super().__init__(peer_id, *(address or (None, None)))
        self.public_key = public_key


class RecordStorage(IStorage):
    """The record store behind kademlia's storage interface; only verified records go in.

    What has expired by this machine's clock, but not by the corrected one, is kept, and so is the
    reverse: a wrong word on the time deletes nothing of others.

    `own_id` is the peer that stores what is set by kademlia's own interface.
    """

    def __init__(self, store: RecordStore, own_clock: OwnClock, own_id: PeerId) -> None:
        self.store = store
        self._wall = own_clock.earliest
        self._itself = Storer.itself(own_id)
        self._watchers: dict[int, Callable[[Record], None]] = {}

    def __setitem__(self, key: bytes, record: Record) -> None:
        self.store.put(record, self._itself, self._wall())

    def watch(self, kind: int, take: Callable[[Record], None]) -> None:
        """Let `take` have each record of a kind that is kept for a peer from now on."""
        self._watchers[kind] = take

    def store_for(self, storer: Storer, record: Record) -> None:
        """Keep a record that a peer has sent; raises as `RecordStore.put`."""
        self.store.put(record, storer, self._wall())
        take = self._watchers.get(record.kind)
        if take is not None:
            take(record)

    def __getitem__(self, key: tuple[bytes, int]) -> list[Record]:
        """The live records under (DHT key, kind); raises KeyError when there are none."""
        records = self.store.get(*key, self._wall())
        if not records:
            raise KeyError(key)
        return records

    def get(self, key: tuple[bytes, int], default: Any = None) -> Any:
        """The live records under (DHT key, kind), else `default`."""
        return self.store.get(*key, self._wall()) or default

    def iter_older_than(self, seconds_old: float) -> Iterator[tuple[bytes, Record]]:
        """Nothing: only its publisher refreshes a record, never a node that stores it."""
        return iter(())

    def __iter__(self) -> Iterator[tuple[bytes, Record]]:
        return ((record.key, record) for record in self.store)
