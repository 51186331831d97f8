"""Honest contacts that name few others: their short answers pay for what they name."""

import pytest

from protocol import limits
from protocol.overlay.contacts import Contact
from protocol.overlay.messages import FEW_CONTACTS_BYTES, Method, Request, encode_found
from simulations.internet.latency import UniformLatency
from simulations.residents.world import World
from tests.node.overlay.attacks.arena import key_pair, our_mallory, our_server, pong

ROUND_TRIP_S = 0.1
TOKEN = bytes(limits.TOKEN_BYTES)


def names(contacts: list[Contact]) -> list[object]:
    return encode_found(contacts, [], skip=0, registration_proof=b"", max_bytes=900)


@pytest.mark.parametrize("count", [1, 2, 5])
async def test_all_that_the_only_contact_names_are_found(count: int) -> None:
    """Its answer is shorter than one padded request, and it has sent nothing else before."""
    world = World(1, latency=UniformLatency(ROUND_TRIP_S))
    _, reader = await our_server(world)

    def found(_: Request) -> list[object]:
        return names([one.contact for one in named])

    named = [
        await our_mallory(world.internet, key_pair(number), ping=pong, find_node=found)
        for number in range(1, count + 1)
    ]
    guide = await our_mallory(world.internet, key_pair(100), ping=pong, find_node=found)
    for one in (guide, *named):
        one.gives_token = TOKEN
    reader.protocol.maintenance.answered(guide.contact)
    began = world.loop.time()
    lookup = await reader.lookup(bytes(limits.ID_BYTES))
    assert {guide.contact, *(one.contact for one in named)} == set(lookup.closest())
    assert world.loop.time() - began <= 5.5 * ROUND_TRIP_S
    await world.close()


async def test_a_contact_is_asked_at_once_where_only_a_short_answer_is_paid_for() -> None:
    """What names twelve pays for no padded request, but for one that leaves room for a few."""
    world = World(1, latency=UniformLatency(ROUND_TRIP_S))
    _, reader = await our_server(world)

    def found(_: Request) -> list[object]:
        return names([one.contact for one in named])

    named = [
        await our_mallory(world.internet, key_pair(number), ping=pong, find_node=found)
        for number in range(1, 13)
    ]
    guide = await our_mallory(world.internet, key_pair(100), ping=pong, find_node=found)
    for one in (guide, *named):
        one.gives_token = TOKEN
    reader.protocol.maintenance.answered(guide.contact)
    lookup = await reader.lookup(bytes(limits.ID_BYTES))
    assert {guide.contact, *(one.contact for one in named)} == set(lookup.closest())
    firsts = [one.requests[0] for one in named]
    asked = [one for one in firsts if one.method == Method.FIND_NODE and not one.token]
    assert asked
    assert {one.size for one in asked} == {FEW_CONTACTS_BYTES}
    assert any(one.method == Method.PING for one in firsts)
    await world.close()
