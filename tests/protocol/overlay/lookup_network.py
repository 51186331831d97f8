"""Contacts of any id, lookups of them, and a network with exact tables."""

import heapq
import random
from collections.abc import Callable

from protocol import limits
from protocol.addresses import Address
from protocol.overlay.contacts import Contact
from protocol.overlay.lookup import Lookup
from protocol.overlay.lookup_steps import LookupRules

ID_BITS = 160
HERE = Address("10.0.0.1", 4001)
TARGET = bytes(20)
OWN = b"\xff" * 20
DEAD = Address("10.9.9.9", 1)


def contact_with(number: int, address: Address = HERE) -> Contact:
    """A contact of any id, so that its distance to a target of zeros is its number."""
    contact = Contact.at(number.to_bytes(32), address)
    contact.number = number
    return contact


def lookup_of(
    seeds: list[Contact],
    *,
    target: bytes = TARGET,
    own_id: bytes = OWN,
    now: float = 0.0,
    timeout_s: Callable[[Contact], float] = lambda _: 1.0,
    rules: LookupRules | None = None,
) -> Lookup:
    return Lookup(
        target, seeds, own_id=own_id, now=now, timeout_s=timeout_s, rules=rules or LookupRules()
    )


class Network:
    """Nodes with exact tables: up to k contacts in each bucket, as in a healthy overlay."""

    def __init__(self, size: int, seed: int) -> None:
        self.rng = random.Random(seed)
        self.contacts = sorted(
            (contact_with(self.rng.getrandbits(ID_BITS)) for _ in range(size)),
            key=lambda one: one.number,
        )
        self.tables: dict[int, list[Contact]] = {}

    def table_of(self, own: int) -> list[Contact]:
        if own not in self.tables:
            buckets: dict[int, list[Contact]] = {}
            for contact in self.contacts:
                buckets.setdefault((contact.number ^ own).bit_length(), []).append(contact)
            buckets.pop(0, None)
            self.tables[own] = [
                contact
                for bucket in buckets.values()
                for contact in (bucket if len(bucket) <= 16 else self.rng.sample(bucket, 16))
            ]
        return self.tables[own]

    def named_by(self, own: int, target: int) -> list[Contact]:
        return nearest(self.table_of(own), target, limits.CONTACTS_PER_REPLY)


def nearest(contacts: list[Contact], target: int, count: int) -> list[Contact]:
    return heapq.nsmallest(count, contacts, key=lambda one: one.number ^ target)
