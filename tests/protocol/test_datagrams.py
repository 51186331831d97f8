"""The sealed envelope and the hello: what opens for its receiver, and that nothing else does."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nacl.bindings import crypto_core_ed25519_add

from protocol.aead import XCHACHA_NONCE_BYTES
from protocol.datagrams import (
    DATAGRAM_BODY_BYTES,
    DATAGRAM_OVERHEAD_BYTES,
    HELLO_BYTES,
    HELLO_RANDOM_BYTES,
    XChaCha20Poly1305,
    answer_hello,
    dialback,
    hello,
    hello_random,
    read_dialback,
    read_hello_reply,
    seal,
    sender_of,
    unseal,
)
from protocol.errors import (
    BadKey,
    BadSignature,
    Malformed,
    NotAuthentic,
    Oversized,
    RemoteError,
    Truncated,
)
from protocol.identity import Identity, exchange_key
from protocol.limits import DATAGRAM_BYTES

repeatable = settings(deadline=None, derandomize=True)

_VECTORS = Path(__file__).parents[1] / "vectors"
VECTORS = json.loads((_VECTORS / "datagrams.json").read_text())
IDENTITIES = {
    name: Identity(bytes.fromhex(golden["seed"]))
    for name, golden in json.loads((_VECTORS / "identities.json").read_text()).items()
}
CIPHER = XChaCha20Poly1305()
A, B = IDENTITIES["a"], IDENTITIES["b"]
TO_B = CIPHER.keys(A, B.public_key).outgoing
NONCE = bytes(range(XCHACHA_NONCE_BYTES))


def sealed_by_a(body: bytes) -> bytes:
    return seal(CIPHER, A.public_key, TO_B, NONCE, body)


def read_by(identity: Identity, datagram: bytes) -> bytes:
    """What a node does with a datagram of any sender."""
    keys = CIPHER.keys(identity, sender_of(datagram))
    return unseal(CIPHER, keys.incoming, datagram)


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def test_golden_sealed_datagram() -> None:
    golden = VECTORS["sealed"]
    sender, receiver = IDENTITIES[golden["sender"]], IDENTITIES[golden["receiver"]]
    key = CIPHER.keys(sender, receiver.public_key).outgoing
    body, datagram = bytes.fromhex(golden["body"]), bytes.fromhex(golden["datagram"])
    nonce = bytes.fromhex(golden["nonce"])
    assert key.hex() == golden["key"]
    assert CIPHER.keys(receiver, sender.public_key).incoming == key
    assert seal(CIPHER, sender.public_key, key, nonce, body) == datagram
    assert sender_of(datagram) == sender.public_key
    assert read_by(receiver, datagram) == body


def test_golden_hello_and_reply() -> None:
    asked, replied = VECTORS["hello"], VECTORS["hello_reply"]
    question, reply = bytes.fromhex(asked["datagram"]), bytes.fromhex(replied["datagram"])
    signer = IDENTITIES[replied["signer"]]
    assert hello(bytes.fromhex(asked["random"])) == question
    assert hello_random(question).hex() == hello_random(reply).hex() == asked["random"]
    assert answer_hello(signer, question) == reply
    assert read_hello_reply(reply) == signer.public_key


def test_golden_dialback() -> None:
    golden = VECTORS["dialback"]
    random, datagram = bytes.fromhex(golden["random"]), bytes.fromhex(golden["datagram"])
    assert dialback(random) == datagram
    assert read_dialback(datagram) == random
    for wrong in (datagram[:-1], datagram + b"x"):
        with pytest.raises(Malformed):
            read_dialback(wrong)


@repeatable
@given(st.binary(max_size=DATAGRAM_BODY_BYTES))
def test_only_the_receiver_reads_the_body(body: bytes) -> None:
    datagram = sealed_by_a(body)
    assert len(datagram) == len(body) + DATAGRAM_OVERHEAD_BYTES
    assert read_by(B, datagram) == body
    for other in (A, Identity(b"c" * 32)):
        with pytest.raises(NotAuthentic):
            read_by(other, datagram)


def test_each_direction_has_its_own_key() -> None:
    ours, theirs = CIPHER.keys(A, B.public_key), CIPHER.keys(B, A.public_key)
    assert ours.outgoing == theirs.incoming
    assert ours.incoming == theirs.outgoing
    assert ours.outgoing != ours.incoming


def test_a_reflected_datagram_does_not_open() -> None:
    datagram = sealed_by_a(b"body")
    # As it was, its sender is ourselves; under the other's name it has the wrong direction.
    renamed = datagram[:1] + B.public_key + datagram[33:]
    for reflected in (datagram, renamed):
        with pytest.raises(NotAuthentic):
            read_by(A, reflected)


def test_a_key_s_top_bit_makes_another_sender() -> None:
    # The sign of x is lost on the way to X25519: only the hash over the spelling tells them apart.
    twin = flipped(A.public_key, 8 * 31 + 7)
    assert exchange_key(twin) == exchange_key(A.public_key)
    assert CIPHER.keys(B, twin).incoming != CIPHER.keys(B, A.public_key).incoming
    datagram = sealed_by_a(b"body")
    with pytest.raises(NotAuthentic):
        read_by(B, datagram[:1] + twin + datagram[33:])


def test_no_bit_of_a_datagram_can_change() -> None:
    datagram = sealed_by_a(b"a body of some bytes")
    for bit in range(8 * len(datagram)):
        with pytest.raises((NotAuthentic, BadKey)):
            read_by(B, flipped(datagram, bit))


def test_a_datagram_cut_at_any_length_does_not_open() -> None:
    datagram = sealed_by_a(b"a body of some bytes")
    for length in range(len(datagram)):
        expected = Truncated if length < DATAGRAM_OVERHEAD_BYTES else NotAuthentic
        with pytest.raises(expected):
            read_by(B, datagram[:length])
    with pytest.raises(NotAuthentic):
        read_by(B, datagram + b"\0")


def test_the_largest_body_fits_exactly() -> None:
    datagram = sealed_by_a(bytes(DATAGRAM_BODY_BYTES))
    assert len(datagram) == DATAGRAM_BYTES
    assert read_by(B, datagram) == bytes(DATAGRAM_BODY_BYTES)
    with pytest.raises(Oversized):
        sealed_by_a(bytes(DATAGRAM_BODY_BYTES + 1))
    with pytest.raises(Oversized):
        sender_of(datagram + b"\0")


@settings(repeatable, max_examples=300)
@given(st.binary(max_size=DATAGRAM_BYTES + 10))
def test_any_bytes_are_refused_by_name(datagram: bytes) -> None:
    with pytest.raises(RemoteError):
        read_by(B, b"\xd0" + datagram)
    with pytest.raises(RemoteError):
        unseal(CIPHER, TO_B, datagram)


def test_unusable_keys_are_bad_keys() -> None:
    small_order = bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a")
    mixed = crypto_core_ed25519_add(B.public_key, small_order)
    for key in (bytes(32), b"\xff" * 32, small_order, mixed, b"", bytes(31)):
        with pytest.raises(BadKey):
            CIPHER.keys(A, key)


def test_a_hello_is_as_long_as_its_reply() -> None:
    random = bytes(range(HELLO_RANDOM_BYTES))
    assert len(hello(random)) == len(answer_hello(A, hello(random))) == HELLO_BYTES


def test_a_hello_of_another_length_gets_no_reply() -> None:
    question = hello(bytes(HELLO_RANDOM_BYTES))
    for wrong in (b"", question[:-1], question + b"\0", question[:17]):
        with pytest.raises(Malformed):
            answer_hello(A, wrong)


def test_no_bit_of_a_hello_reply_can_change() -> None:
    reply = answer_hello(A, hello(bytes(HELLO_RANDOM_BYTES)))
    for bit in range(8, 8 * len(reply)):
        with pytest.raises(BadSignature):
            read_hello_reply(flipped(reply, bit))
    for length in range(len(reply)):
        with pytest.raises(Malformed):
            read_hello_reply(reply[:length])


@repeatable
@given(st.binary(max_size=150) | st.binary(min_size=HELLO_BYTES, max_size=HELLO_BYTES))
def test_any_bytes_are_no_hello_reply(datagram: bytes) -> None:
    with pytest.raises((Malformed, BadSignature)):
        read_hello_reply(datagram)


def test_a_signed_record_is_no_hello_reply() -> None:
    random = bytes(HELLO_RANDOM_BYTES)
    forged = b"\xd2" + random + A.public_key + A.sign("record", random)
    with pytest.raises(BadSignature):
        read_hello_reply(forged)
