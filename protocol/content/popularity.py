"""Which mods are asked for, by how many networks: what a cache for others goes by.

An asker is the network of a direct link's peer, a /24 or /48: its address was proved by traffic
both ways, and however many ids one has there they count as one. A network that asks for much
displaces what it asked for itself, and then what those asked for that asked for most: one that
asked for little is displaced only by more networks than there are places.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from protocol import limits


class Ask(NamedTuple):
    """A network asked for a mod, on these days and maybe between them, counted since 1970."""

    network: bytes
    mod_id: bytes
    first: int
    last: int


class Popularity:
    """What was asked for within the last week; `day` is the present one."""

    def __init__(self, asks: Iterable[Ask] = ()) -> None:
        self._by_mod: dict[bytes, dict[bytes, Ask]] = {}
        self._by_network: dict[bytes, dict[bytes, None]] = {}
        """The mods of each network, the one asked for last behind."""
        self._by_count: list[dict[bytes, None]] = [{} for _ in range(limits.ASKS_OF_NETWORK + 1)]
        """The networks that have so many."""
        self._total = 0
        for ask in asks:
            self._add(ask)

    def __len__(self) -> int:
        return self._total

    def __iter__(self) -> Iterator[Ask]:
        """All that is counted, as the constructor takes it."""
        for network, mods in self._by_network.items():
            for mod_id in mods:
                yield self._by_mod[mod_id][network]

    def asked(self, network: bytes, mod_id: bytes, day: int) -> bool:
        """A network asks for a mod; whether that is news today."""
        known = self._by_mod.get(mod_id, {}).get(network)
        if known is not None and known.last == day:
            return False
        first = day if known is None or not _is_recent(known.last, day) else known.first
        if known is not None and not _is_recent(first, day):
            first = known.last
        self._add(Ask(network, mod_id, first, day))
        return True

    def askers(self, mod_id: bytes, day: int) -> frozenset[bytes]:
        """The networks that asked for a mod lately."""
        asks = self._by_mod.get(mod_id, {}).values()
        return frozenset(ask.network for ask in asks if _is_recent(ask.last, day))

    def popular(self, day: int) -> list[bytes]:
        """Mods that enough networks asked for lately, on enough days; the most popular first."""
        counts = {
            mod_id: len(self.askers(mod_id, day))
            for mod_id in self._by_mod
            if self._days(mod_id, day) >= limits.CACHE_DAYS
        }
        found = [mod_id for mod_id, count in counts.items() if count >= limits.CACHE_ASKERS]
        return sorted(found, key=lambda mod_id: (-counts[mod_id], mod_id))

    def forget(self, mod_id: bytes) -> None:
        """Forget all who asked for a mod."""
        for network in tuple(self._by_mod.get(mod_id, ())):
            self._remove(network, mod_id)

    def _days(self, mod_id: bytes, day: int) -> int:
        asks = self._by_mod[mod_id].values()
        days = {when for ask in asks for when in (ask.first, ask.last)}
        return sum(_is_recent(when, day) for when in days)

    def _add(self, ask: Ask) -> None:
        self._remove(ask.network, ask.mod_id)
        mods = self._by_network.get(ask.network, {})
        if len(mods) >= limits.ASKS_OF_NETWORK:
            self._remove(ask.network, next(iter(mods)))
        if self._total >= limits.ASKS_COUNTED:
            self._displace()
        self._by_mod.setdefault(ask.mod_id, {})[ask.network] = ask
        mods = self._by_network.setdefault(ask.network, {})
        mods[ask.mod_id] = None
        self._total += 1
        self._recount(ask.network, len(mods) - 1, len(mods))

    def _displace(self) -> None:
        """The network that has most loses what it asked for first."""
        networks = next(some for some in reversed(self._by_count) if some)
        network = next(iter(networks))
        self._remove(network, next(iter(self._by_network[network])))

    def _remove(self, network: bytes, mod_id: bytes) -> None:
        asks = self._by_mod.get(mod_id, {})
        if asks.pop(network, None) is None:
            return
        if not asks:
            del self._by_mod[mod_id]
        mods = self._by_network[network]
        del mods[mod_id]
        if not mods:
            del self._by_network[network]
        self._total -= 1
        self._recount(network, len(mods) + 1, len(mods))

    def _recount(self, network: bytes, before: int, count: int) -> None:
        self._by_count[before].pop(network, None)
        if count:
            self._by_count[count][network] = None


def _is_recent(when: int, day: int) -> bool:
    return 0 <= day - when < limits.CACHE_WEEK_DAYS
