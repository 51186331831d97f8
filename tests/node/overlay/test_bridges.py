"""Calls of peers that have no address family in common, through contacts that have both."""

import asyncio
from functools import partial
from typing import Any

import pytest

from protocol import limits
from protocol.causes.cause import Cause
from protocol.errors import CallFailed
from protocol.overlay.contacts import Contact
from protocol.overlay.messages import Code, Method, Request
from protocol.reachability.verdict import RoundOutcome
from simulations.attacks.raw_peer import RawPeer, Responder, pong
from simulations.experiments.call import accept, describe
from simulations.internet.latency import UniformLatency
from simulations.residents.world import Resident, World, cipher_named, simulated_settings
from tests.node.overlay.attacks.arena import key_pair

OFFER = bytes(limits.SIGNAL_BYTES)
PINGS = (Method.PING, Method.MEET)
LOOKUPS = (Method.FIND_NODE, Method.FIND_VALUE)
from_each_family = pytest.mark.parametrize("family", [4, 6])


def _world(cipher: str = "test") -> World:
    settings = simulated_settings(cipher=cipher_named(cipher))
    return World(1, latency=UniformLatency(0.05), settings=settings)


async def _settled(world: World, family: int, outcome: RoundOutcome) -> Resident:
    """A node of one address family, as dial-backs found it."""
    one = world.add(host=world.internet.add_host(v4=family == 4, v6=family == 6))
    await one.start()
    await one.running.joined.wait()
    one.running.own_network.tested(family, outcome)
    one.running.callee.accept_calls(accept)
    return one


async def _bridges_called(caller: Resident, callee: Resident) -> set[bytes]:
    with caller.host.running():
        called = await caller.running.caller.call(callee.identity.peer_id, describe)
    return set(called.signaled_via)


@from_each_family
async def test_a_public_peer_is_called_from_the_other_family(family: int) -> None:
    world = _world()
    await world.populate(12, v4=True, v6=True)
    callee = await _settled(world, family, RoundOutcome.PUBLIC)
    caller = await _settled(world, 10 - family, RoundOutcome.NOT_PUBLIC)
    await asyncio.sleep(30)
    assert not callee.running.registrations.registrars
    bridges = {one.identity.peer_id for one in world.residents[:12]}
    assert len(await _bridges_called(caller, callee) & bridges) == 1
    assert len(await _bridges_called(caller, callee) & bridges) == 1, "by the way that is known"
    assert await _bridges_called(callee, caller), "which is registered"
    await world.close()


@from_each_family
async def test_a_peer_that_becomes_public_is_called_meanwhile(family: int) -> None:
    """It ends its registrations: those who knew them, and those who did not, still call it."""
    world = _world()
    await world.populate(12, v4=True, v6=True)
    callee = await _settled(world, family, RoundOutcome.NOT_PUBLIC)
    callers = [await _settled(world, one, RoundOutcome.NOT_PUBLIC) for one in (4, 6, 4, 6)]
    await callee.running.registrations.registered.wait()
    await asyncio.sleep(2 * limits.PEER_RECORD_PAUSE_S)
    for caller in callers[:2]:
        await _bridges_called(caller, callee)
    callee.running.own_network.tested(family, RoundOutcome.PUBLIC)
    for pause_s in (0.0, 1.0, 10.0, limits.REGISTERED_ALIVE_S, limits.REGISTRATION_S):
        await asyncio.sleep(pause_s)
        for caller in callers:
            await _bridges_called(caller, callee)
    assert not callee.running.registrations.registrars
    await world.close()


async def test_without_contacts_of_both_families_the_call_fails_as_before() -> None:
    world = _world()
    await world.populate(6, v4=False, v6=True)
    callee = await _settled(world, 6, RoundOutcome.PUBLIC)
    caller = await _settled(world, 6, RoundOutcome.PUBLIC)
    await asyncio.sleep(30)
    callee.host.unplug()
    with pytest.raises(CallFailed) as failed:
        await _bridges_called(caller, callee)
    assert failed.value.cause is Cause.NOT_REGISTERED
    await world.close()


def _found_none(_: Request) -> list[Any]:
    return [b"", b"", [], 0, b""]


