"""Liars who name an honest host, or its network, use up no dial-backs that it asks for by others.

Who may hold them: the askers of one network a quarter of what is left, for a minute. What n
networks leave of 32 for a host is 32 * 0.8 ** n, and one at least for up to a dozen.
"""

import asyncio

import pytest

from protocol import datagrams, limits
from protocol.addresses import Address, pack_address
from protocol.overlay.messages import Code, Method
from simulations.attacks.raw_peer import RawPeer
from simulations.residents.world import PORT
from tests.node.overlay.village import Village, village

RANDOM = bytes(range(16))
HOST = "5.6.7.8"
ROUND_S = 30.0
HONEST = 8
"""Contacts of the honest node, each of another network, that ask this node in half a minute."""

SWARM = 2
"""Identities in each network of the liars, as one asker gets one a second."""


async def swarm(there: Village, networks: int) -> list[RawPeer]:
    return [
        await there.peer(f"6.{number}.7.{identity + 1}")
        for number in range(networks)
        for identity in range(SWARM)
    ]


async def lie(there: Village, liars: list[RawPeer], beside: bool) -> None:
    """Each names the host, or others of its network, twice a second."""
    for turn in range(1_000_000):
        for number, liar in enumerate(liars):
            host = f"5.6.7.{100 + (turn * len(liars) + number) % 100}" if beside else HOST
            where = pack_address(Address(host, PORT))
            liar.send(Method.DIAL, [RANDOM, where], there.node.contact)
        await asyncio.sleep(0.5)


async def served(networks: int, beside: bool) -> int:
    """How many of its dial-backs an honest host gets, a minute after the liars began."""
    async with village() as there:
        liars = await swarm(there, networks)
        honest = [await there.peer(f"7.{number}.7.1") for number in range(HONEST)]
        lying = asyncio.create_task(lie(there, liars, beside))
        await asyncio.sleep(limits.DIALS_PERIOD_S)
        codes = []
        for contact in honest:
            where = pack_address(Address(HOST, PORT))
            response = await contact.ask(Method.DIAL, [RANDOM, where], there.node.contact)
            codes.append(response.code if response else None)
            await asyncio.sleep(ROUND_S / HONEST - 1.0)
        lying.cancel()
        assert len(datagrams.dialback(RANDOM)) == 17
        return codes.count(Code.OK)


async def test_without_liars_all_are_sent() -> None:
    assert await served(0, beside=False) == HONEST


@pytest.mark.parametrize("beside", [False, True], ids=["the host", "its network"])
@pytest.mark.parametrize("networks", [1, 4])
async def test_an_honest_host_gets_its_dialbacks_whatever_liars_name(
    networks: int, beside: bool
) -> None:
    assert await served(networks, beside) == HONEST
