"""Packet ciphers for worlds of many nodes in one process.

`RememberedAgreements` is the real cipher: same keys, same bytes. In one process both ends of a pair
would compute the same X25519 secret, and every node would convert the same public keys; it computes
each once. `MarkedTestCipher` seals nothing and says so by its first byte, which real nodes refuse.
"""

import hashlib
from functools import lru_cache

from nacl.bindings import crypto_scalarmult

from protocol.datagrams import PacketKeys, XChaCha20Poly1305, directed_keys
from protocol.errors import NotAuthentic
from protocol.identity import Identity, exchange_key

_REMEMBERED = 1 << 20
_TAG_BYTES = 16


class RememberedAgreements(XChaCha20Poly1305):
    """XChaCha20-Poly1305 whose key agreements are computed once per pair, not once per end."""

    def keys(self, identity: Identity, public_key: bytes) -> PacketKeys:
        """See PacketCipher."""
        return directed_keys(_agreement(identity, public_key), identity.public_key, public_key)


_secrets: dict[bytes, bytes] = {}


def _agreement(identity: Identity, public_key: bytes) -> bytes:
    own = identity.public_key
    pair = own + public_key if own < public_key else public_key + own
    secret = _secrets.pop(pair, None)
    if secret is None:
        secret = crypto_scalarmult(identity.exchange_secret, _converted(public_key))
        if len(_secrets) < _REMEMBERED:
            _secrets[pair] = secret
    return secret


_converted = lru_cache(maxsize=1 << 16)(exchange_key)


class MarkedTestCipher:
    """No secrecy, only a short checksum in place of the tag: for worlds of the overlay alone."""

    first_byte = 0xDF

    def keys(self, identity: Identity, public_key: bytes) -> PacketKeys:
        """See PacketCipher."""
        return PacketKeys(
            outgoing=identity.public_key + public_key, incoming=public_key + identity.public_key
        )

    def encrypt(self, key: bytes, header: bytes, nonce: bytes, body: bytes) -> bytes:
        """See PacketCipher."""
        return body + _checksum(key, header, body)

    def decrypt(self, key: bytes, header: bytes, nonce: bytes, ciphertext: bytes) -> bytes:
        """See PacketCipher."""
        body = ciphertext[:-_TAG_BYTES]
        if ciphertext[-_TAG_BYTES:] != _checksum(key, header, body):
            raise NotAuthentic("a datagram that does not open under its sender's key")
        return body


def _checksum(key: bytes, header: bytes, body: bytes) -> bytes:
    return hashlib.blake2b(body + header, key=key[:64], digest_size=_TAG_BYTES).digest()
