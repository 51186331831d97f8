"""A gateway and its clients over TLS on loopback: who is let in, and what bad ones cost."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from node.counters import Counters
from node.links.secure.certificate import load_or_create
from node.net.binding import open_drawn
from node.net.endpoint import Endpoint
from node.net.names import NameLookups
from node.streams.client import OwnStreams
from node.streams.connection import StreamConnection
from node.streams.dialing import StreamDialer
from node.streams.gateway import StreamGateway
from node.streams.tls import client_context
from node.tasks import TaskOwner
from protocol import limits
from protocol.addresses import Address
from protocol.errors import StreamFailed
from protocol.identity import Identity
from protocol.places.tenure import PlaceRule
from tests.identities import SEEDS
from tests.node.links.link_network import until
from tests.node.streams.blocked import FREE

pytestmark = pytest.mark.real_loop

LOOPBACK = Address("127.0.0.1", 0)
GATEWAY, *CLIENTS = map(Identity, SEEDS)


class Scene:
    """A gateway whose overlay keeps what it gets."""

    def __init__(
        self,
        endpoint: Endpoint,
        gateway: StreamGateway,
        counters: Counters,
        gone: list[tuple[Address, Address]],
    ) -> None:
        self.gone = gone
        self.endpoint = endpoint
        self.gateway = gateway
        self.counters = counters
        self.read: list[tuple[bytes, Address]] = []
        endpoint.demux.register_reader(0xD0, lambda data, source: self.read.append((data, source)))

    @property
    def address(self) -> Address:
        return self.endpoint.addresses[4]


class Client:
    """A client's endpoint and its streams."""

    def __init__(self, number: int = 0, environ: dict[str, str] | None = None) -> None:
        self.counters = Counters()
        self.endpoint = Endpoint(self.counters, FREE)
        self.read: list[tuple[bytes, Address]] = []
        self.ended = 0
        environment = replace(FREE, variables=environ or {})
        names = NameLookups(TaskOwner("client"))
        dialer = StreamDialer(CLIENTS[number], environment, names)
        self.streams = OwnStreams(dialer, self.endpoint, self.counters, self._ended)
        self.endpoint.demux.register_reader(
            0xD0, lambda data, source: self.read.append((data, source))
        )

    def _ended(self, _stream: object) -> None:
        self.ended += 1


@contextlib.asynccontextmanager
async def scene(
    tmp_path: Path, worth: Callable[..., float] = lambda *_: 0.0
) -> AsyncIterator[Scene]:
    counters = Counters()
    gone: list[tuple[Address, Address]] = []
    endpoint = Endpoint(counters, FREE)
    await open_drawn(endpoint, LOOPBACK.host)
    path = tmp_path / "certificate.pem"
    fingerprint = load_or_create(path, FREE).fingerprint
    gateway = StreamGateway(
        *(GATEWAY, FREE, endpoint, counters),
        puzzle_bits=16,
        fingerprint=fingerprint,
        contacts=frozenset,
        worth=worth,
        gone=lambda client, local: gone.append((client, local)),
    )
    await gateway.start(path)
    try:
        yield Scene(endpoint, gateway, counters, gone)
    finally:
        await gateway.close()
        await endpoint.close()
    assert gateway.defects == []


async def test_datagrams_go_both_ways_between_the_ends(tmp_path: Path) -> None:
    async with scene(tmp_path) as one:
        client = Client()
        stream = await client.streams.open(one.address, GATEWAY.peer_id)
        client.endpoint.sendto(b"\xd0 there", one.address)
        await until(lambda: one.read)
        data, source = one.read[0]
        assert data == b"\xd0 there"
        one.endpoint.sendto(b"\xd0 back", source)
        await until(lambda: client.read)
        assert client.read == [(b"\xd0 back", one.address)]
        assert one.gone == []
        stream.port.close()
        await until(lambda: client.ended and not one.gateway.served)
        assert [client for client, _ in one.gone] == [source], "with it ends what it allocated"
        one.endpoint.sendto(b"\xd0 late", source)
        assert one.endpoint.port_to(source) is one.endpoint.port_at(one.address)


async def test_a_contact_is_reached_by_the_gateway_and_answers(tmp_path: Path) -> None:
    async with scene(tmp_path) as one:
        contact = Endpoint(Counters(), FREE)
        await contact.open(LOOPBACK)
        contact.demux.register_reader(0xD0, lambda data, to: contact.sendto(data + b"!", to))
        client = Client()
        stream = await client.streams.open(one.address, None)
        client.endpoint.detour(stream.port, lambda _: True)
        client.endpoint.sendto(b"\xd0 hello", contact.addresses[4])
        await until(lambda: client.read)
        assert client.read == [(b"\xd0 hello!", contact.addresses[4])]
        assert stream.peer_id == GATEWAY.peer_id
        client.streams.close()
        await until(lambda: client.ended)
        await contact.close()


