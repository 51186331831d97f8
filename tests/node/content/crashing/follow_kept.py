"""Mods that are followed: one whose folder a person changed gets its next version, one begins."""

import asyncio
import contextlib
import random
import shutil
from collections.abc import AsyncIterator, Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from node.answers.follows import FollowStatus, FollowView
from node.content.assemble.place import TargetPlace
from node.content.download.bounds import SizeBound
from node.content.download.downloader import ANY_MOD, ChunkTaker
from node.content.download.patience import LookUpTime
from node.content.opened_mods import OpenedMod
from node.content.origins.origins import NamedOrigin
from node.content.progress import ReportProgress
from node.content.room import RoomBook
from node.content.targets.updater import TargetUpdater
from node.environment import Environment
from node.following.following import Following
from node.overlay.lineages.heard import HeardLineages
from node.streams.hinted import HintedGateways
from protocol.content.lineage import history
from protocol.content.lineage.body import wrapped_content_key
from protocol.content.link import LineageLink, ModLink
from protocol.errors import DiskError
from protocol.texts.links import any_link_in
from tests.node.content.content_nodes import (
    AGREED,
    ContentNode,
    Unwatched,
    content_node,
    links_to,
    read_files,
    write_files,
)
from tests.node.content.crashing.life import Steps, check_vault, told
from tests.node.content.crashing.target_kept import MINE, VERSIONS, check_target

_OTHER = {"one": b"1" * 70_000, "two/three": b"3", "two/empty": b""}
_WALL = 1.7e9
_LOOK_S = 0.05
_NEWEST = (FollowStatus.CURRENT, 2)


class Mods:
    """What `Following` needs of `Sharing`, with one giver."""

    def __init__(self, node: ContentNode, giver: ContentNode) -> None:
        self._node = node
        self._giver = giver
        self.targets = TargetUpdater(node.vault, node.claims, RoomBook())

    async def look_into(
        self, link: ModLink, _: Sequence[NamedOrigin] = (), *, look_up: LookUpTime | None = None
    ) -> OpenedMod:
        """What the giver has of it."""
        data = await self._giver.vault.get(link.mod_id)
        assert data is not None
        return await self._node.opened.open(link.mod_id, data, link.content_key)

    async def fetch(
        self,
        link: ModLink,
        progress: ReportProgress,
        bound: SizeBound,
        _: Sequence[NamedOrigin] = (),
        look_up: LookUpTime | None = None,
        taker: ChunkTaker = ANY_MOD,
    ) -> OpenedMod:
        """Over a new link."""
        node = self._node
        theirs, ours = self._giver.connect(node)
        try:
            done = await node.downloader.download(
                link,
                lambda mod_id: node.exchanges.sources(links_to(ours)(mod_id), Unwatched()),
                *(progress, bound),
                taker=taker,
            )
        finally:
            theirs.cut("over")
        return OpenedMod(done.manifest, done.contents)

    async def get(
        self,
        link: ModLink,
        target: Path,
        *,
        progress: ReportProgress,
        bound: SizeBound,
        again: bool,
        origins: Sequence[NamedOrigin],
    ) -> SimpleNamespace:
        """Fetch it and write it, as `Sharing.get` does."""
        async with contextlib.AsyncExitStack() as claims:
            place = TargetPlace(
                *(self._node.assembler, RoomBook(), claims, target, target), again=again
            )
            await place.prepare()
            await self.fetch(link, progress, bound, taker=place)
            written = await place.write(progress)
            await self.targets.wrote(written.path, link.mod_id, written.tree)
        return SimpleNamespace(path=str(written.path))

    async def remove(self, mod_id: bytes) -> bool:
        """Serve it no more."""
        return await self._node.vault.remove_mod(mod_id)


class Reader:
    """What the overlay says of lineages: the records of `numbers`, as they were written down."""

    def __init__(self, world: Path, heard: HeardLineages, numbers: tuple[int, ...]) -> None:
        raw = [(world / f"record{number}").read_bytes() for number in numbers]
        self._records = [history.recalled(one) for one in raw]
        self._heard = heard

    async def read(self, lineage: bytes) -> None:
        """Hear them."""
        for record in self._records:
            if record.public_key == lineage:
                self._heard.hear(record)

    poll = read

    def forget(self, lineage: bytes) -> None:
        """Nothing is known that could be forgotten."""


async def _joined() -> bool:
    """This node has."""
    return True


@contextlib.asynccontextmanager
async def _following(
    world: Path, node: ContentNode, giver: ContentNode, *numbers: int
) -> AsyncIterator[tuple[Following, Mods]]:
    """One to be started, which finds these records."""
    heard, mods = HeardLineages(), Mods(node, giver)
    of_no_own = SimpleNamespace(has=lambda _: False, doubts=list)
    membership = SimpleNamespace(
        lineages=SimpleNamespace(
            heard=heard,
            reader=Reader(world, heard, numbers),
            publisher=of_no_own,
            unfollow=heard.drop,
        ),
        own_clock=SimpleNamespace(now=lambda: _WALL),
        check_joined=_joined,
        join_outcome=_joined,
        hinted=HintedGateways(lambda: None),
    )
    news = SimpleNamespace(
        follow=lambda _: None, unfollow=lambda _: None, has_fellows=lambda _: False
    )
    environment = Environment(wall=lambda: _WALL, rng=random.Random(1))
    following = Following(
        *(node.vault, environment, cast("Any", news), cast("Any", mods), cast("Any", membership))
    )
    try:
        yield following, mods
    finally:
        await following.close()
        await mods.targets.close()
        assert following.defects == []


