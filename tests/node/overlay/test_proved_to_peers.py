"""WITNESS, WITNESSED and CREDENTIALS: what a node tells others, and what it believes of them."""

import asyncio
import ipaddress
from dataclasses import replace
from typing import Any

import pytest

from node.overlay.signaling.witnesses import Witnesses
from protocol import limits
from protocol.codec import encode
from protocol.errors import RelayFailed, TimedOut
from protocol.identity import peer_id_text
from protocol.overlay.messages import Code, Method, Request, Response
from protocol.stun.attributes import Attribute, encode_text
from protocol.stun.message import (
    StunClass,
    StunMessage,
    StunMethod,
    encode_stun,
    long_term_key,
)
from protocol.turn.grant import RelayGrant, decode_grant
from simulations.attacks.raw_peer import RawPeer, Responder
from tests.node.overlay.village import Village, village

TOKEN = bytes(range(16))
SEEN = "9.8.7.6"


async def asked(there: Village, peer: RawPeer, method: Method, *arguments: Any) -> Response:
    response = await peer.ask(method, list(arguments), there.node.contact)
    assert response is not None
    return response


# As a witness -------------------------------------------------------------------------------


async def test_a_witness_tells_from_which_proved_addresses_a_token_came() -> None:
    async with village() as there:
        peer, other, prober = [await there.peer() for _ in range(3)]
        assert (await asked(there, prober, Method.WITNESSED, TOKEN)).result == [[]]
        hosts = []
        for one in (peer, other):
            assert (await asked(there, one, Method.WITNESS, TOKEN)).code == Code.OK
            hosts.append(ipaddress.ip_address(one.address.host).packed)
            assert (await asked(there, prober, Method.WITNESSED, TOKEN)).result == [hosts]
        assert (await asked(there, prober, Method.WITNESSED, bytes(16))).result == [[]]


@pytest.mark.parametrize("method", [Method.WITNESS, Method.WITNESSED])
@pytest.mark.parametrize("arguments", [[], [TOKEN[:-1]], [TOKEN + b"x"], ["text"], [TOKEN, TOKEN]])
async def test_a_token_has_sixteen_bytes(method: Method, arguments: list[Any]) -> None:
    async with village() as there:
        peer = await there.peer()
        assert (await asked(there, peer, method, *arguments)).code == Code.MALFORMED


async def test_a_witness_keeps_so_many_tokens_of_one_host() -> None:
    async with village() as there:
        peer, other = await there.peer(), await there.peer()
        tokens = [bytes([number] * 16) for number in range(limits.WITNESSED_PER_HOST)]
        kept = await asyncio.gather(*(asked(there, peer, Method.WITNESS, one) for one in tokens))
        assert {answer.code for answer in kept} == {Code.OK}
        assert (await asked(there, peer, Method.WITNESS, TOKEN)).code == Code.RATE_LIMITED
        assert (await asked(there, other, Method.WITNESS, TOKEN)).code == Code.OK


# As the one that asks witnesses ---------------------------------------------------------------


def tells(*hosts: str, code: Code = Code.OK) -> Responder:
    packed = [ipaddress.ip_address(host).packed for host in hosts]
    return lambda _: (code, [packed])


def tells_nonsense(_: Request) -> list[Any]:
    return [[b"five!"]]


@pytest.mark.parametrize(
    ("answers", "believed"),
    [
        ([tells(SEEN), tells(SEEN)], True),
        ([tells(SEEN), tells("9.8.7.5", SEEN), tells()], True),
        ([tells(SEEN)], False),
        ([tells(SEEN), tells("9.8.7.5")], False),
        ([tells(SEEN), tells(SEEN, code=Code.REFUSED)], False),
        ([tells(SEEN), tells_nonsense], False),
        ([tells(SEEN), tells("9.8.7.5", "9.8.7.4", SEEN)], False),
    ],
)
async def test_what_two_witnesses_say_is_believed(
    answers: list[Responder], *, believed: bool
) -> None:
    async with village() as there:
        chosen = [(await there.contact(witnessed=answer)).contact for answer in answers]
        membership = there.node.running
        witnesses = Witnesses(membership.server, membership.environment)
        seen = await witnesses.hosts_seen(TOKEN, chosen, 2.0)
        assert seen == (frozenset([SEEN]) if believed else frozenset())


