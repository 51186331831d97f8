"""From a lineage's record to its versions: what a publisher, or a liar, may have put there."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from node.content.download.patience import LookUpTime
from node.content.opened_mods import OpenedMod
from node.content.origins.origins import NamedBy, NamedOrigin
from node.following.chain import VersionChain
from node.overlay.lineages.heard import HeardLineages
from node.overlay.lineages.reader import LineageReader
from node.streams.hinted import HintedGateways
from protocol import limits
from protocol.causes.cause import Cause
from protocol.content.lineage.body import wrapped_content_key
from protocol.content.lineage.history import next_record
from protocol.content.lineage.keys import LineageKeys
from protocol.content.link import LineageLink, ModLink
from protocol.content.manifests.contents import VersionKeys
from protocol.errors import (
    BadContent,
    BadLink,
    ModswarmError,
    NoSources,
    NotFound,
    Unreachable,
    WrongKey,
)
from protocol.records import Record

KEYS, OTHERS = LineageKeys(b"s" * 32, b"1" * 32), LineageKeys(b"t" * 32, b"2" * 32)
LINK = LineageLink(KEYS.public_key, KEYS.reading_key, ("peer.example:1",), ("https://a.example",))


def keys_of(version: int) -> VersionKeys:
    return VersionKeys(bytes([version]) * 32, bytes([version + 100]) * 32)


class World:
    """Versions by their mod ids, and a record of the newest one."""

    def __init__(self, count: int, origins: tuple[str, ...] = ()) -> None:
        self.lineages = {keys_of(number).mod_id: KEYS for number in range(1, count + 1)}
        self.previous = {number: keys_of(number - 1) for number in range(2, count + 1)}
        self.patches: set[int] = set()
        self.failing: dict[int, ModswarmError] = {}
        self.asked: list[tuple[ModLink, Sequence[NamedOrigin]]] = []
        self.heard = HeardLineages()
        self.name(count, count, origins)
        reader = SimpleNamespace(read=self.read)
        self.chain = VersionChain(
            *(cast("LineageReader", reader), self.heard, self.look, self.check_joined),
            HintedGateways(lambda: None),
        )
        self.is_reached = True

    def name(self, version: int, called: int, origins: tuple[str, ...] = ()) -> None:
        keys = keys_of(version)
        self.record = next_record(
            KEYS.identity,
            self.heard.newest(KEYS.public_key),
            mod_id=keys.mod_id,
            version=called,
            wrapped_key=wrapped_content_key(keys.content_key, KEYS.reading_key, keys.mod_id),
            origins=origins,
            now=1.0,
        )

    async def check_joined(self) -> None:
        """It is joined."""

    async def read(self, _: bytes) -> None:
        if not self.is_reached:
            raise Unreachable("no node answers")
        self.heard.hear(self.record)

    async def look(
        self,
        link: ModLink,
        origins: Sequence[NamedOrigin] = (),
        *,
        look_up: LookUpTime | None = None,
    ) -> OpenedMod:
        assert look_up is None or look_up.at < 0, "no follower waits"
        self.asked.append((link, origins))
        number = link.mod_id[0]
        if number in self.failing:
            raise self.failing[number]
        assert link.content_key == keys_of(number).content_key
        contents: Any = SimpleNamespace(
            version=number,
            previous=self.previous.get(number),
            patch_of=b"" if number in self.patches else None,
        )
        manifest: Any = SimpleNamespace(lineage_key=self.lineages[link.mod_id].public_key)
        return OpenedMod(manifest, contents)


async def test_the_newest_version_one_by_its_number_and_all() -> None:
    world = World(4)
    assert (await world.chain.find(LINK)).number == 4
    for number in (1, 2, 4):
        wanted = LineageLink(KEYS.public_key, KEYS.reading_key, version=number)
        assert (await world.chain.find(wanted)).number == number
    for number in (5, 9):
        with pytest.raises(NotFound, match=f"no version {number}"):
            await world.chain.find(LineageLink(*LINK.parts, version=number))
    assert await numbers(world, 3) == ([4, 3, 2], None)
    assert await numbers(world, 9) == ([4, 3, 2, 1], None)


async def numbers(world: World, most: int) -> tuple[list[int], ModswarmError | None]:
    found = await world.chain.every(LINK, most)
    return [one.number for one in found.versions], found.failure


async def test_versions_are_listed_down_to_one_that_lies_or_is_not_to_be_had() -> None:
    world = World(4)
    world.lineages[keys_of(2).mod_id] = OTHERS
    known, failure = await numbers(world, 9)
    assert known == [4, 3]
    assert isinstance(failure, WrongKey)
    for error in (NoSources("no source serves this mod"), BadContent("damaged")):
        world = World(4)
        world.failing[2] = error
        assert await numbers(world, 9) == ([4, 3], error)
        assert await numbers(world, 2) == ([4, 3], None)
    world.failing[4] = error
    with pytest.raises(BadContent, match="damaged"):
        await world.chain.every(LINK, 9)


async def test_who_asks_for_a_version_is_told_which_one_before_it_is_not_to_be_had() -> None:
    wanted = LineageLink(KEYS.public_key, KEYS.reading_key, version=1)
    for error in (NoSources("no source serves this mod"), NotFound(cause=Cause.MOD_UNKNOWN)):
        world = World(4)
        error.add_note("nor does any server")
        world.failing[2] = error
        with pytest.raises(type(error)) as told:
            await world.chain.find(wanted)
        assert str(told.value) == f"the version before 3 is not to be had: {error}"
        assert told.value.cause is error.cause
        assert told.value.__notes__ == ["nor does any server"]


async def test_a_mod_is_known_as_an_older_version_as_far_as_versions_are_to_be_had() -> None:
    world = World(5)

    async def leads_to(mod_id: bytes) -> bool:
        newest = await world.chain.find(LINK)
        return await world.chain.leads_to(LINK, newest, mod_id)

    for number in range(1, 6):
        assert await leads_to(keys_of(number).mod_id)
    assert not await leads_to(keys_of(9).mod_id)
    world.failing[3] = NoSources("no source serves this mod")
    assert await leads_to(keys_of(3).mod_id), "it is named by the version after it"
    assert not await leads_to(keys_of(2).mod_id)


async def test_what_is_known_is_found_without_a_network() -> None:
    world = World(2)
    world.is_reached = False
    with pytest.raises(Unreachable):
        await world.chain.find(LINK)
    world.heard.hear(world.record)
    assert (await world.chain.find(LINK)).number == 2


async def test_origins_of_the_link_and_of_the_record_go_along_for_the_lineage() -> None:
    """What a publisher wrote that is no address of an origin is passed over."""
    record = ("https://b.example", "ftp://c.example", "https://a.example", "javascript:alert(1)")
    world = World(1, record[:3])
    version = await world.chain.find(LINK)
    expected = tuple(
        NamedOrigin(url, NamedBy.LINEAGE, KEYS.public_key)
        for url in ("https://a.example", "https://b.example")
    )
    ((link, origins),) = world.asked
    assert version.origins == origins == expected
    assert (link.hints, link.origins) == (LINK.hints, ())


async def test_lies_of_a_record_are_refused() -> None:
    world = World(3)
    world.name(3, 2)
    with pytest.raises(WrongKey, match="another one"):
        await world.chain.find(LINK)
    world = World(3)
    world.lineages[keys_of(3).mod_id] = OTHERS
    with pytest.raises(WrongKey, match="another lineage"):
        await world.chain.find(LINK)
    world = World(3)
    world.patches.add(3)
    with pytest.raises(WrongKey, match="patch"):
        await world.chain.find(LINK)
    with pytest.raises(BadLink, match="does not open"):
        await World(3).chain.find(LineageLink(KEYS.public_key, bytes(32)))
    with pytest.raises(BadLink, match="cut"):
        await World(3).chain.find(LineageLink(KEYS.public_key))


async def test_lies_about_the_version_before_are_refused() -> None:
    first = LineageLink(*LINK.parts, version=1)
    world = World(3)
    world.lineages[keys_of(2).mod_id] = OTHERS
    with pytest.raises(WrongKey, match="before"):
        await world.chain.find(first)
    world = World(3)
    world.previous[2] = keys_of(3)
    with pytest.raises(WrongKey, match="before"):
        await world.chain.find(first)


async def test_whether_a_record_goes_on_from_another_one_is_told_by_the_versions() -> None:
    """The version itself need not be to be had: the one after it names it."""
    world = World(5)

    def named(version: int, mod_id: bytes) -> Record:
        return next_record(
            KEYS.identity, None, mod_id=mod_id, version=version, wrapped_key=bytes(48), now=1.0
        )

    async def goes_on(older: Record) -> bool:
        return await world.chain.goes_on(LINK, world.record, older)

    for number in range(1, 6):
        assert await goes_on(named(number, keys_of(number).mod_id))
        assert not await goes_on(named(number, bytes(32)))
    assert not await goes_on(named(9, bytes(32)))
    world.failing[2] = NoSources("no source serves this mod")
    assert await goes_on(named(2, keys_of(2).mod_id))
    assert not await goes_on(named(2, bytes(32)))
    with pytest.raises(NoSources):
        await goes_on(named(1, bytes(32)))
    del world.previous[4]
    assert not await goes_on(named(2, keys_of(2).mod_id)), "it began anew"


async def test_how_far_versions_are_walked_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "VERSIONS_WALKED", 3)
    world = World(9)
    first = World(1).record
    with pytest.raises(NotFound, match="more than 3"):
        await world.chain.goes_on(LINK, world.record, first)
    assert len(world.asked) == 4
