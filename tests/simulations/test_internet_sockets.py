"""Simulated UDP sockets: binding, what asyncio and the kernel promise, names."""

import asyncio
import errno
import socket
from collections.abc import Callable
from typing import Any

import pytest

from simulations.errors import BadTopology, CallbackFailed, NoCurrentHost
from simulations.internet import Fate, Internet
from simulations.runtime.loop import VirtualLoop

OpenInbox = Callable[..., Any]
PassTime = Callable[[float], None]


def test_a_datagram_takes_half_the_round_trip(
    internet: Internet, open_inbox: OpenInbox, pass_time: PassTime
) -> None:
    a = open_inbox(internet.add_host(addresses=["10.0.0.1"]))
    b = open_inbox(internet.add_host(addresses=["10.0.0.2"]), 5000)
    a.send(b"hello", ("10.0.0.2", 5000))
    pass_time(1.0)
    assert b.heard == [(0.05, b"hello", ("10.0.0.1", 4001))]
    assert internet.carrier.delivered == 1


def test_an_address_decides_the_host(loop: VirtualLoop, internet: Internet) -> None:
    host = internet.add_host(addresses=["10.0.0.1"])

    async def main() -> None:
        transport, _ = await loop.create_datagram_endpoint(
            asyncio.DatagramProtocol, local_addr=("10.0.0.1", 4001)
        )
        assert transport.get_extra_info("sockname") == ("10.0.0.1", 4001)
        assert transport.get_extra_info("peername") is None
        assert transport.get_extra_info("socket") is None
        assert transport.get_extra_info("socket", 5) == 5

    loop.run_until_complete(main())
    assert [socket.bound for socket in host.sockets] == [("10.0.0.1", 4001)]


async def test_wildcards_need_a_current_host(loop: VirtualLoop, internet: Internet) -> None:
    host = internet.add_host(addresses=["10.0.0.1", "2001:db8::1"])

    async def open_at(address: str) -> Any:
        return await loop.create_datagram_endpoint(
            asyncio.DatagramProtocol, local_addr=(address, 4001)
        )

    for address in ("0.0.0.0", "::", "127.0.0.1"):
        with pytest.raises(NoCurrentHost):
            await open_at(address)
    with host.running():
        for address in ("0.0.0.0", "::"):
            transport, _ = await open_at(address)
            assert transport.get_extra_info("sockname")[:2] == (address, 4001)
    assert len(host.sockets) == 2


def test_no_host_binds_anothers_address(loop: VirtualLoop, internet: Internet) -> None:
    here = internet.add_host(addresses=["10.0.0.1"])
    internet.add_host(addresses=["10.0.0.2"])

    async def main(address: str) -> None:
        with pytest.raises(OSError, match=r".") as caught:
            await loop.create_datagram_endpoint(
                asyncio.DatagramProtocol, local_addr=(address, 4001)
            )
        assert caught.value.errno == errno.EADDRNOTAVAIL

    loop.run_until_complete(here.create_task(main("10.0.0.2")))
    loop.run_until_complete(main("10.9.9.9"))


def test_an_ambiguous_address_needs_a_current_host(loop: VirtualLoop, internet: Internet) -> None:
    homes = [internet.add_nat(), internet.add_nat()]
    hosts = [internet.add_host(addresses=["192.168.1.2"], behind=home) for home in homes]

    async def main() -> asyncio.DatagramTransport:
        transport, _ = await loop.create_datagram_endpoint(
            asyncio.DatagramProtocol, local_addr=("192.168.1.2", 4001)
        )
        return transport

    with pytest.raises(NoCurrentHost, match="2 hosts"):
        loop.run_until_complete(main())
    assert internet.host_of("192.168.1.2") is None
    loop.run_until_complete(hosts[1].create_task(main()))
    assert len(hosts[1].sockets) == 1


@pytest.mark.parametrize(
    ("first", "second"),
    [("10.0.0.1", "10.0.0.1"), ("0.0.0.0", "10.0.0.1"), ("10.0.0.1", "0.0.0.0")],
)
def test_a_port_is_bound_once(
    loop: VirtualLoop, internet: Internet, open_inbox: OpenInbox, first: str, second: str
) -> None:
    host = internet.add_host(addresses=["10.0.0.1", "10.0.0.3", "2001:db8::1"])
    inbox = open_inbox(host, 4001, first)
    with pytest.raises(OSError, match="in use"):
        open_inbox(host, 4001, second)
    open_inbox(host, 4001, "2001:db8::1")
    inbox.transport.close()
    loop.run_until_complete(asyncio.sleep(0))
    open_inbox(host, 4001, second)


