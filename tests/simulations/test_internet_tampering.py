"""What `Carrier.tamper` puts in place of datagrams, and that checked destinations stay checked."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from simulations.internet import Internet

OpenInbox = Callable[..., Any]
PassTime = Callable[[float], None]

PORT = 4001


def test_tampering_sees_every_datagram_and_may_swallow_it(
    internet: Internet, open_inbox: OpenInbox, pass_time: PassTime
) -> None:
    a, b = (open_inbox(internet.add_host()) for _ in range(2))
    internet.carrier.tamper(lambda data: data[::-1] if data != b"swallowed" else None)
    for data in (b"abc", b"swallowed", b"xyz"):
        a.send(data, (b.host.addresses[0], PORT))
    pass_time(1.0)
    assert b.data == [b"cba", b"zyx"]
    assert a.host.sent_bytes == 6


def test_a_sieve_is_for_one_direction_between_two_hosts(
    internet: Internet, open_inbox: OpenInbox, pass_time: PassTime
) -> None:
    a, b, c = (open_inbox(internet.add_host()) for _ in range(3))
    internet.carrier.sieve(a.host, b.host, lambda data: len(data) < 3)
    for sender, receiver in ((a, b), (b, a), (c, b)):
        for data in (b"ab", b"abc"):
            sender.send(data, (receiver.host.addresses[0], PORT))
    pass_time(1.0)
    assert [one.data for one in (a, b)] == [[b"ab", b"abc"], [b"ab", b"ab", b"abc"]]
    internet.carrier.sieve(a.host, b.host, None)
    a.send(b"abc", (b.host.addresses[0], PORT))
    pass_time(1.0)
    assert b.data[-1] == b"abc"
    assert len(b.data) == 4


@pytest.mark.parametrize("spelling", ["2001:DB8::0:1", "2001:db8::1%eth0", "2001:db8::1"])
def test_every_spelling_of_an_address_reaches_it_each_time(
    internet: Internet, open_inbox: OpenInbox, pass_time: PassTime, spelling: str
) -> None:
    a = open_inbox(internet.add_host(v4=False, v6=True))
    b = open_inbox(internet.add_host(addresses=["2001:db8::1"]))
    for _ in range(2):
        a.send(b"x", (spelling, PORT))
    pass_time(1.0)
    assert len(b.heard) == 2


async def test_a_name_is_looked_up_anew_each_time() -> None:
    loop = asyncio.get_running_loop()
    internet = Internet(loop, 1)  # type: ignore[arg-type]
    sender, one, two = (internet.add_host() for _ in range(3))
    heard: dict[str, int] = {}

    class Counts(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
            heard[data.decode()] = heard.get(data.decode(), 0) + 1

    for host in (one, two):
        with host.running():
            await loop.create_datagram_endpoint(Counts, local_addr=(host.addresses[0], PORT))
    with sender.running():
        transport, _ = await loop.create_datagram_endpoint(
            Counts, local_addr=(sender.addresses[0], PORT)
        )
    for host in (one, two):
        internet.names.add("peer.example", host.addresses[0])
        transport.sendto(host.name.encode(), ("peer.example", PORT))
    await asyncio.sleep(1.0)
    assert heard == {one.name: 1, two.name: 1}
    assert (one.received_bytes, two.received_bytes) == (len(one.name), len(two.name))
