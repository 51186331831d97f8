"""What a callee is told of the time that its answer takes to the caller."""

from typing import Any

import pytest

from protocol import limits
from protocol.identity import Identity
from protocol.overlay.messages import Method
from simulations.attacks.raw_peer import RawPeer
from simulations.residents.world import World
from simulations.seeds import derive_rng
from tests.simulations.pair_world import until


@pytest.mark.parametrize(
    ("method", "told_ms", "own_s", "expected_s"),
    [
        (Method.SIGNAL, 60, None, 0.03),
        (Method.SIGNAL, 0, None, limits.WAY_UNMEASURED_S),
        (Method.DELIVER, 60, 0.1, 0.03 + 0.05),
        (Method.DELIVER, 60, None, 0.03 + limits.WAY_UNMEASURED_S),
        (Method.DELIVER, 0, 0.1, limits.WAY_UNMEASURED_S + 0.05),
        (Method.DELIVER, 2000, None, 1.0 + limits.WAY_UNMEASURED_S),
    ],
)
async def test_a_way_that_is_not_measured_counts_too(
    method: Method, told_ms: int, own_s: float | None, expected_s: float
) -> None:
    world = World(1)
    told: list[float] = []

    async def answer(sealed: bytes, answer_takes_s: float) -> bytes:
        told.append(answer_takes_s)
        return sealed

    try:
        await world.populate(2)
        callee = world.residents[0]
        server = callee.running.server
        server.wire.round_trip_s = lambda _: own_s  # type: ignore[method-assign,assignment]
        server.registrar._answer_offer = answer
        sender = RawPeer(Identity(derive_rng(1, "sender").randbytes(32)), {})
        await sender.move_in(world.internet)
        await sender.ask(Method.PING, [], callee.contact)
        arguments: list[Any] = [b"offer", told_ms]
        if method is Method.SIGNAL:
            arguments.insert(0, callee.contact.peer_id)
        sender.send(method, arguments, callee.contact)
        await until(lambda: bool(told), 5.0)
    finally:
        await world.close()
    assert told == [pytest.approx(expected_s)]
