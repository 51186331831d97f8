"""What a search for holders runs on without a network: an overlay with records, a pool of links."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any

from node.overlay.records.reading import Reading
from protocol import limits
from protocol.addresses import Address
from protocol.errors import RemoteError
from protocol.identity import Identity, PeerId
from protocol.overlay.contacts import Contact
from protocol.places.usefulness import Usefulness
from protocol.records import Record
from tests.identities import SEEDS

OWN = Identity(SEEDS[0])


class OverlayDouble:
    """Finds the given records, a page after each `lookup_s`, whatever is looked for.

    It counts refusals.
    """

    def __init__(self, found: Sequence[Record] = (), *, lookup_s: float = 0.0) -> None:
        self._found = found
        self._lookup_s = lookup_s
        self.identity = OWN
        self.answered: tuple[Contact, ...] = (Contact.at(bytes(32), Address("192.0.2.1", 1)),)
        self.refused: Counter[str] = Counter()
        self.reads = 0
        """How often a read began."""
        self.protocol = self

    def refuse(self, error: RemoteError) -> None:
        """Count what a peer got wrong."""
        self.refused[error.name] += 1

    async def read(self, key: bytes, kind: int) -> Reading:
        """The first page."""
        self.reads += 1
        reading = Reading(answered=list(self.answered), hops=1, requests=1)
        await self.read_more(reading, key, kind)
        return reading

    async def read_more(self, reading: Reading, key: bytes, kind: int) -> bool:
        """One more page; False if there was none."""
        del key, kind
        await asyncio.sleep(self._lookup_s)
        left = [one for one in self._found if one.public_key not in reading.records]
        for one in left[: limits.READ_RECORDS]:
            reading.records[one.public_key] = one
        return bool(left)


class PoolDouble:
    """Has the links that `open_link` made, and remembers the peers that were called."""

    def __init__(self) -> None:
        self.usefulness = Usefulness()
        self.called: list[PeerId] = []
        self._links: dict[PeerId, Any] = {}

    def links(self) -> list[Any]:
        """Those that are open."""
        return [link for link in self._links.values() if not link.closed.done()]

    def get(self, peer_id: PeerId) -> Any:
        """The open link to a peer."""
        return next((link for link in self.links() if link.peer_id == peer_id), None)

    async def connect(self, peer_id: PeerId, *, patience_s: float = 0.0) -> Any:
        """The open link to a peer, or a new one."""
        if (link := self.get(peer_id)) is None:
            self.called.append(peer_id)
            link = self._links[peer_id] = await self.open_link(peer_id)
        return link

    async def open_link(self, peer_id: PeerId) -> Any:
        """A new link; raises what a call does that fails."""
        raise NotImplementedError
