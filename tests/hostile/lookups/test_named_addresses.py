"""Lookups, joins and crawls send addresses that liars name no more bytes than the liars sent.

Who may hold them: each contact the bytes of its own answers. How they are won back: an address that
answers pays them back; what silent ones were sent is the liars' loss alone.
"""

import asyncio
from typing import Any

import pytest

from node.overlay.lookup.crawl import Crawl
from protocol import limits, records
from protocol.addresses import Address
from protocol.identity import Identity
from protocol.overlay.contacts import Contact
from protocol.overlay.messages import Method, Request, encode_found
from simulations.attacks.raw_peer import RawPeer, pong
from simulations.internet.carrier import Carrier
from simulations.internet.latency import UniformLatency
from simulations.residents.world import World
from simulations.seeds import derive_rng

HONEST = 20
LIARS = 4
GHOSTS = 500
ROUND_TRIP_S = 0.1
READS = 10
MOST_S = 6.0
"""Of a read that finds nothing, and so looks twice."""


class Liars:
    """Peers that answer searches by the nearest of many ids, at hosts of third parties or one.

    `named_bytes` are those that came to the hosts, `own_bytes` those that the liars sent.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, hosts: int) -> None:
        self.named_bytes = self.own_bytes = 0
        self._hosts = [f"91.{number + 1}.7.7" for number in range(hosts)]
        rng = derive_rng(1, "ghosts")
        self._ghosts = [
            Contact.at(
                Identity(rng.randbytes(32)).public_key,
                Address(self._hosts[number % hosts], 4001 + number),
            )
            for number in range(GHOSTS)
        ]
        self._peers: list[RawPeer] = []
        self._own: set[str] = set()
        original = Carrier.send

        def send(carrier: Carrier, sender: Any, data: bytes, to: Any, ttl: Any = None) -> None:
            self.named_bytes += len(data) * (to[0] in self._hosts)
            self.own_bytes += len(data) * (sender.host.addresses[0] in self._own)
            original(carrier, sender, data, to, ttl)

        monkeypatch.setattr(Carrier, "send", send)

    async def move_in(self, world: World) -> None:
        """All residents meet them."""
        rng = derive_rng(1, "liars")
        answers: Any = {Method.PING: pong, Method.MEET: pong}
        answers |= {
            Method.FIND_NODE: self._name,
            Method.FIND_VALUE: self._name,
            Method.STORE: lambda _: [],
        }
        for _ in range(LIARS):
            peer = RawPeer(Identity(rng.randbytes(32)), answers)
            host = world.internet.add_host()
            await peer.listen(host, 4001, host.addresses[0])
            self._own.add(host.addresses[0])
            self._peers.append(peer)
            for resident in world.running():
                peer.send(Method.MEET, [], resident.contact)
        await asyncio.sleep(2 * limits.FRESH_S)

    def _name(self, request: Request) -> list[Any]:
        target = int.from_bytes(request.arguments[0])
        named = sorted(self._ghosts, key=lambda ghost: ghost.number ^ target)
        return encode_found(named, [], skip=0, registration_proof=b"", max_bytes=900)


def _check_bytes(attack: Liars) -> None:
    assert 0 < attack.named_bytes <= attack.own_bytes, (attack.named_bytes, attack.own_bytes)


@pytest.mark.parametrize("hosts", [1, 200])
async def test_what_liars_name_is_sent_no_more_than_they_sent(
    monkeypatch: pytest.MonkeyPatch, hosts: int
) -> None:
    """And honest nodes are found, by reads and by a crawl, within a few seconds."""
    attack = Liars(monkeypatch, hosts)
    world = World(1, latency=UniformLatency(ROUND_TRIP_S))
    await world.populate(HONEST)
    await attack.move_in(world)
    await world.populate(1)  # a newcomer fills its tables by what it is told
    rng = derive_rng(1, "keys")
    for reader in world.residents[:READS]:
        began = world.loop.time()
        server = reader.running.server
        reading = await reader.host.create_task(server.read(rng.randbytes(20), records.PROVIDER))
        assert world.loop.time() - began <= MOST_S
        assert len(reading.closest) >= limits.K
    _check_bytes(attack)
    reader = world.residents[-1]
    crawl = Crawl(reader.running.server, rng, limits.CRAWL_CONTACTS)
    seen = await reader.host.create_task(crawl.run())
    assert len(seen.answered) == HONEST + LIARS
    assert not seen.is_whole
    _check_bytes(attack)
    await world.close()
