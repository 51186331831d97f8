"""TCP of the simulated internet: order, repetition, rate, windows, and how connections end."""

import asyncio
import contextlib

import pytest

from simulations.internet import (
    Access,
    Faults,
    Hairpinning,
    Host,
    Internet,
    NatBehaviour,
    UniformLatency,
)
from simulations.internet.tcp.flow import WINDOW_BYTES
from simulations.internet.tcp.transport import SYSTEM_BYTES, TcpTransport
from simulations.runtime.loop import VirtualLoop

ROUND_TRIP_S = 0.05
SERVER = "198.51.100.9"
PORT = 443


class End(asyncio.Protocol):
    """Keeps what it hears, and when."""

    def __init__(self) -> None:
        self.heard = bytearray()
        self.heard_at: list[float] = []
        self.lost: list[BaseException | None] = []
        self.full = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, TcpTransport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.heard += data
        self.heard_at.append(asyncio.get_running_loop().time())

    def connection_lost(self, exc: BaseException | None) -> None:
        self.lost.append(exc)

    def pause_writing(self) -> None:
        self.full = True

    def resume_writing(self) -> None:
        self.full = False


class Pair:
    """A client and a server, and what the server's end has made."""

    def __init__(self, behaviour: NatBehaviour | None = None, access: Access | None = None) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        self.internet = Internet(loop, 1, UniformLatency(ROUND_TRIP_S))
        box = None if behaviour is None else self.internet.add_nat(behaviour)
        self.client = self.internet.add_host("client", behind=box, access=access)
        self.server = self.internet.add_host("server", [SERVER])
        self.taken: list[End] = []

    def _take(self) -> End:
        self.taken.append(End())
        return self.taken[-1]

    async def listen(self, port: int = PORT) -> asyncio.Server:
        with self.server.running():
            return await asyncio.get_running_loop().create_server(self._take, SERVER, port)

    async def connect(self, host: Host | None = None, port: int = PORT) -> End:
        with (host or self.client).running():
            loop = asyncio.get_running_loop()
            _, end = await loop.create_connection(End, SERVER, port)
        return end


async def test_a_connection_takes_a_round_trip_and_carries_both_ways() -> None:
    pair = Pair(NatBehaviour(blocks_udp=True))
    await pair.listen()
    began = asyncio.get_running_loop().time()
    client = await pair.connect()
    assert asyncio.get_running_loop().time() - began == pytest.approx(ROUND_TRIP_S, rel=0.01)
    (server,) = pair.taken
    seen = server.transport.get_extra_info("peername")
    assert pair.client.behind is not None
    assert seen[0] == pair.client.behind.address()
    client.transport.write(b"there")
    await asyncio.sleep(ROUND_TRIP_S)
    server.transport.write(b"back")
    await asyncio.sleep(ROUND_TRIP_S)
    assert (bytes(server.heard), bytes(client.heard)) == (b"there", b"back")


async def test_nothing_listens_and_nothing_gets_out() -> None:
    pair = Pair(NatBehaviour(blocks_udp=True, tcp_ports=frozenset({PORT})))
    with pytest.raises(ConnectionRefusedError):
        await pair.connect()
    await pair.listen(4001)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(60):
            await pair.connect(port=4001)
    with pytest.raises(OSError, match="in use"):
        await pair.listen(4001)


@pytest.mark.parametrize("loss", [0.0, 0.05])
async def test_what_is_lost_comes_again_and_holds_back_what_follows(loss: float) -> None:
    pair = Pair(access=Access(faults_up=Faults(loss=loss)))
    await pair.listen()
    client = await pair.connect()
    sent = bytearray()
    for number in range(400):
        sent += (piece := number.to_bytes(2) * 100)
        client.transport.write(piece)
        await asyncio.sleep(0.01)
    await asyncio.sleep(5.0)
    (server,) = pair.taken
    assert server.heard == sent
    gaps = [later - at for at, later in zip(server.heard_at, server.heard_at[1:], strict=False)]
    held_back = [gap for gap in gaps if gap > ROUND_TRIP_S / 2]
    assert bool(held_back) is bool(loss)


async def test_a_connection_fills_its_line_and_leaves_room_for_nothing_more() -> None:
    rate = 1_000_000
    pair = Pair(access=Access(up_bytes_s=rate, down_bytes_s=rate))
    await pair.listen()
    client = await pair.connect()
    client.transport.write(bytes(20 * rate))
    await asyncio.sleep(2.0)
    (server,) = pair.taken
    before = len(server.heard)
    await asyncio.sleep(10.0)
    assert 0.9 * rate < (len(server.heard) - before) / 10 < rate


