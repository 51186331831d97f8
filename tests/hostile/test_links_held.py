"""Identities that hold links, and calls being answered, for nothing: honest people get theirs."""

import asyncio
import contextlib

import pytest

from node.links.link import Link
from protocol.errors import LinkClosed, ModswarmError
from tests.node.links.link_network import (
    Network,
    Node,
    frame_of,
    linked,
    network,
)

pytestmark = pytest.mark.usefixtures("links")

ATTACKERS = 64
FRAME_EVERY_S = 3.0


async def held_alive(link: Link) -> None:
    """One meaningless frame every 3 s, for as long as there is a link."""
    with contextlib.suppress(LinkClosed):
        while True:
            link.send(frame_of(b"still here"))
            await asyncio.sleep(FRAME_EVERY_S)


async def take_all_links(peers: Network, hub: Node, held: asyncio.TaskGroup) -> list[Node]:
    """As many identities as the hub has links each open one, as far as they are let."""
    attackers = [await peers.add() for _ in range(ATTACKERS)]
    for attacker in attackers:
        with contextlib.suppress(ModswarmError):
            link = await attacker.pool.connect(hub.peer_id)
            held.create_task(held_alive(link))
    return attackers


async def seconds_to_link(caller: Node, callee: Node) -> float:
    started = asyncio.get_running_loop().time()
    await linked(caller, callee)
    return asyncio.get_running_loop().time() - started


async def test_links_that_only_send_frames_give_way_to_newcomers() -> None:
    async with network() as peers, asyncio.TaskGroup() as held:
        hub = await peers.add(max_links=ATTACKERS)
        alone_s = await seconds_to_link(await peers.add(), hub)
        await take_all_links(peers, hub, held)
        await asyncio.sleep(60.0)
        for _ in range(8):
            assert await seconds_to_link(await peers.add(), hub) <= alone_s + 0.1
            assert await seconds_to_link(hub, await peers.add()) <= alone_s + 0.1
        assert len(hub.pool.links()) <= ATTACKERS
        await hub.pool.close()
