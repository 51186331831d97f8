"""The cache for others: what comes, what never does, and what goes."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from node.content.caching.caching import Caching
from node.content.download.downloader import ChunkTaker
from node.content.opened_mods import OpenedMod
from node.content.vault.stored_mod import StoredMod
from node.content.vault.vault import Vault
from protocol import limits
from protocol.content import sealing
from protocol.errors import NoSources
from protocol.places.tenure import RELAYED
from tests.node.content.content_nodes import until
from tests.node.content.keeping.test_keeper import KB, FakeManifest, chunks

BUDGET = 100 * KB
DAY_S = 86_400.0


def network(number: int) -> bytes:
    return number.to_bytes(3, "big")


class Manifest(FakeManifest):
    """One with sizes."""

    def __init__(self, number: int, size: int) -> None:
        self.blobs = chunks(100 * number, size // KB)
        super().__init__(b"%d" % number, tuple(address for address, _ in self.blobs))
        self.mod_id = sealing.address_of(self.data)
        self.sealed_bytes = sum(len(data) for _, data in self.blobs)


class World:
    """The mods that others have, and a cache that hears of them."""

    def __init__(self, vault: Vault) -> None:
        self.vault = vault
        self.day = 20_000.0
        self.mods: dict[bytes, Manifest] = {}
        self.sources: dict[bytes, int] = {}
        self.fetched: list[bytes] = []
        self.without: dict[bytes, frozenset[bytes]] = {}
        self.offered: set[bytes] = set()
        self.most = 0
        self.caching: Caching

    def mod(self, number: int, size: int = 9 * KB, sources: int = 1) -> bytes:
        """A mod that some have."""
        manifest = Manifest(number, size)
        self.mods[manifest.mod_id], self.sources[manifest.mod_id] = manifest, sources
        return manifest.mod_id

    def want(self, mod_id: bytes, networks: Sequence[int], days: int = 2) -> None:
        """Peers of these networks ask for it, today and on days before."""
        today, self.day = self.day, self.day - days + 1
        while self.day <= today:
            for number in networks:
                self.caching.asked(network(number), mod_id)
            self.day += 1
        self.day = today

    async def fetch(self, mod_id: bytes, without: frozenset[bytes], taker: ChunkTaker) -> None:
        """A FetchOutside."""
        self.offered.add(mod_id)
        self.without[mod_id] = without
        if not self.sources.get(mod_id):
            raise NoSources("nobody has it")
        manifest: Any = self.mods[mod_id]
        await taker.accept(OpenedMod(manifest, None))
        stored = StoredMod(
            *(mod_id, None, "", 0, 0, 0, manifest.sealed_bytes, len(manifest.addresses)),
            published=False,
            added=self.day,
        )
        await self.vault.add_mod(stored, manifest)
        await self.vault.put(manifest.blobs)
        self.fetched.append(mod_id)
        here = sum(mod.bytes for mod in await self.vault.kept() if mod.is_cached)
        self.most = max(self.most, here)

    async def complete(self, mod_id: bytes) -> int:
        """A CountComplete."""
        return self.sources.get(mod_id, 0)

    async def changed(self) -> None:
        """A Changed."""

    async def look(self) -> None:
        """Let the cache look once more."""
        await asyncio.sleep(limits.CACHE_CHECK_S + 1)

    async def cached(self) -> set[bytes]:
        return {mod.mod.mod_id for mod in (await self.caching.state()).mods}


@contextlib.asynccontextmanager
async def world(folder: Path, budget: int = BUDGET) -> AsyncIterator[World]:
    vault = await Vault.open(folder / "vault", lambda: 1e6)
    made = World(vault)
    made.caching = Caching(
        *(vault, budget, made.fetch, made.complete, made.changed),
        lambda: made.day * DAY_S,
    )
    await made.caching.start()
    try:
        yield made
    finally:
        await made.caching.close()
        assert made.caching.defects == []
        await vault.close()


async def test_a_popular_mod_that_few_have_is_fetched(tmp_path: Path) -> None:
    async with world(tmp_path) as it:
        wanted, common, unknown = it.mod(1), it.mod(2, sources=3), it.mod(3)
        it.want(wanted, range(4))
        it.want(common, range(9))
        it.want(unknown, range(3))
        await it.look()
        assert it.fetched == [wanted]
        assert it.without[wanted] == {network(number) for number in range(4)}
        (one,) = (await it.caching.state()).mods
        assert (one.askers, one.complete, one.mod.mod_id) == (4, True, wanted)
        await it.look()
        assert it.fetched == [wanted]


async def test_without_a_budget_nothing_is_counted_and_what_was_cached_goes(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as it:
        it.want(it.mod(1), range(5))
        await it.look()
        assert len(it.fetched) == 1
    async with world(tmp_path, budget=0) as it:
        it.want(it.mod(2), range(5))
        await it.look()
        assert it.offered == set()
        assert await it.cached() == set()
        assert await it.vault.mods() == []


async def test_many_ids_of_a_network_and_peers_behind_relays_are_no_askers(tmp_path: Path) -> None:
    async with world(tmp_path) as it:
        junk = it.mod(1)
        for _ in range(6):
            it.day += 1
            for number in (*range(limits.CACHE_ASKERS - 1), *[0] * 500):
                it.caching.asked(network(number), junk)
                it.caching.asked(RELAYED, junk)
        await it.look()
        assert it.offered == set()


async def test_askers_of_many_networks_pull_no_mod_that_nobody_has_or_that_is_huge(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as it:
        junk, huge = it.mod(1, sources=0), it.mod(2, size=11 * KB)
        it.want(junk, range(200))
        it.want(huge, range(200))
        await it.look()
        assert it.offered == {junk, huge}
        assert await it.vault.mods() == []
        it.offered.clear()
        await it.look()
        assert it.offered == set(), "it is left alone for a day"


async def test_the_budget_is_kept_and_the_least_popular_goes(tmp_path: Path) -> None:
    async with world(tmp_path) as it:
        ids = [it.mod(number) for number in range(16)]
        for number, mod_id in enumerate(ids):
            it.want(mod_id, range(4 + number))
            await it.look()
        assert it.fetched == ids
        assert 90 * KB < it.most <= BUDGET
        assert await it.cached() == set(ids[5:]), "eleven of 9 kB"
        late = it.mod(50)
        it.want(late, range(9))
        await it.look()
        assert late in it.offered
        assert late not in await it.cached(), "those that are here are wanted as much"
        assert await it.cached() == set(ids[5:])


async def test_a_refused_mod_never_comes_and_a_dropped_one_must_be_asked_for_anew(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as it:
        bad, good = it.mod(1), it.mod(2)
        it.want(bad, range(5))
        it.want(good, range(5))
        await it.look()
        assert await it.cached() == {bad, good}
        assert await it.caching.refuse(bad)
        assert await it.caching.drop(good)
        assert not await it.caching.drop(good)
        assert await it.vault.mods() == []
    async with world(tmp_path) as it:
        assert (await it.caching.state()).refused == (bad,)
        it.mod(1), it.mod(2)
        it.want(bad, range(9))
        await it.look()
        assert it.offered == set()
        it.want(good, range(5))
        assert await it.caching.allow(bad)
        it.want(bad, range(5))
        await it.look()
        assert it.offered == {good, bad}


async def test_a_mod_that_is_refused_while_it_comes_does_not_stay(tmp_path: Path) -> None:
    async with world(tmp_path) as it:
        bad = it.mod(1)
        fetch, refused = it.fetch, []

        async def slow(mod_id: bytes, without: frozenset[bytes], taker: ChunkTaker) -> None:
            await fetch(mod_id, without, taker)
            await asyncio.sleep(1000)
            refused.append("too late")

        it.caching._fetch = slow
        it.want(bad, range(5))
        await until(lambda: it.fetched, limits.CACHE_CHECK_S + 10)
        assert await it.caching.refuse(bad)
        assert await it.vault.mods() == []
        await it.look()
        assert await it.vault.mods() == []
        assert not refused


async def test_a_restart_keeps_what_was_counted(tmp_path: Path) -> None:
    async with world(tmp_path) as it:
        wanted = it.mod(1)
        it.want(wanted, range(3))
    async with world(tmp_path) as it:
        it.mod(1)
        it.want(wanted, [9])
        await it.look()
        assert it.fetched == [wanted]


async def test_a_mod_that_a_person_has_is_not_of_the_cache(tmp_path: Path) -> None:
    async with world(tmp_path) as it:
        mine = it.mod(1)
        manifest: Any = it.mods[mine]
        stored = StoredMod(
            *(mine, b"k" * 32, "mine", 0, 1, KB, manifest.sealed_bytes, 9),
            published=False,
            added=1.0,
        )
        await it.vault.add_mod(stored, manifest)
        it.want(mine, range(9))
        await it.look()
        assert it.offered == set()
        assert not await it.caching.refuse(mine)
        assert [mod.mod_id for mod in await it.vault.mods()] == [mine]


async def test_asks_that_a_crash_brings_back_do_not_undo_a_refusal(tmp_path: Path) -> None:
    async with world(tmp_path) as it:
        bad = it.mod(1, sources=0)
        it.want(bad, range(5))
        await it.look()
        asks = await it.vault.recall(lambda kept: kept.cache.asks())
        assert len(asks) == 5
        await it.caching.refuse(bad)
    vault = await Vault.open(tmp_path / "vault")
    await vault.record(lambda kept: kept.cache.keep_asks(asks))
    await vault.close()
    async with world(tmp_path) as it:
        it.mod(1)
        await it.look()
        assert it.offered == set()
