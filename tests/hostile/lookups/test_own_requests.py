"""Requests that peers cause, all kinds at once, leave a node's own lookups their places."""

import asyncio

from protocol import limits
from protocol.overlay.messages import Method
from tests.hostile.exchange import Exchange
from tests.hostile.requests.test_dialbacks_asked import RANDOM
from tests.hostile.signaling.test_registrar_calls import ACCOMPLICES, ATTACKERS

CALLERS = 2 * ATTACKERS
"""Their calls would be all that may be outstanding after two turns, were they not bounded."""

MOST_BY_PEERS = limits.CALLS_PENDING + limits.DIALBACKS_UNDER_WAY + limits.MEETING


async def test_calls_dialbacks_and_pings_for_others_leave_room_for_own_lookups() -> None:
    """512 callers with silent callees, who all ask for dial-backs and to be met as well."""
    exchange = Exchange()
    await exchange.open()
    world, registrar = exchange.world, exchange.registrar
    await world.populate(8)
    wire, server = registrar.running.server.wire, registrar.running.server
    wanted = world.residents[-1].identity.peer_id
    silent = [await exchange.peer() for _ in range(2 * ACCOMPLICES)]
    await asyncio.sleep(1.0)
    for one in silent:
        await exchange.register(one)
    attackers = [await exchange.peer() for _ in range(CALLERS)]
    await asyncio.sleep(1.0)
    most = 0
    for turn in range(4):
        for number, attacker in enumerate(attackers):
            for _ in range(limits.CALLS_PER_CALLER):
                exchange.call(attacker, silent[number % len(silent)], limits.ROUND_TRIP_MS_MAX)
            attacker.send(Method.DIALBACK, [RANDOM, b""], exchange.contact)
            attacker.send(Method.MEET, [], exchange.contact)
        await asyncio.sleep(0.2)
        most = max(most, wire.pending_count)
        looking = registrar.host.create_task(server.lookup(wanted))
        found = await looking
        assert any(one.peer_id == wanted for one in found.closest()), turn
    assert limits.CALLS_PENDING // 2 <= most <= MOST_BY_PEERS
    await world.close()
