"""Unknown keys that a few networks show without end: a newcomer of another is still known at once.

Who may hold the cookies and the key agreements with a cookie: each network a quarter of what is
left of 2000 and of 600 in any second. How they are won back: by time.
"""

import asyncio
from typing import Any

import pytest

from protocol import datagrams, limits
from protocol.overlay.messages import Method
from protocol.randomness import Random
from simulations.residents.world import PORT
from simulations.seeds import derive_rng
from tests.hostile.told import RecordProperty
from tests.node.overlay.village import Village, village

SEALED = 0xD0
EVERY_S = 0.002
SECONDS = 1.0
NEWCOMERS = 8
HOSTS = 24


class KeyFlooder(asyncio.DatagramProtocol):
    """Shows a new key in each datagram; with `echoes` it answers each cookie as it should."""

    def __init__(self, rng: Random, *, echoes: bool) -> None:
        self._rng = rng
        self._echoes = echoes
        self._keys: dict[bytes, bytes] = {}
        self.transport: asyncio.DatagramTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.DatagramTransport)
        self.transport = transport

    def show(self, there: Village) -> None:
        """One more key."""
        key, nonce = self._rng.randbytes(32), self._rng.randbytes(24)
        if self._echoes:
            self._keys[nonce] = key
        self._send(there.node.contact.address, key, nonce)

    def _send(self, address: tuple[str, int], key: bytes, nonce: bytes) -> None:
        self.transport.sendto(bytes((SEALED,)) + key + nonce + bytes(100), address)

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        if self._echoes and data[0] == datagrams.COOKIE:
            nonce, cookie = datagrams.read_cookie(data)
            key = self._keys.pop(nonce)
            self._send((addr[0], addr[1]), key, cookie + nonce[limits.COOKIE_BYTES :])


async def flood(there: Village, networks: int, *, echoes: bool) -> None:
    """From HOSTS hosts of so many networks, each of which shows as many keys as one host may."""
    rng = derive_rng(1, "unknown keys")
    flooders = []
    for number in range(HOSTS):
        address = f"5.{number % networks}.7.{number + 1}"
        machine = there.world.internet.add_host(addresses=[address])
        with machine.running():
            _, flooder = await asyncio.get_running_loop().create_datagram_endpoint(
                lambda: KeyFlooder(rng, echoes=echoes), local_addr=(machine.addresses[0], PORT)
            )
        flooders.append(flooder)
    while True:
        for flooder in flooders:
            flooder.show(there)
            await asyncio.sleep(EVERY_S / HOSTS)


async def seconds_to_be_known(networks: int, *, echoes: bool) -> float:
    """How long newcomers wait at most for the answer to their first PING."""
    async with village() as there:
        newcomers = [there.world.add() for _ in range(NEWCOMERS)]
        for newcomer in newcomers:
            with newcomer.host.running():
                newcomer.membership = newcomer.make_membership()
                await newcomer.running.endpoint.open(newcomer.contact.address)
                newcomer.running.listen()
        flooding = None
        if networks:
            flooding = asyncio.create_task(flood(there, networks, echoes=echoes))
            await asyncio.sleep(SECONDS)
        worst = 0.0
        for newcomer in newcomers:
            began = there.world.loop.time()
            asking = newcomer.running.server.wire.ask(there.node.contact, Method.PING, [])
            answer = await newcomer.host.create_task(asking)
            assert answer.code == 0
            worst = max(worst, there.world.loop.time() - began)
        if flooding is not None:
            refused = there.node.running.server.counters.refused
            assert refused["rate_limited"] + refused["cookie_needed"] > 5000
            flooding.cancel()
        return worst


@pytest.mark.parametrize("echoes", [False, True])
@pytest.mark.parametrize("networks", [1, 4])
async def test_unknown_keys_of_a_few_networks_keep_no_newcomer_of_another_out(
    networks: int, echoes: bool, record_property: RecordProperty
) -> None:
    """They wait a round trip of 0.1 s more, as they must show a cookie, and no longer."""
    alone_s = await seconds_to_be_known(0, echoes=False)
    record_property("alone_s", alone_s)
    record_property("attackers", networks)
    seconds = await seconds_to_be_known(networks, echoes=echoes)
    record_property("attacked_s", seconds)
    assert seconds <= 2 * alone_s + 0.02
