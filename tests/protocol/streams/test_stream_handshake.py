"""Who is at the ends of a stream, in memory."""

import pytest

from protocol.errors import BadPuzzle, BadSignature, Malformed, NotAuthentic
from protocol.identity import Identity
from protocol.streams import handshake
from protocol.streams.handshake import ClientHandshake, GatewayHandshake, StreamTerms
from tests.identities import SEEDS

CLIENT, GATEWAY, OTHER = map(Identity, SEEDS[:3])
SHOWN = bytes(range(32))


def terms(identity: Identity, fingerprint: bytes = SHOWN) -> StreamTerms:
    return StreamTerms(identity, fingerprint, 16)


def test_both_ends_learn_who_the_other_one_is() -> None:
    client = ClientHandshake(terms(CLIENT), bytes(32), GATEWAY.peer_id)
    gateway = GatewayHandshake(terms(GATEWAY), bytes([1]) * 32)
    reply = gateway.reply(client.hello)
    proof = client.prove(reply)
    assert gateway.client(proof) == CLIENT.peer_id
    assert client.gateway == GATEWAY.public_key
    assert (len(client.hello), len(reply), len(proof)) == (
        handshake.STREAM_HELLO_BYTES,
        handshake.STREAM_REPLY_BYTES,
        handshake.PROOF_BYTES,
    )


def test_one_in_the_middle_shows_another_certificate() -> None:
    client = ClientHandshake(terms(CLIENT, b"m" * 32), bytes(32), GATEWAY.peer_id)
    gateway = GatewayHandshake(terms(GATEWAY), bytes(32))
    with pytest.raises(BadSignature):
        client.prove(gateway.reply(client.hello))


def test_a_client_s_proof_to_one_gateway_serves_no_other() -> None:
    client = ClientHandshake(terms(CLIENT), bytes(32), None)
    middle = GatewayHandshake(terms(OTHER), bytes(32))
    proof = client.prove(middle.reply(client.hello))
    victim = GatewayHandshake(terms(GATEWAY), bytes(32))
    victim.reply(client.hello)
    with pytest.raises(BadSignature):
        victim.client(proof)


def test_a_proof_is_good_once() -> None:
    client = ClientHandshake(terms(CLIENT), bytes(32), None)
    proof = client.prove(GatewayHandshake(terms(GATEWAY), bytes(32)).reply(client.hello))
    again = GatewayHandshake(terms(GATEWAY), bytes([9]) * 32)
    again.reply(client.hello)
    with pytest.raises(BadSignature):
        again.client(proof)


def test_another_peer_than_the_pinned_one_is_refused_by_name() -> None:
    client = ClientHandshake(terms(CLIENT), bytes(32), OTHER.peer_id)
    with pytest.raises(NotAuthentic, match="another peer"):
        client.prove(GatewayHandshake(terms(GATEWAY), bytes(32)).reply(client.hello))


def test_a_key_without_work_is_refused() -> None:
    cheap = Identity(bytes(32))
    client = ClientHandshake(terms(CLIENT), bytes(32), None)
    with pytest.raises(BadPuzzle):
        client.prove(GatewayHandshake(terms(cheap), bytes(32)).reply(client.hello))


def test_another_protocol_is_malformed() -> None:
    with pytest.raises(Malformed):
        GatewayHandshake(terms(GATEWAY), bytes(32)).reply(b"HTTP" + bytes(32))


def test_a_verdict_s_wait_is_bounded() -> None:
    assert handshake.wait_of(handshake.verdict(0)) == 0
    assert handshake.wait_of(handshake.verdict(7)) == 7
    assert handshake.wait_of(b"\xff\xff") == 60
