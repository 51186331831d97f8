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
from protocol.identity import Identity, exchange_key
from protocol.noise_session import (
    EPHEMERAL_BYTES,
    FRAME_TAG_BYTES,
    MAX_FRAME_BYTES,
    PROLOGUE_LABEL,
    SESSION_ANSWER_BYTES,
    CalleeHandshake,
    CallerHandshake,
    NoiseKK,
    NoiseSession,
    Party,
    ephemeral_key,
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


CALLER_SECRET, CALLEE_SECRET = b"\x11" * 32, b"\x22" * 32
OFFERED = ephemeral_key(CALLER_SECRET)


def callee_side(
    call: Call = Call(),
    own: Identity = CALLEE,
    peer: Identity = CALLER,
    *,
    offered: bytes = OFFERED,
    secret: bytes = CALLEE_SECRET,
) -> CalleeHandshake:
    return CalleeHandshake(
        own,
        peer.public_key,
        prologue=call.prologue(),
        ephemeral_secret=secret,
        offered=offered,
    )


def caller_side(
    answered: bytes, call: Call = Call(), own: Identity = CALLER, peer: Identity = CALLEE
) -> CallerHandshake:
    return CallerHandshake(
        own,
        peer.public_key,
        prologue=call.prologue(),
        ephemeral_secret=CALLER_SECRET,
        answered=answered,
    )


def sides() -> tuple[CallerHandshake, CalleeHandshake]:
    callee = callee_side()
    return caller_side(callee.answer), callee


def shake_hands(caller: CallerHandshake, callee: CalleeHandshake) -> None:
    """What the channel carries of it."""
    assert callee.start() == []
    (confirmation,) = caller.start()
    callee.receive(confirmation)


def sessions() -> tuple[NoiseSession, NoiseSession]:
    caller, callee = sides()
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
    caller, callee = sides()
    assert [caller.session, callee.session] == [None, None]
    assert len(callee.answer) == SESSION_ANSWER_BYTES
    assert len(OFFERED) == EPHEMERAL_BYTES
    (confirmation,) = caller.start()
    assert caller.session is not None
    assert [callee.session] == [None]
    assert len(confirmation) == FRAME_TAG_BYTES
    callee.receive(confirmation)
    assert callee.session is not None


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
    other = OTHERS[differs]
    for caller in (
        caller_side(callee_side().answer, other),
        caller_side(callee_side(other).answer),
    ):
        with pytest.raises(NotAuthentic):
            caller.start()
        assert caller.session is None
    callee = callee_side(other)
    shake_hands(caller_side(callee.answer, other), callee)


def test_only_the_right_identities_agree() -> None:
    answer = callee_side().answer
    for caller in (
        caller_side(answer, own=OTHER),
        caller_side(answer, peer=OTHER),
        caller_side(callee_side(own=OTHER).answer),
        caller_side(callee_side(peer=OTHER).answer),
    ):
        with pytest.raises(NotAuthentic):
            caller.start()
        assert caller.session is None


def test_an_impostor_that_knows_all_that_is_public_gets_no_session() -> None:
    forged = ephemeral_key(b"\x33" * 32)
    with pytest.raises(NotAuthentic):
        caller_side(forged + bytes(FRAME_TAG_BYTES)).start()
    callee = callee_side(offered=forged)
    with pytest.raises(NotAuthentic):
        callee.receive(bytes(FRAME_TAG_BYTES))
    assert callee.session is None


def test_a_replayed_offer_and_confirmation_get_no_session() -> None:
    caller, callee = sides()
    (old_confirmation,) = caller.start()
    callee.receive(old_confirmation)
    again = callee_side(secret=b"\x44" * 32)
    with pytest.raises(NotAuthentic):
        again.receive(old_confirmation)
    assert again.session is None


def test_any_flipped_bit_of_what_travels_ends_the_handshake() -> None:
    for position in range(8 * SESSION_ANSWER_BYTES):
        caller = caller_side(_flipped(callee_side().answer, position))
        # The top bit of an X25519 key is ignored by the exchange, but not by the hash.
        with pytest.raises(NotAuthentic):
            caller.start()
        assert caller.session is None
    for position in range(8 * EPHEMERAL_BYTES):
        with pytest.raises(NotAuthentic):
            caller_side(callee_side(offered=_flipped(OFFERED, position)).answer).start()
    for position in range(8 * FRAME_TAG_BYTES):
        caller, callee = sides()
        (confirmation,) = caller.start()
        with pytest.raises(NotAuthentic):
            callee.receive(_flipped(confirmation, position))
        with pytest.raises(NotAuthentic):
            callee.receive(confirmation)
        assert callee.session is None


def _flipped(data: bytes, position: int) -> bytes:
    damaged = bytearray(data)
    damaged[position // 8] ^= 1 << position % 8
    return bytes(damaged)


def test_messages_out_of_turn_are_refused() -> None:
    caller, callee = sides()
    (confirmation,) = caller.start()
    callee.receive(confirmation)
    for side in (caller, callee):
        with pytest.raises(NotAuthentic, match="where none is expected"):
            side.receive(confirmation)


def test_a_handshake_message_has_no_payload() -> None:
    noise = NoiseKK(
        static_secret=CALLEE.exchange_secret,
        ephemeral_secret=CALLEE_SECRET,
        remote_static=exchange_key(CALLER.public_key),
        initiator=False,
        prologue=Call().prologue(),
    )
    noise.compute_message(OFFERED)
    with pytest.raises(Malformed, match="with a payload"):
        caller_side(noise.write_message(b"smuggled")).start()
    caller, callee = sides()
    caller.start()
    assert caller.session is not None
    smuggling, theirs = sides()
    smuggling.start()
    assert smuggling.session is not None
    with pytest.raises(NotAuthentic):
        callee.receive(smuggling.session.encrypt(b"second"))
    assert theirs.session is None


def test_keys_that_are_no_keys_are_refused() -> None:
    for bad in (bytes(32), b"\1" + bytes(31), b"\xff" * 32, b"short"):
        with pytest.raises(BadKey):
            CallerHandshake(
                CALLER, bad, prologue=b"", ephemeral_secret=bytes(range(32)), answered=b""
            )
    for no_key in (bytes(32), b"\1" + bytes(31), b"", b"short", bytes(48)):
        with pytest.raises(NotAuthentic):
            callee_side(offered=no_key)


@given(st.binary(max_size=120))
def test_any_bytes_of_a_peer_raise_only_ours(message: bytes) -> None:
    with pytest.raises(NotAuthentic):
        caller_side(message).start()
    with pytest.raises(NotAuthentic):
        callee_side().receive(message)
    try:
        callee_side(offered=message)
    except NotAuthentic:
        return
    assert len(message) == EPHEMERAL_BYTES


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
    callee = CalleeHandshake(
        peer,
        own.public_key,
        prologue=call.prologue(),
        ephemeral_secret=ephemerals[1],
        offered=bytes.fromhex(vector["offered"]),
    )
    assert ephemeral_key(ephemerals[0]).hex() == vector["offered"]
    assert callee.answer.hex() == vector["answered"]
    caller = CallerHandshake(
        own,
        peer.public_key,
        prologue=call.prologue(),
        ephemeral_secret=ephemerals[0],
        answered=callee.answer,
    )
    (confirmation,) = caller.start()
    assert confirmation.hex() == vector["confirmation"]
    callee.receive(confirmation)
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
