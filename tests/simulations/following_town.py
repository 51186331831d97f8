"""A small overlay with a publisher and a follower, and versions to share."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from node.answers.follows import FollowView
from node.answers.lineages import LineageView
from node.answers.mods import ShareResult
from protocol import limits
from simulations.internet.latency import UniformLatency
from simulations.libraries.seams import virtual_libraries
from simulations.residents.whole import WholeResident
from simulations.residents.world import World, simulated_settings
from tests.node.content.content_nodes import AGREED, read_files, write_files

LINKED_S, UNLINKED_S = 5.0, 300.0


ONE, TWO, THREE = ({"a": b"a", "b": bytes([number]) * 5000} for number in (1, 2, 3))


class Town:
    """A publisher with a folder, and others."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world = world
        self.source, self.target = folder / "hats", folder / "got" / "hats"
        self.nodes = [one for one in world.residents if isinstance(one, WholeResident)]
        self.publisher, self.follower = self.nodes[:2]

    async def share(
        self, files: dict[str, bytes], origins: tuple[str, ...] | None = None
    ) -> ShareResult:
        write_files(self.source, files)
        with self.publisher.host.running():
            sharing = self.publisher.running_node.sharing
            return await sharing.share(self.source, origins=origins)

    async def follow(self, shared: ShareResult, **settings: object) -> FollowView:
        with self.follower.host.running():
            return await self.follower.running_node.following.follow(
                shared.lineage,
                self.target,
                bound=AGREED,
                **settings,  # type: ignore[arg-type]
            )

    async def follow_through(self, *versions: dict[str, bytes]) -> ShareResult:
        """Share and follow the first of these, then let each other one come; the first result."""
        first = await self.share(versions[0])
        await self.follow(first)
        for files in versions[1:]:
            await self.share(files)
            await self.until(files, LINKED_S)
            await asyncio.sleep(1)
        return first

    async def export(self) -> str:
        """The keys of the publisher's mod, for another machine."""
        with self.publisher.host.running():
            return (await self.publisher.running_node.sharing.versions.export("hats")).lineage

    @property
    def view(self) -> FollowView:
        (found,) = self.follower.running_node.following.views()
        return found

    async def until(self, files: dict[str, bytes], within_s: float) -> float:
        """After how many seconds the target has these files."""
        began = self.world.loop.time()
        while not self.target.is_dir() or read_files(self.target) != files:
            assert self.world.loop.time() - began < within_s, self.view
            await asyncio.sleep(0.1)
        return self.world.loop.time() - began


async def take_over(node: WholeResident, exported: str) -> LineageView:
    """Go on at a node with what `Town.export` told."""
    with node.host.running():
        return await node.running_node.sharing.versions.take_over(exported)


async def share_next(
    node: WholeResident, folder: Path, origins: tuple[str, ...] | None = None
) -> ShareResult:
    """Share the next version of the mod at any node that has its keys."""
    with node.host.running():
        sharing = node.running_node.sharing
        return await sharing.share(folder, "hats", continues=True, origins=origins)


@contextlib.asynccontextmanager
async def town(
    folder: Path, seed: int = 1, count: int = 3, k: int = limits.K
) -> AsyncIterator[Town]:
    world = World(
        seed,
        latency=UniformLatency(0.05),
        settings=simulated_settings(k=k),
        folder=folder / "homes",
    )
    with virtual_libraries(world.internet):
        await world.populate(count, kind=WholeResident)
        there = Town(world, folder)
        try:
            yield there
        finally:
            await world.close()
