"""The envelope of every DHT datagram: its authenticated sender, and a body for one receiver.

    sealed       0xD0  sender's public key (32)  nonce (24)  ciphertext and tag (16)
    hello        0xD1  random (16)  zeros up to HELLO_BYTES
    hello reply  0xD2  random (16)  public key (32)  signature (64)
    cookie       0xD3  nonce of a sealed datagram (24)  cookie (16)
    dial-back    0xD4  random (16)

Sealed bodies are XChaCha20-Poly1305 with the whole header as associated data. The key is BLAKE2b
over the X25519 secret and both public keys in the order sender, receiver: one key for each
direction, so a reflected datagram does not open, and bound to the exact spelling of both
identities.
"""

import hashlib
from typing import NamedTuple, Protocol

from nacl.bindings import crypto_scalarmult
from nacl.exceptions import CryptoError

from protocol import aead, limits
from protocol.errors import BadKey, Malformed, Oversized, Truncated
from protocol.identity import Identity, exchange_key, verify

HELLO = 0xD1
HELLO_REPLY = 0xD2
COOKIE = 0xD3
DIALBACK = 0xD4

_KEY_END = 1 + limits.KEY_BYTES
_HEADER_BYTES = _KEY_END + aead.XCHACHA_NONCE_BYTES
DATAGRAM_OVERHEAD_BYTES = _HEADER_BYTES + aead.XCHACHA_TAG_BYTES
"""What sealing adds to a body."""

DATAGRAM_BODY_BYTES = limits.DATAGRAM_BYTES - DATAGRAM_OVERHEAD_BYTES
"""The largest body that fits a datagram."""

HELLO_RANDOM_BYTES = 16
_SIGNATURE_BYTES = 64
_COOKIE_END = 1 + aead.XCHACHA_NONCE_BYTES + limits.COOKIE_BYTES
HELLO_BYTES = 1 + HELLO_RANDOM_BYTES + limits.KEY_BYTES + _SIGNATURE_BYTES
"""A hello is padded to the length of its reply, so that hellos amplify nothing."""


class PacketKeys(NamedTuple):
    """The two keys between us and one peer, of the same length."""

    outgoing: bytes
    incoming: bytes


class PacketCipher(Protocol):
    """How datagrams are sealed: the real cipher, or a simulation's cheaper one."""

    first_byte: int

    def keys(self, identity: Identity, public_key: bytes) -> PacketKeys:
        """Derive both keys with a peer; raises BadKey."""
        ...

    def encrypt(self, key: bytes, header: bytes, nonce: bytes, body: bytes) -> bytes:
        """Ciphertext and tag of `body`."""
        ...

    def decrypt(self, key: bytes, header: bytes, nonce: bytes, ciphertext: bytes) -> bytes:
        """The body; raises NotAuthentic."""
        ...


class XChaCha20Poly1305:
    """The cipher of the real network."""

    first_byte = 0xD0

    def keys(self, identity: Identity, public_key: bytes) -> PacketKeys:
        """130 us: one key conversion and one X25519."""
        try:
            secret = crypto_scalarmult(identity.exchange_secret, exchange_key(public_key))
        except (CryptoError, RuntimeError):
            raise BadKey("not a usable public key") from None
        return directed_keys(secret, identity.public_key, public_key)

    def encrypt(self, key: bytes, header: bytes, nonce: bytes, body: bytes) -> bytes:
        """See PacketCipher."""
        return aead.encrypt(key, header, nonce, body)

    def decrypt(self, key: bytes, header: bytes, nonce: bytes, ciphertext: bytes) -> bytes:
        """See PacketCipher."""
        return aead.decrypt(key, header, nonce, ciphertext)


def directed_keys(secret: bytes, own_key: bytes, other_key: bytes) -> PacketKeys:
    """The keys of both directions that follow from the X25519 secret of two identities."""
    return PacketKeys(
        outgoing=_directed(secret, own_key, other_key),
        incoming=_directed(secret, other_key, own_key),
    )


