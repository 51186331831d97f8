"""The tasks of content over links have an owner: what they raise is seen, and none outlives it."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from node.content.vault.peer_reads import PeerReads
from protocol.content import frames
from protocol.content.frames import Open
from protocol.errors import LinkClosed
from tests.node.content.content_nodes import content_node, until
from tests.node.content.memory_links import memory_link

PEER = b"p" * 20


async def test_a_defect_in_serving_is_kept_and_ends_only_its_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with content_node(tmp_path) as node:

        async def fail(*_: Any) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr(PeerReads, "held", fail)
        (peer, ours), (other, others) = (memory_link(PEER, node.peer_id) for _ in range(2))
        node.exchanges.attach(ours)
        node.exchanges.attach(others)
        peer.send(frames.encode_frame(Open(0, bytes(32))))
        await until(peer.closed.done)
        await until(lambda: len(node.exchanges) == 1)
        assert peer.closed.result() == "internal error"
        assert [type(defect) for defect in node.exchanges.defects] == [ZeroDivisionError]
        assert not other.closed.done()
        node.expected_defects = node.exchanges.defects


async def test_the_end_of_a_link_is_no_defect(tmp_path: Path) -> None:
    async with content_node(tmp_path) as node:
        peer, ours = memory_link(PEER, node.peer_id)
        node.exchanges.attach(ours)
        await asyncio.sleep(0)
        peer.cut("gone")
        await until(lambda: not len(node.exchanges))


async def test_no_link_is_attached_to_exchanges_that_are_closed(tmp_path: Path) -> None:
    async with content_node(tmp_path) as node:
        await node.exchanges.close()
        _, ours = memory_link(PEER, node.peer_id)
        with pytest.raises(LinkClosed, match="this node stops"):
            node.exchanges.attach(ours)
        assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_link_that_is_closed_serves_nothing_and_opens_no_stream(tmp_path: Path) -> None:
    async with content_node(tmp_path) as node:
        _, ours = memory_link(PEER, node.peer_id)
        ours.cut("gone")
        exchange = node.exchanges.attach(ours)
        assert not len(node.exchanges)
        with pytest.raises(LinkClosed):
            exchange.open(bytes(32), None)  # type: ignore[arg-type]