def test_port_zero_gives_a_free_ephemeral_port(internet: Internet, open_inbox: OpenInbox) -> None:
    host = internet.add_host()
    ports = [open_inbox(host, 0).transport.get_extra_info("sockname")[1] for _ in range(20)]
    assert len(set(ports)) == 20
    assert min(ports) >= 49152


def test_a_taken_address_is_refused(internet: Internet) -> None:
    internet.add_host(addresses=["10.0.0.1"])
    with pytest.raises(BadTopology, match=r"10\.0\.0\.1 is taken"):
        internet.add_host(addresses=["10.0.0.1"])
    with pytest.raises(BadTopology, match="not an IP address"):
        internet.add_host(addresses=["10.0.0.256"])


def test_given_out_addresses_stand_alone_in_their_network(internet: Internet) -> None:
    hosts = [internet.add_host(v6=True) for _ in range(300)]
    v4 = [host.address() for host in hosts]
    v6 = [host.address(v6=True) for host in hosts]
    assert len({str(ip).rpartition(".")[0] for ip in v4}) == 300
    assert len({str(ip)[:14] for ip in v6}) == 300


def test_ipv6_sockets_show_four_parts(
    internet: Internet, open_inbox: OpenInbox, pass_time: PassTime
) -> None:
    a = open_inbox(internet.add_host(addresses=["2001:db8::1"]))
    b = open_inbox(internet.add_host(addresses=["2001:db8::2"]), 4001, "::")
    a.send(b"two", ("2001:db8::2", 4001))
    a.send(b"four", ("2001:db8::2", 4001, 0, 0))
    a.send(b"spelled", ("2001:DB8:0::2", 4001))
    pass_time(1.0)
    assert b.data == [b"two", b"four", b"spelled"]
    assert b.sources[0] == ("2001:db8::1", 4001, 0, 0)
    assert a.transport.get_extra_info("sockname") == ("2001:db8::1", 4001, 0, 0)


def test_a_connected_socket_hears_only_its_peer(
    loop: VirtualLoop, internet: Internet, open_inbox: OpenInbox, pass_time: PassTime
) -> None:
    a = internet.add_host(addresses=["10.0.0.1"])
    peer = open_inbox(internet.add_host(addresses=["10.0.0.2"]))
    other = open_inbox(internet.add_host(addresses=["10.0.0.3"]))
    connected = open_inbox(a, 4001, remote_addr=("10.0.0.2", 4001))
    assert connected.transport.get_extra_info("peername") == ("10.0.0.2", 4001)
    for inbox in (peer, other):
        inbox.send(b"x", ("10.0.0.1", 4001))
    connected.send(b"y")
    connected.send(b"z", ("10.0.0.2", 4001))
    with pytest.raises(ValueError, match="Invalid address"):
        connected.send(b"y", ("10.0.0.3", 4001))
    pass_time(1.0)
    assert connected.sources == [("10.0.0.2", 4001)]
    assert peer.data == [b"y", b"z"]


def test_loopback_stays_on_the_host(
    internet: Internet, open_inbox: OpenInbox, pass_time: PassTime
) -> None:
    here, there = internet.add_host(), internet.add_host()
    at_home = open_inbox(here, 4001, "127.0.0.1")
    wildcard = open_inbox(here, 4002, "0.0.0.0")
    elsewhere = open_inbox(there, 4001, "127.0.0.1")
    wildcard.send(b"to myself", ("127.0.0.1", 4001))
    at_home.send(b"back", ("127.0.0.1", 4002))
    wildcard.send(b"by my own address", (here.addresses[0], 4002))
    pass_time(1.0)
    assert at_home.sources == [("127.0.0.1", 4002)]
    assert wildcard.data == [b"back", b"by my own address"]
    assert max(at_home.times + wildcard.times) < 0.001
    assert elsewhere.heard == []


def test_an_address_without_a_host_is_silence(
    internet: Internet, open_inbox: OpenInbox, pass_time: PassTime
) -> None:
    a = open_inbox(internet.add_host())
    b = internet.add_host()
    a.send(b"x", ("192.0.2.1", 4001))
    a.send(b"x", (b.addresses[0], 4001))
    pass_time(1.0)
    assert a.errors == []
    assert internet.carrier.dropped[Fate.UNROUTABLE] == 1
    assert internet.carrier.dropped[Fate.NO_SOCKET] == 1


def test_data_must_be_bytes(internet: Internet, open_inbox: OpenInbox, pass_time: PassTime) -> None:
    a, b = (open_inbox(internet.add_host()) for _ in range(2))
    to = b.transport.get_extra_info("sockname")
    buffer = bytearray(b"one")
    a.send(buffer, to)
    buffer[:] = b"two"
    a.send(memoryview(buffer), to)
    a.send(b"", to)
    with pytest.raises(TypeError, match="bytes-like"):
        a.send("text", to)
    pass_time(1.0)
    assert b.data == [b"one", b"two", b""]