async def test_another_peer_than_the_pinned_one_gets_no_stream(tmp_path: Path) -> None:
    async with scene(tmp_path) as one:
        client = Client()
        with pytest.raises(StreamFailed):
            await client.streams.open(one.address, CLIENTS[3].peer_id)
        assert any("which is another peer" in told for told in client.streams.failures)
        assert len(client.streams) == 0
        await until(lambda: not one.gateway.served)


async def test_a_web_server_is_no_gateway(tmp_path: Path) -> None:
    path = tmp_path / "certificate.pem"
    load_or_create(path, FREE)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    server = await asyncio.start_server(lambda *_: None, *LOOPBACK, ssl=context)
    async with server:
        address = Address(*server.sockets[0].getsockname())
        client = Client()
        with pytest.raises(StreamFailed):
            await client.streams.open(address, None)
        assert any("a web server or a filter" in told for told in client.streams.failures)


async def test_a_peer_has_one_stream_the_latest(tmp_path: Path) -> None:
    async with scene(tmp_path) as one:
        first, again = Client(), Client()
        await first.streams.open(one.address, None)
        await again.streams.open(one.address, None)
        await until(lambda: first.ended)
        assert one.gateway.served == 1
        assert again.ended == 0
        again.streams.close()


@pytest.mark.parametrize("tenure_s", [0.0, 30.0])
async def test_no_place_is_kept_by_coming_first_but_by_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tenure_s: float
) -> None:
    rule = PlaceRule(3, for_newcomers=1, for_own=0, per_network=3)
    monkeypatch.setattr("node.streams.gateway._RULE", rule)
    monkeypatch.setattr(limits, "STREAM_TENURE_S", tenure_s)
    worth = {CLIENTS[0].peer_id: 5.0, CLIENTS[5].peer_id: 9.0}
    async with scene(tmp_path, lambda peer, _: worth.get(peer, 0.0)) as one:
        clients = [Client(number) for number in range(6)]
        for client in clients[:3]:
            await client.streams.open(one.address, None)
        if tenure_s:
            with pytest.raises(StreamFailed):
                await clients[3].streams.open(one.address, None)
            assert any("are taken, for" in told for told in clients[3].streams.failures)
        else:
            for client in clients[3:]:
                await client.streams.open(one.address, None)
            await until(lambda: sum(client.ended for client in clients) == 3)
            assert clients[0].ended == clients[5].ended == 0
        assert one.gateway.served == 3
        for client in clients:
            client.streams.close()


async def raw(one: Scene, *, tls: bool) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection(*one.address, ssl=client_context() if tls else None)


@pytest.mark.parametrize("tls", [False, True])
async def test_slow_handshakes_take_no_places_for_long(tmp_path: Path, *, tls: bool) -> None:
    """Each that comes beyond a network's part ends the oldest, so an honest client gets in."""
    async with scene(tmp_path) as one:
        held = [await raw(one, tls=tls) for _ in range(limits.STREAM_HANDSHAKES_PER_NETWORK)]
        client = Client()
        await client.streams.open(one.address, GATEWAY.peer_id)
        with contextlib.suppress(ConnectionError):
            assert await held[0][0].read() == b""
        client.streams.close()
        for _, writer in held:
            writer.transport.abort()


@pytest.mark.parametrize(
    "sent", [b"GET / HTTP/1.1\r\n\r\n" * 20, bytes(5000), b"MSS1" + bytes(500)]
)
async def test_what_is_no_handshake_ends_the_connection(tmp_path: Path, sent: bytes) -> None:
    async with scene(tmp_path) as one:
        reader, writer = await raw(one, tls=True)
        writer.write(sent)
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(20):
                await reader.read(10_000)
                await reader.read(10_000)
        writer.transport.abort()
        assert one.gateway.served == 0
        assert sum(one.counters.refused.values()) >= 1


async def test_a_flood_of_connections_of_one_host_is_refused(tmp_path: Path) -> None:
    async with scene(tmp_path) as one:
        for _ in range(limits.STREAM_HANDSHAKE_BURST + 5):
            _, writer = await raw(one, tls=False)
            writer.transport.abort()
        await until(lambda: one.counters.refused["rate_limited"])


async def test_a_wrong_frame_ends_the_stream_of_who_sent_it_alone(tmp_path: Path) -> None:
    async with scene(tmp_path) as one:
        bad, good = Client(0), Client(1)
        stream = await bad.streams.open(one.address, None)
        await good.streams.open(one.address, None)
        stream.port._connection.send(b"\xff\xff")
        await until(lambda: bad.ended)
        assert one.counters.refused["oversized"] == 1
        assert one.gateway.served == 1
        good.streams.close()