class Follow:
    """A node takes the next version of a mod, goes back, and begins to follow another one."""

    name = "follow"

    async def prepare(self, world: Path) -> None:
        """The first mod is followed at its version 1, and a person has changed its folder."""
        async with content_node(world / "giver", 2) as giver, content_node(world / "disk") as node:
            sources = {1: VERSIONS[1], 2: VERSIONS[2], 3: _OTHER}
            for number, files in sources.items():
                await self._share(giver, world, number, dict(files))
            async with _following(world, node, giver, 1) as (following, _):
                await self._begin(following, world, 1)
            write_files(world / "disk" / "out", MINE)

    async def _share(
        self, giver: ContentNode, world: Path, number: int, files: dict[str, bytes]
    ) -> None:
        source = write_files(world / f"source{number}" / "mod", files)
        name = "mod" if number < 3 else "other"
        shared = await giver.publisher.publish(source, name, continues=number == 2)
        keys, key = shared.keys, shared.link.content_key
        assert key is not None
        newest = history.recalled((world / "record1").read_bytes()) if number == 2 else None
        record = history.next_record(
            keys.identity,
            newest,
            mod_id=shared.mod_id,
            version=shared.version,
            wrapped_key=wrapped_content_key(key, keys.reading_key, shared.mod_id),
            now=_WALL,
        )
        (world / f"record{number}").write_bytes(record.raw)
        (world / f"lineage{number}").write_text(str(LineageLink(keys.public_key, keys.reading_key)))

    async def _begin(self, following: Following, world: Path, number: int) -> None:
        link = any_link_in((world / f"lineage{number}").read_text())
        assert isinstance(link, LineageLink)
        target = world / "disk" / ("out" if number < 3 else "other")
        await following.follow(link, target, bound=AGREED)

    async def run(self, world: Path, steps: Steps) -> None:
        """The next version comes by itself, the person goes back and follows the other mod too."""
        async with (
            content_node(world / "giver", 2) as giver,
            steps.node(world / "disk") as node,
            _following(world, node, giver, 2, 3) as (following, mods),
        ):
            mods.targets.start()
            await steps.do(following.start)
            view = await steps.do(partial(_settled, following, world))
            if view.status is FollowStatus.CURRENT:
                steps.acknowledge("updated")
            if view.version == 2:
                steps.acknowledge("goes", "back")
                await steps.do(partial(following.back, view.lineage))
            steps.acknowledge("back")
            if len(following.views()) == 1:
                await steps.do(partial(self._begin, following, world, 3))
            steps.acknowledge("followed")

    async def check(self, world: Path, acknowledged: list[str]) -> None:
        """The old version or the new one, and all of the person's; both go on to the newest."""
        check_vault(world / "disk" / "vault")
        out, other = world / "disk" / "out", world / "disk" / "other"
        async with content_node(world / "giver", 2) as giver, content_node(world / "disk") as node:
            async with _following(world, node, giver, 2, 3) as (following, mods):
                await mods.targets.recover()
                state = await mods.targets.state_of(out)
                mod = None if state is None else await node.vault.mod(state.mod_id)
                assert mod is not None
                may_be_old = not told(acknowledged, "updated") or told(acknowledged, "goes")
                possible = {1} if told(acknowledged, "back") else {1, 2} if may_be_old else {2}
                assert mod.version in possible
                is_first = mod.version == 1 and not told(acknowledged, "updated")
                check_target(read_files(out), VERSIONS[mod.version], untouched=is_first)
                if told(acknowledged, "followed"):
                    assert other.exists()
                if other.exists():
                    assert read_files(other) == _OTHER, "half of a mod under its name"
                await following.start()
                views = following.views()
                assert len(views) == 2 or not told(acknowledged, "followed")
                assert str(out) in [view.path for view in views]
                view = await _settled(following, world)
                if told(acknowledged, "goes") and mod.version == 1:
                    assert (view.status, view.version) == (FollowStatus.HELD, 1), "not asked"
                await following.resume(view.lineage)
                while view.status is not FollowStatus.CURRENT:
                    await asyncio.sleep(_LOOK_S)
                    view = await _settled(following, world)
                check_target(read_files(out), VERSIONS[2], untouched=False)
                if len(views) == 1:
                    await self._begin(following, world, 3)
                assert read_files(other) == _OTHER
            # What hidden names are left go with the next one beside them.
            (mod,) = [one for one in await node.vault.mods() if one.name == "other"]
            await node.assembler.assemble(mod.mod_id, other.with_name("another"))
            shutil.rmtree(other.with_name("another"))
            left = {path.name for path in (world / "disk").iterdir()}
            assert left == {"other", "out", "vault"}, f"left: {sorted(left)}"
        check_vault(world / "disk" / "vault")


def _view(following: Following, world: Path) -> FollowView:
    (found,) = [one for one in following.views() if one.path == str(world / "disk" / "out")]
    return found


async def _settled(following: Following, world: Path) -> FollowView:
    """Once the folder has version 2, or stays where it is; raises DiskError for why not."""
    if _view(following, world).status is FollowStatus.FAILED:
        await following.resume(_view(following, world).lineage)
    while True:
        await asyncio.sleep(_LOOK_S)
        view = _view(following, world)
        if view.status is FollowStatus.HELD or (view.status, view.version) == _NEWEST:
            return view
        if view.status is FollowStatus.FAILED:
            raise DiskError(view.message)
        assert view.status in (FollowStatus.UPDATING, FollowStatus.WAITING), view
