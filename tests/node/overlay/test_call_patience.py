"""How long a registrar waits for a callee that is silent, lossy or far away."""

from typing import Any

import pytest

from protocol import limits
from protocol.identity import Identity
from protocol.overlay.messages import Code, Method, Request, Response
from simulations.attacks.raw_peer import RawPeer
from simulations.residents.world import World
from simulations.seeds import derive_rng
from tests.simulations.pair_world import until

FAR_S = 2.5
ANSWER = b"sealed"


async def called(*, lost: float, far_s: float, measured_s: float | None) -> tuple[Response, Any]:
    """What a caller hears of a callee, of whose offers the first `lost` come to nothing.

    With it, how many seconds that took, and how often the offer was sent.
    """
    world = World(1)
    try:
        await world.populate(2)
        registrar = world.residents[0].contact
        rng = derive_rng(1, "peers")
        callee, caller = (RawPeer(Identity(rng.randbytes(32)), {}) for _ in range(2))
        came: list[Request] = []

        def delivered(request: Request) -> None:
            came.append(request)
            if len(came) > lost:
                to = (registrar.public_key, tuple(registrar.address))
                world.loop.call_later(far_s, callee.answer, request, [ANSWER], *to)

        callee.answers[Method.DELIVER] = delivered
        for peer in (callee, caller):
            await peer.move_in(world.internet)
            await peer.ask(Method.PING, [], registrar)
        assert await callee.register(registrar, addresses=(callee.address,)) == Code.OK
        if measured_s is not None:
            wire = world.residents[0].running.server.wire
            wire.round_trip_s = lambda _: measured_s  # type: ignore[method-assign,assignment]
        started, before = world.loop.time(), len(caller.responses)
        caller.send(Method.SIGNAL, [callee.identity.peer_id, b"offer", 100], registrar)
        await until(lambda: len(caller.responses) > before, limits.CALL_S + 2.0)
        return caller.responses[-1], (world.loop.time() - started, len(came))
    finally:
        await world.close()


@pytest.mark.parametrize(
    ("measured_s", "at_least_s", "times"),
    [
        (None, limits.CALL_UNMEASURED_S, 11),
        (0.05, limits.CALL_NEAR_S, 8),
        (FAR_S, limits.CALL_S, 10),
    ],
)
async def test_a_callee_that_is_silent_is_offline_the_sooner_the_nearer_it_is(
    measured_s: float | None, at_least_s: float, times: int
) -> None:
    response, (seconds, sent) = await called(lost=1000, far_s=0, measured_s=measured_s)
    assert response.code == Code.OFFLINE
    assert at_least_s <= seconds < at_least_s + 0.5
    assert sent == times


@pytest.mark.parametrize(
    ("measured_s", "far_s", "lost"), [(None, FAR_S, 5), (0.05, 0.1, 7), (FAR_S, FAR_S, 6)]
)
async def test_a_callee_answers_though_its_line_is_slow_and_loses_most(
    measured_s: float | None, far_s: float, lost: int
) -> None:
    response, _ = await called(lost=lost, far_s=far_s, measured_s=measured_s)
    assert response.code == Code.OK
    assert response.result == [ANSWER]
