"""Fakes that publish a mod, link gladly and serve nothing: they hide no holder from a download."""

import asyncio
import itertools
import random
import weakref
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest

from node.content.download import chunk_phase
from node.content.ports import LinkPort
from node.content.serve import exchange
from node.content.serve.uploader import Uploader
from node.content.vault.vault import Vault
from node.holders.search import HolderSearch
from node.overlay.records.availability_lookup import AvailabilityLookup, FilterAnswer
from protocol import limits, records
from protocol.content.reassembly import ChunkPieces
from protocol.errors import LinkFailed
from protocol.identity import PeerId, peer_id_of
from protocol.records import ProviderBody, Record
from simulations.attacks import holders
from simulations.attacks.holders import HostileHolder, HostileUploaders
from tests.hostile.told import RecordProperty
from tests.node.content.content_nodes import ContentNode, content_nodes, write_files
from tests.node.content.memory_links import memory_link
from tests.node.holder_doubles import OverlayDouble, PoolDouble

CALL_S = 0.3
KINDS: tuple[type[HostileHolder], ...] = (
    *(holders.SilentAtOpen, holders.Refusing, holders.LyingManifest, holders.LateRefusing),
    holders.HoldsNothing,
    *(holders.SilentAtChunks, holders.DrippingChunks, holders.LyingChunks, holders.MissingChunks),
)
PLACE_S = CALL_S + limits.HOLDER_PROOF_S
"""How long a fake that serves nothing holds one of PROVIDERS_TRIED places."""


def limit_s(fakes: int, place_s: float = PLACE_S) -> float:
    """What so many fakes may cost, all called before the holder: their places in turn, and pages.

    And the places of a turn are taken CONNECTING at once. So 500 fakes cost 7 * 4.3 s and 3.6 s.
    """
    pages = 1 + fakes // limits.READ_RECORDS
    begun_s = limits.PROVIDERS_TRIED / limits.CONNECTING * CALL_S
    return fakes // limits.PROVIDERS_TRIED * place_s + begun_s + pages * CALL_S


def provider_records(keys: list[bytes], rng: random.Random, *, last: bool) -> list[Record]:
    """Of all keys, in the order in which they are told: the first by chance, or at the end."""
    told = rng.sample(keys[1:], len(keys) - 1)
    told.insert(len(told) if last else rng.randrange(len(keys)), keys[0])
    body = ProviderBody(bytes(32), complete=True)
    return [Record(records.PROVIDER, key, 1, 0, 1, body, b"raw") for key in told]


class Pool(PoolDouble):
    """Links to the good node under one id, and to the bad one under all others."""

    def __init__(
        self,
        getter: ContentNode,
        good: ContentNode,
        bad: ContentNode,
        *,
        fakes_fail_s: float,
        good_says_nothing_s: float,
        bytes_per_second: float | None,
    ) -> None:
        super().__init__()
        self._getter, self._good, self._bad = getter, good, bad
        self.good_id = PeerId(good.peer_id)
        self.most_open = 0
        self.fakes_fail_s = fakes_fail_s
        """After so long a call of a fake fails; 0: it links."""
        self.good_says_nothing_s = good_says_nothing_s
        """How long the line to the good node holds its frames back, once it is linked."""
        self.bytes_per_second = bytes_per_second
        """The rate of each line; None: as fast as one likes."""

    async def open_link(self, peer_id: PeerId) -> Any:
        """A link to this peer: all of them link."""
        await asyncio.sleep(CALL_S)
        if self.fakes_fail_s and peer_id != self.good_id:
            await asyncio.sleep(self.fakes_fail_s - CALL_S)
            raise LinkFailed("it does not answer")
        theirs, ours = memory_link(peer_id, self._getter.peer_id)
        ours.signaled_via = ()  # type: ignore[attr-defined]
        theirs.bytes_per_second = self.bytes_per_second or theirs.bytes_per_second
        if peer_id == self.good_id:
            theirs.hold()
            asyncio.get_running_loop().call_later(self.good_says_nothing_s, theirs.release)
        (self._good if peer_id == self.good_id else self._bad).exchanges.attach(theirs)
        self.most_open = max(self.most_open, len(self.links()) + 1)
        return ours


