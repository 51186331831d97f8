"""Whether a peer has a mod, by its availability filters; only one filter of a peer is read."""

import asyncio
from collections.abc import Collection

from node.overlay.records.reading import Reading
from node.overlay.server import OverlayServer
from protocol import limits, records
from protocol.availability import Availability, shard_of
from protocol.errors import ModswarmError
from protocol.identity import PeerId
from protocol.records import PeerBody, Record


class AvailabilityLookup:
    """Reads the filters of other peers from the DHT."""

    def __init__(self, overlay: OverlayServer) -> None:
        self._overlay = overlay

    async def held_by(self, mod_id: bytes, peers: Collection[PeerId]) -> dict[PeerId, bool | None]:
        """For each peer whether its filter holds the mod; None where no filter can be read."""
        gate = asyncio.Semaphore(limits.FILTERS_ASKED)
        answers = await asyncio.gather(*(self._has(peer, mod_id, gate) for peer in peers))
        return dict(zip(peers, answers, strict=True))

    async def _has(self, peer_id: PeerId, mod_id: bytes, gate: asyncio.Semaphore) -> bool | None:
        async with gate:
            described = await self._read_one(records.peer_key(peer_id), records.PEER, peer_id)
            if described is None or not isinstance(described.body, PeerBody):
                return None
            bits = described.body.shard_bits
            key = records.availability_key(peer_id, bits, shard_of(mod_id, bits))
            shard = await self._read_one(key, records.AVAILABILITY, peer_id)
        if shard is None or not isinstance(shard.body, Availability):
            return None
        return shard.body.may_have(mod_id)

    async def _read_one(self, key: bytes, kind: int, peer_id: PeerId) -> Record | None:
        def enough(reading: Reading) -> bool:
            return any(one.peer_id == peer_id for one in reading.records.values())

        try:
            reading = await self._overlay.read(key, kind, enough=enough)
        except ModswarmError:
            return None
        return next((one for one in reading.records.values() if one.peer_id == peer_id), None)
