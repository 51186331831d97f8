"""Our relay with foreign clients, and our client at a foreign relay, on this machine's loopback."""

import asyncio
import contextlib
import random
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aioice.ice
import aioice.turn
import pytest

from protocol.addresses import Address
from protocol.ice.settings import IceSettings
from protocol.stun.message import StunClass, StunMessage, StunMethod, encode_stun
from protocol.turn.client import TurnClient
from protocol.turn.events import Allocated, AllocationLost, TurnEvent
from protocol.turn.grant import RelayGrant, RelayTerms
from tests.node.relay.real_relay import (
    SECRET,
    RealRelay,
    echo,
    free_range,
    needs_coturn,
    output_of,
    real_relay,
    rest_credentials,
)
from tests.protocol.ice.test_ice_aioice import carry, opened, start, tell

pytestmark = pytest.mark.real_loop

UCLIENT = ("turnutils_uclient", "-n", "20", "-m", "2", "-l", "1000", "-c")


# coturn's clients at our relay --------------------------------------------------------------


async def uclient(relay: RealRelay, *options: str, within_s: float = 60.0) -> str:
    username, password = rest_credentials("someone")
    port = str(relay.address.port)
    login = ("-u", username, "-w", password, "-p", port)
    return await output_of(*UCLIENT, *login, *options, relay.address.host, within_s=within_s)


@needs_coturn
async def test_coturns_stun_client_learns_its_address() -> None:
    async with real_relay(ports=0) as relay:
        host, port = relay.address
        printed = await output_of("turnutils_stunclient", "-p", str(port), host)
        assert "UDP reflexive addr: 127.0.0.1:" in printed


@needs_coturn
@pytest.mark.parametrize("options", [(), ("-s",), ("-G",), ("-D",)], ids=str)
async def test_coturns_client_reaches_a_peer_through_a_relayed_port(
    options: tuple[str, ...],
) -> None:
    async with real_relay() as relay, echo() as peer:
        printed = await uclient(relay, "-e", peer.host, "-r", str(peer.port), *options)
        assert "tot_send_msgs=40, tot_recv_msgs=40" in printed
        assert not relay.counters.refused


@needs_coturn
async def test_coturns_clients_reach_each_other() -> None:
    async with real_relay() as relay:
        printed = await uclient(relay, "-y")
        assert "tot_send_msgs=40, tot_recv_msgs=40" in printed


@needs_coturn
async def test_coturns_negative_tests_leave_the_relay_as_it_was() -> None:
    """At coturn itself they end with the same error 400, or never; which of the two is chance."""
    async with real_relay() as relay, echo() as peer:
        where = ("-e", peer.host, "-r", str(peer.port))
        with contextlib.suppress(TimeoutError):
            printed = await uclient(relay, *where, "-N", "-R", within_s=10.0)
            assert "error 400" in printed
        assert "tot_send_msgs=40, tot_recv_msgs=40" in await uclient(relay, *where)


@needs_coturn
async def test_wrong_passwords_of_foreign_clients_are_refused() -> None:
    async with real_relay() as relay:
        username, _ = rest_credentials("someone")
        expired, password = rest_credentials("someone", lifetime_s=-5)
        port = str(relay.address.port)
        for user, word in ((username, "wrong"), (expired, password)):
            printed = await output_of(
                *UCLIENT, "-u", user, "-w", word, "-p", port, "-y", "127.0.0.1"
            )
            assert "tot_recv_msgs=40" not in printed
        assert relay.service.allocations == 0


# aioice -------------------------------------------------------------------------------------


