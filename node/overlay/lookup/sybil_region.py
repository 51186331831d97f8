"""The region around a key whose nearest contacts are sybils (Sridhar et al., NDSS 2024).

The contacts nearest to a key store the records under it, so an adversary that owns all of them can
hide these. It cannot own the region as well: where the nearest are implausibly near, records and
registrations also go to, and are read from, every contact of the region around the key.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from node.environment import Environment
from node.tasks import TaskOwner
from protocol import limits
from protocol.overlay import sybil_detection
from protocol.overlay.contacts import Contact
from protocol.overlay.lookup_steps import AnyLookup
from protocol.overlay.sybil_detection import NetworkSize


class SybilRegions:
    """Learns the network's size from lookups, and finds regions. `lookup` finds the nearest.

    `some_contacts` are drawn by chance, and `neighbours` asks one of them for those nearest to it.
    """

    def __init__(
        self,
        lookup: Callable[[bytes], Awaitable[AnyLookup]],
        environment: Environment,
        *,
        some_contacts: Callable[[], list[Contact]],
        neighbours: Callable[[Contact], Awaitable[list[Contact]]],
        k: int,
    ) -> None:
        self._lookup = lookup
        self._some_contacts = some_contacts
        self._neighbours = neighbours
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

    async def may_have_sybils(self, key: bytes, closest: Sequence[Contact]) -> bool:
        """Whether it takes a better knowledge of the network's size to say that there are none."""
        return await self._are_too_near(int.from_bytes(key), closest, limits.PLAUSIBLE_CHANCE)

    def expects_sybils(self, key: bytes, closest: Sequence[Contact]) -> bool:
        """What `has_sybils` will probably find, by what is known of the network's size already.

        Where ids were ground for a key, and not near it by chance, both say the same.
        """
        return self._chance(int.from_bytes(key), closest) < limits.SYBILS_CHANCE

    async def has_sybils(
        self, key: bytes, closest: Sequence[Contact], *, certain: bool = False
    ) -> bool:
        """Whether `closest` are much nearer to `key` than chance puts them: probably sybils."""
        plausible = limits.PLAUSIBLE_CHANCE if certain else None
        if not await self._doubts(key, closest, plausible):
            return False
        return self._chance(int.from_bytes(key), closest) < limits.SYBILS_CHANCE

    async def suspects(self, key: bytes, closest: Sequence[Contact]) -> bool:
        """Whether `closest` are nearer to `key` than chance mostly puts them."""
        if not await self._doubts(key, closest, limits.SUSPICIOUS_CHANCE):
            return False
        return self._chance(int.from_bytes(key), closest) <= limits.SUSPICIOUS_CHANCE

    async def _doubts(
        self, key: bytes, closest: Sequence[Contact], plausible: float | None
    ) -> bool:
        """Whether `closest` may be too near; then the network's size is known well."""
        target = int.from_bytes(key)
        if not await self._are_too_near(target, closest, plausible):
            return False
        await self._learn(target, limits.SIZE_SAMPLES_VERDICT)
        return True

    async def _are_too_near(
        self, target: int, closest: Sequence[Contact], plausible: float | None
    ) -> bool:
        """Whether `closest` are nearer than chance mostly puts them, by few samples.

        Without any estimate the answer is no, unless it must be certain: then contacts are asked
        first, and random ids are looked up where these do not make it so likely as `plausible`.
        """
        if len(closest) < self._k:
            return False
        few = self.size.samples(without=target) < limits.SIZE_SAMPLES_SUSPICION
        if plausible is not None and few:
            if await self._is_plausible(target, closest, plausible):
                return False
            await self._learn(target, limits.SIZE_SAMPLES_SUSPICION)
        if not self.size.samples(without=target):
            return False
        return self._chance(target, closest) <= limits.SUSPICIOUS_CHANCE

    def _chance(self, target: int, closest: Sequence[Contact]) -> float:
        return _chance_in(self.size.estimate(without=target), target, closest)

    async def _is_plausible(self, target: int, closest: Sequence[Contact], chance: float) -> bool:
        """Whether `closest` are that likely in a network as large as nearly all contacts say.

        Contacts far from the key, drawn by chance, each tell by one answer how near others are to
        them. Who wants sybils to pass must have the network taken for a larger one, for which
        SIZE_VOICES of these must lie; liars that make it look smaller cost lookups.
        """
        far = [one for one in self._some_contacts() if self.size.is_apart(one.number, target)]
        owner = TaskOwner("size hints")
        asked = (owner.start(self._hint(one), name="a hint") for one in far[: limits.SIZE_HINTS])
        waiting: set[asyncio.Task[float]] = set(asked)
        told: list[float] = []
        try:
            while waiting:
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                told = sorted((*told, *(hint for one in done if (hint := one.result()))))
                # Later voices make it larger only, so none that is slow is waited for.
                if len(told) >= limits.SIZE_VOICES and (
                    _chance_in(told[-limits.SIZE_VOICES], target, closest) > chance
                ):
                    return True
        finally:
            await owner.close()
        return False

    async def _hint(self, contact: Contact) -> float:
        """How large the network is by the word of a contact; 0 if it does not answer."""
        return self.size.hint(contact.number, await self._neighbours(contact))

    async def _learn(self, target: int, samples: int) -> None:
        """Look up random ids until there are so many samples; what asks meanwhile shares them."""
        async with self._learning:
            missing = max(0, samples - self.size.samples(without=target))
            ids = self.size.targets(missing, self._rng, without=target)
            await asyncio.gather(*(self._lookup(one) for one in ids))


def _chance_in(contacts: float, target: int, closest: Sequence[Contact]) -> float:
    """How likely so many are so near to `target` in a network of so many contacts."""
    expected = contacts * sybil_detection.radius(target, closest)
    return sybil_detection.chance_of(len(closest), expected)
