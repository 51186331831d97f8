"""Asks contacts of this node's choice where they see it, and lets their answers decide.

That is done when links seem to have lost their mapping, and when a contact contradicts what was
agreed on.
"""

import asyncio
from collections import Counter

from node.overlay.reachability.own_network import OwnNetwork
from node.overlay.rpc.pending import Reply
from node.overlay.rpc.wire import Wire
from node.overlay.table.tables import Tables
from protocol import limits
from protocol.overlay.contacts import Contact
from protocol.overlay.messages import Method
from protocol.overlay.networks import NetworksOf, smallest_network
from protocol.randomness import Random, sample
from protocol.reachability.observed import quorum


class Sightings:
    """The answers reach `OwnNetwork` as every response does; here they are only waited for."""

    def __init__(
        self,
        wire: Wire,
        tables: Tables,
        own_network: OwnNetwork,
        rng: Random,
        *,
        networks_of: NetworksOf,
    ) -> None:
        self._wire = wire
        self._tables = tables
        self._own_network = own_network
        self._rng = rng
        self._networks_of = networks_of
        self._loop = asyncio.get_running_loop()
        self._round: asyncio.Future[None] | None = None
        self._again_at = 0.0

    async def renew(self) -> None:
        """Return once enough contacts have said where they see us, or none is left to say it.

        Asked again within SIGHTINGS_PAUSE_S, the answers of the last time do.
        """
        if self._round is None or (self._round.done() and self._loop.time() >= self._again_at):
            self._again_at = self._loop.time() + limits.SIGHTINGS_PAUSE_S
            self._round = self._ask(self._choose())
        await asyncio.shield(self._round)

    def _ask(self, contacts: list[Contact]) -> asyncio.Future[None]:
        enough: asyncio.Future[None] = self._loop.create_future()
        silent = Counter(contact.family for contact in contacts)
        missing = {family: min(quorum(count), count) for family, count in silent.items()}

        def on_reply(reply: Reply) -> None:
            family = reply.contact.family
            silent[family] -= 1
            missing[family] -= reply.response is not None
            if not enough.done() and all(silent[one] <= 0 or missing[one] <= 0 for one in missing):
                enough.set_result(None)

        for contact in contacts:
            self._wire.request(
                contact,
                Method.PING,
                [],
                on_reply,
                timeout_s=self._wire.line.limit_s(limits.SIGHTINGS_PAUSE_S),
            )
        if not contacts:
            enough.set_result(None)
        return enough

    def _choose(self) -> list[Contact]:
        """Contacts of each family, and what they see from now on is what counts."""
        chosen: list[Contact] = []
        for family, near in self._near().items():
            contacts = sample(self._rng, near, min(limits.SIGHTINGS, len(near)))
            self._own_network.choose(family, contacts, self._loop.time())
            chosen += contacts
        return chosen

    def _near(self) -> dict[int, list[Contact]]:
        """Of each family the nearer contacts, in a network each: twice as many as are asked.

        Links wait for the answers; only to ask the very nearest would let liars place themselves.
        """
        measured = [
            (round_trip_s, entry.contact.number, entry.contact)
            for entry in self._tables.entries()
            if (round_trip_s := self._wire.round_trip_s(entry.contact.number)) is not None
        ]
        measured.sort(key=lambda one: one[:2])
        found: dict[int, dict[bytes, Contact]] = {4: {}, 6: {}}
        for _, _, contact in measured:
            network = smallest_network(self._networks_of, contact) or contact.packed
            of_family = found[contact.family]
            if len(of_family) < 2 * limits.SIGHTINGS:
                of_family.setdefault(network, contact)
        return {family: list(of_family.values()) for family, of_family in found.items()}
