"""Getters of one mod: the holder names them to one another, on their streams, and they are told of
those that ask them.
"""

import asyncio
from pathlib import Path

import pytest

from protocol import limits
from protocol.content import frames
from protocol.content.frames import ChunkPiece, GetChunks, GetManifest, Open, Opened, Peers
from protocol.errors import OverLimit
from protocol.identity import PeerId
from tests.node.content.content_nodes import ContentNode, until
from tests.node.content.downloads import swarm
from tests.node.content.frame_peer import Peer
from tests.node.content.memory_links import memory_link


class Getter(Peer):
    """A raw peer of a number, which fetches chunk 0."""

    def __init__(self, node: ContentNode, number: int) -> None:
        self.peer_id = PeerId(bytes([number]) * 20)
        super().__init__(node, peer_id=self.peer_id)

    async def fetch(self, mod_id: bytes) -> None:
        self.say(Open(0, mod_id), GetManifest(0), GetChunks(0, (0,)))
        await until(lambda: any(isinstance(one, ChunkPiece) for one in self.heard))

    def named(self) -> list[tuple[PeerId, ...]]:
        return [one.peers for one in self.heard if isinstance(one, Peers)]


async def test_getters_that_have_chunks_are_named_to_one_another(tmp_path: Path) -> None:
    async with swarm(tmp_path, 1) as (nodes, shared):
        loop = asyncio.get_running_loop()
        one, two = Getter(nodes[0], 101), Getter(nodes[0], 102)
        idle = Getter(nodes[0], 103)
        idle.say(Open(0, shared.mod_id))
        started = loop.time()
        await one.fetch(shared.mod_id)
        await two.fetch(shared.mod_id)
        await until(lambda: one.named() and two.named() and idle.named())
        assert loop.time() - started < 3 * limits.PEERS_NAMED_FIRST_S
        assert one.named() == [(two.peer_id,)]
        assert two.named() == [(one.peer_id,)]
        await asyncio.sleep(1.5 * limits.PEERS_NAMED_S[0])
        assert {peer for names in idle.named() for peer in names} == {one.peer_id, two.peer_id}
        assert all(idle.peer_id not in names for names in (*one.named(), *two.named()))


async def test_a_getter_that_left_is_not_named(tmp_path: Path) -> None:
    async with swarm(tmp_path, 1) as (nodes, shared):
        gone, closed, late = (Getter(nodes[0], number) for number in (101, 102, 103))
        await gone.fetch(shared.mod_id)
        await closed.fetch(shared.mod_id)
        await until(lambda: gone.named() and closed.named())
        gone.link.cut("it is off")
        closed.say(frames.Close(0))
        await asyncio.sleep(1.0)
        await late.fetch(shared.mod_id)
        await asyncio.sleep(5.0)
        assert late.named() == []


async def test_names_come_seldom(tmp_path: Path) -> None:
    """However many getters come one after the other."""
    async with swarm(tmp_path, 1) as (nodes, shared):
        first = Getter(nodes[0], 1)
        await first.fetch(shared.mod_id)
        for number in range(60):
            await Getter(nodes[0], 100 + number).fetch(shared.mod_id)
            await asyncio.sleep(0.25)
        assert len(first.named()) <= 5  # after 0, 1, 3, 7 and 15 s
        assert sum(map(len, first.named())) >= limits.PEERS_NAMED, "many at once"


async def test_who_names_peers_all_the_time_loses_its_link(tmp_path: Path) -> None:
    async with swarm(tmp_path, 2) as (nodes, shared):
        ours, theirs = memory_link(nodes[1].peer_id, b"L" * 20)
        theirs.register(range(128), lambda _: None)
        exchange = nodes[1].exchanges.attach(ours)
        reader = Reader()
        exchange.open(shared.mod_id, reader)
        name = frames.encode_frame(Peers(0, (PeerId(b"n" * 20),)))
        for _ in range(int(limits.PEERS_FRAMES_BURST)):
            theirs.send(name)
        await asyncio.sleep(0.01)
        assert exchange.is_open
        theirs.send(name)
        await until(lambda: not exchange.is_open)
        assert nodes[1].exchanges.refusals == {OverLimit.name: 1}


class Reader:
    """Takes what comes."""

    def weight(self) -> int:
        return 1

    def stream_answered(self, stream: object, answer: object) -> None:
        """An answer came."""

    def stream_lost(self, stream: object, reason: str) -> None:
        """It is over."""


class Watch:
    """Keeps who came, and who was linked."""

    def __init__(self) -> None:
        self.those_who_came: list[PeerId] = []
        self.those_linked: list[PeerId] = []

    def came(self, peer_id: PeerId) -> None:
        self.those_who_came.append(peer_id)

    def linked(self, peer_id: PeerId) -> None:
        self.those_linked.append(peer_id)


@pytest.mark.parametrize("opens", [True, False])
async def test_a_node_that_fetches_hears_who_asks_for_the_mod(tmp_path: Path, opens: bool) -> None:
    async with swarm(tmp_path, 1) as (nodes, shared):
        watch, getter = Watch(), Getter(nodes[0], 101)
        wanted = shared.mod_id if opens else bytes(32)
        with nodes[0].exchanges.told_of_peers(wanted, watch):
            getter.say(Open(0, shared.mod_id))
            await getter.hear(Opened)
            linked = Getter(nodes[0], 102)
        assert watch.those_who_came == [getter.peer_id] * opens
        assert watch.those_linked == [linked.peer_id]
        Getter(nodes[0], 103)
        getter.say(Open(1, shared.mod_id))
        await getter.hear(Opened)
        assert len(watch.those_who_came) == opens, "no more afterwards"
        assert len(watch.those_linked) == 1
