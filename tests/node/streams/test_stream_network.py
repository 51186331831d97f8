"""A gateway and its clients over simulated TCP: cut anywhere, by proxies, from many networks."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from node.counters import Counters
from node.environment import Environment
from node.links.secure.certificate import load_or_create
from node.net.endpoint import Endpoint
from node.streams.client import OwnStreams
from node.streams.connection import StreamConnection
from node.streams.dialing import StreamDialer
from node.streams.gateway import StreamGateway
from node.streams.tls import client_context, gateway_context
from protocol import limits
from protocol.addresses import Address
from protocol.errors import StreamFailed
from protocol.identity import Identity, PeerId
from protocol.places.tenure import PlaceRule
from simulations.internet import Host, Internet, UniformLatency
from simulations.runtime.loop import VirtualLoop
from simulations.seeds import derive_rng

GATEWAY = Identity(bytes(32))
BY_STREAM = b"\xd0 by stream"
USEFUL = 10.0
SECOND_PORT = 4002


@dataclass
class Scene:
    """A gateway at a public host, and what its overlay has read."""

    internet: Internet
    folder: Path
    worth: dict[PeerId, float] = field(default_factory=dict)
    read: list[bytes] = field(default_factory=list)
    clients: int = 0

    def environment(self, variables: dict[str, str]) -> Environment:
        loop = self.internet.loop
        rng = derive_rng(1, "stream", self.clients)
        return Environment(
            loop.wall_time, rng, list, udp_socket=None, find_router=None, variables=variables
        )

    async def open(self) -> None:
        self.host = self.internet.add_host("gateway", ["77.0.0.1"])
        with self.host.running():
            environment, counters = self.environment({}), Counters()
            self.endpoint = Endpoint(counters, environment)
            await self.endpoint.open(Address("77.0.0.1", 4001))
            self.endpoint.demux.register_reader(0xD0, lambda data, _: self.read.append(data))
            path = self.folder / "certificate.pem"
            self.gateway = StreamGateway(
                *(GATEWAY, environment, self.endpoint, counters),
                puzzle_bits=0,
                fingerprint=load_or_create(path, environment).fingerprint,
                contacts=frozenset,
                worth=lambda peer_id, _: self.worth.get(peer_id, 0.0),
            )
            await self.gateway.start(path)
        self.counters = counters

    async def close(self) -> None:
        with self.host.running():
            await self.gateway.close()
            await self.endpoint.close()
        assert self.gateway.defects == []

    @property
    def address(self) -> Address:
        return self.endpoint.addresses[4]

    def client(self, host: Host | None = None, proxy: str = "") -> "Client":
        self.clients += 1
        return Client(self, host or self.internet.add_host(), proxy)


class Client:
    """A client on a host of its own."""

    def __init__(self, one: Scene, host: Host, proxy: str) -> None:
        self.host = host
        self.identity = Identity(one.clients.to_bytes(32))
        self.address = one.address
        environment = one.environment({"HTTPS_PROXY": proxy})
        counters = Counters()
        self.ended = 0
        with host.running():
            self.endpoint = Endpoint(counters, environment)
            dialer = StreamDialer(self.identity, environment, puzzle_bits=0)
            self.streams = OwnStreams(dialer, self.endpoint, counters, self._ended)

    def _ended(self, _stream: object) -> None:
        self.ended += 1

    async def dial(self) -> None:
        with self.host.running():
            await self.streams.open(self.address, GATEWAY.peer_id)

    def close(self) -> None:
        with self.host.running():
            self.streams.close()


@contextlib.asynccontextmanager
async def scene(folder: Path) -> AsyncIterator[Scene]:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    one = Scene(Internet(loop, 1, UniformLatency(0.05)), folder)
    await one.open()
    try:
        yield one
    finally:
        await one.close()


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


async def test_no_network_nor_all_of_them_take_the_places_of_useful_peers(tmp_path: Path) -> None:
    async with scene(tmp_path) as one:
        add = one.internet.add_host
        useful = [one.client(add(addresses=[f"91.{number}.0.1"])) for number in range(40)]
        for client in useful:
            one.worth[client.identity.peer_id] = USEFUL
        crowd = [one.client(add(addresses=[f"92.0.0.{number}"])) for number in range(1, 21)]
        for client in crowd:
            with contextlib.suppress(StreamFailed):
                await client.dial()
        many = [one.client(add(addresses=[f"93.{number}.0.1"])) for number in range(80)]
        for client in many:
            with contextlib.suppress(StreamFailed):
                await client.dial()
        await asyncio.sleep(limits.STREAM_TENURE_S)
        for client in useful:
            await client.dial()
        await asyncio.sleep(limits.STREAM_TENURE_S)
        for client in (*crowd, *many):
            with contextlib.suppress(StreamFailed):
                await client.dial()
        assert one.gateway.served <= limits.STREAMS
        assert [client.ended for client in useful] == [0] * len(useful)
        for client in (*useful, *crowd, *many):
            client.close()
        await asyncio.sleep(1.0)
        assert one.gateway.served == 0


async def test_no_place_is_kept_by_coming_again_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each new stream would begin its tenure anew, so no other peer had a turn."""
    rule = PlaceRule(3, for_newcomers=1, for_own=0, per_network=3)
    monkeypatch.setattr("node.streams.gateway._RULE", rule)
    async with scene(tmp_path) as one:
        add = one.internet.add_host
        crowd = [one.client(add(addresses=[f"92.{number}.0.1"])) for number in range(3)]
        for _ in range(4):
            for client in crowd:
                client.close()
                await client.dial()
            await asyncio.sleep(0.8 * limits.STREAM_TENURE_S)
        friend, stranger = one.client(), one.client()
        one.worth[friend.identity.peer_id] = USEFUL
        for client in (friend, stranger):
            for attacker in crowd:
                attacker.close()
                with contextlib.suppress(StreamFailed):
                    await attacker.dial()
            await client.dial()
        assert friend.ended == stranger.ended == 0
        for client in (*crowd, friend, stranger):
            client.close()


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


@pytest.mark.parametrize("late_ms", range(0, 120, 5))
async def test_two_ways_to_one_gateway_end_in_one_stream_however_late_the_second_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, late_ms: int
) -> None:
    """The place goes to the latest, so the loser of the race must not have asked for it."""
    connect = StreamDialer._connect

    async def lagging(
        dialer: StreamDialer, connection: StreamConnection, to: Address, proxy: None
    ) -> None:
        await connect(dialer, connection, to, proxy)
        if to.port == limits.STREAM_PORT:
            await asyncio.sleep(late_ms / 1000)

    monkeypatch.setattr(StreamDialer, "_connect", lagging)
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
    connect = StreamDialer._connect

    async def lagging(
        dialer: StreamDialer, connection: StreamConnection, to: Address, proxy: None
    ) -> None:
        await connect(dialer, connection, to, proxy)
        if to.port == SECOND_PORT:
            await asyncio.sleep(late_ms / 1000)

    monkeypatch.setattr(StreamDialer, "_connect", lagging)
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
