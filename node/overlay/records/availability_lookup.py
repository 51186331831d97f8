"""Whether a peer has a mod, by its availability filters; only one filter of a peer is read."""

import asyncio
import contextlib
from collections.abc import Callable, Collection
from enum import Enum

from node.overlay.records.reading import Reading
from node.overlay.server import OverlayServer
from protocol import limits, records
from protocol.availability import Availability, shard_of
from protocol.errors import ModswarmError
from protocol.identity import PeerId
from protocol.records import PeerBody, Record


class FilterAnswer(Enum):
    """What is known of a peer and a mod. NO_PEER: the network knows no such peer."""

    YES = "yes"
    NO = "no"
    UNREADABLE = "unreadable"
    NO_PEER = "no peer"


_HAS = {
    FilterAnswer.YES: True,
    FilterAnswer.NO: False,
    FilterAnswer.UNREADABLE: None,
    FilterAnswer.NO_PEER: None,
}


def _ignore(_record: Record) -> None:
    return


class AvailabilityLookup:
    """Reads the filters of other peers from the DHT. `saw` gets the record of each that is read."""

    def __init__(self, overlay: OverlayServer, saw: Callable[[Record], None] = _ignore) -> None:
        self._overlay = overlay
        self._saw = saw

    async def held_by(self, mod_id: bytes, peers: Collection[PeerId]) -> dict[PeerId, bool | None]:
        """For each peer whether its filter holds the mod; the first ones are asked first.

        None where no filter can be read, or none was within FILTERS_READ_S.
        """
        gate = asyncio.Semaphore(limits.FILTERS_ASKED)
        answers: dict[PeerId, bool | None] = dict.fromkeys(peers)

        async def read(peer_id: PeerId) -> None:
            async with gate:
                answers[peer_id] = _HAS[await self.ask(peer_id, mod_id)]

        with contextlib.suppress(TimeoutError):
            limit_s = self._overlay.wire.line.limit_s(
                limits.FILTERS_READ_S, 2 * limits.LOOKUP_ROUND_TRIPS
            )
            async with asyncio.timeout(limit_s):
                await asyncio.gather(*map(read, answers))
        return answers

    async def ask(self, peer_id: PeerId, mod_id: bytes) -> FilterAnswer:
        """What the filter of one peer says of a mod."""
        key = records.peer_key(peer_id)
        described, answered = await self._read_one(key, records.PEER, peer_id)
        if described is None or not isinstance(described.body, PeerBody):
            return FilterAnswer.NO_PEER if answered else FilterAnswer.UNREADABLE
        bits = described.body.shard_bits
        key = records.availability_key(peer_id, bits, shard_of(mod_id, bits))
        shard, _ = await self._read_one(key, records.AVAILABILITY, peer_id)
        if shard is None or not isinstance(shard.body, Availability):
            return FilterAnswer.UNREADABLE
        self._saw(shard)
        return FilterAnswer.YES if shard.body.may_have(mod_id) else FilterAnswer.NO

    async def _read_one(self, key: bytes, kind: int, peer_id: PeerId) -> tuple[Record | None, bool]:
        """A record of a peer, and whether any contact answered at all."""

        def enough(reading: Reading) -> bool:
            return any(one.peer_id == peer_id for one in reading.records.values())

        try:
            reading = await self._overlay.read(key, kind, enough=enough)
        except ModswarmError:
            return None, False
        found = next((one for one in reading.records.values() if one.peer_id == peer_id), None)
        return found, reading.why_empty() is None