async def test_an_end_that_reads_nothing_takes_in_a_window() -> None:
    pair = Pair()
    await pair.listen()
    client = await pair.connect()
    (server,) = pair.taken
    server.transport.pause_reading()
    written = WINDOW_BYTES + 2 * SYSTEM_BYTES
    client.transport.write(bytes(written))
    await asyncio.sleep(20.0)
    assert client.full
    assert not server.heard
    assert SYSTEM_BYTES - 1500 <= client.transport.get_write_buffer_size() <= 2 * SYSTEM_BYTES
    server.transport.resume_reading()
    await asyncio.sleep(20.0)
    assert len(server.heard) == written
    assert not client.full


async def test_a_close_comes_after_the_bytes_and_an_abort_instead_of_them() -> None:
    pair = Pair()
    await pair.listen()
    first, second = await pair.connect(), await pair.connect()
    first.transport.write(b"all of it" * 1000)
    first.transport.close()
    second.transport.write(b"none of it" * 10_000)
    second.transport.abort()
    await asyncio.sleep(1.0)
    one, other = pair.taken
    assert bytes(one.heard) == b"all of it" * 1000
    assert one.lost == first.lost == [None]
    assert len(other.heard) < 10 * 10_000
    assert isinstance(other.lost[0], ConnectionResetError)
    assert second.lost == [None]


@pytest.mark.parametrize("what", ["unplug", "sleep", "crash", "move"])
async def test_a_machine_that_is_gone_answers_nothing(what: str) -> None:
    pair = Pair()
    await pair.listen()
    client = await pair.connect()
    with contextlib.suppress(AttributeError):
        getattr(pair.server, what)()
    if what == "crash":
        pair.internet.crash(pair.server)
    if what == "move":
        pair.internet.move(pair.client)
    client.transport.write(b"x")
    await asyncio.sleep(1.0)
    assert not client.lost
    await asyncio.sleep(60.0)
    assert isinstance(client.lost[0], TimeoutError)
    assert not pair.taken[0].heard


async def test_a_narrow_path_gets_shorter_segments() -> None:
    pair = Pair(access=Access(faults_up=Faults(mtu_bytes=1300)))
    await pair.listen()
    client = await pair.connect()
    client.transport.write(bytes(range(256)) * 1000)
    await asyncio.sleep(5.0)
    assert pair.taken[0].heard == bytes(range(256)) * 1000


class Forwarded(Pair):
    """A server behind a router that forwards 443 to its port 4001, and a client behind one too."""

    def __init__(self, client: NatBehaviour, *, hairpinning: bool = True) -> None:
        super().__init__(client)
        kind = Hairpinning.OUTSIDE_SOURCE if hairpinning else Hairpinning.NONE
        self.box = self.internet.add_nat(
            NatBehaviour(upnp=True, hairpinning=kind), addresses=["5.0.1.7"]
        )
        self.server = self.internet.add_host("behind", behind=self.box)
        assert self.box.gateway is not None
        self.box.gateway.add_port_mapping("TCP", PORT, self.server.addresses[0], 4001)

    async def serve(self) -> None:
        with self.server.running():
            await asyncio.get_running_loop().create_server(self._take, "0.0.0.0", 4001)

    async def reached(self, host: Host, port: int) -> End | None:
        with host.running():
            loop = asyncio.get_running_loop()
            try:
                async with asyncio.timeout(5.0):
                    _, end = await loop.create_connection(End, "5.0.1.7", port)
            except TimeoutError:
                return None
        return end


async def test_a_router_forwards_connections_to_a_port_and_to_no_other() -> None:
    pair = Forwarded(NatBehaviour(tcp_ports=frozenset({PORT})))
    await pair.serve()
    assert pair.box.gateway is not None
    end = await pair.reached(pair.client, PORT)
    assert end is not None
    end.transport.write(b"there")
    await asyncio.sleep(1.0)
    (taken,) = pair.taken
    assert taken.heard == b"there"
    assert pair.client.behind is not None
    assert taken.transport.get_extra_info("peername")[0] == pair.client.behind.address()
    assert taken.transport.get_extra_info("sockname") == (pair.server.addresses[0], 4001)
    taken.transport.write(b"back")
    await asyncio.sleep(1.0)
    assert end.heard == b"back"
    pair.box.gateway.add_port_mapping("UDP", 4001, pair.server.addresses[0], 4001)
    public = pair.internet.add_host()
    assert await pair.reached(public, 4001) is None, "that is UDP's"
    pair.box.gateway.delete_port_mapping("TCP", PORT)
    assert await pair.reached(public, PORT) is None


@pytest.mark.parametrize("hairpinning", [True, False])
async def test_connections_turn_back_at_a_router_that_does_so(*, hairpinning: bool) -> None:
    pair = Forwarded(NatBehaviour(), hairpinning=hairpinning)
    await pair.serve()
    neighbour = pair.internet.add_host(behind=pair.box)
    found = await pair.reached(neighbour, PORT)
    assert (found is not None) is hairpinning
