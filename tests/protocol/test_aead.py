"""Our call of libsodium against PyNaCl's own, and what it refuses."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.bindings import (
    crypto_aead_xchacha20poly1305_ietf_decrypt,
    crypto_aead_xchacha20poly1305_ietf_encrypt,
)

from protocol import aead, limits
from protocol.errors import NotAuthentic, Oversized, Truncated

KEY, NONCE = bytes(range(32)), bytes(range(24))
BODIES = st.binary(max_size=limits.DATAGRAM_BYTES)


@given(BODIES, st.binary(max_size=100), st.binary(min_size=32, max_size=32))
def test_it_seals_and_opens_as_the_public_binding_does(
    body: bytes, header: bytes, key: bytes
) -> None:
    sealed = aead.encrypt(key, header, NONCE, body)
    # The public binding takes an empty header for none at all, which is the same to libsodium.
    assert sealed == crypto_aead_xchacha20poly1305_ietf_encrypt(body, header, NONCE, key)
    assert aead.decrypt(key, header, NONCE, sealed) == body
    assert crypto_aead_xchacha20poly1305_ietf_decrypt(sealed, header, NONCE, key) == body


def test_nothing_of_an_earlier_datagram_shows_in_a_later_one() -> None:
    bodies = [bytes([number]) * (limits.DATAGRAM_BYTES - 100 * number) for number in range(12)]
    sealed = [aead.encrypt(KEY, b"", NONCE, body) for body in bodies]
    assert [len(one) - len(other) for one, other in pairwise(sealed)] == [100] * 11
    assert [aead.decrypt(KEY, b"", NONCE, one) for one in sealed] == bodies


@pytest.mark.parametrize("position", [0, 5, -1, -16])
def test_a_flipped_bit_does_not_open(position: int) -> None:
    sealed = bytearray(aead.encrypt(KEY, b"header", NONCE, b"ten bytes!"))
    sealed[position] ^= 1
    with pytest.raises(NotAuthentic):
        aead.decrypt(KEY, b"header", NONCE, bytes(sealed))


@pytest.mark.parametrize(
    ("key", "header", "nonce"),
    [(bytes(32), b"header", NONCE), (KEY, b"other", NONCE), (KEY, b"header", bytes(24))],
)
def test_another_key_header_or_nonce_does_not_open(key: bytes, header: bytes, nonce: bytes) -> None:
    sealed = aead.encrypt(KEY, b"header", NONCE, b"body")
    with pytest.raises(NotAuthentic):
        aead.decrypt(key, header, nonce, sealed)


def test_the_buffer_cannot_be_overrun() -> None:
    with pytest.raises(Oversized):
        aead.encrypt(KEY, b"", NONCE, bytes(limits.DATAGRAM_BYTES + 1))
    with pytest.raises(Oversized):
        aead.decrypt(KEY, b"", NONCE, bytes(limits.DATAGRAM_BYTES + 2 * aead.XCHACHA_TAG_BYTES + 1))
    with pytest.raises(Truncated):
        aead.decrypt(KEY, b"", NONCE, bytes(aead.XCHACHA_TAG_BYTES - 1))


@pytest.mark.parametrize(
    ("key", "nonce"), [(KEY[1:], NONCE), (KEY, NONCE[1:]), (KEY, NONCE + b"x")]
)
def test_lengths_that_libsodium_would_read_past_are_refused(key: bytes, nonce: bytes) -> None:
    with pytest.raises(ValueError, match="wrong length"):
        aead.encrypt(key, b"", nonce, b"body")
    with pytest.raises(ValueError, match="wrong length"):
        aead.decrypt(key, b"", nonce, bytes(16))
