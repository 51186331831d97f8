"""Asks contacts where they see this node, when links seem to have lost their mapping."""

import asyncio
from collections import Counter

from node.overlay.rpc.wire import Reply, Wire
from node.overlay.table.tables import Tables
from protocol import limits
from protocol.overlay.contacts import Contact
from protocol.overlay.messages import Method
from protocol.overlay.networks import NetworksOf, smallest_network


class Sightings:
    """The answers reach `OwnNetwork` as every response does; here they are only waited for."""

    def __init__(self, wire: Wire, tables: Tables, *, networks_of: NetworksOf) -> None:
        self._wire = wire
        self._tables = tables
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
            self._round = self._ask(self._nearest())
        await asyncio.shield(self._round)

    def _ask(self, contacts: list[Contact]) -> asyncio.Future[None]:
        enough: asyncio.Future[None] = self._loop.create_future()
        silent = Counter(contact.family for contact in contacts)
        missing = {family: min(limits.OBSERVERS_MIN, count) for family, count in silent.items()}

        def on_reply(reply: Reply) -> None:
            family = reply.contact.family
            silent[family] -= 1
            missing[family] -= reply.response is not None
            if not enough.done() and all(silent[one] <= 0 or missing[one] <= 0 for one in missing):
                enough.set_result(None)

        for contact in contacts:
            self._wire.request(
                contact, Method.PING, [], on_reply, timeout_s=limits.SIGHTINGS_PAUSE_S
            )
        if not contacts:
            enough.set_result(None)
        return enough

    def _nearest(self) -> list[Contact]:
        """Of each family the contacts with the shortest round trips, in a network each."""
        measured = [
            (round_trip_s, entry.contact.number, entry.contact)
            for entry in self._tables.entries()
            if (round_trip_s := self._wire.round_trip_s(entry.contact)) is not None
        ]
        measured.sort(key=lambda one: one[:2])
        found: dict[int, dict[bytes, Contact]] = {4: {}, 6: {}}
        for _, _, contact in measured:
            network = smallest_network(self._networks_of, contact) or contact.packed
            of_family = found[contact.family]
            if len(of_family) < limits.SIGHTINGS:
                of_family.setdefault(network, contact)
        return [contact for of_family in found.values() for contact in of_family.values()]
