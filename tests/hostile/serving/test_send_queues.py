"""Peers that ask and take nothing: what waits to be sent to them holds little of a node's memory.

Who may hold it: a peer for one answer beyond the low mark of its link. For how long: 30 s in which
nothing moves. How it is won back: what is asked meanwhile is answered once the queue is short.
"""

import asyncio
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from node.links.channel.windows import LinkWindows
from protocol import limits
from protocol.content.frames import (
    Cancel,
    Cancelled,
    Close,
    ContentFrame,
    GetChunks,
    GetManifest,
    Have,
    Open,
    Opened,
)
from protocol.sctp import limits as sctp_limits
from simulations.attacks.partial_mod import add_partial_mod
from tests.node.content.content_nodes import content_node, write_files
from tests.node.content.frame_peer import Peer
from tests.node.content.memory_links import LOW_WATER_BYTES

CHUNKS = 200_000
SECONDS = 60
ANSWER_BYTES_MAX = LOW_WATER_BYTES + limits.SEALED_CHUNK_BYTES + 2**16
HELD_CHUNKS = (0, CHUNKS - 1)
Attack = Callable[[int, bytes, bytes], list[ContentFrame]]


def openings(number: int, partial: bytes, _whole: bytes) -> list[ContentFrame]:
    """Each brings the field of 25 kB that says which chunks are here."""
    return [Open(number, partial), *([Close(number - 32)] if number > 32 else [])]


def manifests(number: int, _partial: bytes, whole: bytes) -> list[ContentFrame]:
    return [Open(number, whole), GetManifest(number), Close(max(0, number - 32))]


def missing(number: int, partial: bytes, _whole: bytes) -> list[ContentFrame]:
    wanted = tuple(range(1, limits.REQUESTS_PER_STREAM + 1))
    first: list[ContentFrame] = [Open(0, partial)] if not number else []
    return [*first, Cancel(0), GetChunks(0, wanted)] if not number % 16 else first


def chunks(number: int, _partial: bytes, whole: bytes) -> list[ContentFrame]:
    first: list[ContentFrame] = [Open(0, whole)] if not number else []
    return [*first, Cancel(0), GetChunks(0, tuple(range(8)))]


@pytest.mark.parametrize("attack", [openings, manifests, missing, chunks])
async def test_a_peer_that_takes_nothing_is_answered_nothing(
    tmp_path: Path, attack: Attack
) -> None:
    async with content_node(tmp_path) as node:
        partial = await add_partial_mod(node.vault, CHUNKS)
        holding = node.vault._store._holdings.of(partial)
        assert holding is not None
        for chunk in HELD_CHUNKS:
            holding.mark(chunk, held=True)
        source = write_files(tmp_path / "source", {"a": random.Random(1).randbytes(4_000_000)})
        whole = (await node.publisher.publish(source)).mod_id
        peer = Peer(node)
        theirs = peer.link.other
        theirs.hold()
        for number in range(16 * SECONDS):
            peer.say(*attack(number, partial, whole))
            await asyncio.sleep(1 / 16)
            if peer.link.closed.done():  # it asked for more than a peer may
                break
        assert theirs.most_buffered_bytes <= ANSWER_BYTES_MAX
        if not peer.link.closed.done():
            theirs.release()
            await asyncio.sleep(5.0)
            peer.heard.clear()
            peer.say(Open(5000, whole), Cancel(5000))
            assert await peer.hear(Opened, Cancelled)


async def test_news_wait_for_the_peer_and_none_are_lost(tmp_path: Path) -> None:
    """64 streams of one mod: its field for each of them would be 1.6 MB at once."""
    async with content_node(tmp_path) as node:
        partial = await add_partial_mod(node.vault, CHUNKS)
        peer = Peer(node)
        for number in range(limits.STREAMS_PER_LINK):
            peer.say(Open(number, partial))
        await peer.until(lambda heard: len(heard) == limits.STREAMS_PER_LINK)
        theirs = peer.link.other
        theirs.hold()
        holding = node.vault._store._holdings.of(partial)
        assert holding is not None
        serving = next(iter(node.exchanges._running.values()))._uploader
        for news in (HELD_CHUNKS, (1,)):
            for chunk in news:
                holding.mark(chunk, held=True)
            serving._haves.on_stored()
            await asyncio.sleep(2.0)
        assert theirs.most_buffered_bytes <= ANSWER_BYTES_MAX
        theirs.release()
        await asyncio.sleep(5.0)
        told = {one.stream for one in peer.heard if isinstance(one, Have) and one.bits[0] & 0x40}
        assert told == set(range(limits.STREAMS_PER_LINK))


@pytest.mark.parametrize("links", [1, 16, 64, limits.LINKS])
def test_what_is_queued_on_all_links_is_bounded(links: int) -> None:
    windows = LinkWindows()
    for number in range(links):
        windows.join(number, lambda _: None)
    assert links * windows.queue_bytes <= sctp_limits.SEND_QUEUES_BYTES
    assert windows.queue_bytes >= LOW_WATER_BYTES
