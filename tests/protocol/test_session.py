"""The session: only the two identities of one call get keys, and only frames in order open."""

import json
import random
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from protocol import limits
from protocol.codec import decode
from protocol.errors import BadKey, LinkClosed, Malformed, NotAuthentic, Oversized
from protocol.identity import Identity
from protocol.noise_session import (
    FRAME_TAG_BYTES,
    MAX_FRAME_BYTES,
    PROLOGUE_LABEL,
    NoiseHandshake,
    NoiseKK,
    NoiseSession,
    Party,
    prologue,
)

VECTORS = Path(__file__).parents[1] / "vectors"

CALLER = Identity(bytes(range(32)))
CALLEE = Identity(bytes(range(1, 33)))
OTHER = Identity(bytes(range(2, 34)))
OFFER_ID = bytes(range(16))
CALLER_PARTY = Party(CALLER.public_key, b"\xca" * 32, 2)
CALLEE_PARTY = Party(CALLEE.public_key, b"\xce" * 32, 1)


@dataclass(frozen=True)
class Call:
    """What one side believes about a call."""

    offer_id: bytes = OFFER_ID
    caller: Party = CALLER_PARTY
    callee: Party = CALLEE_PARTY

    def prologue(self) -> bytes:
        return prologue(self.offer_id, self.caller, self.callee)


def caller_side(
    call: Call = Call(), own: Identity = CALLER, peer: Identity = CALLEE
) -> NoiseHandshake:
    return NoiseHandshake(
        own,
        peer.public_key,
        initiator=True,
        prologue=call.prologue(),
        ephemeral_secret=b"\x11" * 32,
    )


def callee_side(
    call: Call = Call(), own: Identity = CALLEE, peer: Identity = CALLER
) -> NoiseHandshake:
    return NoiseHandshake(
        own,
        peer.public_key,
        initiator=False,
        prologue=call.prologue(),
        ephemeral_secret=b"\x22" * 32,
    )


def shake_hands(caller: NoiseHandshake, callee: NoiseHandshake) -> None:
    """Carry messages until neither has more to say."""
    assert callee.start() == []
    waiting = [(callee, message) for message in caller.start()]
    while waiting:
        reader, message = waiting.pop(0)
        other = caller if reader is callee else callee
        waiting += [(other, answer) for answer in reader.receive(message)]


def sessions() -> tuple[NoiseSession, NoiseSession]:
    caller, callee = caller_side(), callee_side()
    shake_hands(caller, callee)
    assert caller.session is not None
    assert callee.session is not None
    return caller.session, callee.session


def test_both_sides_get_a_session_and_frames_go_both_ways() -> None:
    ours, theirs = sessions()
    for number in range(300):
        frame = b"frame" * number
        sealed = ours.encrypt(frame)
        assert len(sealed) == len(frame) + FRAME_TAG_BYTES
        assert theirs.decrypt(sealed) == frame
        assert ours.decrypt(theirs.encrypt(frame[::-1])) == frame[::-1]


def test_each_side_is_done_only_when_the_other_has_proved_itself() -> None:
    caller, callee = caller_side(), callee_side()
    (first,) = caller.start()
    assert caller.start() == []
    (second,) = callee.receive(first)
    assert [caller.session, callee.session] == [None, None]
    (confirmation,) = caller.receive(second)
    assert caller.session is not None
    assert [callee.session] == [None]
    assert callee.receive(confirmation) == []
    assert callee.session is not None
    assert (len(first), len(second), len(confirmation)) == (48, 48, 16)


OTHERS = {
    "offer id": Call(offer_id=bytes(16)),
    "roles": Call(
        caller=replace(CALLER_PARTY, role=CALLEE_PARTY.role),
        callee=replace(CALLEE_PARTY, role=CALLER_PARTY.role),
    ),
    "caller's role": Call(caller=replace(CALLER_PARTY, role=0)),
    "callee's role": Call(callee=replace(CALLEE_PARTY, role=0)),
    "caller's key": Call(caller=replace(CALLER_PARTY, public_key=OTHER.public_key)),
    "callee's key": Call(callee=replace(CALLEE_PARTY, public_key=OTHER.public_key)),
    "caller's fingerprint": Call(caller=replace(CALLER_PARTY, fingerprint=bytes(32))),
    "callee's fingerprint": Call(callee=replace(CALLEE_PARTY, fingerprint=bytes(32))),
    "the roles of the call": Call(caller=CALLEE_PARTY, callee=CALLER_PARTY),
}


@pytest.mark.parametrize("differs", OTHERS)
def test_the_handshake_is_bound_to_the_call(differs: str) -> None:
    for caller, callee in (
        (caller_side(OTHERS[differs]), callee_side()),
        (caller_side(), callee_side(OTHERS[differs])),
    ):
        with pytest.raises(NotAuthentic):
            shake_hands(caller, callee)
        assert caller.session is callee.session is None
    shake_hands(caller_side(OTHERS[differs]), callee_side(OTHERS[differs]))


