"""What aiortc's DTLS reads in place of its own ICE transport."""

import asyncio

import pytest

from node.links.path.datagrams import DtlsDatagrams
from protocol import limits

pytestmark = pytest.mark.leaves_nothing


async def test_datagrams_come_in_order_and_then_an_end() -> None:
    sent: list[bytes] = []
    datagrams = DtlsDatagrams(sent.append)
    datagrams.put(b"one")
    datagrams.put(b"two")
    assert [await datagrams._recv(), await datagrams._recv()] == [b"one", b"two"]
    reading = asyncio.ensure_future(datagrams._recv())
    await asyncio.sleep(0)
    datagrams.put(b"three")
    datagrams.put(b"four")
    assert await reading == b"three"
    await datagrams._send(b"ours")
    assert sent == [b"ours"]
    assert (datagrams.role, datagrams.state) == ("controlling", "completed")
    datagrams.end()
    datagrams.put(b"late")
    for _ in range(2):
        with pytest.raises(ConnectionError):
            await datagrams._recv()
    with pytest.raises(ConnectionError):
        await datagrams._send(b"late")
    assert sent == [b"ours"]
    assert datagrams.state == "closed"


async def test_the_end_comes_to_one_that_waits() -> None:
    datagrams = DtlsDatagrams(lambda _: None)
    reading = asyncio.ensure_future(datagrams._recv())
    await asyncio.sleep(0)
    datagrams.end()
    with pytest.raises(ConnectionError):
        await reading


async def test_a_reader_that_gave_up_takes_no_datagram_along() -> None:
    datagrams = DtlsDatagrams(lambda _: None)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(datagrams._recv(), 1.0)
    datagrams.put(b"one")
    assert await datagrams._recv() == b"one"


async def test_a_flood_waits_in_a_bounded_queue() -> None:
    datagrams = DtlsDatagrams(lambda _: None)
    for _ in range(limits.ICE_DATAGRAMS_WAITING + 100):
        datagrams.put(b"\x16")
    assert len(datagrams._queue) == limits.ICE_DATAGRAMS_WAITING


async def test_a_new_way_is_told_once_and_drops_what_came_by_the_old_one() -> None:
    datagrams = DtlsDatagrams(lambda _: None)
    datagrams.put(b"old")
    waiting = asyncio.ensure_future(datagrams._recv())
    assert await waiting == b"old"
    datagrams.put(b"old")
    datagrams.begin_anew()
    assert datagrams.has_new_way
    datagrams.put(b"new")
    with pytest.raises(ConnectionError, match="another way"):
        await datagrams._recv()
    assert (datagrams.ways_told, datagrams.has_new_way) == (1, False)
    assert await datagrams._recv() == b"new"
    waiting = asyncio.ensure_future(datagrams._recv())
    await asyncio.sleep(0)
    datagrams.begin_anew()
    with pytest.raises(ConnectionError, match="another way"):
        await waiting
    datagrams.end()
    with pytest.raises(ConnectionError, match="ended"):
        await datagrams._recv()
