"""A gateway and its clients over simulated TCP: cut anywhere, by proxies, from many networks."""

import asyncio
import contextlib
from pathlib import Path

import pytest

from node.links.secure.certificate import load_or_create
from node.streams.connection import StreamConnection
from node.streams.dialing import StreamDialer
from node.streams.tls import client_context, gateway_context
from protocol import limits
from protocol.addresses import Address
from protocol.errors import LinkClosed, StreamFailed
from simulations.internet import Host
from tests.node.streams.blocked import FREE
from tests.node.streams.stream_world import BY_STREAM, SECOND_PORT, scene


class Tunnel(asyncio.Protocol):
    """One side of a proxy's connection. After `left` bytes both sides are reset."""

    def __init__(self, proxy: "Proxy", other: "Tunnel | None" = None) -> None:
        self.proxy, self.other = proxy, other

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if self.other is None:
            self.proxy.asked(self, data)
            return
        self.proxy.carried += len(data)
        if self.proxy.cut_after is not None and self.proxy.carried > self.proxy.cut_after:
            self.transport.abort()
            self.other.transport.abort()
        else:
            self.other.transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.other is not None:
            self.other.transport.close()


class Proxy:
    """An HTTP proxy at a host: it tunnels, up to `cut_after` bytes, or gives one `answer`."""

    def __init__(self, host: Host, answer: bytes | None, cut_after: int | None = None) -> None:
        self.host, self.answer, self.cut_after = host, answer, cut_after
        self.carried = 0
        self.tunnels: set[asyncio.Task[None]] = set()

    async def start(self) -> str:
        with self.host.running():
            loop = asyncio.get_running_loop()
            await loop.create_server(lambda: Tunnel(self), self.host.addresses[0], 3128)
        return f"http://{self.host.addresses[0]}:3128"

    def asked(self, side: Tunnel, head: bytes) -> None:
        if self.answer is not None:
            side.transport.write(self.answer)
            return
        task = self.host.create_task(self._tunnel(side, head))
        self.tunnels.add(task)
        task.add_done_callback(self.tunnels.discard)

    async def _tunnel(self, side: Tunnel, head: bytes) -> None:
        host, _, port = head.split()[1].decode().rpartition(":")
        loop = asyncio.get_running_loop()
        try:
            _, there = await loop.create_connection(lambda: Tunnel(self, side), host, int(port))
        except ConnectionRefusedError:
            side.transport.write(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")
            return
        side.other = there
        side.transport.write(b"HTTP/1.1 200 Connection established\r\n\r\n")


async def test_a_stream_that_is_cut_at_any_byte_leaves_nothing_and_is_made_again(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path) as one:
        for cut_after in range(0, 3000, 61):
            proxy = Proxy(one.internet.add_host(), None, cut_after)
            client = one.client(proxy=await proxy.start())
            with contextlib.suppress(StreamFailed):
                await client.dial()
                for _ in range(40):
                    client.endpoint.sendto(BY_STREAM + bytes(60), one.address)
                    await asyncio.sleep(0.01)
            await asyncio.sleep(1.0)
            assert proxy.carried > cut_after, "it was cut"
            assert len(client.streams) == 0
            assert one.gateway.served == 0
            assert len(one.gateway._arrivals) == 0
            proxy.cut_after, before = None, len(one.read)
            await client.dial()
            client.endpoint.sendto(BY_STREAM, one.address)
            await asyncio.sleep(1.0)
            assert one.read[before:] == [BY_STREAM]
            client.close()
            await asyncio.sleep(limits.STREAM_HANDSHAKE_BURST)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "asks for a name and a password"),
        (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", "opens no way"),
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "answers no HTTP"),
        (b"\x00\xff" * 4000, "without an end|does not answer"),
        (b"HTTP/1.1 200 OK\r\n\r\nwhat no TLS is made of", "speaks no TLS|takes no stream"),
        (b"", "does not answer"),
    ],
    ids=["407", "502", "no-http", "garbage", "no-tls", "silent"],
)
async def test_a_proxy_that_opens_no_way_is_told_in_seconds(
    tmp_path: Path, answer: bytes, told: str
) -> None:
    async with scene(tmp_path) as one:
        loop = asyncio.get_running_loop()
        proxy = Proxy(one.internet.add_host(), answer)
        client = one.client(proxy=await proxy.start())
        began = loop.time()
        with pytest.raises(StreamFailed, match=told):
            await client.dial()
        assert loop.time() - began <= limits.STREAM_CONNECT_S + limits.STREAM_HANDSHAKE_S + 1.0
        assert one.gateway.served == 0


async def test_a_proxy_is_found_by_its_name(tmp_path: Path) -> None:
    async with scene(tmp_path) as one:
        proxy = Proxy(one.internet.add_host(), None)
        await proxy.start()
        one.internet.names.add("proxy.corp", proxy.host.addresses[0])
        client = one.client(proxy="http://proxy.corp:3128")
        await client.dial()
        assert one.gateway.served == 1
        client.close()
        stranger = one.client(proxy="http://no-such.corp:3128")
        with pytest.raises(StreamFailed, match=r"the proxy no-such\.corp:3128 cannot be reached"):
            await stranger.dial()


