"""Publishing a record: it is stored at the k nearest contacts, without waiting for the slowest.

Most of k stores confirm within a round trip; the last may need its whole time limit. `publish`
returns once PUBLISHED_SHARE of them have confirmed, and the others go on in the background, in a
task of the overlay's owner.

Where sybils are the nearest (see `SybilRegions`) the record is what the region around keeps of it:
`publish` waits for all stores there, REGION_STORED_S at most, if it expects them to be. That
is judged by what is known of the network's size, so it mostly costs no time.
"""

import asyncio
import contextlib
import logging
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from node.overlay.lookup.sybil_region import SybilRegions
from node.overlay.records.adapters import RecordStorage
from node.overlay.rpc.protocol import OverlayProtocol
from node.tasks import TaskOwner
from protocol import limits
from protocol.errors import ModswarmError, RemoteError
from protocol.overlay.contacts import Contact
from protocol.overlay.lookup_steps import AnyLookup
from protocol.overlay.messages import Code
from protocol.records import Record

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Published:
    """Where a record was stored when `publish` returned.

    `confirmed` contacts of `asked` store it; `refused` counts other outcomes, by the code's name.
    Those of the region around are among them, where there is one.
    """

    confirmed: int
    asked: int
    refused: dict[str, int] = field(default_factory=dict)


class RecordPublisher:
    """Publishes records of one node. `is_contact`: whether the node may store them itself."""

    def __init__(
        self,
        protocol: OverlayProtocol,
        storage: RecordStorage,
        tasks: TaskOwner,
        *,
        lookup: Callable[[bytes], Awaitable[AnyLookup]],
        sybil_regions: SybilRegions,
        own_number: int,
        k: int,
        is_contact: Callable[[], bool],
    ) -> None:
        self._protocol = protocol
        self._storage = storage
        self._tasks = tasks
        self._lookup = lookup
        self._sybil_regions = sybil_regions
        self._own_number = own_number
        self._k = k
        self._is_contact = is_contact

    async def publish(self, record: Record) -> Published:
        """Store at the k contacts nearest to the record's key, and here if this node is one."""
        closest = (await self._lookup(record.key)).closest()
        if self._is_among(closest, record.key):
            self._keep(record)
        if not closest:
            return Published(0, 0)
        nearest, region = _Stores(), _Stores()
        work = self._store_all(closest, record, nearest, region)
        storing = self._tasks.start(work, name="store a record")
        storing.add_done_callback(lambda _: nearest.known.set())
        storing.add_done_callback(lambda _: region.known.set())
        await nearest.known.wait()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._region_stored_s()):
                await region.known.wait()
        return Published(
            nearest.confirmed + region.confirmed,
            nearest.asked + region.asked,
            dict(sorted((nearest.refused + region.refused).items())),
        )

    async def store_at(
        self, record: Record, contacts: Sequence[Contact], closest: Sequence[Contact]
    ) -> Published:
        """Store at those of the `closest` that were found to lack it, and wait for all of them.

        And here, if this node is one of the nearest.
        """
        if self._is_among(closest, record.key):
            self._keep(record)
        stores = _Stores()
        await self._store_at_all(contacts, record, stores, 1.0)
        return Published(stores.confirmed, stores.asked, dict(sorted(stores.refused.items())))

    def _region_stored_s(self) -> float:
        line = self._protocol.wire.line
        return line.limit_s(limits.REGION_STORED_S, limits.LOOKUP_ROUND_TRIPS)

    def _keep(self, record: Record) -> None:
        try:
            self._storage[record.key] = record
        except RemoteError as error:  # our own store is full, those of others may not be
            _log.info("not kept here: %s", error)

    def _is_among(self, closest: Sequence[Contact], key: bytes) -> bool:
        """Whether this node is one of the k reachable nodes nearest to `key`."""
        if not self._is_contact():
            return not closest  # what joins through this node finds it here
        number = int.from_bytes(key)
        farthest = closest[-1].number ^ number if closest else 0
        return len(closest) < self._k or self._own_number ^ number < farthest

    async def _store_all(
        self, closest: list[Contact], record: Record, nearest: "_Stores", region: "_Stores"
    ) -> None:
        await asyncio.gather(
            self._store_at_all(closest, record, nearest, limits.PUBLISHED_SHARE),
            self._store_beyond(closest, record, region),
        )

    async def _store_beyond(
        self, closest: list[Contact], record: Record, region: "_Stores"
    ) -> None:
        if not await self._sybil_regions.may_have_sybils(record.key, closest):
            region.known.set()
            return
        if not self._sybil_regions.expects_sybils(record.key, closest):
            region.known.set()
        beyond = await self._sybil_regions.beyond(record.key, closest, certain=True)
        await self._store_at_all(beyond, record, region, 1.0)

    async def _store_at_all(
        self, contacts: Sequence[Contact], record: Record, stores: "_Stores", share: float
    ) -> None:
        """Store at all of these; their outcome is known when that share of them has confirmed."""
        stores.asked, stores.enough = len(contacts), math.ceil(share * len(contacts))
        await asyncio.gather(*(self._store_at(one, record, stores) for one in contacts))
        stores.known.set()

    async def _store_at(self, contact: Contact, record: Record, stores: "_Stores") -> None:
        try:
            response = await self._protocol.call_store(contact, record.key, record)
        except ModswarmError as error:
            _log.debug("not stored at %r: %s", contact, error)
            stores.refused[error.name] += 1
            return
        if response.code == Code.OK:
            stores.confirm()
        else:
            code = response.code
            name = Code(code).name.lower() if code in set(Code) else str(code)
            stores.refused[name] += 1


class _Stores:
    """The outcomes of one record's stores at some contacts.

    `known` is set once `enough` of those `asked` have confirmed, or all have answered.
    """

    def __init__(self) -> None:
        self.asked = 0
        self.enough = 0
        self.confirmed = 0
        self.refused: Counter[str] = Counter()
        self.known = asyncio.Event()

    def confirm(self) -> None:
        """One contact stores the record."""
        self.confirmed += 1
        if self.confirmed >= self.enough:
            self.known.set()
