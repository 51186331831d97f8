"""Many follow one mod, or one node many: neither a publisher nor a node's line is overrun."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from node.answers.mods import ShareResult
from node.overlay.lineages.reader import LineageReader
from node.sharing import Sharing
from protocol import limits
from simulations.residents.whole import WholeResident
from tests.node.content.content_nodes import AGREED, read_files, write_files
from tests.simulations.following_town import LINKED_S, ONE, TWO, UNLINKED_S, Town, town

FOLLOWERS = 10


async def follow(one: WholeResident, shared: ShareResult, target: Path) -> None:
    with one.host.running():
        await one.running_node.following.follow(shared.lineage, target, bound=AGREED)


async def link_alone(ends: Sequence[tuple[WholeResident, WholeResident]], there: Town) -> None:
    """Close all links but these."""
    for one in there.nodes:
        for link in one.running_node.pool.links():
            with one.host.running():
                await link.close("idle")
    for one, other in ends:
        with one.host.running():
            await one.running_node.pool.connect(other.identity.peer_id)


def newest(one: WholeResident) -> int:
    return one.running_node.following.views()[0].newest


async def until_all_have(targets: Sequence[Path], files: dict[str, bytes], within_s: float) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    while not all(read_files(target) == files for target in targets):
        assert loop.time() - began < within_s
        await asyncio.sleep(0.1)


@pytest.mark.parametrize("seed", [1, 2])
async def test_followers_give_one_another_what_few_had_of_the_publisher(
    tmp_path: Path, seed: int
) -> None:
    """They are linked in a row, of which the publisher knows the first; all hear at once."""
    async with town(tmp_path, seed, count=FOLLOWERS + 1, k=4) as there:
        first = await there.share(ONE)
        followers = there.nodes[1:]
        targets = [tmp_path / f"got{one.number}" for one in followers]
        for one, target in zip(followers, targets, strict=True):
            await follow(one, first, target)
        await link_alone(list(zip(there.nodes, followers, strict=False)), there)
        await there.share(TWO)
        pool = there.publisher.running_node.pool
        called = {link.peer_id for link in pool.links()}
        pool.subscribe(lambda link: called.add(link.peer_id))
        await asyncio.sleep(LINKED_S)
        assert [newest(one) for one in followers] == [2] * FOLLOWERS
        await until_all_have(targets, TWO, 2 * limits.FOLLOW_SPREAD_S[1])
        assert len(called) <= 4, "all others had it of followers"


async def test_who_hears_of_a_node_that_does_not_follow_looks_it_up_soon(tmp_path: Path) -> None:
    """The one that tells holds the version before, and never fetches the next one."""
    async with town(tmp_path, count=4) as there:
        first = await there.share(ONE)
        holder = there.nodes[2]
        with holder.host.running():
            await holder.running_node.sharing.get(first.link, tmp_path / "held")
            holder.running.lineages.heard.keep(first.lineage.lineage_key)
        await there.follow(first)
        await link_alone([(there.follower, holder)], there)
        second = await there.share(TWO)
        record = there.publisher.running.lineages.heard.newest(second.lineage.lineage_key)
        assert record is not None
        holder.running.lineages.heard.hear(record)
        await there.until(TWO, limits.FOLLOW_SPREAD_S[0] + 2)


@pytest.mark.parametrize("seed", [1, 2])
async def test_a_start_polls_and_fetches_what_is_followed_by_and_by(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    count = 24
    async with town(tmp_path, seed) as there:
        sources = [tmp_path / "from" / str(number) for number in range(count)]
        targets = [tmp_path / "to" / str(number) for number in range(count)]

        async def share(files: dict[str, bytes]) -> list[ShareResult]:
            sharing, shared = there.publisher.running_node.sharing, []
            for source in sources:
                write_files(source, files | {"name": source.name.encode()})
                with there.publisher.host.running():
                    shared.append(await sharing.share(source))
            return shared

        for shared, target in zip(await share(ONE), targets, strict=True):
            await follow(there.follower, shared, target)
        await there.follower.stop()
        await share(TWO)
        polls, fetches = AtOnce(), AtOnce()
        monkeypatch.setattr(LineageReader, "poll", polls.counted(LineageReader.poll))
        monkeypatch.setattr(Sharing, "fetch", fetches.counted(Sharing.fetch))
        await there.follower.start()
        began = there.world.loop.time()
        views = there.follower.running_node.following.views
        while polls.times < count or any(view.version != 2 for view in views()):
            await asyncio.sleep(0.1)
            assert there.world.loop.time() - began < UNLINKED_S
        assert fetches.times == count
        assert polls.most <= limits.FOLLOW_POLLS
        assert fetches.most <= limits.FOLLOW_UPDATES


class AtOnce:
    """How many of a call go on at one time."""

    def __init__(self) -> None:
        self.times = self.running = self.most = 0

    def counted(self, real: Callable[..., Awaitable[object]]) -> Callable[..., Awaitable[object]]:
        """The call, that is counted."""

        async def call(*arguments: object, **named: object) -> object:
            self.times += 1
            self.running += 1
            self.most = max(self.most, self.running)
            try:
                return await real(*arguments, **named)
            finally:
                self.running -= 1

        return call
