"""What one node does for others that ask for dial-backs, where every other peer is the test's."""

import asyncio
from typing import Any

import pytest

from protocol import limits
from protocol.addresses import Address, pack_address
from protocol.overlay.messages import Code, Method, Request
from simulations.attacks.raw_peer import RawPeer
from simulations.residents.world import PORT
from tests.node.overlay.village import Village, village

RANDOM = bytes(range(16))


def dial(there: Village, asker: RawPeer, host: str) -> None:
    asker.send(Method.DIAL, [RANDOM, pack_address(Address(host, PORT))], there.node.contact)


def dials(_: Request) -> list[Any]:
    """The answer of a contact that has sent a dial-back."""
    return []


def served(peers: list[RawPeer]) -> int:
    """How many of their requests since the last call were done."""
    done = sum(one.code == Code.OK for peer in peers for one in peer.responses)
    for peer in peers:
        assert {one.code for one in peer.responses} <= {Code.OK, Code.RATE_LIMITED}
        peer.responses.clear()
    return done


def dials_asked(contact: RawPeer) -> list[list[Any]]:
    return [one.arguments for one in contact.requests if one.method == Method.DIAL]


# DIAL ---------------------------------------------------------------------------------------


async def one_served(there: Village) -> RawPeer:
    """A peer whose first DIAL was done, so that the socket for dial-backs is open."""
    peer = await there.peer()
    dial(there, peer, "9.9.9.9")
    await asyncio.sleep(1.0)
    assert peer.responses[-1].code == Code.OK
    return peer


@pytest.mark.parametrize("host", ["5.6.7.8", "5.6.7.{}"], ids=["host", "network"])
async def test_what_a_host_and_a_network_get_in_a_minute_is_bounded(host: str) -> None:
    """Of the askers of many networks; those of one have a quarter of what is left."""
    most = limits.DIALS_PER_NETWORK if "{" in host else limits.DIALS_PER_HOST
    async with village() as there:
        other = await one_served(there)
        askers = [await there.peer(f"6.{number}.7.1") for number in range(most)]
        for round_of_all, expected in enumerate((most, 0, 0)):
            for asker in askers:
                asker.responses.clear()
            for number, asker in enumerate(askers):
                dial(there, asker, host.format(number + 1))
            await asyncio.sleep(0.5)
            assert served(askers) == expected, round_of_all
        other.responses.clear()
        dial(there, other, "5.6.8.1")
        await asyncio.sleep(limits.DIALS_PERIOD_S)
        assert served([other]) == 1, "another network"
        for _ in range(most):
            dial(there, askers[0], host.format(1))
            await asyncio.sleep(0.9)
        assert served(askers) <= most / limits.DIALS_PART + 1


async def test_one_asker_gets_one_a_second() -> None:
    async with village() as there:
        await one_served(there)
        asker, other = await there.peer(), await there.peer()
        for first, pause_s, most in ((0, 0.0, limits.DIALS_BURST_PER_ASKER), (20, 3.5, 4)):
            await asyncio.sleep(pause_s)
            asker.responses.clear()
            for number in range(20):
                dial(there, asker, f"5.{first + number}.7.1")
            await asyncio.sleep(0.5)
            assert served([asker]) == most
        other.responses.clear()
        dial(there, other, "5.99.7.1")
        await asyncio.sleep(0.5)
        assert served([other]) == 1, "another asker"


# DIALBACK -----------------------------------------------------------------------------------


async def code_of(there: Village, asker: RawPeer) -> int:
    response = await asker.ask(Method.DIALBACK, [RANDOM, b""], there.node.contact)
    assert response is not None
    return response.code


async def test_the_contact_is_told_the_address_that_the_asker_has_proved() -> None:
    async with village() as there:
        contact, asker = await there.contact(dial=dials), await there.peer()
        response = await asker.ask(Method.DIALBACK, [RANDOM, b""], there.node.contact)
        assert response is not None
        assert (response.code, response.result) == (Code.OK, [pack_address(contact.address)])
        assert dials_asked(contact) == [[RANDOM, pack_address(asker.address)]]


async def test_no_contact_in_the_network_of_the_asker_dials() -> None:
    async with village() as there:
        asker = await there.peer("9.8.7.1")
        beside = await there.contact("9.8.7.2", dial=dials)
        assert await code_of(there, asker) == Code.REFUSED
        elsewhere = await there.contact("9.8.6.1", dial=dials)
        for _ in range(limits.DIALBACKS_MAX):
            assert await code_of(there, asker) == Code.OK
        assert len(dials_asked(elsewhere)) == limits.DIALBACKS_MAX
        assert not dials_asked(beside)


async def test_one_asker_gets_one_dial_back_a_second() -> None:
    async with village() as there:
        await there.contact(dial=dials)
        asker, other = await there.peer(), await there.peer()
        for pause_s, most in ((0.0, limits.DIALBACKS_BURST_PER_ASKER), (2.5, 3)):
            await asyncio.sleep(pause_s)
            asker.responses.clear()
            for _ in range(20):
                asker.send(Method.DIALBACK, [RANDOM, b""], there.node.contact)
            await asyncio.sleep(0.5)
            assert served([asker]) == most
        for _ in range(20):
            asker.send(Method.DIALBACK, [RANDOM, b""], there.node.contact)
        assert await code_of(there, other) == Code.OK, "another asker"


@pytest.mark.parametrize(
    ("codes", "code"),
    [
        ([Code.OK], Code.OK),
        ([Code.BAD_TOKEN, Code.OK], Code.OK),
        ([Code.BAD_TOKEN, Code.BAD_TOKEN], Code.REFUSED),
        ([Code.RATE_LIMITED], Code.REFUSED),
        ([Code.REFUSED], Code.REFUSED),
    ],
)
async def test_the_answer_says_whether_the_contact_has_dialled(
    codes: list[Code], code: Code
) -> None:
    async with village() as there:
        left = list(codes)
        contact = await there.contact(dial=lambda _: (left.pop(0), []))
        assert await code_of(there, await there.peer()) == code
        assert len(dials_asked(contact)) == len(codes)


async def test_a_contact_that_says_nothing_has_not_dialled() -> None:
    async with village() as there:
        await there.contact()
        asker = await there.peer()
        asker.send(Method.DIALBACK, [RANDOM, b""], there.node.contact)
        await asyncio.sleep(3 * limits.TIMEOUT_MAX_S)
        assert asker.responses[-1].code == Code.TIMED_OUT
