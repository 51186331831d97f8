"""The bytes of relaying: addresses, channel numbers, credentials, messages."""

import json
from pathlib import Path

from protocol.addresses import Address
from protocol.codec import decode, encode
from protocol.turn.credentials import CredentialMaker
from protocol.turn.grant import decode_grant, encode_grant
from protocol.turn.policy import PeerPolicy
from protocol.turn.server import TurnServer
from protocol.turn.terms import RelayQuota
from protocol.turn.virtual import VIRTUAL_PORT, is_virtual, preferred_channel, relayed_address
from tests.protocol.turn.turn_world import RELAY, World

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "turn.json").read_text())
CREDENTIALS = VECTORS["credentials"]
MESSAGES = VECTORS["messages"]
CLIENT = Address(*CREDENTIALS["address"])


def test_relayed_addresses() -> None:
    for one in VECTORS["relayed_addresses"]:
        made = relayed_address(bytes.fromhex(one["relay"]), bytes.fromhex(one["peer"]))
        assert made == Address(one["host"], VIRTUAL_PORT)
        assert is_virtual(made)
    assert not is_virtual(Address("100:0:0:1::1", VIRTUAL_PORT))
    assert not is_virtual(Address("100:1::1", VIRTUAL_PORT))
    assert not is_virtual(Address("100.0.0.1", VIRTUAL_PORT))


def test_channel_numbers_do_not_depend_on_the_order() -> None:
    for one in VECTORS["channels"]:
        pair = [Address(one[name], VIRTUAL_PORT) for name in ("one", "other")]
        assert preferred_channel(*pair) == preferred_channel(*reversed(pair)) == one["number"]


def credential_maker() -> CredentialMaker:
    return CredentialMaker(bytes.fromhex(CREDENTIALS["secret"]))


def test_credentials() -> None:
    grant = credential_maker().grant(
        bytes.fromhex(CREDENTIALS["peer"]),
        CLIENT,
        now=CREDENTIALS["now"],
        wall=CREDENTIALS["wall"],
        terms=RelayQuota().terms,
    )
    assert encode_grant(grant) == CREDENTIALS["result"]
    raw = bytes.fromhex(CREDENTIALS["bytes"])
    assert encode(encode_grant(grant)) == raw
    assert decode_grant(decode(raw, max_bytes=1000, max_items=16)) == grant


def test_a_relay_answers_with_these_bytes() -> None:
    server = TurnServer(
        bytes.fromhex(MESSAGES["relay"]),
        credential_maker(),
        quota=RelayQuota(),
        policy=PeerPolicy(frozenset),
        ports=(),
        is_our_relay=lambda _: False,
        rng=World().rng,
    )
    for asked, answered in (
        ("binding", "bound"),
        ("bare_allocate", "challenge"),
        ("allocate", "allocated"),
    ):
        request = bytes.fromhex(MESSAGES[asked])
        now, wall = CREDENTIALS["now"], CREDENTIALS["wall"]
        (send,) = server.receive(request, CLIENT, RELAY, now, wall)
        assert b"".join(send.parts).hex() == MESSAGES[answered], asked
        assert (send.remote, send.local) == (CLIENT, RELAY)
