"""The call experiment: a small run, and registrations that outlive their registrars."""

import asyncio

from matplotlib.figure import Figure

from protocol import limits
from protocol.causes.cause import Cause
from protocol.errors import CallFailed, ModswarmError, TimedOut
from protocol.signaling import CallResult
from simulations.experiments import call
from simulations.experiments.call import Parameters
from simulations.residents.world import (
    Resident,
    World,
    cipher_named,
    simulated_settings,
)

SMALL = Parameters(nodes=24, peers=8, dead=(0.0, 0.3), calls=2, cipher="test")


def test_a_small_run_keeps_the_contract() -> None:
    said: list[str] = []
    report = call.run(SMALL, said.append)
    result = report.as_json(SMALL)
    none_dead, some_dead = result["results"]
    assert (result["success"], result["p50_s"]) == (some_dead["success"], some_dead["p50_s"])
    for row in (none_dead, some_dead):
        assert row["calls"] == 16
        assert row["success"] == row["success_repaired"] == 1.0
        assert 0.01 < row["p50_s"] < 0.8
        assert row["failures"] == []
    assert none_dead["reregistered"] == 0
    assert some_dead["reregistered"] > 0
    assert 0 < some_dead["reregistered_max_s"] <= limits.REREGISTERED_S
    assert len(said) == 2
    figure = Figure()
    report.draw(figure)
    (axes,) = figure.axes
    assert len(axes.lines) == 2
    assert "seconds" in axes.get_xlabel()
    assert "%" in axes.get_ylabel()


async def _call(caller: Resident, callee: Resident) -> CallResult | ModswarmError:
    try:
        peer_id = callee.identity.peer_id
        return await caller.host.create_task(caller.running.caller.call(peer_id, call.describe))
    except ModswarmError as error:
        return error


async def test_a_peer_is_callable_while_any_registrar_lives_and_registers_anew() -> None:
    world = World(1, settings=simulated_settings(cipher=cipher_named("test")))
    await world.populate(20)
    nodes = list(world.residents)
    callee, caller, newcomer = (world.add(unreachable=True) for _ in range(3))
    for peer in (callee, caller, newcomer):
        await peer.start()
        await peer.running.registrations.registered.wait()
    callee.running.callee.accept_calls(call.accept)
    registrars = callee.running.registrations.registrars
    keeping = [node for node in nodes if node.contact in registrars]
    assert len(keeping) == limits.REGISTRARS
    await asyncio.sleep(2 * limits.KEEPALIVE_S)

    for node in keeping[1:]:
        node.host.unplug()
    result = await _call(caller, callee)
    assert isinstance(result, CallResult)
    assert result.signaled_via == (keeping[0].identity.peer_id,)

    keeping[0].host.unplug()
    silent, unknown = await asyncio.gather(_call(caller, callee), _call(newcomer, callee))
    assert isinstance(silent, TimedOut), "the caller knows the way of its last call"
    assert silent.cause is Cause.REGISTRARS_SILENT
    assert isinstance(unknown, CallFailed)
    assert unknown.cause is Cause.NOT_REGISTERED

    await asyncio.sleep(limits.REREGISTERED_S)
    assert len(registrars) == limits.REGISTRARS
    assert not {node.contact for node in keeping}.intersection(registrars)
    assert isinstance(await _call(caller, callee), CallResult)
    await world.close()