async def test_a_client_that_never_reads_costs_a_bounded_queue(tmp_path: Path) -> None:
    async with scene(tmp_path) as one:
        client = Client()
        stream = await client.streams.open(one.address, None)
        client.endpoint.sendto(b"\xd0", one.address)
        await until(lambda: one.read)
        stream.port._connection.transport.pause_reading()
        source = one.read[0][1]
        served = one.endpoint.port_to(source)
        assert served is not None
        burst = b"\xd0" + bytes(1199)
        for _ in range(200):
            served.send_segments(burst * 50, 1200, source)
            await asyncio.sleep(0)
        assert one.counters.refused["stream_full"] > 0
        assert served.full
        waiting = one.gateway._served[CLIENTS[0].peer_id]._connection.waiting_bytes
        assert waiting <= limits.STREAM_QUEUE_BYTES + 60 * 1500
        client.streams.close()


async def test_a_gateway_that_never_reads_costs_its_client_a_bounded_queue(tmp_path: Path) -> None:
    async with scene(tmp_path) as one:
        client = Client()
        stream = await client.streams.open(one.address, None)
        (served,) = one.gateway._served.values()
        served._connection.transport.pause_reading()
        burst = b"\xd0" + bytes(1199)
        for _ in range(200):
            stream.port.send_segments(burst * 50, 1200, one.address)
            await asyncio.sleep(0)
        assert client.counters.refused["stream_full"] > 0
        waiting = stream.port._connection.waiting_bytes
        assert waiting <= limits.STREAM_QUEUE_BYTES + 60 * 1500
        client.streams.close()


async def test_a_gateway_may_speak_for_others_of_the_overlay_alone(tmp_path: Path) -> None:
    async with scene(tmp_path) as one:
        client = Client()
        await client.streams.open(one.address, None)
        (served,) = one.gateway._served.values()
        assert served._port is not None
        served._port.send_framed(b"\x00\x01" + bytes(18), 20, Address("9.9.9.9", 1))
        served._port.send_framed(b"\xd0", 1, Address("9.9.9.8", 1))
        await until(lambda: client.read)
        assert client.counters.refused["not_permitted"] == 1
        client.streams.close()


async def test_a_connection_reset_at_any_byte_leaves_nothing(tmp_path: Path) -> None:
    async with scene(tmp_path) as one:
        for cut in (0, 1, 20, 36):
            reader, writer = await raw(one, tls=True)
            writer.write((b"MSS1" + bytes(32))[:cut])
            if cut == 36:
                await reader.readexactly(10)
            writer.transport.abort()
        await until(lambda: not len(one.gateway._arrivals))
        assert one.gateway.served == 0


# Proxies ----------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def proxy(answer: bytes | None, seen: list[bytes]) -> AsyncIterator[str]:
    """A proxy that tunnels if `answer` is None; else it answers that, and no more."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        seen.append(head)
        if answer is not None:
            writer.write(answer)
            await reader.read()
            writer.close()
            return
        host, _, port = head.split()[1].decode().rpartition(":")
        try:
            there, back = await asyncio.open_connection(host, int(port))
        except ConnectionRefusedError:
            writer.write(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")
            writer.close()
            return
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")

        async def pump(source: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
            with contextlib.suppress(ConnectionError):
                while data := await source.read(65536):
                    to.write(data)
            to.close()

        await asyncio.gather(pump(reader, back), pump(there, writer))

    server = await asyncio.start_server(serve, *LOOPBACK)
    async with server:
        yield "http://user:word@{}:{}".format(*server.sockets[0].getsockname())


async def test_a_stream_goes_through_a_proxy(tmp_path: Path) -> None:
    seen: list[bytes] = []
    async with scene(tmp_path) as one, proxy(None, seen) as url:
        client = Client(environ={"HTTPS_PROXY": url})
        await client.streams.open(one.address, GATEWAY.peer_id)
        client.endpoint.sendto(b"\xd0 by a proxy", one.address)
        await until(lambda: one.read)
        assert any(b"Proxy-Authorization: Basic dXNlcjp3b3Jk" in head for head in seen)
        client.streams.close()
        await until(lambda: not one.gateway.served)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "refuses the name and password"),
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", "opens no way"),
        (b"x" * 5000, "without an end|does not answer"),
        (b"", "does not answer"),
    ],
)
async def test_a_proxy_that_opens_no_way_is_named(
    monkeypatch: pytest.MonkeyPatch, answer: bytes, told: str
) -> None:
    monkeypatch.setattr(limits, "STREAM_CONNECT_S", 0.2)
    async with proxy(answer, []) as url:
        client = Client(environ={"HTTPS_PROXY": url})
        with pytest.raises(StreamFailed, match=told):
            await client.streams.open(Address("198.51.100.7", 443), None)


async def test_a_connection_keeps_little_before_it_is_a_stream() -> None:
    made: list[StreamConnection] = []

    def connected() -> StreamConnection:
        connection = StreamConnection()
        made.append(connection)
        return connection

    server = await asyncio.get_running_loop().create_server(connected, *LOOPBACK)
    async with server:
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(bytes(10_000_000))
        await until(lambda: made and made[0].is_lost)
        assert len(made[0]._unread) < 2**19
        writer.transport.abort()
