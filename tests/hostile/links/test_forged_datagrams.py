"""Datagrams forged in the name of a linked peer, or from a third address, at a link's port."""

import asyncio

import pytest

from node.net.udp.port import Arrival
from protocol import limits
from protocol.addresses import Address
from simulations.attacks.forged_datagrams import FORGED
from tests.node.links.link_network import Node, frame_of, linked, network, until

pytestmark = pytest.mark.usefixtures("links")

RATE = 1000
SECONDS = 5
THIRD = Address("192.0.2.7", 4001)


def _source_of(victim: Node, peer: Node, from_peer: bool) -> Address:
    (address,) = peer.paths.endpoint.addresses.values()
    return address if from_peer else THIRD


@pytest.mark.parametrize("from_peer", [True, False], ids=["the peer's address", "a third one"])
@pytest.mark.parametrize("kind", FORGED)
async def test_forged_datagrams_end_no_link_and_get_no_answer(kind: str, from_peer: bool) -> None:
    async with network() as peers:
        victim, peer = await peers.add(), await peers.add()
        ours, theirs = await linked(victim, peer)
        path = ours.channel.dtls.ice  # type: ignore[attr-defined]
        demux, local = victim.paths.endpoint.demux, *victim.paths.endpoint.addresses.values()
        theirs_ice = theirs.channel.dtls.ice  # type: ignore[attr-defined]
        username = f"{path._credentials.ufrag}:{theirs_ice._credentials.ufrag}"
        source = _source_of(victim, peer, from_peer)
        sent_before = victim.counters.bytes_sent
        forged_bytes = 0
        for _ in range(RATE * SECONDS // 10):
            burst: list[Arrival] = []
            for _ in range(10):
                data = FORGED[kind](username)
                forged_bytes += len(data)
                burst.append((data, len(data), source))
            demux.burst_received(burst, local)
            assert len(path.datagrams._queue) <= limits.ICE_DATAGRAMS_WAITING
            await asyncio.sleep(10 / RATE)
        assert victim.counters.bytes_sent - sent_before <= forged_bytes / 10
        assert not ours.closed.done()
        theirs.send(frame_of(b"still here"))
        ours.send(frame_of(b"so am I"))
        seconds = await until(lambda: victim.received and peer.received)
        assert seconds < 0.1
        assert path.datagrams._queue == type(path.datagrams._queue)()
