"""Contacts that answer late on purpose: they raise no time limit of a node on a fast line."""

import asyncio
from functools import partial

import pytest

from protocol import limits
from protocol.overlay.messages import Method, Request
from protocol.reachability.own_line import OwnLine
from simulations.attacks.raw_peer import RawPeer
from tests.node.overlay.village import Village, village

HONEST, SLOW = 8, 20
LATE_S = 2.4


async def _pinged(town: Village, peers: list[RawPeer]) -> None:
    for peer in peers:
        town.node.running.server.protocol.maintenance.verify(peer.contact)
        await asyncio.sleep(0.2)
    await asyncio.sleep(limits.LATE_REPLY_S)


def _answer_late(town: Village, peer: RawPeer, request: Request) -> None:
    to = town.node.contact
    later = asyncio.get_running_loop().call_later
    later(LATE_S, peer.answer, request, [1], to.public_key, tuple(to.address))


async def test_slow_contacts_up_to_three_of_four_raise_no_limit() -> None:
    async with village() as town:
        honest = [
            await town.contact(f"30.{number}.0.1", ping=lambda _: [1]) for number in range(HONEST)
        ]
        slow = [await town.contact(f"40.{number}.0.1") for number in range(SLOW)]
        for peer in slow:
            peer.answers[Method.PING] = partial(_answer_late, town, peer)
        by_turns = [one for pair in zip(slow, honest * 3, strict=False) for one in pair]
        await _pinged(town, by_turns)
        line = town.node.running.server.wire.line
        assert len(line._samples) == HONEST + SLOW, "late answers are measured"
        assert not line.is_slow
        assert town.node.running.server.wire.line.longest_s == limits.TIMEOUT_MAX_S
        tables = town.node.running.server.tables
        assert all(
            (entry := tables.of(one.contact).get(one.contact.peer_id)) is None or entry.failures
            for one in slow
        )


@pytest.mark.parametrize("honest", [1, 5, 16])
def test_no_more_than_three_quarters_are_believed(honest: int) -> None:
    line = OwnLine()
    for number in range(honest):
        line.measured(b"h%d" % number, 0.1)
    for number in range(3 * honest):
        line.measured(b"s%d" % number, 5.0)
    assert not line.is_slow
    assert line.limit_s(1.0) == 1.0


def test_the_memory_is_bounded_and_the_limit_too() -> None:
    line = OwnLine()
    for number in range(1000):
        line.measured(b"s%d" % number, 1e6)
    assert len(line._samples) == limits.LINE_CONTACTS
    assert line.limit_s(1.5) == 1.5 + limits.LINE_EXTRA_MAX_S
