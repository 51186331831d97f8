"""Offers of a link and answers to them, sealed to one reader and signed by one writer.

    offer   [2, caller's key, callee's id, offer id, issued, description, signature]
    answer  [2, callee's key, offer hash, status, description, signature]

Both are padded to one length, and sealed to the receiver's X25519 key from a fresh one (the sealed
box of libsodium), so a registrar that forwards them reads nothing. The offer's signature covers
caller, callee and offer id, so it cannot be sealed again to a third; the answer's covers the hash
of the whole offer.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum

from nacl.bindings import (
    crypto_box,
    crypto_box_seal_open,
    crypto_box_SEALBYTES,
    crypto_box_seed_keypair,
    crypto_scalarmult_base,
    sodium_pad,
    sodium_unpad,
)
from nacl.exceptions import CryptoError

from protocol import limits
from protocol.codec import decode_canonical, encode, ranged, shape, sized
from protocol.description import LINK_ID_BYTES, Description
from protocol.errors import (
    Expired,
    IssuedInFuture,
    Malformed,
    NotAuthentic,
    Oversized,
    Truncated,
    UnknownVersion,
    WrongKey,
)
from protocol.identity import Identity, PeerId, checked_peer_id, exchange_key, verify
from protocol.overlay.contacts import Contact
from protocol.randomness import Random

SIGNALING_VERSION = 2
OFFER_ID_BYTES = LINK_ID_BYTES
_HASH_BYTES = 32
_SEED_BYTES = 32
_NONCE_BYTES = 24
_ITEMS = 8
_PADDED_BYTES = limits.SIGNAL_BYTES - crypto_box_SEALBYTES


class AnswerStatus(IntEnum):
    """The callee's decision. Only an accepted call bears a description."""

    ACCEPTED = 0
    BUSY = 1
    REFUSED = 2
    BLOCKED = 3
    RATE_LIMITED = 4
    CROSSED = 5
    """The callee is calling the caller, and its own offer wins."""
    NO_LINK = 6
    """The link that the offer would restart is not one of the callee's with the caller."""


@dataclass(frozen=True, slots=True)
class Offer:
    """An offer, made or verified. `digest` is the SHA-256 that the answer signs.

    `answer_takes_s`: how long the answer to a received offer will travel, as the round trips of its
    way say; nothing that the caller signs.
    """

    caller_key: bytes
    callee_id: PeerId
    offer_id: bytes
    issued: int
    description: Description
    digest: bytes
    answer_takes_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Answer:
    """A verified answer. `retry_s`: after how many seconds a busy callee is to be called again."""

    callee_key: bytes
    status: AnswerStatus
    description: Description | None
    retry_s: int = 0


Describe = Callable[[Sequence[Contact]], Description]
"""Describes the caller's side when its offer is made, for a callee whose registrars known by then
these are."""


@dataclass(frozen=True, slots=True)
class CallResult:
    """A call that the peer accepted. `peer_key` is the callee's, which signed the answer.

    `signaled_via` has the peer id of the registrar that brought the answer, or nothing where the
    callee answered itself. `hops` is the length of the lookup that found the callee, in contacts
    asked one after another.
    """

    offer_id: bytes
    peer_key: bytes
    description: Description
    signaled_via: tuple[PeerId, ...]
    hops: int


def make_offer(
    identity: Identity,
    callee_key: bytes,
    callee_id: PeerId,
    description: Description,
    *,
    now: float,
    rng: Random,
) -> tuple[Offer, bytes]:
    """An offer and its sealed form; `now` is wall seconds. Raises BadKey, Oversized."""
    offer_id = rng.randbytes(OFFER_ID_BYTES)
    fields = [
        SIGNALING_VERSION,
        identity.public_key,
        callee_id,
        offer_id,
        int(now),
        description.encode(),
    ]
    plain = encode([*fields, identity.sign("offer", encode(fields))])
    offer = Offer(identity.public_key, callee_id, offer_id, int(now), description, _digest(plain))
    return offer, seal_signal(plain, callee_key, rng)


