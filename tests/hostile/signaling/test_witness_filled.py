"""A witness whose tokens a few networks fill: what an honest peer leaves there is told."""

import asyncio
from ipaddress import IPv4Address

from protocol import limits
from protocol.overlay.messages import Code, Method
from simulations.attacks.raw_peer import RawPeer
from tests.hostile.exchange import Exchange

NETWORKS = limits.WITNESSED_TOKENS // limits.WITNESSED_PER_NETWORK[3]
HOSTS = limits.WITNESSED_PER_NETWORK[3] // limits.WITNESSED_PER_HOST
HONEST = "8.8.8.8"
MINE = bytes(range(16))


async def fill(exchange: Exchange, crowd: list[RawPeer], turn: int) -> None:
    """Each host leaves as many tokens as it may, all new ones."""
    for number in range(limits.WITNESSED_PER_HOST):
        for peer in crowd:
            token = peer.identity.peer_id[:14] + bytes((turn, number))
            peer.send(Method.WITNESS, [token], exchange.contact)
    await asyncio.sleep(0.5)


async def told_s(attackers: int) -> float:
    """The seconds from leaving a token until another peer was told its host."""
    exchange = Exchange()
    await exchange.open()
    hosts = [f"5.{number % NETWORKS + 1}.0.{number + 1}" for number in range(attackers)]
    crowd = [await exchange.peer(at=host) for host in hosts]
    honest, other = await exchange.peer(at=HONEST), await exchange.peer()
    await asyncio.sleep(1.0)
    await fill(exchange, crowd, 0)
    loop = asyncio.get_running_loop()
    started = loop.time()
    left = await honest.ask(Method.WITNESS, [MINE], exchange.contact)
    assert left is not None
    assert left.code == Code.OK
    await fill(exchange, crowd, 1)
    told = await other.ask(Method.WITNESSED, [MINE], exchange.contact)
    assert told is not None
    assert told.result == [[IPv4Address(HONEST).packed]]
    seconds = loop.time() - started
    await exchange.world.close()
    return seconds


async def test_networks_that_fill_a_witness_hide_no_honest_token() -> None:
    assert await told_s(NETWORKS * HOSTS) == await told_s(0)