class Reader(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.arrived: asyncio.Queue[tuple[bytes, Any]] = asyncio.Queue()
        self.errors: asyncio.Queue[Exception] = asyncio.Queue()

    def error_received(self, exc: Exception) -> None:
        self.errors.put_nowait(exc)

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.arrived.put_nowait((data, addr))


async def aioice_client(
    relay: RealRelay, username: str, password: str
) -> tuple[aioice.turn.TurnTransport, Reader]:
    return await aioice.turn.create_turn_endpoint(
        Reader, relay.address, username=username, password=password
    )


async def test_aioice_reaches_a_peer_through_a_relayed_port() -> None:
    async with real_relay() as relay, echo() as peer:
        transport, reader = await aioice_client(relay, *rest_credentials("aioice"))
        transport.sendto(b"there and back", peer)
        assert await reader.arrived.get() == (b"there and back", peer)
        await close(transport)
        assert relay.service.allocations == 0


async def test_two_clients_of_aioice_are_a_pair() -> None:
    """With a peer's credentials, which are of an address: it asks from where it will allocate."""
    async with real_relay(ports=0) as relay:
        one, at_one = await pair_client(relay, bytes((1,)) * 20)
        other, at_other = await pair_client(relay, bytes((2,)) * 20)
        one_address, other_address = (end.get_extra_info("sockname") for end in (one, other))
        assert one_address[0].startswith("100::")
        # The first from one side may come before the other side has let it in.
        while at_one.arrived.empty() or at_other.arrived.empty():
            one.sendto(b"hello", other_address)
            other.sendto(b"hello", one_address)
            await asyncio.sleep(0.02)
        assert at_one.arrived.get_nowait()[1] == other_address
        assert at_other.arrived.get_nowait()[1] == one_address
        for transport in (one, other):
            await close(transport)


async def pair_client(relay: RealRelay, peer_id: bytes) -> tuple[aioice.turn.TurnTransport, Reader]:
    """Aioice binds its socket itself, so the password is made once that is known."""
    loop = asyncio.get_running_loop()
    _, inner = await loop.create_datagram_endpoint(
        lambda: aioice.turn.TurnClientUdpProtocol(
            relay.address, username="", password="", lifetime=600, channel_refresh_time=500
        ),
        remote_addr=relay.address,
    )
    own = Address(*inner.transport.get_extra_info("sockname")[:2])
    grant = relay.service.grant(peer_id, own)
    inner.username, inner.password = grant.username, grant.password
    reader = Reader()
    transport = aioice.turn.TurnTransport(inner)
    await transport._connect(reader)
    return transport, reader


async def close(transport: aioice.turn.TurnTransport) -> None:
    await transport._close()


@pytest.mark.parametrize("controlling", [True, False])
async def test_aioice_links_with_our_agent_through_our_relay(
    controlling: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda use_ipv4, use_ipv6: [])
    async with real_relay() as relay, asyncio.timeout(20.0):
        username, password = rest_credentials("aioice")
        ours = await opened(controlling=controlling, settings=IceSettings())
        theirs = aioice.Connection(
            ice_controlling=not controlling,
            turn_server=relay.address,
            turn_username=username,
            turn_password=password,
        )
        await theirs.gather_candidates()
        (candidate,) = theirs.local_candidates
        assert candidate.type == "relay"
        await tell(ours, theirs)
        start(ours, theirs)
        _, found = await asyncio.gather(theirs.connect(), ours.selected())
        assert found.remote == Address(candidate.host, candidate.port)
        await carry(ours, theirs, found)
        await theirs.close()
        ours.close()
        assert relay.service.allocations == 0


# Our client at coturn -----------------------------------------------------------------------


@contextlib.asynccontextmanager
async def coturn(*options: str) -> AsyncIterator[Address]:
    first = free_range(24)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        process = await asyncio.create_subprocess_exec(
            *("turnserver", "-n", "-L", "127.0.0.1", "-E", "127.0.0.1", "-p", str(first)),
            *("--min-port", str(first + 4), "--max-port", str(first + 23)),
            *("--allow-loopback-peers", "--no-cli", "--no-tls", "--no-dtls", "-r", "test.example"),
            *("--pidfile", str(home / "pid"), "--db", str(home / "db"), "--log-file", "stdout"),
            *options,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            relay = Address("127.0.0.1", first)
            await answering(relay)
            yield relay
        finally:
            process.kill()
            await process.wait()


async def answering(relay: Address) -> None:
    """Return once a STUN server answers there."""
    loop = asyncio.get_running_loop()
    transport, reader = await loop.create_datagram_endpoint(Reader, remote_addr=relay)
    request = encode_stun(StunMessage(StunClass.REQUEST, StunMethod.BINDING, bytes(12)))
    async with asyncio.timeout(20.0):
        while reader.arrived.empty():
            transport.sendto(request)
            await asyncio.sleep(0.02)
    transport.close()


class Driver(asyncio.DatagramProtocol):
    """A `TurnClient` on a socket of its own."""

    transport: asyncio.DatagramTransport

    def __init__(self, grant: RelayGrant) -> None:
        self._loop = asyncio.get_running_loop()
        self.turn = TurnClient(
            grant,
            transaction_prefix=b"test",
            rng=random.Random(),
            now=self._loop.time(),
            family=4,
        )
        self.events: asyncio.Queue[TurnEvent] = asyncio.Queue()
        self.arrived: asyncio.Queue[tuple[bytes, Address]] = asyncio.Queue()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.run()

    def datagram_received(self, data: bytes, _: Any) -> None:
        now = self._loop.time()
        found = (
            self.turn.channel_received(data, len(data))
            if data[0] >= 64
            else self.turn.receive(data, now)
        )
        for buffer, _, peer in found:
            self.arrived.put_nowait((buffer, peer))
        self.run()

    def run(self) -> None:
        for datagram in self.turn.take_datagrams():
            self.transport.sendto(datagram)
        for event in self.turn.take_events():
            self.events.put_nowait(event)

    async def sent_back(self, data: bytes, peer: Address) -> None:
        """Send to a peer that sends back, until it has; datagrams may be lost."""
        while True:
            for parts, _ in self.turn.outgoing(data, len(data), peer):
                self.transport.sendto(b"".join(parts))
            await asyncio.sleep(0.02)
            while not self.arrived.empty():
                if self.arrived.get_nowait() == (data, peer):
                    return


def grant_of(username: str, password: str) -> RelayGrant:
    return RelayGrant(username, password, "", "", 3600, RelayTerms(600, 1, 1, 1))


@needs_coturn
@pytest.mark.parametrize(
    ("options", "login"),
    [
        (("--lt-cred-mech", "-u", "user:pass"), ("user", "pass")),
        (("--use-auth-secret", "--static-auth-secret", SECRET), None),
    ],
    ids=["long-term", "rest"],
)
async def test_our_client_at_coturn(
    options: tuple[str, ...], login: tuple[str, str] | None
) -> None:
    async with coturn(*options) as relay, echo() as peer:
        loop = asyncio.get_running_loop()
        transport, driver = await loop.create_datagram_endpoint(
            lambda: Driver(grant_of(*(login or rest_credentials("ours")))),
            remote_addr=relay,
        )
        allocated = await driver.events.get()
        assert isinstance(allocated, Allocated), allocated
        assert allocated.mapped == Address(*transport.get_extra_info("sockname"))
        driver.turn.permit(peer, loop.time())
        driver.run()
        await driver.sent_back(b"as an indication", peer)
        await driver.sent_back(b"on the channel", peer)
        driver.turn.wake(loop.time() + 250.0)  # Refresh, ChannelBind and Binding are due
        driver.run()
        await driver.sent_back(b"renewed", peer)
        assert driver.events.empty()
        driver.turn.release(loop.time())
        driver.run()
        transport.close()


@needs_coturn
async def test_coturn_refuses_our_client_with_a_wrong_password() -> None:
    async with coturn("--lt-cred-mech", "-u", "user:pass") as relay:
        loop = asyncio.get_running_loop()
        transport, driver = await loop.create_datagram_endpoint(
            lambda: Driver(grant_of("user", "wrong")), remote_addr=relay
        )
        assert await driver.events.get() == AllocationLost("the relay answered with error 401")
        transport.close()


# What cannot be reached ---------------------------------------------------------------------


async def test_without_a_port_range_not_even_loopback_is_reached() -> None:
    """No open proxy: with a peer's credentials, aioice asks for a permission and gets a 403."""
    async with real_relay(ports=0) as relay, echo() as peer:
        transport, reader = await pair_client(relay, bytes(20))
        transport.sendto(b"out", peer)
        assert "403" in str(await reader.errors.get())
        assert reader.arrived.empty()
        await close(transport)
