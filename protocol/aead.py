"""XChaCha20-Poly1305 at the cost of libsodium, not of its binding.

PyNaCl's public function spends three quarters of its time on unused error texts and buffers, and
every datagram of the overlay passes here twice. This calls the same libsodium through the same
handle, with lengths checked by this module and one buffer that is used again.

Not for two threads at once: a call releases the interpreter lock while its buffer is in use.
"""

from nacl._sodium import ffi, lib

from protocol import limits
from protocol.errors import NotAuthentic, Oversized, Truncated

XCHACHA_KEY_BYTES: int = lib.crypto_aead_xchacha20poly1305_ietf_keybytes()
XCHACHA_NONCE_BYTES: int = lib.crypto_aead_xchacha20poly1305_ietf_npubbytes()
XCHACHA_TAG_BYTES: int = lib.crypto_aead_xchacha20poly1305_ietf_abytes()

_ROOM_BYTES = limits.DATAGRAM_BYTES + XCHACHA_TAG_BYTES
_encrypt = lib.crypto_aead_xchacha20poly1305_ietf_encrypt
_decrypt = lib.crypto_aead_xchacha20poly1305_ietf_decrypt
_buffer = ffi.buffer
_room = ffi.new("unsigned char[]", _ROOM_BYTES)
_written = ffi.new("unsigned long long *")


def encrypt(key: bytes, header: bytes, nonce: bytes, body: bytes) -> bytes:
    """Ciphertext and tag of `body`, with `header` authenticated.

    `key` has XCHACHA_KEY_BYTES, `nonce` XCHACHA_NONCE_BYTES; raises Oversized for more than a
    datagram, ValueError for a key or nonce of another length.
    """
    length = len(body) + XCHACHA_TAG_BYTES
    if length > _ROOM_BYTES:
        raise Oversized(f"{len(body)} bytes to seal where a datagram holds fewer")
    if len(key) != XCHACHA_KEY_BYTES or len(nonce) != XCHACHA_NONCE_BYTES:
        raise ValueError("a key or a nonce of the wrong length")
    _encrypt(_room, _written, body, len(body), header, len(header), ffi.NULL, nonce, key)
    return bytes(_buffer(_room, length))


def decrypt(key: bytes, header: bytes, nonce: bytes, ciphertext: bytes) -> bytes:
    """The body; raises NotAuthentic, Truncated, Oversized. Lengths as in `encrypt`."""
    length = len(ciphertext) - XCHACHA_TAG_BYTES
    if length < 0:
        raise Truncated(f"{len(ciphertext)} bytes cannot bear a tag")
    if length > _ROOM_BYTES:
        raise Oversized(f"{len(ciphertext)} bytes to open where a datagram holds fewer")
    if len(key) != XCHACHA_KEY_BYTES or len(nonce) != XCHACHA_NONCE_BYTES:
        raise ValueError("a key or a nonce of the wrong length")
    if _decrypt(
        _room, _written, ffi.NULL, ciphertext, len(ciphertext), header, len(header), nonce, key
    ):
        raise NotAuthentic("a datagram that does not open under its sender's key")
    return bytes(_buffer(_room, length))
