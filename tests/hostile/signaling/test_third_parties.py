"""Bytes to addresses that have proved nothing: who names a victim's sends it no more than its own.

Who may hold them: each offer and each answer the bytes that it had. How they are won back: by time,
for the network of the victim; an address that proves itself has no bound.
"""

import asyncio
from pathlib import Path

import pytest

from protocol import limits
from protocol.identity import Identity
from protocol.overlay.messages import Code, Method
from simulations.attacks.raw_peer import RawPeer
from simulations.residents.world import World
from simulations.seeds import derive_rng
from tests.hostile.signaling.named_victims import NamedVictims, ports_of_one_victim
from tests.simulations.pair_world import pair_world

CALLS = 3
DATAGRAMS_MOST = 11
"""Of one offer: checks have about 100 bytes."""


@pytest.mark.parametrize("callee", ["public", "port-restricted", "sequential"])
async def test_offers_that_name_ports_of_one_victim(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, callee: str
) -> None:
    """Its router is said to count, so that more ports are predicted: 1.0 in all, however often."""
    attack = NamedVictims(monkeypatch)
    async with pair_world(tmp_path) as town:
        attacker, other = await town.settled("public", callee)
        contacts = tuple(one.contact for one in town.publics)
        attack.begin(attacker.host, ports_of_one_victim(town), contacts)
        for _ in range(CALLS):
            await town.tried(attacker, other)
        sent = [len(data) for _, data in attack.sent]
        assert 0 < sum(sent) <= CALLS * limits.SIGNAL_BYTES
        assert len(attack.checks()) <= CALLS * DATAGRAMS_MOST


@pytest.mark.parametrize("caller", ["public", "port-restricted", "sequential"])
async def test_answers_that_name_ports_of_one_victim(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caller: str
) -> None:
    """Honest callers of the attacker send the victim no more than its answers had."""
    attack = NamedVictims(monkeypatch)
    async with pair_world(tmp_path) as town:
        attacker, other = await town.settled("public", caller)
        attack.begin(attacker.host, ports_of_one_victim(town))
        for _ in range(CALLS):
            await town.tried(other, attacker)
        sent = [len(data) for _, data in attack.sent]
        assert 0 < sum(sent) <= CALLS * limits.SIGNAL_BYTES
        assert len(attack.checks()) <= CALLS * DATAGRAMS_MOST


@pytest.mark.parametrize("shown_s", [1.0, limits.REGISTERED_ALIVE_S + 1.0])
async def test_an_address_that_a_registered_peer_may_have_left(shown_s: float) -> None:
    """Its next holder gets an offer once, and not once a second for as long as a call may take.

    A peer that was heard lately gets it again: an answer may have been lost.
    """
    world = World(1)
    await world.populate(2)
    registrar = world.residents[0].contact
    rng = derive_rng(1, "peers")
    callee, caller = (RawPeer(Identity(rng.randbytes(32)), {}) for _ in range(2))
    for peer in (callee, caller):
        await peer.move_in(world.internet)
        await peer.ask(Method.PING, [], registrar)
    assert await callee.register(registrar, addresses=(callee.address,)) == Code.OK
    await asyncio.sleep(shown_s)
    got, asked = callee.received_bytes, caller.sent_bytes
    offer = rng.randbytes(limits.SIGNAL_BYTES)
    caller.send(Method.SIGNAL, [callee.identity.peer_id, offer, 100], registrar)
    await asyncio.sleep(limits.CALL_S + 2.0)
    got_bytes, asked_bytes = callee.received_bytes - got, caller.sent_bytes - asked
    if shown_s < limits.REGISTERED_ALIVE_S:
        assert got_bytes > 5 * asked_bytes
    else:
        assert asked_bytes / 2 < got_bytes <= asked_bytes
    await world.close()