async def _get(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: holders.MakeHolder | None,
    fakes: int,
    seed: int,
    *,
    last: bool = False,
    size: int = 200_000,
    fakes_fail_s: float = CALL_S,
    good_says_nothing_s: float = 0.0,
    bytes_per_second: float | None = None,
) -> tuple[float, Pool]:
    """How long a download takes, and the links that it made."""
    uploaders = HostileUploaders(Uploader)
    monkeypatch.setattr(exchange, "Uploader", uploaders)
    monkeypatch.setattr(AvailabilityLookup, "ask", _says_yes)
    rng = random.Random(seed)
    keys = [rng.randbytes(32) for _ in range(fakes + 1)]
    async with content_nodes(folder, 3) as (good, getter, bad):
        source = write_files(folder / "source", {"mod.bin": random.Random(5).randbytes(size)})
        link = (await good.publisher.publish(source, "mod")).link
        if kind is not None:
            uploaders.turn(bad.vault, kind, good.vault)
        pool = Pool(
            *(getter, good, bad),
            fakes_fail_s=0.0 if kind else fakes_fail_s,
            good_says_nothing_s=good_says_nothing_s,
            bytes_per_second=bytes_per_second,
        )
        pool.good_id = peer_id_of(keys[0])
        overlay = OverlayDouble(provider_records(keys, rng, last=last), lookup_s=CALL_S)
        search = HolderSearch(cast("Any", overlay), cast("Any", pool), rng)

        def find(mod_id: bytes) -> AsyncIterator[LinkPort]:
            return search.links(mod_id)

        loop = asyncio.get_running_loop()
        started = loop.time()
        async with asyncio.timeout(1000.0):
            await getter.downloader.download(
                link, lambda mod_id: getter.exchanges.sources(find(mod_id), search)
            )
        return loop.time() - started, pool


async def _says_yes(*_: object) -> FilterAnswer:
    return FilterAnswer.YES


@pytest.mark.parametrize(("fakes", "seeds"), [(63, (0, 1, 2, 3)), (128, (0, 1)), (500, (2,))])
@pytest.mark.parametrize("kind", KINDS)
async def test_fakes_that_link_hide_no_holder(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: type[HostileHolder],
    fakes: int,
    seeds: tuple[int, ...],
    record_property: RecordProperty,
) -> None:
    alone_s, _ = await _get(tmp_path / "alone", monkeypatch, kind, 0, 1)
    record_property("alone_s", alone_s)
    record_property("attackers", fakes)
    times = []
    for seed in seeds:
        seconds, pool = await _get(tmp_path / f"{seed}", monkeypatch, kind, fakes, seed)
        times.append(seconds)
        assert pool.most_open <= limits.PROVIDERS_TRIED + limits.CONNECTING
        assert len(set(pool.called)) == len(pool.called), "each is called once at first"
    record_property("attacked_s", max(times))
    assert max(times) <= alone_s + limit_s(fakes)