async def test_one_in_the_middle_with_a_certificate_of_its_own_serves_neither_side(
    tmp_path: Path,
) -> None:
    """It passes on every byte between two TLS connections, as filters of companies do."""
    (tmp_path / "middle").mkdir()
    async with scene(tmp_path) as one:
        host, loop = one.internet.add_host("middle"), asyncio.get_running_loop()
        path = tmp_path / "middle" / "certificate.pem"
        one.clients += 1  # another source of randomness, so another certificate
        load_or_create(path, one.environment({}))
        passed: list[asyncio.Task[None]] = []

        async def pass_on(side: Tunnel) -> None:
            _, there = await loop.create_connection(lambda: Tunnel(proxy, side), *one.address)
            outer = await loop.start_tls(there.transport, there, client_context())
            assert outer is not None
            there.transport = outer
            context = gateway_context(path)
            inner = await loop.start_tls(side.transport, side, context, server_side=True)
            assert inner is not None
            side.transport = inner
            side.other = there

        class Middle(Tunnel):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                super().connection_made(transport)
                self.transport.pause_reading()
                passed.append(host.create_task(pass_on(self)))

        proxy = Proxy(host, None)
        with host.running():
            await loop.create_server(lambda: Middle(proxy), host.addresses[0], one.address.port)
        client = one.client()
        client.address = Address(host.addresses[0], one.address.port)
        with pytest.raises(StreamFailed):
            await client.dial()
        told = " ".join(client.streams.failures)
        assert "is not the gateway that it should be" in told
        assert passed
        await asyncio.sleep(1.0)
        assert one.gateway.served == 0


class Ending(asyncio.Transport):
    """A transport that either side has begun to end."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""

    def is_closing(self) -> bool:
        return True

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Nothing waits."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data


async def test_a_connection_that_is_ending_is_written_to_no_more() -> None:
    """Else asyncio warns of each datagram that follows."""
    transport, connection = Ending(), StreamConnection()
    connection.connection_made(transport)
    connection.send(b"late")
    assert transport.written == b""
    assert connection.is_ending


async def test_no_tls_begins_on_a_connection_that_is_ending(tmp_path: Path) -> None:
    """Its handshake would be held up to the time limit, with the 256 KiB that it reads into.

    So is one of those that come at once, of which the oldest are ended before they begin.
    """
    load_or_create(tmp_path / "certificate.pem", FREE)
    context = gateway_context(tmp_path / "certificate.pem")
    connection = StreamConnection()
    connection.connection_made(Ending())
    with pytest.raises(LinkClosed):
        await connection.start_tls(context, server_side=True)


def lag(monkeypatch: pytest.MonkeyPatch, port: int, late_ms: int) -> None:
    """Connections to this port are there so much later."""
    connect = StreamDialer._connect

    async def lagging(
        dialer: StreamDialer, connection: StreamConnection, to: Address, proxy: None
    ) -> None:
        await connect(dialer, connection, to, proxy)
        if to.port == port:
            await asyncio.sleep(late_ms / 1000)

    monkeypatch.setattr(StreamDialer, "_connect", lagging)


@pytest.mark.parametrize("late_ms", range(0, 120, 5))
async def test_two_ways_to_one_gateway_end_in_one_stream_however_late_the_second_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, late_ms: int
) -> None:
    """The place goes to the latest, so the loser of the race must not have asked for it."""
    lag(monkeypatch, limits.STREAM_PORT, late_ms)
    async with scene(tmp_path) as one:
        with one.host.running():
            await one.gateway.listen(Address(one.address.host, limits.STREAM_PORT))
        client = one.client()
        await client.dial()
        await asyncio.sleep(2.0)
        assert client.ended == 0
        assert one.gateway.served == 1
        client.close()
        await asyncio.sleep(1.0)


@pytest.mark.parametrize("late_ms", range(0, 400, 25))
async def test_two_addresses_of_one_gateway_end_in_one_stream_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, late_ms: int
) -> None:
    """Without a peer id in them only the handshake tells that they lead to the same one."""
    lag(monkeypatch, SECOND_PORT, late_ms)
    async with scene(tmp_path) as one:
        second = Address(one.address.host, SECOND_PORT)
        with one.host.running():
            await one.gateway.listen(second)
        client = one.client()
        with client.host.running():
            opened = await asyncio.gather(
                *(client.streams.open(to, None) for to in (one.address, second)),
                return_exceptions=True,
            )
            (stream,) = [result for result in opened if not isinstance(result, BaseException)]
            (refused,) = [result for result in opened if isinstance(result, StreamFailed)]
        assert f"has a stream of ours at {stream.gateway} already" in str(refused)
        await asyncio.sleep(60.0)
        assert client.ended == 0
        assert client.streams.all() == [stream]
        assert one.gateway.served == 1
        stream.port.close()
        await asyncio.sleep(1.0)
        with client.host.running():
            again = await client.streams.open(second, None)
        assert again.gateway == second, "the place is free once its stream has ended"
        client.close()
        await asyncio.sleep(1.0)
