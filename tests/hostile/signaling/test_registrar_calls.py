"""A registrar whose places for calls are held by callers that stall, or that call again and again.

Honest calls go through.
"""

import asyncio
from typing import Any

import pytest

from protocol import limits
from protocol.overlay.messages import Code, Request
from simulations.attacks.raw_peer import RawPeer
from tests.hostile.exchange import Exchange
from tests.hostile.told import RecordProperty

ATTACKERS = limits.CALLS_PENDING // limits.CALLS_PER_CALLER
ACCOMPLICES = limits.CALLS_PENDING // limits.CALLS_PER_CALLEE
ANSWER = bytes(limits.SIGNAL_BYTES)
NETWORKS = 2 * limits.CALLS_PER_CALLEE
AGAIN_S = 0.05


async def calls_again(exchange: Exchange, caller: RawPeer, callee: RawPeer) -> None:
    """One call after another: a new one as soon as there is an answer, also that it is busy."""
    called = len(caller.responses)
    while True:
        if len(caller.responses) >= called:
            exchange.call(caller, callee, 0)
            called += 1
        await asyncio.sleep(AGAIN_S)


def answers(_: Request) -> list[Any]:
    return [ANSWER]


@pytest.mark.parametrize("told_ms", [0, limits.ROUND_TRIP_MS_MAX])
async def test_256_stalling_callers_keep_no_honest_call_out(
    told_ms: int, record_property: RecordProperty
) -> None:
    """They say that they are far, so that they may be slow; their callees answer nothing."""
    exchange = Exchange()
    await exchange.open()
    silent = [await exchange.peer() for _ in range(ACCOMPLICES)]
    honest = await exchange.peer(deliver=answers)
    callers = [await exchange.peer() for _ in range(8)]
    await asyncio.sleep(1.0)
    for one in (*silent, honest):
        assert await exchange.register(one) == Code.OK
    response, alone_s = await exchange.outcome(callers[0], honest)
    record_property("alone_s", alone_s)
    record_property("attackers", ATTACKERS)
    assert (response.code, response.result) == (Code.OK, [ANSWER])
    attackers = [await exchange.peer() for _ in range(ATTACKERS)]
    await asyncio.sleep(1.0)

    def call_all() -> None:
        for number, attacker in enumerate(attackers):
            for _ in range(limits.CALLS_PER_CALLER):
                exchange.call(attacker, silent[number % len(silent)], told_ms)

    for caller in callers:
        call_all()
        await asyncio.sleep(0.5)
        response, seconds = await exchange.outcome(caller, honest)
        assert (response.code, response.result) == (Code.OK, [ANSWER])
        record_property("attacked_s", seconds)
        assert seconds <= alone_s + 0.1
    await exchange.world.close()


async def test_callers_of_128_networks_that_call_again_at_once_keep_no_honest_call_out(
    record_property: RecordProperty,
) -> None:
    """Each has one call to the honest callee at a time, which has places for half of them."""
    exchange = Exchange()
    await exchange.open()
    honest = await exchange.peer(deliver=answers)
    callers = [await exchange.peer() for _ in range(11)]
    attackers = [await exchange.peer() for _ in range(NETWORKS)]
    await asyncio.sleep(1.0)
    await exchange.register(honest)
    response, alone_s = await exchange.outcome(callers.pop(), honest)
    record_property("alone_s", alone_s)
    record_property("attackers", NETWORKS)
    assert (response.code, response.result) == (Code.OK, [ANSWER])
    async with asyncio.TaskGroup() as attack:
        calls = [attack.create_task(calls_again(exchange, one, honest)) for one in attackers]
        await asyncio.sleep(2.0)
        for caller in callers:
            response, seconds = await exchange.outcome(caller, honest)
            assert (response.code, response.result) == (Code.OK, [ANSWER])
            record_property("attacked_s", seconds)
            assert seconds <= alone_s + 0.1
        for call in calls:
            call.cancel()
    refused = [one for peer in attackers for one in peer.responses if one.code == Code.BUSY]
    assert len(refused) > NETWORKS, "places were short all the while"
    await exchange.world.close()
