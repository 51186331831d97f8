"""A check of the whole vault: what is damaged is found, fetched again, and a stop loses nothing."""

import asyncio
import random
from pathlib import Path

import pytest

from node.content.keeping.scrubber import Scrubber
from node.content.progress import Progress, ReportProgress, ignore_progress
from node.content.rates.background import BackgroundPacer
from node.content.vault.index import Index
from node.content.vault.packs import PackPlace, Packs
from node.content.vault.upkeep import scrubbing
from node.content.vault.vault import Vault
from protocol import limits
from protocol.errors import DiskError, NotFound
from tests.node.content.content_nodes import content_nodes, links_to, write_files
from tests.node.content.keeping.test_keeper import KB, Mods, blob, chunks


def rot(vault: Vault, data: bytes) -> None:
    """Let one bit of these bytes flip on the disk."""
    for pack in (vault.folder / "packs").iterdir():
        there = pack.read_bytes()
        if data in there:
            pack.write_bytes(there.replace(data, bytes([data[0] ^ 1]) + data[1:]))
            return
    raise AssertionError("that is in no pack")


class Swarm:
    """Gives the vault what it lacks of some mods."""

    def __init__(self, mods: Mods, has: set[bytes]) -> None:
        self._mods = mods
        self._has = has
        self.asked: list[bytes] = []
        self.pacers: list[BackgroundPacer | None] = []

    async def repair(self, mod_id: bytes, _: ReportProgress, pacer: BackgroundPacer | None) -> None:
        """Fetch a mod."""
        self.asked.append(mod_id)
        self.pacers.append(pacer)
        if mod_id not in self._has:
            raise NotFound("no one has it")
        await self._mods.vault.put([blob(number) for number in range(60)])


async def test_what_has_rotted_is_found_and_fetched_again(tmp_path: Path) -> None:
    mods = Mods(await Vault.open(tmp_path / "vault", lambda: 1e6))
    whole, rare, partial = (
        await mods.add(0, chunks(0, 4), shared=True),
        await mods.add(1, [*chunks(10, 4), blob(100)]),
        await mods.add(2, chunks(20, 4), here=3),
    )
    for number in (1, 2, 100, 20):
        rot(mods.vault, blob(number)[1])
    swarm = Swarm(mods, {whole})
    found = await Scrubber(mods.vault, swarm.repair).run()
    assert (found.bad, found.size) == (4, 12 * KB + 3)
    assert (found.repaired, found.lacking) == ((whole,), (rare,))
    assert swarm.asked == [whole, rare], "what was never whole is not completed"
    assert await mods.vault.missing(partial) == [0, 3] or await mods.vault.missing(partial) == []
    assert await mods.vault.missing(whole) == []
    swarm = Swarm(mods, {rare})
    again = await Scrubber(mods.vault, swarm.repair).run()
    assert (again.bad, again.repaired, swarm.asked) == (0, (rare,), [rare])
    await mods.vault.close()


async def test_a_check_that_is_stopped_goes_on_from_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scrubbing, "_CHECKED_BYTES", 3 * KB)
    vault = await Vault.open(tmp_path / "vault", lambda: 1e6)
    mods = Mods(vault)
    mod_id = await mods.add(0, chunks(0, 20))
    rot(vault, blob(1)[1])
    read: list[PackPlace] = []
    real = Packs.read

    def reading(packs: Packs, place: PackPlace) -> bytes:
        read.append(place)
        return real(packs, place)

    monkeypatch.setattr(Packs, "read", reading)
    for _ in range(3):
        assert not (await vault.scrub()).done
    await vault.close()
    mods.vault = again = await Vault.open(tmp_path / "vault", lambda: 1e6)
    told: list[Progress] = []
    found = await Scrubber(again, Swarm(mods, {mod_id}).repair).run(told.append)
    assert (found.blobs, found.bad, found.repaired) == (21, 1, (mod_id,))
    assert len(read) == len(set(read)) == 21, "each once, over both runs"
    assert [one.bytes_done for one in told] == sorted({one.bytes_done for one in told})
    assert {one.bytes_total for one in told} == {20 * KB + 1}
    assert (await Scrubber(again, Swarm(mods, set()).repair).run()).bad == 0
    assert len(read) == 21 + 61, "a new check begins at the beginning, with what was fetched"
    await again.close()


async def test_what_rots_while_it_is_served_is_repaired_by_the_next_check(tmp_path: Path) -> None:
    mods = Mods(await Vault.open(tmp_path / "vault", lambda: 1e6))
    mod_id = await mods.add(0, chunks(0, 4))
    rot(mods.vault, blob(2)[1])
    assert await mods.vault.read_by("peer").chunks(mod_id, [2], 1) == [None]
    await mods.vault.close()
    mods.vault = await Vault.open(tmp_path / "vault", lambda: 1e6)
    found = await Scrubber(mods.vault, Swarm(mods, {mod_id}).repair).run()
    assert (found.bad, found.repaired) == (0, (mod_id,))
    await mods.vault.close()


async def test_what_the_disk_does_not_give_out_now_is_left_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mods = Mods(await Vault.open(tmp_path / "vault", lambda: 1e6))
    await mods.add(0, chunks(0, 4))

    def failing(_: Packs, place: PackPlace) -> bytes:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as broken:
        broken.setattr(Packs, "read", failing)
        found = await Scrubber(mods.vault, Swarm(mods, set()).repair).run()
    assert (found.bad, found.lacking) == (5, ())
    assert (await Scrubber(mods.vault, Swarm(mods, set()).repair).run()).bad == 0
    await mods.vault.close()


