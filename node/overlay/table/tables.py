"""One routing table per address family that the node speaks."""

from collections.abc import Iterator
from itertools import zip_longest

from protocol.overlay.contacts import Contact
from protocol.overlay.networks import NetworksOf, public_networks
from protocol.overlay.routing import NO_PEER, Entry, RoutingTable

NO_FAMILY = 0
"""Asks for no contacts, but for records alone."""
V4 = 1
V6 = 2
FAMILY_BITS = {4: V4, 6: V6}
OTHER_FAMILY = {4: V6, 6: V4}
"""The bit of the family that a contact of this one does not belong to."""


class Tables:
    """The tables by family (4 or 6); each contact belongs to exactly one."""

    def __init__(self, own_id: bytes, *, k: int, networks_of: NetworksOf = public_networks) -> None:
        self.own_id = own_id
        self.k = k
        self._tables = {
            family: RoutingTable(own_id, k=k, networks_of=networks_of) for family in FAMILY_BITS
        }

    def of(self, contact: Contact) -> RoutingTable:
        """The table of this contact's family."""
        return self._tables[contact.family]

    def spoken(self, families: int) -> Iterator[tuple[int, RoutingTable]]:
        """The tables of these families, each with its family."""
        for family, bit in FAMILY_BITS.items():
            if families & bit:
                yield family, self._tables[family]

    def beyond(self, family: int, peer_id: bytes) -> Contact | None:
        """A peer's contact of the other family than this one, if its last request was answered."""
        for _, table in self.spoken(OTHER_FAMILY[family]):
            entry = table.get(peer_id)
            if entry is not None and not entry.failures:
                return entry.contact
        return None

    def __iter__(self) -> Iterator[RoutingTable]:
        return iter(self._tables.values())

    def __len__(self) -> int:
        return sum(map(len, self))

    def entries(self) -> Iterator[Entry]:
        """Every entry of both families."""
        for table in self:
            yield from table

    def silent_since(self, before: float) -> list[Contact]:
        """The contacts of both families that have answered nothing since `before`."""
        return [contact for table in self for contact in table.silent_since(before)]

    def oldest_answer(self, now: float) -> float:
        """The least recent time at which any contact last answered; `now` if there is none."""
        return min(table.oldest_answer(now) for table in self)

    def longest_known(self) -> Iterator[Entry]:
        """Entries of both families by turns, in the order of `RoutingTable.longest_known`."""
        for turn in zip_longest(*(table.longest_known() for table in self)):
            yield from (entry for entry in turn if entry is not None)

    def last_to_answer(self, but: Contact) -> Contact | None:
        """The contact other than `but` that answered last: requests that it sends do not count."""
        others = (entry for entry in self.entries() if entry.contact != but)
        latest = max(others, key=lambda entry: entry.answered_at, default=None)
        return latest.contact if latest else None

    def nearest(
        self, target: int, count: int, families: int = V4 | V6, *, but: int = NO_PEER
    ) -> list[Contact]:
        """The nearest contacts of these families, `count` of all together, nearest first.

        `but` is the number of a peer that is left out.
        """
        spoken = [table for _, table in self.spoken(families) if len(table)]
        found = [table.nearest(target, count, but=but) for table in spoken]
        return _merged(found, target, count)

    def nearest_sound(
        self, target: int, count: int, families: int, *, but: int = NO_PEER
    ) -> list[Contact]:
        """The same of those whose last request was answered, for others to be told."""
        spoken = [table for _, table in self.spoken(families) if len(table)]
        found = [table.nearest_sound(target, count, but=but) for table in spoken]
        return _merged(found, target, count)


def _merged(of_tables: list[list[Contact]], target: int, count: int) -> list[Contact]:
    if len(of_tables) == 1:
        return of_tables[0]
    found = [contact for one in of_tables for contact in one]
    found.sort(key=lambda contact: contact.number ^ target)
    return found[:count]
