"""Unmodified aiortc in virtual time: it connects, carries data, and survives lost handshakes."""

import asyncio
from collections.abc import Callable

import aioice.ice
import aioice.stun
import aioice.turn
import aiortc.clock
import aiortc.rtcsctptransport
import pytest
from aiortc import (
    RTCCertificate,
    RTCDataChannel,
    RTCDataChannelParameters,
    RTCDtlsTransport,
    RTCIceGatherer,
    RTCIceTransport,
    RTCSctpTransport,
)
from aiortc.rtcsctptransport import RTCSctpCapabilities

from simulations.errors import NoCurrentHost
from simulations.internet import Fate, Faults, Host, Internet, NatBehaviour, UniformLatency
from simulations.internet.log import is_handshake
from simulations.libraries.dtls_flights import FIRST_DELAY_S, FlightKeeper
from simulations.libraries.seams import virtual_libraries
from simulations.runtime.loop import VirtualLoop
from simulations.runtime.running import run_virtually

RTT_S = 0.050
MESSAGE = bytes(16 * 1024)


class Peer:
    """One side of a link: ICE, DTLS and SCTP of aiortc, wired by hand."""

    def __init__(self, host: Host, *, controlling: bool) -> None:
        self.host = host
        self.gatherer = RTCIceGatherer(iceServers=[])
        self.ice = RTCIceTransport(self.gatherer)
        self.ice._connection.ice_controlling = controlling
        self.ice._role_set = True
        self.dtls = RTCDtlsTransport(self.ice, [RTCCertificate.generateCertificate()])
        self.sctp = RTCSctpTransport(self.dtls)

    async def start(self, other: "Peer") -> None:
        for candidate in other.gatherer.getLocalCandidates():
            await self.ice.addRemoteCandidate(candidate)
        await self.ice.addRemoteCandidate(None)
        await self.ice.start(other.gatherer.getLocalParameters())
        await self.dtls.start(other.dtls.getLocalParameters())
        if self.dtls.state == "connected":
            await self.sctp.start(RTCSctpCapabilities(maxMessageSize=65536), 5000)

    async def stop(self) -> None:
        await self.sctp.stop()
        await self.dtls.stop()
        await self.ice.stop()


async def connect(internet: Internet, hosts: list[Host], limit_s: float = 100.0) -> list[Peer]:
    """A pair of peers, after both have done all they can within the limit."""
    a, b = (Peer(host, controlling=number == 0) for number, host in enumerate(hosts))
    await asyncio.gather(*(peer.host.create_task(peer.gatherer.gather()) for peer in (a, b)))
    starts = [a.host.create_task(a.start(b)), b.host.create_task(b.start(a))]
    await asyncio.wait(starts, timeout=limit_s)
    return [a, b]


def new_internet(seed: int = 1) -> Internet:
    return Internet(VirtualLoop(), seed, UniformLatency(RTT_S))


async def link_up(internet: Internet) -> float:
    """Virtual seconds from nothing to DTLS on both sides."""
    peers = await connect(internet, [internet.add_host(), internet.add_host()])
    elapsed = internet.loop.now
    assert [peer.dtls.state for peer in peers] == ["connected", "connected"]
    for peer in peers:
        await peer.stop()
    return elapsed


def test_a_link_is_up_within_a_few_round_trips() -> None:
    internet = new_internet()
    with virtual_libraries(internet):
        assert 0.1 <= run_virtually(link_up(internet), internet.loop) <= 0.3


