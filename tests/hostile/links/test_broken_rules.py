"""Peers that break the protocol on a link come back at once, to have it made and broken again."""

import asyncio

import pytest

from node.links.channel.native_channel import NativeChannel
from node.links.link import Link
from protocol import limits
from protocol.causes.cause import Cause
from protocol.errors import CallFailed, LinkFailed
from protocol.places.tenure import network_of
from protocol.sctp import chunks
from protocol.sctp.errors import AssociationFlooded
from tests.node.links.link_network import Node, linked, network, until

pytestmark = [pytest.mark.leaves_nothing, pytest.mark.usefixtures("links")]

UNKNOWN_TYPE = bytes((0x91, 0x60))


async def _broken(attacker: Node, victim: Node) -> Link:
    """A link that the attacker has had ended by a frame that is none."""
    ours, theirs = await linked(attacker, victim)
    ours.send(UNKNOWN_TYPE)
    await until(theirs.closed.done)
    await until(ours.closed.done)
    return theirs


async def test_who_broke_the_protocol_gets_no_link_for_a_minute() -> None:
    async with network() as peers:
        victim, attacker, honest = [await peers.add(backoff_first_s=0.01) for _ in range(3)]
        theirs = await _broken(attacker, victim)
        assert theirs.closed.result() == "a frame of the unknown type 96"
        assert victim.counters.refused["malformed"] == 1
        with pytest.raises(CallFailed, match="does not follow the protocol"):
            await attacker.pool.connect(victim.peer_id)
        with pytest.raises(LinkFailed) as refused:
            await victim.pool.connect(attacker.peer_id)
        assert refused.value.cause is Cause.PROTOCOL_BROKEN
        await linked(honest, victim)
        await asyncio.sleep(limits.RULE_BREAKER_S)
        await linked(attacker, victim)


async def test_a_flood_of_empty_packets_ends_the_link_and_no_other() -> None:
    async with network() as peers:
        victim, attacker, honest = [await peers.add(backoff_first_s=0.01) for _ in range(3)]
        kept, _ = await linked(honest, victim)
        ours, theirs = await linked(attacker, victim)
        channel = ours.channel
        assert isinstance(channel, NativeChannel)
        packet = channel._association._core.writer.seal(chunks.encode_chunk(0xC1) * 280)
        for _ in range(40):
            channel.dtls.send_packets([packet])
        await until(theirs.closed.done)
        assert theirs.closed.result() == str(AssociationFlooded())
        assert isinstance(theirs.error, AssociationFlooded)
        assert victim.counters.refused["association_flooded"] == 1
        await until(ours.closed.done)
        assert ours.closed.result() == f"closed by the peer: {AssociationFlooded()}"
        with pytest.raises(CallFailed):
            await attacker.pool.connect(victim.peer_id)
        assert not kept.closed.done()


async def test_a_network_of_which_several_broke_it_is_closed_to_newcomers_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The hosts of a test are private, and these are never counted: here they are as if public."""
    for reader in ("node.links.path.found_path", "node.links.attempt"):
        monkeypatch.setattr(f"{reader}.network_of", lambda _: network_of("93.184.216.34"))
    async with network() as peers:
        victim = await peers.add()
        for _ in range(limits.RULE_BREAKERS_OF_NETWORK):
            await _broken(await peers.add(), victim)
        newcomer, useful, wanted = [await peers.add() for _ in range(3)]
        refused = await newcomer.pool.connect(victim.peer_id)
        await until(refused.closed.done)
        assert victim.pool.get(newcomer.peer_id) is None
        victim.pool.usefulness.received(useful.peer_id, 1000, asyncio.get_running_loop().time())
        await linked(useful, victim)
        await linked(victim, wanted)
        await asyncio.sleep(limits.RULE_BREAKER_S)
        await linked(newcomer, victim)
