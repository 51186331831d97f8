"""The network's size by the word of a few contacts: no lookup follows unless it may matter.

Who wants sybils to pass must have the network taken for a larger one. Contacts far from the key are
asked who is nearest to them; those that lie name ghosts nearer than anyone.
"""

import random
from types import SimpleNamespace
from typing import Any

import pytest

from node.overlay.lookup.sybil_region import SybilRegions
from protocol import limits
from protocol.overlay.contacts import Contact
from tests.protocol.overlay.test_sybil_detection import ID_BITS, nearest, network

CONTACTS = 400
GHOST_BITS = 120
KEY = bytes(limits.ID_BYTES)
FAR = 1 << (ID_BITS - 1)


class Regions:
    """`SybilRegions` of a node in a network of numbers; `lookups` counts those of random ids.

    Of the contacts that it asks, the first `liars` name ghosts, the next `silent` none.
    """

    def __init__(self, seed: int, *, liars: int = 0, silent: int = 0) -> None:
        rng = random.Random(seed)
        self.ids = network(CONTACTS, rng)
        self.lookups = 0
        far = [number for number in self.ids if number & FAR]
        near = [number for number in self.ids if not number >> (ID_BITS - 3)]
        asked = far[: limits.SIZE_HINTS]
        lying, mute = asked[:liars], asked[liars : liars + silent]

        async def lookup(target: bytes) -> Any:
            self.lookups += 1
            closest = nearest(self.ids, int.from_bytes(target))
            self.regions.size.note(int.from_bytes(target), closest)
            return SimpleNamespace(closest=lambda: closest)

        async def neighbours(contact: Contact) -> list[Contact]:
            own = contact.number
            assert own not in near, "its neighbours may be the sybils"
            if own in mute:
                return nearest(self.ids, own, limits.K - 1)
            ghosts = [own ^ rng.getrandbits(GHOST_BITS) for _ in range(limits.K)]
            others = ghosts if own in lying else [one for one in self.ids if one != own]
            return nearest(others, own, limits.CONTACTS_PER_REPLY)

        self.regions = SybilRegions(
            lookup,
            SimpleNamespace(rng=rng),  # type: ignore[arg-type]
            some_contacts=lambda: nearest([*near, *asked], 0, CONTACTS),
            neighbours=neighbours,
            k=limits.K,
        )

    async def finds_sybils(self, count: int) -> bool:
        """The verdict on a key that has so many sybils within its nearest contacts."""
        rng = random.Random(count)
        sybils = [rng.getrandbits(GHOST_BITS) for _ in range(count)]
        closest = nearest([*sybils, *self.ids], int.from_bytes(KEY))
        return await self.regions.has_sybils(KEY, closest, certain=True)


async def test_a_key_without_sybils_costs_hardly_a_lookup() -> None:
    worlds = [Regions(seed) for seed in range(100)]
    for one in worlds:
        assert not await one.finds_sybils(0)
    mean = sum(one.lookups for one in worlds) / len(worlds)
    assert mean < limits.SIZE_SAMPLES_SUSPICION / 2


@pytest.mark.parametrize("liars", range(limits.SIZE_VOICES))
async def test_sybils_are_found_while_fewer_contacts_lie_than_it_takes(liars: int) -> None:
    for seed in range(8):
        one = Regions(seed, liars=liars)
        assert await one.finds_sybils(limits.K)
        assert one.lookups == limits.SIZE_SAMPLES_VERDICT


async def test_one_more_liar_would_have_them_pass() -> None:
    one = Regions(1, liars=limits.SIZE_VOICES)
    assert not await one.finds_sybils(limits.K)
    assert one.lookups == 0


async def test_contacts_that_name_few_others_leave_the_size_to_lookups() -> None:
    one = Regions(1, silent=limits.SIZE_HINTS - limits.SIZE_VOICES + 1)
    assert not await one.finds_sybils(0)
    assert one.lookups >= limits.SIZE_SAMPLES_SUSPICION


async def test_a_peer_that_registers_asks_contacts_as_well() -> None:
    """Its bound is higher, so more of those without sybils look ids up, and still not half."""
    looked = 0
    for seed in range(100):
        one = Regions(seed)
        await one.regions.suspects(KEY, nearest(one.ids, 0))
        looked += one.lookups > 0
    assert looked < 50
