"""Identities: an Ed25519 key pair, and the peer id that is the hash of its public key.

A key counts only if SHA-256(SHA-256(key)) starts with enough zero bits (S/Kademlia's static
puzzle, Baumgart & Mies 2007, 4.1), so that ids near a chosen key cost work.
"""

import base64
import binascii
import hashlib
import re
from functools import cached_property

from nacl.bindings import (
    crypto_sign_BYTES,
    crypto_sign_ed25519_pk_to_curve25519,
    crypto_sign_ed25519_sk_to_curve25519,
    crypto_sign_seed_keypair,
)
from nacl.exceptions import CryptoError
from nacl.signing import SigningKey, VerifyKey

from protocol import limits
from protocol.errors import BadKey, BadPeerId, BadPuzzle, BadSignature
from protocol.randomness import Random

PeerId = bytes
"""20 bytes: the start of SHA-256(public key). Also the Kademlia id."""

_PEER_ID_CHARS = 1 + limits.ID_BYTES * 8 // 5
_PEER_ID_PIECE = re.compile("p[a-z2-7]{8,}|[a-z2-7]{16,}", re.IGNORECASE)
"""What a copied peer id leaves that has lost its end, or its beginning; words are shorter."""


def peer_id_of(public_key: bytes) -> PeerId:
    """The peer id of an Ed25519 public key of 32 bytes."""
    return hashlib.sha256(public_key).digest()[: limits.ID_BYTES]


def id_number(public_key: bytes) -> int:
    """The same as an integer, for XOR distances."""
    return int.from_bytes(hashlib.sha256(public_key).digest()[: limits.ID_BYTES])


def solves_puzzle(public_key: bytes, bits: int) -> bool:
    """Whether SHA-256(SHA-256(public key)) starts with `bits` zero bits."""
    return effort_bits(public_key) >= bits


def effort_bits(public_key: bytes) -> int:
    """How many zero bits SHA-256(SHA-256(public key)) starts with."""
    digest = hashlib.sha256(hashlib.sha256(public_key).digest()).digest()
    return 256 - int.from_bytes(digest).bit_length()


def checked_peer_id(public_key: bytes, puzzle_bits: int) -> PeerId:
    """The peer id of an unknown key; raises BadPuzzle unless the key solves the puzzle."""
    first = hashlib.sha256(public_key).digest()
    if puzzle_bits and int.from_bytes(hashlib.sha256(first).digest()) >> (256 - puzzle_bits):
        raise BadPuzzle("the public key does not solve the identity puzzle")
    return first[: limits.ID_BYTES]


def find_seed(rng: Random, puzzle_bits: int) -> bytes:
    """Search a 32-byte seed whose public key solves the puzzle: 2**bits tries of 35 us each."""
    while True:
        seed = rng.randbytes(32)
        if solves_puzzle(crypto_sign_seed_keypair(seed)[0], puzzle_bits):
            return seed


def exchange_key(public_key: bytes) -> bytes:
    """The X25519 form of an Ed25519 public key; raises BadKey for points of small order."""
    try:
        return crypto_sign_ed25519_pk_to_curve25519(public_key)
    except (CryptoError, ValueError, TypeError):
        raise BadKey("not a usable Ed25519 public key") from None


def signed_bytes(kind: str, body: bytes) -> bytes:
    """What a signature covers: one purpose per signature."""
    return b"modswarm/" + kind.encode() + b"/1\0" + body


def verify(public_key: bytes, kind: str, body: bytes, signature: bytes) -> None:
    """Raise BadSignature unless `signature` is the key's over `body` for this `kind`."""
    if len(signature) != crypto_sign_BYTES or len(public_key) != limits.KEY_BYTES:
        raise BadSignature(f"the signature of this {kind} has the wrong length")
    try:
        VerifyKey(public_key).verify(signed_bytes(kind, body), signature)
    except (CryptoError, ValueError):
        raise BadSignature(f"the signature of this {kind} does not match") from None


class Identity:
    """A key pair of ours. The seed is the only secret; everything else follows from it."""

    def __init__(self, seed: bytes) -> None:
        self.seed = seed
        self._signing_key = SigningKey(seed)
        self.public_key = bytes(self._signing_key.verify_key)
        self.peer_id = peer_id_of(self.public_key)

    @cached_property
    def exchange_secret(self) -> bytes:
        """The X25519 secret of the same key pair, 32 bytes."""
        return crypto_sign_ed25519_sk_to_curve25519(bytes(self._signing_key) + self.public_key)

    def sign(self, kind: str, body: bytes) -> bytes:
        """64 bytes over `body`, good for this `kind` only."""
        return self._signing_key.sign(signed_bytes(kind, body)).signature

    def __repr__(self) -> str:
        return f"<Identity {peer_id_text(self.peer_id)}>"


def base32_text(data: bytes) -> str:
    """Lower-case RFC 4648 base32 without padding."""
    return base64.b32encode(data).decode().rstrip("=").lower()


def base32_bytes(text: str, length: int) -> bytes:
    """The `length` bytes that `text` spells in the one form of `base32_text`; else ValueError."""
    padded = text.upper() + "=" * (-len(text) % 8)
    try:
        data = base64.b32decode(padded)
    except binascii.Error:
        raise ValueError("not base32") from None
    if len(data) != length or base32_text(data) != text.lower():
        raise ValueError("not the base32 form of this many bytes")
    return data


def peer_id_text(peer_id: PeerId) -> str:
    """A peer id as shown to people: `p` and 32 letters and digits."""
    return "p" + base32_text(peer_id)


def parse_peer_id(text: str) -> PeerId:
    """The peer id that `peer_id_text` shows; raises BadPeerId."""
    try:
        if text[:1].lower() != "p":
            raise ValueError("no p")
        return base32_bytes(text[1:], limits.ID_BYTES)
    except ValueError:
        raise BadPeerId(_why_no_peer_id(text)) from None


def is_cut_peer_id(text: str) -> bool:
    """Whether `text` looks like a peer id that has lost its end or its beginning."""
    return len(text) < _PEER_ID_CHARS and _PEER_ID_PIECE.fullmatch(text) is not None


def _why_no_peer_id(text: str) -> str:
    if is_cut_peer_id(text):
        return f"the peer id is cut: {text!r} has {len(text)} characters, not {_PEER_ID_CHARS}"
    return f"not a peer id, which is p and {_PEER_ID_CHARS - 1} of a-z and 2-7: {text[:80]!r}"