def test_only_the_right_identities_agree() -> None:
    for caller, callee in (
        (caller_side(own=OTHER), callee_side()),
        (caller_side(peer=OTHER), callee_side()),
        (caller_side(), callee_side(own=OTHER)),
        (caller_side(), callee_side(peer=OTHER)),
    ):
        with pytest.raises(NotAuthentic):
            shake_hands(caller, callee)
        assert caller.session is callee.session is None


def test_an_impostor_that_knows_all_that_is_public_cannot_answer() -> None:
    caller = caller_side()
    (first,) = caller.start()
    impostor = callee_side(own=OTHER)
    with pytest.raises(NotAuthentic):
        impostor.receive(first)
    forged = X25519PrivateKey.from_private_bytes(b"\x33" * 32).public_key().public_bytes_raw()
    with pytest.raises(NotAuthentic):
        caller.receive(forged + bytes(16))
    assert caller.session is None


def test_a_replayed_first_message_gets_no_session() -> None:
    caller = caller_side()
    (first,) = caller.start()
    callee = NoiseHandshake(
        CALLEE,
        CALLER.public_key,
        initiator=False,
        prologue=Call().prologue(),
        ephemeral_secret=b"\x44" * 32,
    )
    callee.receive(first)
    honest_caller, honest_callee = caller_side(), callee_side()
    (first_again,) = honest_caller.start()
    assert first_again == first
    (second,) = honest_callee.receive(first_again)
    (old_confirmation,) = honest_caller.receive(second)
    with pytest.raises(NotAuthentic):
        callee.receive(old_confirmation)
    assert callee.session is None


