"""What the datagrams of a handshake have to pass before OpenSSL gets them."""

import asyncio

import pytest

from node.links.path.datagrams import DtlsDatagrams
from node.links.secure.handshakes import Handshakes, random_of_hello, without_alerts
from protocol import limits


def record(kind: int, body: bytes, epoch: int = 0) -> bytes:
    return bytes([kind, 254, 253]) + epoch.to_bytes(2) + bytes(6) + len(body).to_bytes(2) + body


def hello(mark: int, sequence: int = 0) -> bytes:
    body = b"\xfe\xfd" + bytes([mark]) * 32 + bytes(8)
    length = len(body).to_bytes(3)
    head = b"\1" + length + sequence.to_bytes(2) + bytes(3) + length
    return record(22, head + body)


OTHER = record(22, bytes([16]) + bytes(80))
ALERT = record(21, b"\2\x28")
SEALED_ALERT = record(21, bytes(26), epoch=1)


@pytest.mark.parametrize(
    ("datagram", "kept"),
    [
        (ALERT, b""),
        (b"", b""),
        (ALERT[:12], b""),
        (OTHER + ALERT, OTHER),
        (ALERT + OTHER + ALERT, OTHER),
        (SEALED_ALERT + ALERT, SEALED_ALERT),
        (OTHER[:-1], OTHER[:-1]),
        (record(21, b"")[:-1] + b"\xff" + OTHER, b""),
    ],
)
def test_alerts_in_the_clear_are_taken_out_wherever_they_stand(
    datagram: bytes, kept: bytes
) -> None:
    assert without_alerts(datagram) == kept


def test_a_first_client_hello_is_told_by_its_random() -> None:
    assert random_of_hello(hello(7)) == bytes([7]) * 32
    for other in (hello(7, sequence=1), hello(7)[:58], OTHER, ALERT, b"", SEALED_ALERT):
        assert random_of_hello(other) == b""


async def test_a_server_follows_a_client_that_begins_anew_but_not_at_once() -> None:
    datagrams = DtlsDatagrams(lambda _: None)
    handshakes = Handshakes(datagrams)
    handshakes.begin(is_server=True)
    for datagram in (OTHER, hello(1), hello(2), OTHER, hello(1), ALERT):
        datagrams.put(datagram)
    # Before a ClientHello nothing counts; a second client is too early; repetitions pass.
    assert [await handshakes._recv() for _ in range(3)] == [hello(1), OTHER, hello(1)]
    assert not datagrams._queue or await _is_silent(handshakes)
    await asyncio.sleep(limits.DTLS_HANDSHAKE_PAUSE_S)
    datagrams.put(hello(3))
    datagrams.put(OTHER)
    with pytest.raises(ConnectionError):
        await handshakes._recv()
    handshakes.begin(is_server=True)
    assert await handshakes._recv() == hello(3)
    handshakes.end()
    for datagram in (hello(4), ALERT):
        datagrams.put(datagram)
        assert await handshakes._recv() == datagram


async def _is_silent(handshakes: Handshakes) -> bool:
    try:
        await asyncio.wait_for(handshakes._recv(), 0.1)
    except TimeoutError:
        return True
    return False


async def test_a_client_takes_all_but_alerts() -> None:
    datagrams = DtlsDatagrams(lambda _: None)
    handshakes = Handshakes(datagrams)
    handshakes.begin(is_server=False)
    for datagram in (ALERT, OTHER, ALERT + OTHER):
        datagrams.put(datagram)
    assert [await handshakes._recv() for _ in range(2)] == [OTHER, OTHER]
