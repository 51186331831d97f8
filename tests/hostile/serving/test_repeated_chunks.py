"""Peers that open a mod and take the same chunk again and again: no mod is held back for them."""

import contextlib
import random
from collections.abc import AsyncIterator
from pathlib import Path

from node.content.publish.publisher import PublishedMod
from protocol import limits
from protocol.content.frames import Close, ContentFrame, GetChunks, Have, Open, Opened
from tests.node.content.content_nodes import ContentNode, content_node, write_files
from tests.node.content.frame_peer import Peer, size_of

BYTES = 3_000_000
TIMES = 6


@contextlib.asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[tuple[ContentNode, PublishedMod]]:
    async with content_node(folder) as node:
        content = {"content.bin": random.Random(1).randbytes(BYTES)}
        shared = await node.publisher.publish(write_files(folder / "mod", content))
        yield node, shared


def visitor(node: ContentNode, number: int) -> Peer:
    """A peer that is a party of its own, as one with a private address is."""
    return Peer(node, peer_id=bytes([number]) * 20)


async def is_told_of_all(peer: Peer, mod_id: bytes) -> bool:
    """Whether a peer that opens a mod is told that it is all there."""
    peer.say(Open(0, mod_id))
    heard = await peer.until(lambda heard: any(isinstance(one, Opened) for one in heard))
    return any(isinstance(one, Opened) and one.complete for one in heard)


async def take(peer: Peer, chunk: int, size: int) -> list[ContentFrame]:
    """What comes until a chunk that a peer asks for is there."""
    peer.say(GetChunks(0, (chunk,)))
    return await peer.until(lambda heard: sum(map(size_of, heard)) >= size)


async def sizes(node: ContentNode, mod: PublishedMod) -> list[int]:
    found = await node.vault.get_chunks(mod.mod_id, tuple(range(mod.chunks)))
    assert found is not None
    return [len(data) for data in found if data is not None]


async def test_they_are_no_reason_to_show_a_getter_parts(tmp_path: Path) -> None:
    async with serving(tmp_path) as (node, mod):
        lengths = await sizes(node, mod)
        takers = [visitor(node, number) for number in range(1, limits.SEED_PARTIES)]
        for taker in takers:
            assert await is_told_of_all(taker, mod.mod_id)
        early = visitor(node, 10)
        assert not await is_told_of_all(early, mod.mod_id), "they may be getters"
        early.say(Close(0))
        for taker in takers:
            for _ in range(TIMES):
                await take(taker, 0, lengths[0])
        assert await is_told_of_all(visitor(node, 11), mod.mod_id)
        await take(takers[0], 1, lengths[1])
        assert not await is_told_of_all(visitor(node, 12), mod.mod_id), "one of them is a getter"


async def test_one_that_is_shown_parts_is_told_of_all_once_it_takes_what_it_had(
    tmp_path: Path,
) -> None:
    """So a peer whose disk lost what it had does not wait for more to be shown it."""
    async with serving(tmp_path) as (node, mod):
        lengths = await sizes(node, mod)
        for number in range(1, limits.SEED_PARTIES):
            await is_told_of_all(visitor(node, number), mod.mod_id)
        peer = visitor(node, 10)
        assert not await is_told_of_all(peer, mod.mod_id)
        heard: list[ContentFrame] = []
        for _ in range(TIMES):
            heard += await take(peer, 0, lengths[0])
        told = [one.bits for one in heard if isinstance(one, Have)]
        assert sum(int.from_bytes(bits).bit_count() for bits in told) == mod.chunks
