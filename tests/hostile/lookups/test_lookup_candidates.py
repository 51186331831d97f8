"""Liars whose answers name fresh ghosts at the target fill what a lookup keeps in mind.

A ghost costs its liar nothing. How the places are won back: four names of each contact are asked
before the others, of many contacts at once, and those of who named silent peers make room first.
"""

import heapq
import itertools

import pytest

from protocol import limits
from protocol.addresses import Address
from protocol.overlay.contacts import Contact
from protocol.overlay.lookup import Lookup
from tests.hostile.told import RecordProperty
from tests.protocol.overlay.lookup_network import (
    OWN,
    TARGET,
    Network,
    contact_with,
    lookup_of,
    nearest,
)

HONEST = 1000
ROUND_TRIP_S = 0.1
LOST_S = 2.1
"""Four ghosts of each liar cost 0.45 s of one of 4 slots, then of 20; and more liars are asked."""


class LyingNetwork(Network):
    """`liars` of its contacts answer each request with 20 ghosts that were never named before."""

    def __init__(self, liars: int, seed: int) -> None:
        super().__init__(HONEST, seed)
        seeds = nearest(self.table_of(int.from_bytes(OWN)), 0, limits.LOOKUP_SEEDS)
        self.seeds = seeds
        self.liars = {one.number for one in seeds[:liars]}
        self.honest = [one for one in self.contacts if one.number not in self.liars]
        self._ghosts = itertools.count(1)
        self.ghosts = 0

    def answer(self, contact: Contact) -> list[Contact] | None:
        """What a contact names; None of a ghost."""
        if contact.number in self.liars:
            return [self._ghost() for _ in range(limits.CONTACTS_PER_REPLY)]
        if contact.number <= self.ghosts:
            return None
        return self.named_by(contact.number, int.from_bytes(TARGET))

    def _ghost(self) -> Contact:
        self.ghosts = next(self._ghosts)
        return contact_with(self.ghosts, Address(f"9.{self.ghosts >> 8}.{self.ghosts % 256}.1", 1))


def run(network: LyingNetwork) -> tuple[Lookup, float]:
    """A lookup to its end, and how many seconds it took."""
    lookup = lookup_of(network.seeds)
    now, numbers = 0.0, itertools.count()
    coming: list[tuple[float, int, Contact, list[Contact]]] = []
    while not (step := lookup.next(now)).done:
        for contact in step.ask:
            named = network.answer(contact)
            if named is not None:
                heapq.heappush(coming, (now + ROUND_TRIP_S, next(numbers), contact, named))
        now = min(step.wake_at, coming[0][0] if coming else step.wake_at)
        while coming and coming[0][0] <= now:
            _, _, contact, named = heapq.heappop(coming)
            lookup.answered(contact, named)
    return lookup, now


@pytest.mark.parametrize("liars", [1, 8, 15])
def test_ghosts_of_liars_hide_none_of_the_nearest(
    liars: int, record_property: RecordProperty
) -> None:
    """All but one of the sixteen nearest in the asker's own tables are liars at most."""
    for seed in range(3):
        _, alone_s = run(LyingNetwork(0, seed))
        record_property("alone_s", alone_s)
        network = LyingNetwork(liars, seed)
        record_property("attackers", liars)
        lookup, seconds = run(network)
        record_property("attacked_s", seconds)
        true = nearest(network.honest, 0, lookup.rules.k)
        assert network.ghosts == liars * limits.CONTACTS_PER_REPLY
        assert len(set(lookup.closest()) & set(true)) >= limits.K - 1
        assert seconds <= alone_s + LOST_S