class Scene:
    """A node with sockets of both families, a contact of it, and a peer that signals to it."""

    def __init__(self, callee: RawPeer, bridge: Resident, caller: RawPeer) -> None:
        self.callee, self.bridge, self.caller = callee, bridge, caller

    @classmethod
    async def laid(cls, world: World, *, callee_v6: bool, caller_v6: bool) -> "Scene":
        answers: dict[Method, Responder] = {**dict.fromkeys(LOOKUPS, _found_none)}
        answers |= dict.fromkeys(PINGS, pong)
        callee, caller = RawPeer(key_pair(1), answers), RawPeer(key_pair(2), {})
        await callee.move_in(world.internet, v6=callee_v6)
        await caller.move_in(world.internet, v6=caller_v6)
        bridge = world.add(host=world.internet.add_host(v4=True, v6=True))
        await bridge.start()
        bridge.running.server.protocol.maintenance.answered(callee.contact)
        scene = cls(callee, bridge, caller)
        await caller.ask(Method.PING, [], scene.at(caller.contact.family))
        return scene

    def at(self, family: int) -> Contact:
        return next(one for one in self.bridge.contacts if one.family == family)

    async def signal(self) -> list[Code]:
        """The codes of what the caller is answered within the time of a call."""
        self.caller.responses.clear()
        self.callee.requests.clear()
        to = self.at(self.caller.contact.family)
        for _ in range(3):
            self.caller.send(Method.SIGNAL, [self.callee.contact.peer_id, OFFER, 50], to)
            await asyncio.sleep(limits.CALL_REPEAT_S)
        await asyncio.sleep(limits.CALL_UNMEASURED_S)
        return [Code(one.code) for one in self.caller.responses]

    @property
    def delivered(self) -> list[Request]:
        return [one for one in self.callee.requests if one.method == Method.DELIVER]


@pytest.mark.parametrize("callee_v6", [True, False])
async def test_a_contact_gets_each_offer_once(callee_v6: bool) -> None:
    """It has agreed to no more: bytes that somebody else sends, and no byte above these."""
    world = _world("real")
    scene = await Scene.laid(world, callee_v6=callee_v6, caller_v6=not callee_v6)
    sent_before = scene.caller.sent_bytes
    received_before = scene.callee.received_bytes
    assert set(await scene.signal()) == {Code.OFFLINE}
    assert len(scene.delivered) == 1
    sent = scene.caller.sent_bytes - sent_before
    assert scene.callee.received_bytes - received_before < sent
    await world.close()


async def test_the_answer_of_a_contact_comes_back() -> None:
    world = _world("real")
    scene = await Scene.laid(world, callee_v6=False, caller_v6=True)
    scene.callee.answers[Method.DELIVER] = lambda _: [b"the answer"]
    assert set(await scene.signal()) == {Code.OK}
    assert [one.result for one in scene.caller.responses] == [[b"the answer"]] * 3
    await world.close()


@pytest.mark.parametrize("v6", [True, False])
async def test_whom_the_caller_reaches_itself_is_called_for_it_by_no_contact(v6: bool) -> None:
    world = _world("real")
    scene = await Scene.laid(world, callee_v6=v6, caller_v6=v6)
    assert set(await scene.signal()) == {Code.OFFLINE}
    assert not scene.delivered
    await world.close()


async def test_a_contact_in_doubt_is_called_for_no_caller() -> None:
    world = _world("real")
    scene = await Scene.laid(world, callee_v6=False, caller_v6=True)
    scene.callee.answers.clear()  # an answer to what the bridge asks would end the doubt
    scene.bridge.running.server.protocol.maintenance.failed(scene.callee.contact)
    assert set(await scene.signal()) == {Code.OFFLINE}
    assert not scene.delivered
    await world.close()


async def test_a_contact_has_the_time_that_a_registered_peer_has() -> None:
    world = _world("real")
    scene = await Scene.laid(world, callee_v6=False, caller_v6=True)

    def late(request: Request) -> None:
        to = scene.at(4)
        answer = partial(scene.callee.answer, request, [b"late"], to.public_key, to.address)
        world.loop.call_later(limits.CALL_NEAR_S / 2, answer)

    scene.callee.answers[Method.DELIVER] = late
    assert set(await scene.signal()) == {Code.OK}
    await world.close()


async def test_a_contact_goes_before_a_registration_that_is_not_kept_up() -> None:
    """The peer became public, ended its registration, and has another address since."""
    world = _world("real")
    scene = await Scene.laid(world, callee_v6=False, caller_v6=True)
    before = RawPeer(scene.callee.identity, {})
    await before.move_in(world.internet)
    await before.ask(Method.PING, [], scene.at(4))
    assert await before.register(scene.at(4)) == Code.OK
    await asyncio.sleep(limits.REGISTERED_ALIVE_S)
    scene.bridge.running.server.protocol.maintenance.answered(scene.callee.contact)
    await scene.signal()
    assert len(scene.delivered) == 1
    assert Method.DELIVER not in [one.method for one in before.requests]
    await world.close()
