"""A registrar whose places for calls are held by callers that stall: honest calls go through."""

import asyncio
from typing import Any

import pytest

from protocol import limits
from protocol.overlay.messages import Code, Request
from tests.hostile.exchange import Exchange

ATTACKERS = limits.CALLS_PENDING // limits.CALLS_PER_CALLER
ACCOMPLICES = limits.CALLS_PENDING // limits.CALLS_PER_CALLEE
ANSWER = bytes(limits.SIGNAL_BYTES)


def answers(_: Request) -> list[Any]:
    return [ANSWER]


@pytest.mark.parametrize("told_ms", [0, limits.ROUND_TRIP_MS_MAX])
async def test_256_stalling_callers_keep_no_honest_call_out(told_ms: int) -> None:
    """They say that they are far, so that they may be slow; their callees answer nothing."""
    exchange = Exchange()
    await exchange.open()
    silent = [await exchange.peer() for _ in range(ACCOMPLICES)]
    honest = await exchange.peer(deliver=answers)
    callers = [await exchange.peer() for _ in range(20)]
    await asyncio.sleep(1.0)
    for one in (*silent, honest):
        assert await exchange.register(one) == Code.OK
    response, alone_s = await exchange.outcome(callers[0], honest)
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
        assert seconds <= alone_s + 0.1
    await exchange.world.close()