async def test_what_a_fake_sent_of_a_chunk_goes_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each fake sends a chunk but for its last byte; they come and go, and that stayed."""
    gathered: weakref.WeakSet[ChunkPieces] = weakref.WeakSet()
    most = 0

    class Gathered(ChunkPieces):
        def __init__(self) -> None:
            nonlocal most
            super().__init__()
            gathered.add(self)
            most = max(most, len(gathered))

    monkeypatch.setattr(chunk_phase, "ChunkPieces", Gathered)
    _, pool = await _get(tmp_path, monkeypatch, holders.HaltingChunks, 256, 1, last=True)
    assert len(pool.called) > 2 * limits.PROVIDERS_TRIED
    assert most <= limits.PROVIDERS_TRIED + limits.CONNECTING


@pytest.mark.parametrize("kind", [None, holders.SilentAtOpen, holders.LyingChunks])
async def test_a_holder_on_the_last_page_is_found_past_calls_that_come_to_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[HostileHolder] | None
) -> None:
    fakes = 3 * limits.READ_RECORDS
    seconds, pool = await _get(tmp_path, monkeypatch, kind, fakes, 1, last=True)
    assert len(pool.called) > fakes - limits.PROVIDERS_TRIED
    each_s = CALL_S / limits.CONNECTING + limits.HOLDER_PROOF_S / limits.PROVIDERS_TRIED
    assert seconds <= fakes * each_s


def _in_turn(*kinds: type[HostileHolder]) -> holders.MakeHolder:
    """Each link gets the next of these kinds."""
    turns = itertools.cycle(kinds)

    def make(link: LinkPort, vault: Vault) -> HostileHolder:
        return next(turns)(link, vault)

    return make


async def test_a_crowd_of_all_kinds_hides_no_holder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds, _ = await _get(tmp_path, monkeypatch, _in_turn(*holders.KINDS), 128, 1, last=True)
    assert seconds <= limit_s(128, CALL_S + limits.STALL_S)


async def test_fakes_that_serve_one_chunk_each_keep_no_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fakes = 130
    seconds, pool = await _get(
        tmp_path, monkeypatch, holders.OneChunk, fakes, 1, last=True, size=24_000_000
    )
    assert pool.good_id in pool.called
    assert seconds <= limit_s(fakes, CALL_S + limits.STALL_S) + limits.STALL_S


@pytest.mark.parametrize(
    "kinds",
    [
        (holders.TricklingChunks,),
        (holders.TricklingChunks, *[holders.SilentAtChunks] * 3),
    ],
    ids=["trickling", "few-trickle"],
)
@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_fakes_that_serve_hardly_keep_no_place(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kinds: tuple[type[HostileHolder], ...],
    seed: int,
    record_property: RecordProperty,
) -> None:
    kind, fakes, size, line = _in_turn(*kinds), 256, 24_000_000, 4e6
    alone_s, _ = await _get(
        tmp_path / "alone", monkeypatch, kind, 0, seed, size=size, bytes_per_second=line
    )
    record_property("alone_s", alone_s)
    record_property("attackers", fakes)
    seconds, pool = await _get(
        *(tmp_path / "among", monkeypatch, kind, fakes, seed),
        last=True,
        size=size,
        bytes_per_second=line,
    )
    record_property("attacked_s", seconds)
    assert pool.good_id in pool.called
    assert seconds <= 2.0 + 1.1 * alone_s + limit_s(fakes)


async def test_fakes_that_are_slow_to_link_keep_no_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fakes = 128
    seconds, _ = await _get(tmp_path, monkeypatch, None, fakes, 1, last=True, fakes_fail_s=30.0)
    begun_s = fakes * limits.CONNECTING_SLOW_S / limits.CONNECTING
    assert seconds <= begun_s + limit_s(fakes, 0.0) + 1.0


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_a_slow_holder_among_silent_fakes_has_twice_the_time_at_its_next_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    fakes, kind = 192, holders.SilentAtChunks
    slow_s = 1.5 * limits.HOLDER_PROOF_S
    seconds, pool = await _get(
        tmp_path, monkeypatch, kind, fakes, seed, last=True, good_says_nothing_s=slow_s
    )
    assert pool.called.count(pool.good_id) == 2
    places = fakes + limits.PROVIDERS_TRIED  # its own is one of the last turn
    assert seconds <= limit_s(places) + limit_s(places, CALL_S + 2 * limits.HOLDER_PROOF_S)


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_a_slow_holder_from_which_bytes_come_needs_one_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    fakes, line = 192, 1.2 * limits.HOLDER_PROOF_BYTES_PER_SECOND
    _, pool = await _get(
        *(tmp_path, monkeypatch, holders.SilentAtChunks, fakes, seed),
        last=True,
        bytes_per_second=line,
    )
    assert pool.called.count(pool.good_id) == 1
