"""Peers that want all that they may and take nothing hold little of a node's memory."""

import gc
import tracemalloc
from pathlib import Path
from random import Random

from node.content.serve.budget import PeerBudget
from node.content.serve.line import Line
from node.content.serve.name_teller import NamedGetters
from node.content.serve.seeder import Seeds
from node.content.serve.uploader import Uploader
from protocol import limits
from protocol.content.frames import GetChunks, Open
from protocol.places.usefulness import Usefulness
from simulations.attacks.partial_mod import add_partial_mod
from tests.node.content.content_nodes import ContentNode, content_node
from tests.node.content.memory_links import memory_link

LINKS = 16
STREAMS = 48  # as many as a peer's budget of requests lets it fill at once
LINK_BYTES_MAX = 512 * 1024
FIRST = 1000  # small numbers are shared objects and take no memory


def greedy(node: ContentNode, mod_id: bytes, number: int) -> Uploader:
    """What serves a peer that has asked for as much as it may at once, and is not served yet."""
    _, theirs = memory_link(bytes([number]) * 20, node.peer_id, 65000)
    line = Line(Usefulness())
    serving = Uploader(
        *(theirs, node.vault, PeerBudget(), Usefulness()),
        *(line, NamedGetters(), Seeds(line, Random(1))),
    )
    for stream in range(STREAMS):
        serving.receive(Open(stream, mod_id))
        wanted = tuple(range(FIRST, FIRST + limits.REQUESTS_PER_STREAM))
        serving.receive(GetChunks(stream, wanted))
    return serving


async def test_what_is_wanted_takes_four_bytes_each(tmp_path: Path) -> None:
    async with content_node(tmp_path) as node:
        mod_id = await add_partial_mod(node.vault, FIRST + limits.REQUESTS_PER_STREAM)
        tracemalloc.start()
        try:
            gc.collect()
            before, _ = tracemalloc.get_traced_memory()
            held = [greedy(node, mod_id, number) for number in range(LINKS)]
            gc.collect()
            after, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert len(held) == LINKS
        assert after - before < LINKS * LINK_BYTES_MAX