# Credentials ----------------------------------------------------------------------------------


async def allocate(there: Village, peer: RawPeer, grant: RelayGrant) -> bool:
    """Whether the node gives the peer an allocation for these credentials."""
    attributes = (
        (int(Attribute.REQUESTED_TRANSPORT), b"\x11\0\0\0"),
        (int(Attribute.USERNAME), encode_text(grant.username)),
        (int(Attribute.REALM), encode_text(grant.realm)),
        (int(Attribute.NONCE), encode_text(grant.nonce)),
    )
    message = StunMessage(StunClass.REQUEST, StunMethod.ALLOCATE, bytes(12), attributes)
    key = long_term_key(grant.username, grant.realm, grant.password)
    peer.transport.sendto(encode_stun(message, key=key), there.node.contact.address)
    await asyncio.sleep(0.5)
    return there.node.running.relay.serves(peer.address)


async def test_credentials_are_of_the_peer_and_the_address_that_asked() -> None:
    async with village() as there:
        peer, other = await there.peer(), await there.peer()
        grant = decode_grant((await asked(there, peer, Method.CREDENTIALS)).result)
        theirs = decode_grant((await asked(there, other, Method.CREDENTIALS)).result)
        for one, its in ((peer, grant), (other, theirs)):
            assert its.username.endswith(":" + peer_id_text(one.identity.peer_id))
        assert not await allocate(there, other, replace(grant, nonce=theirs.nonce))
        assert await allocate(there, peer, grant)


async def test_credentials_have_no_arguments_and_need_a_proved_address() -> None:
    async with village() as there:
        peer = await there.peer()
        assert (await asked(there, peer, Method.CREDENTIALS, b"")).code == Code.MALFORMED
        peer.token = b""
        response = await asked(there, peer, Method.CREDENTIALS)
        assert (response.code, response.result) == (Code.BAD_TOKEN, [])
        peer.counter += 1
        long = [0, bytes(8), int(Method.CREDENTIALS), b"epoch..1", peer.counter, b"", 0, []]
        body = encode([*long, bytes(500)])
        to = there.node.contact
        peer.transport.sendto(peer.sealed(body, to.public_key), to.address)
        await asyncio.sleep(0.5)
        assert [one.code for one in peer.responses[-2:]] == [Code.BAD_TOKEN] * 2


@pytest.mark.parametrize("has_answered", [False, True])
async def test_a_contact_that_never_answered_gets_one_request_for_credentials(
    *, has_answered: bool
) -> None:
    """A peer may have named a victim's address."""
    async with village() as there:
        contact = await there.contact(ping=lambda _: [1])
        server = there.node.running.server
        if has_answered:
            contact.gives_token = b"12345678"
            await server.wire.ask(contact.contact, Method.PING, [])
        with pytest.raises(TimedOut):
            await server.protocol.call_credentials(contact.contact)
        await asyncio.sleep(1.0)  # what was sent last arrives
        methods = [one.method for one in contact.requests]
        assert methods.count(Method.CREDENTIALS) == 1 + has_answered


async def test_a_refusal_of_credentials_is_none_whatever_comes_with_it() -> None:
    async with village() as there:
        peer = await there.peer()
        result = (await asked(there, peer, Method.CREDENTIALS)).result
        contact = await there.contact(credentials=lambda _: (Code.REFUSED, result))
        with pytest.raises(RelayFailed):
            await there.node.running.server.protocol.call_credentials(contact.contact)
