"""Admission control: a node that gets more unknown keys than it can agree on keys with."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from protocol import datagrams, limits
from protocol.addresses import Address
from protocol.errors import TimedOut
from protocol.identity import Identity
from protocol.overlay.contacts import Contact
from protocol.overlay.messages import Method
from simulations.libraries.ciphers import RememberedAgreements
from simulations.residents.world import PORT, World, simulated_settings
from simulations.seeds import derive_rng


class CountingCipher(RememberedAgreements):
    """Counts the key agreements of each node."""

    def __init__(self) -> None:
        self.agreements: dict[bytes, int] = {}

    def keys(self, identity: Identity, public_key: bytes) -> datagrams.PacketKeys:
        mine = identity.public_key
        self.agreements[mine] = self.agreements.get(mine, 0) + 1
        return super().keys(identity, public_key)


@pytest.fixture
def few_unknown_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (
        ("UNKNOWN_KEYS_PER_SECOND", 0.01),
        ("UNKNOWN_KEYS_BURST", 2.0),
        ("PROVED_UNKNOWN_KEYS_PER_SECOND", 50),
    ):
        monkeypatch.setattr(limits, name, value)


@contextlib.asynccontextmanager
async def counting_world() -> AsyncIterator[tuple[World, CountingCipher]]:
    """An empty world whose nodes' key agreements are counted."""
    cipher = CountingCipher()
    world = World(1, settings=simulated_settings(cipher=cipher))
    yield world, cipher
    await world.close()


@pytest.mark.usefixtures("few_unknown_keys")
async def test_unknown_keys_are_admitted_by_echoing_a_cookie() -> None:
    async with counting_world() as (world, _):
        await world.populate(30)
        demanded = sum(
            one.running.server.counters.refused["cookie_needed"] for one in world.residents
        )
        assert demanded > 30
        for one in world.residents:
            # All 29, but for the 16 that the farthest bucket holds at most.
            assert len(one.running.server.tables) >= 24


async def _socket(world: World, name: str) -> tuple[asyncio.DatagramTransport, list[bytes]]:
    received: list[bytes] = []

    class Sink(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, _address: Any) -> None:
            received.append(data)

    host = world.internet.add_host(name)
    with host.running():
        loop = asyncio.get_running_loop()
        address = host.address()
        assert address is not None
        transport, _ = await loop.create_datagram_endpoint(Sink, local_addr=(address, PORT))
    return transport, received


@pytest.mark.usefixtures("few_unknown_keys")
async def test_a_flood_of_unknown_keys_costs_hashes_and_known_peers_are_served() -> None:
    async with counting_world() as (world, cipher):
        await world.populate(2)
        victim, friend = world.residents
        transport, received = await _socket(world, "flooder")
        rng = derive_rng(1, "flood")
        before = cipher.agreements[victim.identity.public_key]
        sealed = [
            bytes((0xD0,)) + rng.randbytes(datagrams.DATAGRAM_OVERHEAD_BYTES + 100)
            for _ in range(5000)
        ]
        for number, datagram in enumerate(sealed):
            transport.sendto(datagram, victim.contact.address)
            if number % 10 == 9:
                await asyncio.sleep(0.02)
        answer = await friend.running.server.wire.ask(victim.contact, Method.PING, [], tries=1)
        assert answer.code == 0
        await asyncio.sleep(1)
        # The burst of two; no sender echoed a cookie.
        assert cipher.agreements[victim.identity.public_key] - before <= 2
        # Of 500 a second of one host, what one network has of the cookies.
        assert len(received) >= 4000
        assert max(map(len, received)) < min(map(len, sealed))
        assert {datagram[0] for datagram in received} == {datagrams.COOKIE}
        assert victim.running.server.wire.session_count < 10
        transport.close()


@pytest.mark.usefixtures("few_unknown_keys")
async def test_unknown_keys_with_cookies_are_bounded_too() -> None:
    async with counting_world() as (world, cipher):
        await world.populate(2)
        victim = world.residents[0]
        transport, received = await _socket(world, "flooder")
        rng = derive_rng(1, "keys")
        keys = [rng.randbytes(32) for _ in range(400)]

        async def show(cookies: dict[int, bytes]) -> None:
            for number, key in enumerate(keys):
                nonce = cookies.get(number, bytes(16)) + number.to_bytes(8)
                datagram = bytes((0xD0,)) + key + nonce + bytes(100)
                transport.sendto(datagram, victim.contact.address)
                await asyncio.sleep(0.01)
            await asyncio.sleep(2)

        await show({})
        told = [datagrams.read_cookie(datagram) for datagram in received]
        assert len(told) > 390
        before = cipher.agreements[victim.identity.public_key]
        await show({int.from_bytes(nonce[16:]): cookie for nonce, cookie in told})
        # A fifth of 50 a second, as one host is one network, for 4 seconds.
        assert 35 <= cipher.agreements[victim.identity.public_key] - before <= 50
        assert victim.running.server.counters.refused["rate_limited"] > 300
        transport.close()


@pytest.mark.parametrize("change", ["address", "nonce", "cookie", "length"])
async def test_a_cookie_that_was_not_asked_for_changes_nothing(change: str) -> None:
    async with counting_world() as (world, _):
        await world.populate(2)
        asker = world.residents[0]
        silent, received = await _socket(world, "silent")
        other, _ = await _socket(world, "other")
        host = world.internet.hosts[-2].address()
        assert host is not None
        key = Identity(bytes(32)).public_key
        contact = Contact.at(key, Address(host, PORT))
        wire = asker.running.server.wire
        asking = asyncio.ensure_future(wire.ask(contact, Method.PING, [], timeout_s=2, tries=1))
        await asyncio.sleep(0.5)
        (request,) = received
        reply = bytearray(datagrams.ask_cookie(datagrams.nonce_of(request), bytes(16)))
        if change == "nonce":
            reply[1] ^= 1
        if change == "length":
            reply += b"\0"
        sender = other if change == "address" else silent
        for _ in range(3):
            sender.sendto(bytes(reply), asker.contact.address)
        await asyncio.sleep(0.5)
        # Only the right one is believed, and only once.
        assert len(received) == (2 if change == "cookie" else 1)
        with pytest.raises(TimedOut):
            await asking
        silent.close()
        other.close()
