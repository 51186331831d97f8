"""The region around a key whose nearest contacts are sybils (Sridhar et al., NDSS 2024).

The contacts nearest to a key store the records under it, so an adversary that owns all of them can
hide these. It cannot own the region as well: where the nearest are implausibly near, records and
registrations also go to, and are read from, every contact of the region around the key.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from node.environment import Environment
from protocol import limits
from protocol.overlay import sybil_detection
from protocol.overlay.contacts import Contact
from protocol.overlay.lookup_steps import AnyLookup
from protocol.overlay.sybil_detection import NetworkSize


class SybilRegions:
    """Learns the network's size from lookups, and finds regions. `lookup` finds the nearest."""

    def __init__(
        self, lookup: Callable[[bytes], Awaitable[AnyLookup]], environment: Environment, *, k: int
    ) -> None:
        self._lookup = lookup
        self._rng = environment.rng
        self._k = k
        self.size = NetworkSize(k)
        self._learning = asyncio.Lock()

    async def beyond(
        self, key: bytes, closest: Sequence[Contact], *, certain: bool = False
    ) -> list[Contact]:
        """The region's contacts besides `closest`, the nearest to `key`; none without sybils."""
        if not await self.has_sybils(key, closest, certain=certain):
            return []
        target = int.from_bytes(key)
        bits = sybil_detection.region_bits(self.size.estimate(without=target), self._k)
        lookups = await asyncio.gather(
            *(
                self._lookup(part.to_bytes(len(key)))
                for part in sybil_detection.region_targets(target, bits)
            )
        )
        found = {contact.number: contact for one in lookups for contact in one.closest()}
        near = {contact.number for contact in closest}
        return [
            contact
            for number, contact in found.items()
            if number not in near and sybil_detection.is_in_region(contact, target, bits)
        ]

    async def has_sybils(
        self, key: bytes, closest: Sequence[Contact], *, certain: bool = False
    ) -> bool:
        """Whether `closest` are much nearer to `key` than chance puts them: probably sybils."""
        if not await self.suspects(key, closest, certain=certain):
            return False
        return self._chance(int.from_bytes(key), closest) < limits.SYBILS_CHANCE

    async def suspects(
        self, key: bytes, closest: Sequence[Contact], *, certain: bool = False
    ) -> bool:
        """Whether `closest` are nearer to `key` than chance mostly puts them.

        Random ids are looked up where the verdict takes a better estimate of the network's size.
        Without any estimate the answer is no, unless it must be `certain`.
        """
        if len(closest) < self._k:
            return False
        target = int.from_bytes(key)
        if certain:
            await self._learn(target, limits.SIZE_SAMPLES_SUSPICION)
        if not self.size.samples(without=target):
            return False
        if self._chance(target, closest) > limits.SUSPICIOUS_CHANCE:
            return False
        await self._learn(target, limits.SIZE_SAMPLES_VERDICT)
        return self._chance(target, closest) <= limits.SUSPICIOUS_CHANCE

    def _chance(self, target: int, closest: Sequence[Contact]) -> float:
        expected = self.size.estimate(without=target) * sybil_detection.radius(target, closest)
        return sybil_detection.chance_of(len(closest), expected)

    async def _learn(self, target: int, samples: int) -> None:
        """Look up random ids until there are so many samples; what asks meanwhile shares them."""
        async with self._learning:
            missing = samples - self.size.samples(without=target)
            ids = self.size.targets(missing, self._rng, without=target)
            await asyncio.gather(*(self._lookup(one) for one in ids))