def _directed(secret: bytes, sender: bytes, receiver: bytes) -> bytes:
    return hashlib.blake2b(
        secret + sender + receiver, digest_size=32, person=b"modswarm/packet1"
    ).digest()


def seal(cipher: PacketCipher, public_key: bytes, key: bytes, nonce: bytes, body: bytes) -> bytes:
    """A datagram from `public_key` (ours) under the outgoing `key`; raises Oversized."""
    if len(body) > DATAGRAM_BODY_BYTES:
        raise Oversized(f"a body of {len(body)} bytes does not fit a datagram")
    header = bytes((cipher.first_byte,)) + public_key + nonce
    return header + cipher.encrypt(key, header, nonce, body)


def sender_of(datagram: bytes) -> bytes:
    """The public key that a sealed datagram claims; raises Truncated, Oversized."""
    if len(datagram) < DATAGRAM_OVERHEAD_BYTES:
        raise Truncated(f"a sealed datagram of {len(datagram)} bytes")
    if len(datagram) > limits.DATAGRAM_BYTES:
        raise Oversized(f"a datagram of {len(datagram)} bytes")
    return datagram[1:_KEY_END]


def nonce_of(datagram: bytes) -> bytes:
    """The nonce of a sealed datagram whose length `sender_of` has checked.

    A request's ends with its transaction, so that a cookie finds it; what comes before is random,
    or the cookie of a contact that asked for it.
    """
    return datagram[_KEY_END:_HEADER_BYTES]


def ask_cookie(nonce: bytes, cookie: bytes) -> bytes:
    """A datagram that asks the sender of `nonce` to begin its next nonce with `cookie`."""
    return bytes((COOKIE,)) + nonce + cookie


def read_cookie(datagram: bytes) -> tuple[bytes, bytes]:
    """The nonce and the cookie that `ask_cookie` was given; raises Malformed."""
    if len(datagram) != _COOKIE_END:
        raise Malformed(f"a cookie in {len(datagram)} bytes")
    return datagram[1 : 1 + aead.XCHACHA_NONCE_BYTES], datagram[1 + aead.XCHACHA_NONCE_BYTES :]


def unseal(cipher: PacketCipher, key: bytes, datagram: bytes) -> bytes:
    """The body, under the incoming `key` of the sender; raises NotAuthentic."""
    header = datagram[:_HEADER_BYTES]
    return cipher.decrypt(key, header, header[_KEY_END:], datagram[_HEADER_BYTES:])


def hello(random: bytes) -> bytes:
    """A hello to a bare address. `random`: 16 bytes that the reply must sign."""
    return bytes((HELLO,)) + random.ljust(HELLO_BYTES - 1, b"\0")


def answer_hello(identity: Identity, datagram: bytes) -> bytes:
    """The reply to a hello; raises Malformed."""
    if len(datagram) != HELLO_BYTES:
        raise Malformed(f"a hello of {len(datagram)} bytes")
    random = hello_random(datagram)
    return bytes((HELLO_REPLY,)) + random + identity.public_key + identity.sign("hello", random)


def hello_random(datagram: bytes) -> bytes:
    """The 16 random bytes of a hello or its reply."""
    return datagram[1 : 1 + HELLO_RANDOM_BYTES]


def read_hello_reply(datagram: bytes) -> bytes:
    """The public key that signed the random of a hello reply; raises Malformed, BadSignature."""
    if len(datagram) != HELLO_BYTES:
        raise Malformed(f"a hello reply of {len(datagram)} bytes")
    public_key = datagram[1 + HELLO_RANDOM_BYTES : -_SIGNATURE_BYTES]
    verify(public_key, "hello", hello_random(datagram), datagram[-_SIGNATURE_BYTES:])
    return public_key


def dialback(random: bytes) -> bytes:
    """A dial-back. `random`: the 16 bytes of the node that asked for it."""
    return bytes((DIALBACK,)) + random


def read_dialback(datagram: bytes) -> bytes:
    """The random of a dial-back; raises Malformed."""
    if len(datagram) != 1 + limits.DIALBACK_RANDOM_BYTES:
        raise Malformed(f"a dial-back of {len(datagram)} bytes")
    return datagram[1:]