@pytest.mark.real_loop
async def test_a_sharer_is_repaired_by_who_fetched_from_it(tmp_path: Path) -> None:
    """Also of its manifest; it has the key, and the other end the ciphertext."""
    source = write_files(tmp_path / "mod", {"a.bin": random.Random(5).randbytes(400_000)})
    async with content_nodes(tmp_path, 2) as (ann, bob):
        shared = await ann.publisher.publish(source)
        ours, theirs = bob.connect(ann)
        await bob.download(shared.link, links_to(ours))
        address = (await ann.vault.kept())[0].mod_id
        manifest = await ann.vault.get(address)
        (chunk,) = await ann.vault.get_chunks(address, [0]) or [None]
        assert manifest is not None
        assert chunk is not None
        rot(ann.vault, manifest)
        rot(ann.vault, chunk)

        async def repair(mod_id: bytes, _: ReportProgress, __: BackgroundPacer | None) -> None:
            assert mod_id == shared.mod_id
            await ann.download(shared.link, links_to(theirs))

        found = await Scrubber(ann.vault, repair).run(ignore_progress)
        assert (found.bad, found.repaired) == (2, (shared.mod_id,))
        assert await ann.vault.get(address) == manifest
        assert await ann.vault.get_chunks(address, [0]) == [chunk]


class Core:
    """CPU time that passes between two looks, by so much."""

    def __init__(self, step_s: float) -> None:
        self.used_s = 0.0
        self._step_s = step_s

    def used(self) -> float:
        self.used_s += self._step_s
        return self.used_s


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scrubbing, "_CHECKED_BYTES", 3 * KB)


@pytest.mark.usefixtures("small_steps")
async def test_a_check_whose_place_is_not_kept_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mods = Mods(await Vault.open(tmp_path / "vault", lambda: 1e6))
    await mods.add(0, chunks(0, 20))
    monkeypatch.setattr(Index, "scrub", lambda *_: None)
    with pytest.raises(DiskError, match="does not keep how far"):
        await Scrubber(mods.vault, Swarm(mods, set()).repair).run()
    with pytest.raises(DiskError, match="does not keep how far"):
        await Scrubber(mods.vault, Swarm(mods, set()).repair).run_paced(
            BackgroundPacer(Core(0.0).used)
        )
    await mods.vault.close()


@pytest.mark.usefixtures("small_steps")
async def test_a_vault_is_checked_once_a_month_with_a_twentieth_of_a_core(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    mods = Mods(await Vault.open(tmp_path / "vault", lambda: 1e9 + loop.time()))
    mod_id = await mods.add(0, chunks(0, 20))
    rot(mods.vault, blob(1)[1])
    swarm, changes, core = Swarm(mods, {mod_id}), list[float](), Core(1.0)

    async def changed() -> None:
        changes.append(loop.time())

    pacer = BackgroundPacer(core.used)
    following = asyncio.create_task(Scrubber(mods.vault, swarm.repair).follow(pacer, changed))
    begins = loop.time()
    with mods.vault.using(bytes(32)):
        await asyncio.sleep(limits.SCRUB_LOOK_S + 100)
        assert core.used_s == 0, "something is in use"
    await asyncio.sleep(1000)
    (at,) = changes
    assert swarm.asked == [mod_id]
    assert await mods.vault.missing(mod_id) == []
    assert core.used_s >= 7, "a second for each step"
    assert at - begins - limits.SCRUB_LOOK_S - 100 >= 6 * 20 - 1
    rot(mods.vault, blob(2)[1])
    await asyncio.sleep(limits.SCRUB_EVERY_S - 3 * limits.SCRUB_LOOK_S)
    assert len(changes) == 1
    await asyncio.sleep(5 * limits.SCRUB_LOOK_S)
    assert len(changes) == 2
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    await mods.vault.close()


@pytest.mark.usefixtures("small_steps")
async def test_who_asks_for_a_check_waits_for_none_in_the_background(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    mods = Mods(await Vault.open(tmp_path / "vault", lambda: 1e6))
    await mods.add(0, chunks(0, 20))
    scrubber = Scrubber(mods.vault, Swarm(mods, set()).repair)
    slow = asyncio.create_task(scrubber.run_paced(BackgroundPacer(Core(1.0).used)))
    await asyncio.sleep(50)
    assert not slow.done()
    began = loop.time()
    found = await scrubber.run()
    assert loop.time() - began < 10
    assert (found.blobs, found.bad) == (21, 0), "it went on from there"
    assert await slow is None
    await mods.vault.close()


async def test_a_repair_that_no_person_waits_for_is_paced_and_ends(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    mods = Mods(await Vault.open(tmp_path / "vault", lambda: 1e6))
    first, second = await mods.add(0, chunks(0, 4)), await mods.add(1, chunks(10, 4))
    swarm = Swarm(mods, {first, second})

    async def stalls(mod_id: bytes, report: ReportProgress, pacer: BackgroundPacer | None) -> None:
        if mod_id == first:
            await asyncio.sleep(1e9)
        await swarm.repair(mod_id, report, pacer)

    for number in (1, 12):
        rot(mods.vault, blob(number)[1])
    pacer, began = BackgroundPacer(Core(0.0).used), loop.time()
    found = await Scrubber(mods.vault, stalls).run_paced(pacer)
    assert found is not None
    assert (found.bad, found.repaired, found.lacking) == (2, (second,), (first,))
    assert limits.REPAIR_S <= loop.time() - began < limits.REPAIR_S + 60
    assert (swarm.asked, swarm.pacers) == ([second], [pacer])
    again = await Scrubber(mods.vault, swarm.repair).run()
    assert (again.repaired, swarm.pacers) == ((first,), [pacer, None]), "a person waits for it"
    await mods.vault.close()
