"""Peers that fill their ICE agents at a node: honest people's links come up beside them as ever.

Who may hold it: the one peer of an agent, which knows the password, for as long as its attempt. An
agent keeps 32 of its addresses and 164 pairs, and of its checks 32 before its answer.
"""

import asyncio
import contextlib
from collections import Counter
from dataclasses import replace

import pytest
from nacl.bindings import crypto_scalarmult_base

from node.links.path.ice import IcePath
from protocol import limits
from protocol.addresses import Address
from protocol.description import Description, DtlsRole
from protocol.errors import ModswarmError
from protocol.ice.check_messages import encode_check
from protocol.identity import Identity
from protocol.signaling import CallResult
from protocol.stun.message import STUN_TRANSACTION_BYTES
from tests.hostile.told import RecordProperty
from tests.node.links.link_network import (
    Network,
    Node,
    accepted,
    call_directly,
    linked,
    network,
    offer_of,
)

pytestmark = pytest.mark.usefixtures("links")

ATTACKERS = 8
SOURCES = 200
ROUNDS = 5
CALLERS = 4
OURS = Description(
    "abcd",
    "a" * 22,
    bytes(32),
    DtlsRole.ACTPASS,
    (),
    session=crypto_scalarmult_base(bytes((7,)) * 32),
)


class Flood:
    """Checks of attackers from so many addresses, and how many bytes the hub sends to these."""

    def __init__(self, hub: Node, monkeypatch: pytest.MonkeyPatch) -> None:
        self._hub = hub
        self._count = 0
        self.got: Counter[str] = Counter()
        self.sent: Counter[str] = Counter()
        endpoint = hub.paths.endpoint
        send = endpoint.sendto

        def sendto(data: bytes, remote: Address, *args: object) -> None:
            if remote.host.startswith("9."):
                self.sent[remote.host] += len(data)
            else:
                send(data, remote, *args)  # type: ignore[arg-type]

        monkeypatch.setattr(endpoint, "sendto", sendto)

    def check_all(self, theirs: Description, attacker: int) -> None:
        """One check from each address, with the password that the hub told its peer."""
        (local,) = self._hub.paths.endpoint.addresses.values()
        for number in range(SOURCES):
            self._count += 1
            check = encode_check(
                self._count.to_bytes(STUN_TRANSACTION_BYTES),
                username=f"{theirs.ufrag}:{OURS.ufrag}".encode(),
                priority=1 + number,
                controlling=theirs.role == DtlsRole.ACTIVE,
                tie_breaker=1,
                nominates=False,
                key=theirs.password.encode(),
            )
            host = f"9.{attacker}.{number}.1"
            self.got[host] += len(check)
            arrival = (check, len(check), (host, 4001))
            self._hub.paths.endpoint.demux.burst_received([arrival], local)


def agents_of(hub: Node) -> list[IcePath]:
    return [one for one in hub.paths.endpoint.demux._ufrags.values() if isinstance(one, IcePath)]


def filled(hub: Node) -> int:
    """How many agents are full; none holds more than it may."""
    full = 0
    for path in agents_of(hub):
        session = path.agent._current
        assert len(session.checklist) <= limits.ICE_PAIRS + limits.ICE_PAIRS_LEARNED
        assert len(session.checklist._remotes) <= limits.ICE_ADDRESSES_LEARNED
        assert len(session._early) <= limits.ICE_CHECKS_EARLY
        full += len(session.checklist._remotes) == limits.ICE_ADDRESSES_LEARNED
        full += len(session._early) == limits.ICE_CHECKS_EARLY
    return full


async def call_and_flood(hub: Node, flood: Flood, attacker: int) -> None:
    """A call whose agent at the hub gets checks for as long as it lives."""
    offer = offer_of(Identity(bytes((attacker,)) * 32).public_key, bytes((attacker,)) * 16, OURS)
    theirs = await hub.pool.answer(offer)
    for _ in range(ROUNDS):
        flood.check_all(theirs, attacker)
        await asyncio.sleep(0.2)


async def be_called_and_flood(peers: Network, hub: Node, flood: Flood, attacker: int) -> None:
    """The hub calls it: checks come before the answer, and go on after it."""
    identity = Identity(bytes((attacker,)) * 32)

    async def carry(caller: Node, callee: Node, offer_id: bytes, offer: Description) -> CallResult:
        if callee.identity is not identity:
            return await call_directly(caller, callee, offer_id, offer)
        for _ in range(ROUNDS):
            flood.check_all(offer, attacker)
            await asyncio.sleep(0.2)
        return accepted(offer_id, identity.public_key, replace(OURS, role=DtlsRole.ACTIVE))

    await peers.add(identity=identity)
    peers.carry = carry
    with contextlib.suppress(ModswarmError):
        await hub.pool.connect(identity.peer_id)


async def seconds_to_link(caller: Node, callee: Node) -> float:
    began_at = asyncio.get_running_loop().time()
    await linked(caller, callee)
    return asyncio.get_running_loop().time() - began_at


@pytest.mark.parametrize("hub_calls", [False, True], ids=["called", "calling"])
async def test_an_agent_that_its_peer_fills_costs_others_nothing(
    hub_calls: bool, monkeypatch: pytest.MonkeyPatch, record_property: RecordProperty
) -> None:
    async with network() as peers:
        hub = await peers.add()
        alone_s = await seconds_to_link(await peers.add(), hub)
        record_property("alone_s", alone_s)
        record_property("attackers", ATTACKERS)
        flood = Flood(hub, monkeypatch)
        attacks = [
            asyncio.create_task(
                be_called_and_flood(peers, hub, flood, number + 1)
                if hub_calls
                else call_and_flood(hub, flood, number + 1)
            )
            for number in range(1 if hub_calls else ATTACKERS)
        ]
        await asyncio.sleep(0.3)
        assert filled(hub) >= len(attacks)
        seconds = [await seconds_to_link(await peers.add(), hub) for _ in range(CALLERS)]
        record_property("attacked_s", max(seconds))
        await asyncio.gather(*attacks)
        filled(hub)
        assert max(seconds) <= alone_s + 0.05
        sent = sum(flood.sent.values())
        assert sent <= sum(flood.got.values()) + len(attacks) * limits.SIGNAL_BYTES
        worst = max(flood.sent[host] - flood.got[host] for host in flood.sent)
        assert worst <= limits.SIGNAL_BYTES
