"""Requests forged in an honest host's name: a node serves what peers there ask, as ever.

Who may use them up: anyone who forges the host's address, with any key, and who is behind its
router. What peers that proved to be there ask is counted apart from all else that comes from it.
"""

import asyncio
from collections.abc import Callable

import pytest

from protocol import datagrams, limits
from protocol.identity import Identity
from protocol.overlay.messages import Method, encode_request
from simulations.attacks.raw_peer import RawPeer
from tests.node.overlay.village import Village, village

MOST = int(limits.REQUEST_BURST_PER_HOST)
EVERY_S = 0.001
EACH_TIME = 3
"""So often that no place is free between two of them."""

KEYS = 50

Forge = Callable[[Village, RawPeer, int], bytes]


def of_unknown_keys(there: Village, forger: RawPeer, number: int) -> bytes:
    """Garbage in the name of a key that the node does not know."""
    other = Identity((number % KEYS + 1).to_bytes(32))
    keys = forger._cipher.keys(other, there.node.contact.public_key)
    return datagrams.seal(forger._cipher, other.public_key, keys.incoming, bytes(24), bytes(60))


def of_a_known_peer(there: Village, forger: RawPeer, number: int) -> bytes:
    """Requests of the forger's own, as if it had moved to the honest host."""
    body = encode_request(
        number.to_bytes(8),
        Method.PING,
        epoch=b"epoch..1",
        counter=10_000 + number,
        token=b"",
        flags=0,
        arguments=[],
    )
    return forger.sealed(body, there.node.contact.public_key)


async def flood(there: Village, forger: RawPeer, forge: Forge, honest: RawPeer) -> None:
    """More than are served of one host, from another port of the honest one's."""
    endpoint = there.node.running.endpoint
    (local,) = endpoint.addresses.values()
    source = (honest.address.host, 9)
    number = 0
    while True:
        for _ in range(EACH_TIME if number else MOST):
            number += 1
            forged = forge(there, forger, number)
            with there.node.host.running():
                endpoint.demux.burst_received([(forged, len(forged), source)], local)
        await asyncio.sleep(EVERY_S)


@pytest.mark.parametrize("forge", [of_unknown_keys, of_a_known_peer])
async def test_requests_forged_in_a_hosts_name_use_up_none_of_its_own(forge: Forge) -> None:
    async with village() as there:
        honest, forger = await there.peer(), await there.peer()
        flooding = asyncio.create_task(flood(there, forger, forge, honest))
        await asyncio.sleep(0.1)
        assert await honest.ask(Method.PING, [], there.node.contact) is not None
        honest.token = b""  # too old to send: the seal of its session is enough
        assert await honest.ask(Method.PING, [], there.node.contact) is not None
        flooding.cancel()
        assert there.node.running.server.counters.refused["rate_limited"] > MOST / 2
