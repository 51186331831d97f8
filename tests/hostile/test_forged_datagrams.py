"""Datagrams forged in the name of a linked peer, or from a third address, at a link's port."""

import asyncio
import random
from collections.abc import Callable

import pytest

from node.net.udp.port import Arrival
from protocol import limits
from protocol.addresses import Address
from protocol.ice.check_messages import encode_check
from protocol.stun.message import (
    STUN_TRANSACTION_BYTES,
    StunClass,
    StunMessage,
    StunMethod,
    encode_stun,
)
from tests.node.links.link_network import Node, frame_of, linked, network, until

pytestmark = pytest.mark.usefixtures("links")

RATE = 1000
SECONDS = 5
THIRD = Address("192.0.2.7", 4001)

_ALERT, _HANDSHAKE, _CIPHER_CHANGE, _DATA = 21, 22, 20, 23
_rng = random.Random("forged")


def record(kind: int, body: bytes, epoch: int = 0, sequence: int = 0) -> bytes:
    head = bytes([kind, 254, 253]) + epoch.to_bytes(2) + sequence.to_bytes(6)
    return head + len(body).to_bytes(2) + body


def _check(username: str, key: bytes) -> bytes:
    return encode_check(
        _rng.randbytes(STUN_TRANSACTION_BYTES),
        username=username.encode(),
        priority=1,
        controlling=True,
        tie_breaker=1,
        nominates=True,
        key=key,
    )


def _binding(kind: StunClass) -> bytes:
    return encode_stun(
        StunMessage(kind, StunMethod.BINDING, _rng.randbytes(STUN_TRANSACTION_BYTES), ())
    )


FORGED: dict[str, Callable[[str], bytes]] = {
    "fatal alert in the clear": lambda _: record(_ALERT, b"\2\x28"),
    "close_notify in the clear": lambda _: record(_ALERT, b"\1\0"),
    "sealed alert": lambda _: record(_ALERT, _rng.randbytes(26), 1, _rng.getrandbits(20)),
    "ClientHello": lambda _: record(_HANDSHAKE, bytes([1]) + _rng.randbytes(150)),
    "fragment": lambda _: record(_HANDSHAKE, bytes.fromhex("01ffffff00000000fffe0001") + b"x"),
    "sealed handshake": lambda _: record(_HANDSHAKE, _rng.randbytes(60), 1, _rng.getrandbits(20)),
    "next epoch": lambda _: record(_HANDSHAKE, _rng.randbytes(60), 2, _rng.getrandbits(20)),
    "change of cipher": lambda _: record(_CIPHER_CHANGE, b"\1"),
    "data, highest number": lambda _: record(_DATA, _rng.randbytes(1100), 1, 2**48 - 1),
    "data of a later epoch": lambda _: record(_DATA, _rng.randbytes(1100), 65535, 2**48 - 1),
    "data of a false length": lambda _: record(_DATA, _rng.randbytes(50), 1)[:-20],
    "RTP": lambda _: b"\x80" + _rng.randbytes(171),
    "STUN response": lambda _: _binding(StunClass.SUCCESS),
    "STUN indication": lambda _: _binding(StunClass.INDICATION),
    "check with a wrong key": lambda username: _check(username, b"w" * 22),
}


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
