"""Publishing a record: it is stored at the k nearest contacts, without waiting for the slowest.

Most of k stores confirm within a round trip; the last may need its whole time limit. `publish`
returns once PUBLISHED_SHARE of them have confirmed, and the others go on in the background, in a
task of the overlay's owner. So do the stores in the region around, where sybils are the nearest
(see `SybilRegions`).
"""

import asyncio
import logging
import math
from collections import Counter
from collections.abc import Awaitable, Callable
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
        stores = _Stores(len(closest))
        storing = self._tasks.start(self._store_all(closest, record, stores), name="store a record")
        storing.add_done_callback(lambda _: stores.tell())
        return await stores.known

    def _keep(self, record: Record) -> None:
        try:
            self._storage[record.key] = record
        except RemoteError as error:  # our own store is full, those of others may not be
            _log.info("not kept here: %s", error)

    def _is_among(self, closest: list[Contact], key: bytes) -> bool:
        """Whether this node is one of the k reachable nodes nearest to `key`."""
        if not self._is_contact():
            return not closest  # what joins through this node finds it here
        number = int.from_bytes(key)
        farthest = closest[-1].number ^ number if closest else 0
        return len(closest) < self._k or self._own_number ^ number < farthest

    async def _store_all(self, closest: list[Contact], record: Record, stores: "_Stores") -> None:
        await asyncio.gather(*(self._store_at(one, record, stores) for one in closest))
        stores.tell()
        beyond = await self._sybil_regions.beyond(record.key, closest, certain=True)
        await asyncio.gather(*(self._store_at(one, record, stores) for one in beyond))

    async def _store_at(self, contact: Contact, record: Record, stores: "_Stores") -> None:
        try:
            response = await self._protocol.call_store(contact, record.key, record)
        except ModswarmError as error:
            _log.debug("not stored at %r: %s", contact, error)
            stores.answered(error.name)
            return
        if response.code == Code.OK:
            stores.confirmed()
        else:
            code = response.code
            stores.answered(Code(code).name.lower() if code in set(Code) else str(code))


class _Stores:
    """The outcomes of one record's stores. `known` is set when `publish` may return."""

    def __init__(self, asked: int) -> None:
        self._asked = asked
        self._enough = math.ceil(limits.PUBLISHED_SHARE * asked)
        self._confirmed = 0
        self._refused: Counter[str] = Counter()
        self.known: asyncio.Future[Published] = asyncio.get_running_loop().create_future()

    def confirmed(self) -> None:
        """One contact stores the record."""
        self._confirmed += 1
        if self._confirmed >= self._enough:
            self.tell()

    def answered(self, reason: str) -> None:
        """One contact does not store it."""
        self._refused[reason] += 1

    def tell(self) -> None:
        """Let `publish` return, unless it has."""
        if not self.known.done():
            refused = dict(sorted(self._refused.items()))
            self.known.set_result(Published(self._confirmed, self._asked, refused))
