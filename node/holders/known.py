"""The peers that this node knows, and which of them have a mod."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

from node.answers.peers import PeerView
from node.links.pool.pool import LinkPool
from node.overlay.membership import Membership
from node.overlay.records.availability_lookup import AvailabilityLookup
from protocol import records
from protocol.content.link import ModLink
from protocol.identity import PeerId
from protocol.records import Record


class KnownPeers:
    """Tells them from the links, the tables, the registrations, and the DHT."""

    def __init__(
        self, membership: Membership, pool: LinkPool, saw: Callable[[Record], None]
    ) -> None:
        """`saw` gets the record of each filter that is read."""
        self._membership = membership
        self._overlay = membership.server
        self._pool = pool
        self._availability = AvailabilityLookup(membership.server, saw)
        self._loop = asyncio.get_running_loop()

    async def peers(self, has: ModLink | None = None) -> tuple[PeerView, ...]:
        """The peers known to this node; with `has`, whether their filters hold that mod.

        With `has`, raises Unreachable if no other node answers, ClocksDiffer.
        """
        if has is not None:
            await self._membership.check_joined()
        known = self._known()
        if has is not None:
            await self._add_providers(known, has.mod_id)
            answers = await self._availability.held_by(has.mod_id, known)
            for peer_id, answer in answers.items():
                known[peer_id] = replace(known[peer_id], has=answer)
        return tuple(known.values())

    def _known(self) -> dict[PeerId, PeerView]:
        """Peers with a link, contacts, and peers registered here."""
        known = {
            link.peer_id: PeerView(link.peer_id, "linked", link.path.remote)
            for link in self._pool.links()
        }
        for entry in self._overlay.tables.entries():
            contact = entry.contact
            peer = PeerView(contact.peer_id, "contact", contact.address)
            rtt_s = self._overlay.wire.round_trip_s(contact.number)
            known[contact.peer_id] = replace(
                known.get(contact.peer_id, peer),
                last_seen_s=self._loop.time() - entry.last_seen,
                rtt_ms=rtt_s * 1000 if rtt_s else None,
            )
        for contact in self._overlay.registrar.registered():
            peer = PeerView(contact.peer_id, "registered", contact.address)
            known.setdefault(contact.peer_id, peer)
        return known

    async def _add_providers(self, known: dict[PeerId, PeerView], mod_id: bytes) -> None:
        key = records.provider_key(mod_id)
        reading = await self._overlay.read(key, records.PROVIDER)
        reading.check_answered()
        await self._overlay.read_more(reading, key, records.PROVIDER)
        for record in reading.records.values():
            known.setdefault(record.peer_id, PeerView(record.peer_id, "provider", None))
        known.pop(self._overlay.identity.peer_id, None)
