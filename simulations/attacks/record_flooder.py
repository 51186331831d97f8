"""An attacker that fills what nodes store for others: many identities at one address."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

from protocol import availability, limits, records
from protocol.identity import Identity
from protocol.overlay.contacts import Contact
from protocol.overlay.messages import Code, Method
from protocol.records import Body, PeerBody, ProviderBody, Record
from simulations.attacks.raw_peer import RawPeer, peers_at
from simulations.internet.host import Host
from simulations.seeds import derive_rng

_AT_ONCE = 16
_PAUSE_S = 0.1
"""Stores at one node that leave together, and the pause after them: within its rate limit."""

_PROOF_S = 1.0
"""The wait for the token that proves an address."""

AHEAD_S = int(limits.CLOCK_SKEW_S) - 1
"""How far ahead of the clock its records are issued: as far as nodes accept."""


@dataclass(slots=True)
class RecordFlooder:
    """`identities` of one attacker at one `host`, which store what they like.

    `answers` counts how nodes ended its stores.
    """

    host: Host
    wall: Callable[[], float]
    identities: list[Identity]
    answers: Counter[str] = field(default_factory=Counter)
    _peers: list[RawPeer] = field(default_factory=list)

    @classmethod
    async def at(
        cls, host: Host, wall: Callable[[], float], count: int, name: str = "flooder"
    ) -> "RecordFlooder":
        """An attacker with so many identities, each at a port of its own."""
        identities = [
            Identity(derive_rng(1, name, number).randbytes(32)) for number in range(count)
        ]
        return cls(host, wall, identities, _peers=await peers_at(host, identities))

    def record(self, identity: Identity, kind: int, body: Body) -> Record:
        """A record with the latest date and the highest sequence number that nodes accept."""
        now = self.wall() + AHEAD_S
        return records.make(identity, kind, body, now=now, sequence=limits.SEQUENCE_MAX)

    def providers(self, mod_id: bytes) -> list[Record]:
        """That each identity has a mod."""
        body = ProviderBody(mod_id, complete=True)
        return [self.record(one, records.PROVIDER, body) for one in self.identities]

    def presences(self, mod_id: bytes) -> list[Record]:
        """What each identity would publish if it had the mod, but for the provider record."""
        (shard,) = availability.build([mod_id])
        described = PeerBody((), 0, (1, 1), 0)
        return [
            self.record(one, kind, body)
            for one in self.identities
            for kind, body in ((records.PEER, described), (records.AVAILABILITY, shard))
        ]

    def of_many_mods(self, count: int) -> list[Record]:
        """That each identity has so many mods of its own."""
        return [
            self.record(one, records.PROVIDER, ProviderBody(_mod_of(place, number), complete=True))
            for number in range(count)
            for place, one in enumerate(self.identities)
        ]

    async def store(self, kept: Sequence[Record], at: Iterable[Contact]) -> None:
        """Have each identity store its own records at these nodes, as fast as they take them."""
        peers = {peer.identity.public_key: peer for peer in self._peers}
        await self._store([(peers[one.public_key], one) for one in kept], at)

    async def store_each(self, kept: Sequence[Sequence[Record]], at: Iterable[Contact]) -> None:
        """Have the first identity store the first of these lots, and so on; others signed some."""
        turns = zip_longest(*kept)
        await self._store(
            [
                (peer, record)
                for turn in turns
                for peer, record in zip(self._peers, turn, strict=False)
                if record is not None
            ],
            at,
        )

    async def _store(self, kept: Sequence[tuple[RawPeer, Record]], at: Iterable[Contact]) -> None:
        for contact in at:
            for peer in self._peers:
                peer.token = b""
            for start in range(0, len(kept), _AT_ONCE):
                batch = kept[start : start + _AT_ONCE]
                await self._prove_addresses([peer for peer, _ in batch], contact)
                for peer, record in batch:
                    peer.send(Method.STORE, [record.key, record.raw], contact)
                await asyncio.sleep(_PAUSE_S)
            await asyncio.sleep(1.0)
            self._count()

    async def _prove_addresses(self, peers: Iterable[RawPeer], contact: Contact) -> None:
        unproved = [peer for peer in peers if not peer.token]
        if not unproved:
            return
        for peer in unproved:
            peer.send(Method.PING, [], contact)
        await asyncio.sleep(_PROOF_S)
        for peer in unproved:
            peer.responses.clear()

    def _count(self) -> None:
        for peer in self._peers:
            self.answers.update(Code(one.code).name.lower() for one in peer.responses)
            peer.responses.clear()


def _mod_of(place: int, number: int) -> bytes:
    return place.to_bytes(16) + number.to_bytes(16)