def test_a_data_channel_moves_four_megabytes() -> None:
    internet = new_internet()
    received: list[int] = []

    async def main() -> float:
        a, b = await connect(internet, [internet.add_host(), internet.add_host()])
        opened = internet.loop.create_future()
        finished = internet.loop.create_future()

        def take(message: bytes) -> None:
            received.append(len(message))
            if sum(received) == 4 << 20:
                finished.set_result(None)

        b.sctp.on("datachannel", lambda channel: channel.on("message", take))
        with a.host.running():
            channel = RTCDataChannel(a.sctp, RTCDataChannelParameters(label="mods", id=None))
            channel.on("open", lambda: opened.set_result(None))
            await opened
            started = internet.loop.now
            for _ in range((4 << 20) // len(MESSAGE)):
                channel.send(MESSAGE)
        await finished
        elapsed = internet.loop.now - started
        for peer in (a, b):
            await peer.stop()
        return elapsed

    with virtual_libraries(internet):
        elapsed = run_virtually(main(), internet.loop)
    assert received == [len(MESSAGE)] * 256
    assert 0.1 < elapsed < 5.0


def test_ice_finds_its_way_out_of_a_home() -> None:
    internet = new_internet()
    home = internet.add_nat(NatBehaviour())

    async def main() -> None:
        hosts = [internet.add_host(behind=home), internet.add_host()]
        peers = await connect(internet, hosts)
        assert [peer.dtls.state for peer in peers] == ["connected", "connected"]
        for peer in peers:
            await peer.stop()

    with virtual_libraries(internet):
        run_virtually(main(), internet.loop)


def test_one_seed_gives_aiortc_one_history() -> None:
    def history(seed: int) -> str:
        internet = new_internet(seed)
        internet.carrier.set_faults(Faults(loss=0.05), jitter_s=0.002)
        with virtual_libraries(internet):
            run_virtually(link_up(internet), internet.loop)
        return internet.log.digest()

    histories = [history(seed) for seed in (1, 1, 1, 2)]
    assert histories[0] == histories[1] == histories[2] != histories[3]


# lost handshakes


class LosesOne:
    """Drops the n-th handshake datagram that is sent, once."""

    def __init__(self, internet: Internet, position: int) -> None:
        self.left = position
        self.seen = 0

        def sent(data: bytes) -> bytes | None:
            if is_handshake(data):
                self.seen += 1
                if self.seen == position + 1:
                    return None
            return data

        internet.carrier.tamper(sent)


@pytest.mark.parametrize("position", range(4))
def test_a_lost_flight_is_repeated_after_a_virtual_second(position: int) -> None:
    internet = new_internet()
    loses = LosesOne(internet, position)
    with virtual_libraries(internet):
        elapsed = run_virtually(link_up(internet), internet.loop)
    assert FIRST_DELAY_S < elapsed < FIRST_DELAY_S + 0.4
    assert 5 <= loses.seen <= 10


@pytest.mark.parametrize("position", range(4))
def test_without_the_keeper_a_lost_flight_is_lost_for_good(
    position: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    internet = new_internet()
    LosesOne(internet, position)

    async def main() -> list[str]:
        peers = await connect(internet, [internet.add_host(), internet.add_host()], 50.0)
        return [peer.dtls.state for peer in peers]

    monkeypatch.setattr("simulations.libraries.seams.FlightKeeper", lambda ice: ice)
    with virtual_libraries(internet):
        assert "connecting" in run_virtually(main(), internet.loop)


def test_handshakes_survive_heavy_loss() -> None:
    for seed in range(8):
        internet = new_internet(seed)
        internet.carrier.set_faults(Faults(loss=0.25))

        async def main(internet: Internet) -> list[str]:
            peers = await connect(internet, [internet.add_host(), internet.add_host()])
            return [peer.dtls.state for peer in peers]

        with virtual_libraries(internet):
            assert run_virtually(main(internet), internet.loop) == ["connected", "connected"], seed


# the keeper alone


class ScriptedIce:
    """An ICE transport of which a test writes both ends."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.inbox: asyncio.Queue[bytes] = asyncio.Queue()
        self.state = "completed"

    async def _send(self, data: bytes) -> None:
        if self.state == "closed":
            raise ConnectionError
        self.sent.append(data)

    async def _recv(self) -> bytes:
        return await self.inbox.get()


def flight(sequence: int, *, cipher: bool = False, tail: bytes = b"") -> bytes:
    """A datagram that starts with handshake message `sequence`, maybe with a cipher change."""
    body = b"\x01\0\0\x0c" + sequence.to_bytes(2) + bytes(3) + b"\0\0\x0c" + tail
    record = b"\x16\xfe\xfd" + bytes(8) + len(body).to_bytes(2) + body
    return record + (CIPHER_CHANGE if cipher else b"")


CIPHER_CHANGE = b"\x14\xfe\xfd" + bytes(8) + b"\0\x01\x01"
FINISHED = CIPHER_CHANGE + b"\x16\xfe\xfd\0\x01" + bytes(6) + b"\0\x04secr"
DATA = b"\x17\xfe\xfd\0\x01" + bytes(6) + b"\0\x01x"


@pytest.fixture
def scripted(loop: VirtualLoop) -> tuple[ScriptedIce, FlightKeeper]:
    async def make() -> tuple[ScriptedIce, FlightKeeper]:
        ice = ScriptedIce()
        return ice, FlightKeeper(ice)

    return loop.run_until_complete(make())


Scripted = tuple[ScriptedIce, FlightKeeper]
PassTime = Callable[[float], None]


def test_the_timer_doubles_and_gives_up(
    loop: VirtualLoop, scripted: Scripted, pass_time: PassTime
) -> None:
    ice, keeper = scripted
    loop.run_until_complete(keeper._send(flight(0)))
    counts = []
    for seconds in (0.9, 0.2, 1.8, 0.2, 3.8, 0.2):
        pass_time(seconds)
        counts.append(len(ice.sent))
    assert counts == [1, 2, 2, 3, 3, 4]
    pass_time(10_000.0)
    assert len(ice.sent) == 8


async def test_openssls_own_repetitions_are_kept_back(scripted: Scripted) -> None:
    ice, keeper = scripted
    for data in (flight(0), flight(0, tail=b"again"), flight(1), flight(1)):
        await keeper._send(data)
    for _ in range(2):
        await keeper._send(FINISHED)
    await keeper._send(DATA)
    assert ice.sent == [flight(0), flight(1), FINISHED, DATA]


async def test_a_repetition_does_not_keep_back_what_stands_behind_it(scripted: Scripted) -> None:
    """On a slow machine OpenSSL repeats a flight just before the next, and both leave at once."""
    ice, keeper = scripted
    await keeper._send(flight(0))
    await keeper._send(flight(0) + flight(1) + FINISHED)
    await keeper._send(flight(1) + FINISHED)
    assert ice.sent == [flight(0), flight(1) + FINISHED]


async def test_a_duplicate_is_answered_only_by_its_own_answer(scripted: Scripted) -> None:
    """As a client: the server's last flight, heard again, must not start an endless echo."""
    ice, keeper = scripted
    server_hello, server_finished = flight(0, tail=b"server"), FINISHED + b"server"
    answer = flight(1, cipher=True)
    await keeper._send(flight(0))
    ice.inbox.put_nowait(server_hello)
    heard = [await keeper._recv()]
    await keeper._send(answer)
    for data in (server_hello, server_hello, server_finished, server_finished, DATA):
        ice.inbox.put_nowait(data)
    heard += [await keeper._recv(), await keeper._recv()]
    await asyncio.sleep(100.0)
    assert heard == [server_hello, server_finished, DATA]
    assert ice.sent == [flight(0), answer, answer, answer]


async def test_the_last_flight_has_no_timer_and_answers_duplicates(
    scripted: Scripted, pass_time: PassTime
) -> None:
    ice, keeper = scripted
    client_last = flight(1, cipher=True)
    for data in (flight(0), client_last):
        ice.inbox.put_nowait(data)
        await keeper._recv()
        await keeper._send(flight(0, tail=b"server") if data == flight(0) else FINISHED)
    await asyncio.sleep(100.0)
    assert ice.sent.count(FINISHED) == 1
    ice.inbox.put_nowait(client_last)
    ice.inbox.put_nowait(DATA)
    assert await keeper._recv() == DATA
    assert ice.sent.count(FINISHED) == 2


def test_a_keeper_ends_with_its_path(
    loop: VirtualLoop, scripted: Scripted, pass_time: PassTime
) -> None:
    ice, keeper = scripted
    loop.run_until_complete(keeper._send(flight(0)))
    ice.state = "closed"
    pass_time(1000.0)
    assert ice.sent == [flight(0)]
    assert keeper.state == "closed"


# the seam


def test_the_seam_is_gone_afterwards() -> None:
    def found() -> tuple[object, ...]:
        return (
            aioice.ice.get_host_addresses,
            vars(aioice.ice)["random"],
            vars(RTCDtlsTransport)["__init__"],
        )

    before = found()
    with virtual_libraries(new_internet()):
        assert found() != before
    assert found() == before
    with pytest.raises(ZeroDivisionError), virtual_libraries(new_internet()):
        1 / 0  # noqa: B018 - any failure
    assert found() == before


def test_what_the_libraries_draw_comes_from_the_seed() -> None:
    def draws(seed: int) -> list[object]:
        internet = new_internet(seed)
        host = internet.add_host()

        async def make() -> list[object]:
            peer = Peer(host, controlling=True)
            return [
                peer.gatherer.getLocalParameters(),
                peer.ice._connection._tie_breaker,
                aioice.stun.Message(
                    message_method=aioice.stun.Method.BINDING,
                    message_class=aioice.stun.Class.REQUEST,
                ).transaction_id,
                peer.sctp._hmac_key,
                peer.sctp._local_tsn,
            ]

        with virtual_libraries(internet):
            return run_virtually(make(), internet.loop)

    first, again, other = draws(1), draws(1), draws(2)
    for one, same, another in zip(first, again, other, strict=True):
        assert one == same != another


def test_the_libraries_clocks_are_virtual() -> None:
    internet = new_internet()

    async def main() -> None:
        await asyncio.sleep(5_000_000.0)
        now = internet.loop.wall_time()
        for module in (aiortc.rtcsctptransport, aioice.turn):
            assert vars(module)["time"].time() == now
        assert aiortc.clock.current_datetime().timestamp() == now

    with virtual_libraries(internet):
        run_virtually(main(), internet.loop)


def test_openssl_runs_no_timer_during_a_handshake() -> None:
    internet = new_internet()

    async def main() -> None:
        hosts = [internet.add_host(), internet.add_host()]
        connecting = asyncio.ensure_future(connect(internet, hosts))
        await asyncio.sleep(0.11)
        live = [task for task in asyncio.all_tasks() if "Peer.start" in repr(task.get_coro())]
        assert len(live) == 2
        for task in live:
            frame = task.get_stack()[0]
            ssl = frame.f_locals["self"].dtls._ssl
            assert ssl is not None
            assert ssl.DTLSv1_get_timeout() is None
        await connecting

    with virtual_libraries(internet):
        run_virtually(main(), internet.loop)


def test_candidates_are_gathered_on_a_host_only() -> None:
    internet = new_internet()
    with virtual_libraries(internet), pytest.raises(NoCurrentHost):
        run_virtually(RTCIceGatherer(iceServers=[]).gather(), internet.loop)


def test_mdns_candidates_come_from_the_simulated_names() -> None:
    internet = new_internet()
    internet.names.add("0a1b.local", "10.0.0.9")

    async def main() -> list[str | None]:
        mdns = await aioice.ice.get_or_create_mdns_protocol(object())
        return [await mdns.resolve("0a1b.local"), await mdns.resolve("ffff.local")]

    with virtual_libraries(internet):
        assert run_virtually(main(), internet.loop) == ["10.0.0.9", None]
    assert internet.carrier.dropped[Fate.UNROUTABLE] == 0
