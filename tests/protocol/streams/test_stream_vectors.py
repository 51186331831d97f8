"""The golden vectors of streams."""

import json
from pathlib import Path
from typing import Any

import pytest

from protocol.addresses import Address
from protocol.identity import Identity
from protocol.streams.framing import Framed, FrameReader, frames_of
from protocol.streams.handshake import ClientHandshake, GatewayHandshake, StreamTerms

FOLDER = Path(__file__).parents[2] / "vectors"
VECTORS: dict[str, Any] = json.loads((FOLDER / "streams.json").read_text())
IDENTITIES = json.loads((FOLDER / "identities.json").read_text())


def terms(side: str) -> StreamTerms:
    seed = bytes.fromhex(IDENTITIES[VECTORS[side]]["seed"])
    return StreamTerms(Identity(seed), bytes.fromhex(VECTORS["fingerprint"]), 16)


def test_the_handshake_is_that_of_the_vectors() -> None:
    client = ClientHandshake(terms("client"), bytes.fromhex(VECTORS["client_nonce"]), None)
    gateway = GatewayHandshake(terms("gateway"), bytes.fromhex(VECTORS["gateway_nonce"]))
    assert client.hello.hex() == VECTORS["hello"]
    assert gateway.reply(bytes.fromhex(VECTORS["hello"])).hex() == VECTORS["reply"]
    assert client.prove(bytes.fromhex(VECTORS["reply"])).hex() == VECTORS["proof"]
    assert gateway.client(bytes.fromhex(VECTORS["proof"])) == terms("client").identity.peer_id


@pytest.mark.parametrize("one", VECTORS["frames"])
def test_frames_are_those_of_the_vectors(one: dict[str, Any]) -> None:
    address = None if one["address"] is None else Address(*one["address"])
    datagram = bytes.fromhex(one["datagram"])
    assert frames_of(datagram, len(datagram), address).hex() == one["bytes"]
    read = FrameReader().read(bytes.fromhex(one["bytes"]))
    assert read == [Framed(datagram, len(datagram), address)]
