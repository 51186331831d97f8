"""Calls whose DTLS handshake is begun and left, or drawn out: honest callers get their links."""

import asyncio
import contextlib
from collections.abc import Callable

import pytest

from node.links.path.ice import IcePath
from node.links.settings import LinkSettings
from protocol import limits
from protocol.errors import ModswarmError
from tests.hostile.told import RecordProperty
from tests.node.links.link_network import Node, linked, network, until

pytestmark = pytest.mark.usefixtures("links")

ATTACKERS = 16
SLOTS = 8
EAGER = LinkSettings(busy_patience_s=0.0, backoff_first_s=0.0, backoff_max_s=0.0)
CALL_EVERY_S = 0.5
CALLERS = 5
MESSAGE_EVERY_S = 3.0
REPEATED = 20

FIRST_TURNS_S = ATTACKERS / SLOTS * limits.LINK_SLOW_S * 1.5
"""How long a first call may wait: each attacker may hold a slot once for 5 s, as any newcomer, and
8 at a time do so by turns. One that finds none is told for how long, in whole seconds, and calls
again after up to half as much more, so that not all come at once (`node/links/pool/opening`)."""

Deliver = Callable[[IcePath, bytes], None]


def _never(_deliver: Deliver, _path: IcePath, _datagram: bytes) -> None:
    """ICE is done, and the handshake gets no answer."""


def _first_flight_only(deliver: Deliver, path: IcePath, datagram: bytes) -> None:
    """A ClientHello is answered, and nothing after it."""
    if datagram[13] == 1 and datagram[3:5] == bytes(2):
        deliver(path, datagram)


def _slowly(deliver: Deliver, path: IcePath, datagram: bytes) -> None:
    """One message every 3 s."""
    queue = vars(path).setdefault("test_at", [0.0])
    loop = asyncio.get_running_loop()
    queue[0] = max(queue[0], loop.time()) + MESSAGE_EVERY_S
    loop.call_at(queue[0], deliver, path, datagram)


def _with_repeats(deliver: Deliver, path: IcePath, datagram: bytes) -> None:
    """Each flight is repeated, and the handshake goes no further."""
    if datagram[13] == 1 and datagram[3:5] == bytes(2):
        deliver(path, datagram)
        if "test_repeats" not in vars(path):
            send = path.datagrams._give_away
            vars(path)["test_repeats"] = True
            path.datagrams._give_away = lambda data: _repeat(send, data)


def _repeat(send: Callable[[bytes], None], data: bytes) -> None:
    for _ in range(REPEATED):
        send(data)


MANNERS = [_never, _first_flight_only, _slowly, _with_repeats]


def _misbehave(
    monkeypatch: pytest.MonkeyPatch,
    attackers: list[Node],
    manner: Callable[[Deliver, IcePath, bytes], None],
) -> None:
    real = IcePath.dtls_received

    def received(path: IcePath, datagram: bytes) -> None:
        if any(path._endpoint is one.paths.endpoint for one in attackers):
            manner(real, path, datagram)
        else:
            real(path, datagram)

    monkeypatch.setattr(IcePath, "dtls_received", received)


async def _call_for_ever(attacker: Node, hub: Node) -> None:
    while True:
        with contextlib.suppress(ModswarmError):
            await attacker.pool.connect(hub.peer_id)
        await asyncio.sleep(CALL_EVERY_S)


async def _seconds_to_link(caller: Node, callee: Node) -> float:
    began_at = asyncio.get_running_loop().time()
    await linked(caller, callee)
    return asyncio.get_running_loop().time() - began_at


@pytest.mark.parametrize("manner", MANNERS, ids=lambda one: one.__name__.strip("_"))
async def test_handshakes_that_are_begun_and_left_keep_no_honest_caller_out(
    manner: Callable[[Deliver, IcePath, bytes], None],
    monkeypatch: pytest.MonkeyPatch,
    record_property: RecordProperty,
) -> None:
    """16 identities for 8 slots call anew all the time. After their first turns none waits."""
    monkeypatch.setattr(limits, "LINK_ATTEMPTS", SLOTS)
    async with network() as peers:
        hub = await peers.add()
        alone_s = await _seconds_to_link(await peers.add(), hub)
        record_property("alone_s", alone_s)
        record_property("attackers", ATTACKERS)
        attackers = [await peers.add(EAGER) for _ in range(ATTACKERS)]
        _misbehave(monkeypatch, attackers, manner)
        calling = [asyncio.create_task(_call_for_ever(one, hub)) for one in attackers]
        demux = hub.paths.endpoint.demux
        seconds = []
        for _ in range(CALLERS):
            await asyncio.sleep(1.7)
            assert len(demux._ufrags) <= SLOTS + 1 + CALLERS
            seconds.append(await _seconds_to_link(await peers.add(), hub))
        for task in calling:
            task.cancel()
        await asyncio.wait(calling)
        record_property("attacked_s", max(seconds))
        for attacker in attackers:
            await attacker.pool.close()
        links = 1 + CALLERS
        await until(lambda: len(demux._ufrags) <= links, limit_s=20.0)
        assert seconds[0] <= FIRST_TURNS_S
        assert max(seconds[1:]) <= alone_s + 0.1