def test_what_the_kernel_refuses_reaches_error_received(
    internet: Internet, open_inbox: OpenInbox
) -> None:
    a = open_inbox(internet.add_host())
    a.send(bytes(65_508), ("192.0.2.1", 1))
    a.send(b"x", ("192.0.2.1", 0))
    a.send(b"x", ("nowhere.example", 1))
    a.send(b"x", ("2001:db8::1", 1))
    numbers = [error.errno for error in a.errors]
    assert numbers == [errno.EMSGSIZE, errno.EINVAL, socket.EAI_NONAME, socket.EAI_FAMILY]
    assert not a.transport.is_closing()


@pytest.mark.parametrize(
    "nonsense",
    [
        (None, 1),
        ("192.0.2.1", 70_000),
        ("192.0.2.1", -1),
        ("bad\0host", 1),
        ("192.0.2.1", "1"),
        ["192.0.2.1", 1],
        None,
        ("192.0.2.1",),
    ],
)
def test_nonsense_kills_the_socket_as_in_asyncio(
    loop: VirtualLoop, internet: Internet, open_inbox: OpenInbox, nonsense: Any
) -> None:
    a = open_inbox(internet.add_host())
    seen: list[Any] = []
    loop.set_exception_handler(lambda _loop, context: seen.append(context["exception"]))
    a.send(b"x", nonsense)
    assert a.transport.is_closing()
    loop.run_until_complete(asyncio.sleep(0))
    assert a.lost == seen
    assert len(seen) == 1


def test_closing_is_announced_once_and_ends_everything(
    loop: VirtualLoop, internet: Internet, open_inbox: OpenInbox, pass_time: PassTime
) -> None:
    a, b = (open_inbox(internet.add_host()) for _ in range(2))
    a.send(b"in flight", b.transport.get_extra_info("sockname"))
    b.transport.close()
    b.transport.close()
    b.transport.abort()
    assert b.lost == []
    pass_time(1.0)
    assert b.lost == [None]
    assert b.heard == []
    b.send(b"x", ("192.0.2.1", 1))
    assert internet.carrier.dropped[Fate.NO_SOCKET] == 1


def test_an_exception_while_receiving_fails_the_run_and_not_the_socket(
    loop: VirtualLoop, internet: Internet, open_inbox: OpenInbox, pass_time: PassTime
) -> None:
    a, b = (open_inbox(internet.add_host()) for _ in range(2))

    class Fails(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: Any) -> None:
            raise ZeroDivisionError("on purpose")

    kept = b.transport.get_protocol()
    b.transport.set_protocol(Fails())
    a.send(b"x", b.transport.get_extra_info("sockname"))
    with pytest.raises(CallbackFailed, match="on purpose"):
        pass_time(1.0)
    b.transport.set_protocol(kept)
    a.send(b"y", b.transport.get_extra_info("sockname"))
    pass_time(1.0)
    assert b.data == [b"y"]


async def test_a_factory_that_fails_leaves_no_socket(loop: VirtualLoop, internet: Internet) -> None:
    host = internet.add_host()

    def factory() -> asyncio.DatagramProtocol:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await loop.create_datagram_endpoint(factory, local_addr=(host.addresses[0], 4001))
    assert host.sockets == []


async def test_names_are_simulated(
    loop: VirtualLoop, internet: Internet, open_inbox: OpenInbox
) -> None:
    host = internet.add_host(addresses=["10.0.0.1", "2001:db8::1"])
    internet.names.add("rendezvous.example", "10.0.0.1", "2001:db8::1")

    async def main() -> None:
        infos = await loop.getaddrinfo("Rendezvous.example", 53)
        assert [info[4] for info in infos] == [("10.0.0.1", 53), ("2001:db8::1", 53, 0, 0)]
        v6 = await loop.getaddrinfo("rendezvous.example", 53, family=socket.AF_INET6)
        assert [info[0] for info in v6] == [socket.AF_INET6]
        assert [info[4] for info in await loop.getaddrinfo("192.0.2.9", 1)] == [("192.0.2.9", 1)]
        with pytest.raises(socket.gaierror):
            await loop.getaddrinfo("unknown.example", 1)
        by_executor = await loop.run_in_executor(None, socket.gethostbyname, "rendezvous.example")
        assert by_executor == "10.0.0.1"
        assert await loop.getnameinfo(("10.0.0.1", 53)) == ("rendezvous.example", "53")
        assert await loop.getnameinfo(("10.0.0.9", 53)) == ("10.0.0.9", "53")
        transport, _ = await loop.create_datagram_endpoint(
            asyncio.DatagramProtocol, remote_addr=("rendezvous.example", 4001)
        )
        assert transport.get_extra_info("peername") == ("10.0.0.1", 4001)

    await host.create_task(main())
