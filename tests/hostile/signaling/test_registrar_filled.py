"""A registrar that a few networks fill: a peer of another network registers, and is called."""

import asyncio
from typing import Any

import pytest

from protocol import limits
from protocol.overlay.messages import Code, Request
from tests.hostile.exchange import Exchange
from tests.hostile.told import RecordProperty

PLACES = 64
NETWORKS = 8
ANSWER = bytes(limits.SIGNAL_BYTES)


def answers(_: Request) -> list[Any]:
    return [ANSWER]


async def called_s(monkeypatch: pytest.MonkeyPatch, attackers: int) -> float:
    """What an honest call takes in seconds, where so many registered first and do so again."""
    monkeypatch.setattr(limits, "REGISTRATIONS", PLACES)
    exchange = Exchange()
    await exchange.open()
    hosts = [f"5.{number % NETWORKS + 1}.0.{number + 1}" for number in range(attackers)]
    crowd = [await exchange.peer(at=host) for host in hosts]
    caller = await exchange.peer(at="9.9.9.9")
    honest = await exchange.peer(at="8.8.8.8", deliver=answers)
    await asyncio.sleep(1.0)
    for _ in range(2):
        await asyncio.gather(*map(exchange.register, crowd))
        assert await exchange.register(honest) == Code.OK
    codes = await asyncio.gather(*map(exchange.register, crowd))
    assert set(codes) <= {Code.OK, Code.RATE_LIMITED}
    assert len(exchange.registrar.running.server.protocol.registrar) <= PLACES
    response, seconds = await exchange.outcome(caller, honest)
    assert (response.code, response.result) == (Code.OK, [ANSWER])
    await exchange.world.close()
    return seconds


async def test_a_few_networks_that_fill_a_registrar_keep_no_other_out(
    monkeypatch: pytest.MonkeyPatch, record_property: RecordProperty
) -> None:
    alone_s = await called_s(monkeypatch, 0)
    record_property("alone_s", alone_s)
    attacked_s = await called_s(monkeypatch, 2 * PLACES)
    record_property("attacked_s", attacked_s)
    record_property("attackers", 2 * PLACES)
    assert attacked_s <= alone_s + 0.1
