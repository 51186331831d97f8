"""Registration proofs: a registration signed by the registered peer, for one registrar alone.

    registration proof   peer's public key (32)  expires (8, wall seconds)  signature (64)

The signature (kind "registration") covers the registrar's peer id and the expiry. A contact that
only claims to reach a peer, in order to drop calls to it, has no such proof.
"""

from protocol import limits
from protocol.codec import sized
from protocol.errors import Expired, IssuedInFuture, WrongKey
from protocol.identity import Identity, PeerId, peer_id_of, verify

_EXPIRES_BYTES = 8
_EXPIRES_END = limits.KEY_BYTES + _EXPIRES_BYTES
REGISTRATION_PROOF_BYTES = _EXPIRES_END + 64


def make_registration_proof(identity: Identity, registrar_id: PeerId, now: float) -> bytes:
    """The proof that this node is registered at `registrar_id`; `now` is wall seconds."""
    expires = int(now + limits.REGISTRATION_S).to_bytes(_EXPIRES_BYTES)
    signature = identity.sign("registration", registrar_id + expires)
    return identity.public_key + expires + signature


def check_registration_proof(
    data: bytes, *, peer_id: PeerId, registrar_id: PeerId, now: float
) -> None:
    """Verify that `peer_id` is registered at `registrar_id`.

    Raises Malformed, WrongKey, Expired, IssuedInFuture, BadSignature.
    """
    sized(data, REGISTRATION_PROOF_BYTES)
    public_key, expires = data[: limits.KEY_BYTES], data[limits.KEY_BYTES : _EXPIRES_END]
    if peer_id_of(public_key) != peer_id:
        raise WrongKey("a registration of another peer")
    if int.from_bytes(expires) <= now:
        raise Expired("a registration that is over")
    if int.from_bytes(expires) > now + limits.REGISTRATION_S + limits.CLOCK_SKEW_S:
        raise IssuedInFuture("a registration that lasts too long")
    verify(public_key, "registration", registrar_id + expires, data[_EXPIRES_END:])
