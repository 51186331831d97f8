"""Datagrams forged in the name of the peer while a link's DTLS handshake is under way."""

import asyncio
import random
from collections.abc import Callable

import pytest

from node.links.path.ice import IcePath
from protocol import limits
from simulations.attacks.forged_datagrams import record
from tests.node.links.link_network import Node, frame_of, linked, network, until

pytestmark = pytest.mark.usefixtures("links")

FORGED_MOST = 4

_CIPHER_CHANGE, _ALERT, _HANDSHAKE, _DATA = range(20, 24)
_VERSION = b"\xfe\xfd"
_rng = random.Random("forged handshakes")

Forge = Callable[[], bytes]


def _message(kind: int, sequence: int, body: bytes) -> bytes:
    length = len(body).to_bytes(3)
    whole = bytes([kind]) + length + sequence.to_bytes(2) + bytes(3) + length + body
    return record(_HANDSHAKE, whole, sequence=_rng.getrandbits(16))


def _client_hello() -> bytes:
    terms = bytes.fromhex("0000 0002 c02b 0100")
    return _message(1, 0, _VERSION + _rng.randbytes(32) + terms)


def _server_hello() -> bytes:
    return _message(2, 0, _VERSION + _rng.randbytes(32) + bytes.fromhex("00 c02b 00"))


ALERTS: dict[str, Forge] = {
    "fatal alert": lambda: record(_ALERT, b"\2\x28"),
    "close_notify": lambda: record(_ALERT, b"\1\0"),
    "sealed alert": lambda: record(_ALERT, _rng.randbytes(26), 1),
}
SPOILERS: dict[str, Forge] = {
    "alert behind data": lambda: record(_DATA, b"x") + record(_ALERT, b"\2\x28"),
    "HelloRequest": lambda: _message(0, 0, b""),
    "ClientHello": _client_hello,
    "ServerHello": _server_hello,
    "HelloVerifyRequest": lambda: _message(3, 0, b"\xfe\xff\x14" + bytes(20)),
    "Certificate": lambda: _message(11, 1, bytes(3)),
    "ClientKeyExchange": lambda: _message(16, 2, b"\x41" + _rng.randbytes(65)),
    "Finished": lambda: _message(20, 3, _rng.randbytes(12)),
    "sealed Finished": lambda: record(_HANDSHAKE, _rng.randbytes(60), 1),
    "change of cipher": lambda: record(_CIPHER_CHANGE, b"\1"),
    "unknown message": lambda: _message(99, 0, b"xx"),
    "fragment": lambda: record(_HANDSHAKE, bytes.fromhex("01ffffff00000000fffe0001") + b"x"),
}

either_side = pytest.mark.parametrize("at_caller", [True, False], ids=["caller", "callee"])


def forge(monkeypatch: pytest.MonkeyPatch, victim: Node, forged: Forge, most: int) -> list[bytes]:
    """Put forged datagrams before and behind each of DTLS that the victim gets; returns these."""
    real = IcePath.dtls_received
    sent: list[bytes] = []

    def received(path: IcePath, datagram: bytes) -> None:
        is_victim = path._endpoint is victim.paths.endpoint
        for is_real in (False, True, False):
            if is_real:
                real(path, datagram)
            elif is_victim and len(sent) < most:
                sent.append(forged())
                real(path, sent[-1])

    monkeypatch.setattr(IcePath, "dtls_received", received)
    return sent


async def seconds_to_link(
    monkeypatch: pytest.MonkeyPatch, forged: Forge, at_caller: bool, most: int
) -> float:
    """How long a call takes with so many forged datagrams at one side; the link carries frames."""
    async with network() as peers:
        caller, callee = await peers.add(), await peers.add()
        sent = forge(monkeypatch, caller if at_caller else callee, forged, most)
        began_at = asyncio.get_running_loop().time()
        ours, theirs = await linked(caller, callee)
        seconds = asyncio.get_running_loop().time() - began_at
        assert sent
        ours.send(frame_of(b"here"))
        theirs.send(frame_of(b"and there"))
        await until(lambda: caller.received and callee.received)
        assert not ours.closed.done()
        return seconds


@either_side
@pytest.mark.parametrize("kind", ALERTS)
async def test_forged_alerts_cost_a_handshake_nothing(
    kind: str, at_caller: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await seconds_to_link(monkeypatch, ALERTS[kind], at_caller, most=1000) < 0.1


@either_side
@pytest.mark.parametrize("kind", SPOILERS)
async def test_a_handshake_that_was_spoiled_begins_anew_within_the_attempt(
    kind: str, at_caller: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = await seconds_to_link(monkeypatch, SPOILERS[kind], at_caller, FORGED_MOST)
    assert seconds < limits.DTLS_PATIENCE_S + 0.1