def read_offer(identity: Identity, sealed: bytes, *, now: float, puzzle_bits: int) -> Offer:
    """Open and verify an offer to us.

    Raises NotAuthentic, Malformed, UnknownVersion, WrongKey, Expired, IssuedInFuture, BadPuzzle,
    BadSignature. Replays are the business of `places.offers`.
    """
    plain = _open(identity, sealed)
    value = decode_canonical(plain, max_bytes=limits.SIGNAL_BYTES, max_items=_ITEMS)
    fields = shape(value, int, bytes, bytes, bytes, int, bytes, bytes)
    version, caller_key, callee_id, offer_id, issued, described, signature = fields
    _check_version(version)
    sized(caller_key, limits.KEY_BYTES)
    sized(offer_id, OFFER_ID_BYTES)
    if callee_id != identity.peer_id:
        raise WrongKey("an offer to another peer")
    if issued > now + limits.CLOCK_SKEW_S:
        raise IssuedInFuture("an offer issued in the future")
    if issued < now - limits.CLOCK_SKEW_S:
        raise Expired("an offer that is too old")
    checked_peer_id(caller_key, puzzle_bits)
    verify(caller_key, "offer", encode(fields[:-1]), signature)
    description = Description.decode(described)
    return Offer(caller_key, callee_id, offer_id, issued, description, _digest(plain))


def make_answer(
    identity: Identity,
    offer: Offer,
    status: AnswerStatus,
    description: Description | None,
    *,
    rng: Random,
    retry_s: int = limits.BUSY_RETRY_S,
) -> bytes:
    """The sealed answer to a verified offer; a busy callee says when to call again."""
    described = description.encode() if description else b""
    if status is AnswerStatus.BUSY:
        described = bytes([retry_s])
    fields = [SIGNALING_VERSION, identity.public_key, offer.digest, int(status), described]
    plain = encode([*fields, identity.sign("answer", encode(fields))])
    return seal_signal(plain, offer.caller_key, rng)


def read_answer(identity: Identity, offer: Offer, sealed: bytes, *, callee_key: bytes) -> Answer:
    """Open and verify the answer to an offer of ours.

    Raises NotAuthentic, Malformed, UnknownVersion, WrongKey, BadSignature.
    """
    plain = _open(identity, sealed)
    value = decode_canonical(plain, max_bytes=limits.SIGNAL_BYTES, max_items=_ITEMS)
    fields = shape(value, int, bytes, bytes, int, bytes, bytes)
    version, answering_key, digest, status, described, signature = fields
    _check_version(version)
    if answering_key != callee_key or sized(digest, _HASH_BYTES) != offer.digest:
        raise WrongKey("an answer from another peer, or to another offer")
    verify(callee_key, "answer", encode(fields[:-1]), signature)
    known = AnswerStatus(ranged(status, 0, max(AnswerStatus)))
    if known is AnswerStatus.ACCEPTED:
        return Answer(callee_key, known, Description.decode(described))
    if known is AnswerStatus.BUSY:
        (retry_s,) = sized(described, 1)
        return Answer(callee_key, known, None, ranged(retry_s, 1, limits.BUSY_RETRY_MAX_S))
    return Answer(callee_key, known, None)


def _check_version(version: int) -> None:
    if version != SIGNALING_VERSION:
        raise UnknownVersion(f"signaling version {version}")


def _digest(plain: bytes) -> bytes:
    return hashlib.sha256(plain).digest()


def seal_signal(plain: bytes, receiver_key: bytes, rng: Random) -> bytes:
    """Libsodium's sealed box, with its ephemeral key from our own source of randomness.

    The content is padded (ISO/IEC 7816-4) to SIGNAL_BYTES sealed. Raises Oversized.
    """
    if len(plain) >= _PADDED_BYTES:
        raise Oversized(f"a signal of {len(plain)} bytes")
    receiver = exchange_key(receiver_key)
    public, secret = crypto_box_seed_keypair(rng.randbytes(_SEED_BYTES))
    nonce = hashlib.blake2b(public + receiver, digest_size=_NONCE_BYTES).digest()
    padded = sodium_pad(plain, _PADDED_BYTES)
    return bytes(public + crypto_box(padded, nonce, receiver, secret))


def _open(identity: Identity, sealed: bytes) -> bytes:
    if len(sealed) < limits.SIGNAL_BYTES:
        raise Truncated(f"a signal of {len(sealed)} bytes")
    if len(sealed) > limits.SIGNAL_BYTES:
        raise Oversized(f"a signal of {len(sealed)} bytes")
    secret = identity.exchange_secret
    try:
        padded = crypto_box_seal_open(sealed, crypto_scalarmult_base(secret), secret)
    except CryptoError:
        raise NotAuthentic("a signal that is not sealed to us") from None
    try:
        return sodium_unpad(padded, _PADDED_BYTES)
    except CryptoError:
        raise Malformed("a signal whose padding never ends") from None


def own_offer_wins(own_id: PeerId, other_id: PeerId) -> bool:
    """When both call at once the smaller peer id's offer is the one that counts."""
    return own_id < other_id