@pytest.mark.parametrize("message", [0, 1, 2])
def test_any_flipped_bit_ends_the_handshake(message: int) -> None:
    lengths = (48, 48, 16)
    for position in range(lengths[message] * 8):
        caller, callee = caller_side(), callee_side()
        exchanged = caller.start()
        readers = (callee, caller, callee)
        for number, reader in enumerate(readers):
            if number == message:
                damaged = bytearray(exchanged[0])
                damaged[position // 8] ^= 1 << position % 8
                # The top bit of an X25519 key is ignored by the exchange, but not by the hash.
                with pytest.raises(NotAuthentic):
                    reader.receive(bytes(damaged))
                assert reader.session is None
                with pytest.raises(NotAuthentic):
                    reader.receive(exchanged[0])
                break
            exchanged = reader.receive(exchanged[0])


def test_messages_out_of_turn_are_refused() -> None:
    caller, callee = caller_side(), callee_side()
    with pytest.raises(NotAuthentic, match="where none is expected"):
        caller.receive(bytes(48))
    (first,) = caller_side().start()
    callee.receive(first)
    with pytest.raises(NotAuthentic):
        callee.receive(first)
    caller, callee = caller_side(), callee_side()
    shake_hands(caller, callee)
    with pytest.raises(NotAuthentic):
        caller.receive(bytes(16))


def test_a_handshake_message_has_no_payload() -> None:
    noise = NoiseKK(
        static_secret=CALLER.exchange_secret,
        ephemeral_secret=b"\x11" * 32,
        remote_static=X25519PrivateKey.from_private_bytes(CALLEE.exchange_secret)
        .public_key()
        .public_bytes_raw(),
        initiator=True,
        prologue=Call().prologue(),
    )
    with pytest.raises(Malformed, match="with a payload"):
        callee_side().receive(noise.write_message(b"smuggled"))


def test_keys_that_are_no_keys_are_refused() -> None:
    for bad in (bytes(32), b"\1" + bytes(31), b"\xff" * 32, b"short"):
        with pytest.raises(BadKey):
            NoiseHandshake(
                CALLER, bad, initiator=True, prologue=b"", ephemeral_secret=bytes(range(32))
            )
    for low_order in (bytes(32), b"\1" + bytes(31)):
        with pytest.raises(NotAuthentic):
            callee_side().receive(low_order + bytes(16))


@given(st.binary(max_size=120))
def test_any_bytes_as_a_handshake_message_raise_only_ours(message: bytes) -> None:
    caller = caller_side()
    caller.start()
    for side in (caller, callee_side()):
        with pytest.raises(NotAuthentic):
            side.receive(message)


@given(st.binary(max_size=200))
def test_any_bytes_as_a_frame_raise_only_ours(message: bytes) -> None:
    ours, _ = sessions()
    with pytest.raises(NotAuthentic):
        ours.decrypt(message)


@given(st.lists(st.binary(max_size=40), min_size=2, max_size=6), st.randoms(), st.data())
def test_frames_open_only_once_and_in_order(
    frames: list[bytes], rng: random.Random, data: st.DataObject
) -> None:
    ours, theirs = sessions()
    sealed = [ours.encrypt(frame) for frame in frames]
    honest = data.draw(st.integers(0, len(frames)))
    for number in range(honest):
        assert theirs.decrypt(sealed[number]) == frames[number]
    wrong = [number for number in range(len(frames)) if number != honest]
    with pytest.raises(NotAuthentic):
        theirs.decrypt(sealed[rng.choice(wrong)])


def test_a_frame_does_not_open_for_its_own_sender() -> None:
    ours, theirs = sessions()
    sealed = ours.encrypt(b"mine")
    with pytest.raises(NotAuthentic):
        ours.decrypt(sealed)
    assert theirs.decrypt(sealed) == b"mine"


def test_frames_and_messages_are_bounded() -> None:
    ours, theirs = sessions()
    largest = bytes(MAX_FRAME_BYTES)
    assert len(ours.encrypt(largest)) == limits.MESSAGE_BYTES
    with pytest.raises(ValueError, match="a frame of 65521 bytes"):
        ours.encrypt(largest + b"x")
    with pytest.raises(Oversized):
        theirs.decrypt(bytes(limits.MESSAGE_BYTES + 1))


def test_keys_are_used_up_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SESSION_MESSAGES", 4)
    ours, _ = sessions()
    for _ in range(3):  # the first of the four confirmed the handshake
        ours.encrypt(b"")
    with pytest.raises(LinkClosed, match="used up"):
        ours.encrypt(b"")


def test_the_prologue_is_spelled_as_documented() -> None:
    value = decode(Call().prologue(), max_bytes=400, max_items=4)
    assert value == [
        PROLOGUE_LABEL,
        OFFER_ID,
        [CALLER.public_key, b"\xca" * 32, 2],
        [CALLEE.public_key, b"\xce" * 32, 1],
    ]


def test_golden_vector() -> None:
    vector = json.loads((VECTORS / "session_link.json").read_text())
    seeds = [bytes.fromhex(vector[name]) for name in ("caller_seed", "callee_seed")]
    own, peer = map(Identity, seeds)
    call = Call(
        bytes.fromhex(vector["offer_id"]),
        Party(own.public_key, bytes.fromhex(vector["caller_fingerprint"]), vector["caller_role"]),
        Party(peer.public_key, bytes.fromhex(vector["callee_fingerprint"]), vector["callee_role"]),
    )
    assert call.prologue().hex() == vector["prologue"]
    ephemerals = [bytes.fromhex(vector[f"{side}_ephemeral"]) for side in ("caller", "callee")]
    caller = NoiseHandshake(
        own,
        peer.public_key,
        initiator=True,
        prologue=call.prologue(),
        ephemeral_secret=ephemerals[0],
    )
    callee = NoiseHandshake(
        peer,
        own.public_key,
        initiator=False,
        prologue=call.prologue(),
        ephemeral_secret=ephemerals[1],
    )
    messages = caller.start()
    messages += callee.receive(messages[-1])
    messages += caller.receive(messages[-1])
    callee.receive(messages[-1])
    assert [message.hex() for message in messages] == vector["handshake"]
    assert caller.session is not None
    assert callee.session is not None
    for direction, sealer, opener in (
        ("from_caller", caller.session, callee.session),
        ("from_callee", callee.session, caller.session),
    ):
        for frame_hex, message_hex in vector[direction]:
            message = sealer.encrypt(bytes.fromhex(frame_hex))
            assert message.hex() == message_hex
            assert opener.decrypt(message).hex() == frame_hex


def test_the_pattern_is_noise_kk_as_others_implement_it() -> None:
    """Published results of the Noise framework for Noise_KK_25519_AESGCM_SHA256."""
    vector = json.loads((VECTORS / "session_noise_kk.json").read_text())
    secrets = {
        name: bytes.fromhex(vector[name])
        for name in ("init_static", "init_ephemeral", "resp_static", "resp_ephemeral")
    }
    publics = {
        name: X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()
        for name, secret in secrets.items()
    }
    initiator, responder = (
        NoiseKK(
            static_secret=secrets[f"{own}_static"],
            ephemeral_secret=secrets[f"{own}_ephemeral"],
            remote_static=publics[f"{other}_static"],
            initiator=own == "init",
            prologue=bytes.fromhex(vector["prologue"]),
        )
        for own, other in (("init", "resp"), ("resp", "init"))
    )
    turns = [(initiator, responder), (responder, initiator)]
    for (writer, reader), (payload, message) in zip(turns, vector["handshake"], strict=True):
        written = writer.write_message(bytes.fromhex(payload))
        assert written.hex() == message
        assert reader.read_message(written).hex() == payload
    pair = (initiator.split(), responder.split())
    for number, (payload, message) in enumerate(vector["transport"]):
        sealer, opener = pair if number % 2 == 0 else pair[::-1]
        assert sealer.encrypt(bytes.fromhex(payload)).hex() == message
        assert opener.decrypt(bytes.fromhex(message)).hex() == payload
