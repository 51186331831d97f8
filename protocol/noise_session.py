"""Noise KK handshake between two identities, and frame encryption, inside DTLS.

DTLS authenticates the certificates that the signed offer and answer name; the Noise layer
authenticates the identities themselves, so that a relay or a broken DTLS learns and forges nothing.
Noise Protocol Framework, revision 34; the pattern (7.5), with the link's caller as initiator:

    -> s
    <- s
    ...
    -> e, es, ss      in the offer, which is signed; the tag of its empty payload is not sent
    <- e, ee, se      in the answer
    -> an empty transport message, which proves to the responder that the initiator is live

So the session costs no round trip of its own: the caller has it when the channel is open. Static
keys are the X25519 forms of the Ed25519 identities. The prologue binds the handshake to one call:
its offer id, caller and callee, and the DTLS role and certificate of each. It is known only when
the answer is made, so the callee computes the tag of the first message, as the caller does: the tag
of the second proves to the caller that both are the same. A message that does not decrypt ends the
session: the channel below is ordered and reliable, so a lost, repeated or reordered message is an
attack or a defect.
"""

import hashlib
import hmac
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from protocol import limits
from protocol.codec import encode
from protocol.errors import LinkClosed, Malformed, NotAuthentic, Oversized
from protocol.identity import Identity, exchange_key

PROTOCOL_NAME = b"Noise_KK_25519_AESGCM_SHA256"
PROLOGUE_LABEL = "modswarm/link/2"

EPHEMERAL_BYTES = 32
"""What an offer says of the session."""

FRAME_TAG_BYTES = 16
SESSION_ANSWER_BYTES = EPHEMERAL_BYTES + FRAME_TAG_BYTES
"""The same, of an answer."""

MAX_FRAME_BYTES = limits.MESSAGE_BYTES - FRAME_TAG_BYTES


@dataclass(frozen=True, slots=True)
class Party:
    """One side of a call: Ed25519 key, SHA-256 of its DTLS certificate, and its DTLS role."""

    public_key: bytes
    fingerprint: bytes
    role: int


def prologue(offer_id: bytes, caller: Party, callee: Party) -> bytes:
    """The prologue (Noise 6): a handshake succeeds only if both sides have the same bytes."""
    sides = [[side.public_key, side.fingerprint, int(side.role)] for side in (caller, callee)]
    return encode([PROLOGUE_LABEL, offer_id, *sides])


class NoiseSession:
    """Encrypts and decrypts frames: two CipherStates (Noise 5.1) after `Split()`.

    One AES-256-GCM key for each direction; nonces are counted from 0 and never sent.
    """

    def __init__(self, send_key: bytes, receive_key: bytes) -> None:
        self._encrypt = AESGCM(send_key).encrypt
        self._decrypt = AESGCM(receive_key).decrypt
        self._sent = 0
        self._received = 0

    def encrypt(self, frame: bytes) -> bytes:
        """`frame` encrypted, FRAME_TAG_BYTES longer.

        Raises ValueError over MAX_FRAME_BYTES, LinkClosed once the key may not be used again.
        """
        if len(frame) > MAX_FRAME_BYTES:
            raise ValueError(f"a frame of {len(frame)} bytes")
        if self._sent >= limits.SESSION_MESSAGES:
            raise LinkClosed("the keys of this link are used up")
        message = self._encrypt(_nonce(self._sent), frame, None)
        self._sent += 1
        return message

    def decrypt(self, message: bytes) -> bytes:
        """The peer's next frame, decrypted; raises NotAuthentic for any other bytes, Oversized."""
        if len(message) > limits.MESSAGE_BYTES:
            raise Oversized(f"a message of {len(message)} bytes on a link")
        try:
            frame = self._decrypt(_nonce(self._received), message, None)
        except (InvalidTag, ValueError):
            raise NotAuthentic("a frame that the peer did not encrypt as its next one") from None
        self._received += 1
        return frame


def ephemeral_key(secret: bytes) -> bytes:
    """The public key of an ephemeral secret, EPHEMERAL_BYTES long: what an offer says."""
    return X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()


class CallerHandshake:
    """The initiator's side. `session` is set by `start`, once the callee has proved its identity.

    `answered` is what the answer says of the session. Raises BadKey for an unusable public key.
    """

    def __init__(
        self,
        identity: Identity,
        callee_key: bytes,
        *,
        prologue: bytes,
        ephemeral_secret: bytes,
        answered: bytes,
    ) -> None:
        self.session: NoiseSession | None = None
        self._answered = answered
        self._noise = _noise_of(identity, callee_key, prologue, ephemeral_secret, initiator=True)

    def start(self) -> list[bytes]:
        """Read the answer; returns what to send on the channel first. Raises NotAuthentic."""
        self._noise.write_message()
        _expect_empty(self._noise.read_message(self._answered))
        self.session = self._noise.split()
        return [self.session.encrypt(b"")]

    def receive(self, message: bytes) -> None:
        """There is nothing more to receive: raises NotAuthentic."""
        raise NotAuthentic(f"a handshake message of {len(message)} bytes where none is expected")


class CalleeHandshake:
    """The responder's side. `session` is set by `receive`, once the caller has proved itself.

    `answer` is what the answer to the call says of the session, SESSION_ANSWER_BYTES long;
    `offered` what the offer said. Raises BadKey for an unusable public key, NotAuthentic for such
    an `offered`.
    """

    def __init__(
        self,
        identity: Identity,
        caller_key: bytes,
        *,
        prologue: bytes,
        ephemeral_secret: bytes,
        offered: bytes,
    ) -> None:
        self.session: NoiseSession | None = None
        noise = _noise_of(identity, caller_key, prologue, ephemeral_secret, initiator=False)
        noise.compute_message(offered)
        self.answer = noise.write_message()
        self._awaited: NoiseSession | None = noise.split()

    def start(self) -> list[bytes]:
        """The caller sends first: nothing."""
        return []

    def receive(self, message: bytes) -> None:
        """Read the caller's first message on the channel; raises NotAuthentic, Malformed."""
        session, self._awaited = self._awaited, None
        if session is None:
            raise NotAuthentic("a handshake message where none is expected")
        _expect_empty(session.decrypt(message))
        self.session = session


NoiseHandshake = CallerHandshake | CalleeHandshake


def _noise_of(
    identity: Identity,
    peer_key: bytes,
    prologue: bytes,
    ephemeral_secret: bytes,
    *,
    initiator: bool,
) -> "NoiseKK":
    return NoiseKK(
        static_secret=identity.exchange_secret,
        ephemeral_secret=ephemeral_secret,
        remote_static=exchange_key(peer_key),
        initiator=initiator,
        prologue=prologue,
    )


def _expect_empty(payload: bytes) -> None:
    if payload:
        raise Malformed("a handshake message with a payload")


_MESSAGE_PATTERNS = (("es", "ss"), ("ee", "se"))
"""The Diffie-Hellman tokens of KK's two messages (7.5), each after token `e`."""

_DH_KEYS = {
    ("es", True): ("ephemeral", "static"),
    ("es", False): ("static", "ephemeral"),
    ("se", True): ("static", "ephemeral"),
    ("se", False): ("ephemeral", "static"),
    ("ss", True): ("static", "static"),
    ("ss", False): ("static", "static"),
    ("ee", True): ("ephemeral", "ephemeral"),
    ("ee", False): ("ephemeral", "ephemeral"),
}
"""For each token, by whether we are the initiator: our key pair and the remote public key."""


_FIRST_NONCE = bytes(12)
"""Each message mixes in new keys before its one payload, so none is used with another (5.1)."""


class NoiseKK:
    """HandshakeState and SymmetricState (Noise 5.2, 5.3) of one pattern, on raw X25519 keys."""

    def __init__(
        self,
        *,
        static_secret: bytes,
        ephemeral_secret: bytes,
        remote_static: bytes,
        initiator: bool,
        prologue: bytes,
    ) -> None:
        self._initiator = initiator
        self._own = {
            "static": X25519PrivateKey.from_private_bytes(static_secret),
            "ephemeral": X25519PrivateKey.from_private_bytes(ephemeral_secret),
        }
        self._remote = {"static": remote_static}
        self._tokens = iter(_MESSAGE_PATTERNS)
        self._chaining_key = self._hash = PROTOCOL_NAME.ljust(hashlib.sha256().digest_size, b"\0")
        statics = (self._public("static"), remote_static)
        for known in (prologue, *(statics if initiator else reversed(statics))):
            self._mix_hash(known)

    def write_message(self, payload: bytes = b"") -> bytes:
        """Our next message: `WriteMessage()` of Noise 5.3."""
        ephemeral = self._public("ephemeral")
        self._mix_hash(ephemeral)
        ciphertext = self._mix_keys().encrypt(_FIRST_NONCE, payload, self._hash)
        self._mix_hash(ciphertext)
        return ephemeral + ciphertext

    def read_message(self, message: bytes) -> bytes:
        """The payload of the peer's next message (`ReadMessage()`); raises NotAuthentic."""
        cipher = self._mix_remote(message[:EPHEMERAL_BYTES])
        ciphertext = message[EPHEMERAL_BYTES:]
        try:
            payload = cipher.decrypt(_FIRST_NONCE, ciphertext, self._hash)
        except (InvalidTag, ValueError):
            raise NotAuthentic("a handshake message of another identity or another call") from None
        self._mix_hash(ciphertext)
        return payload

    def compute_message(self, ephemeral: bytes) -> None:
        """Go on as if the peer's next message, without payload, had been read.

        Its tag follows from what both sides know by then. Raises NotAuthentic for no key.
        """
        cipher = self._mix_remote(ephemeral)
        self._mix_hash(cipher.encrypt(_FIRST_NONCE, b"", self._hash))

    def _mix_remote(self, ephemeral: bytes) -> AESGCM:
        self._remote["ephemeral"] = ephemeral
        self._mix_hash(ephemeral)
        try:
            return self._mix_keys()
        except ValueError:
            raise NotAuthentic("an ephemeral key that is none") from None

    def split(self) -> NoiseSession:
        """The session under the two keys of `Split()`; the initiator sends under the first."""
        first, second = _hkdf(self._chaining_key, b"")
        return NoiseSession(first, second) if self._initiator else NoiseSession(second, first)

    def _public(self, name: str) -> bytes:
        return self._own[name].public_key().public_bytes_raw()

    def _mix_keys(self) -> AESGCM:
        """Mix in the next message's exchanges (`MixKey()`); returns the cipher of its payload."""
        for token in next(self._tokens):
            own, remote = _DH_KEYS[token, self._initiator]
            peer = X25519PublicKey.from_public_bytes(self._remote[remote])
            self._chaining_key, key = _hkdf(self._chaining_key, self._own[own].exchange(peer))
        return AESGCM(key)

    def _mix_hash(self, data: bytes) -> None:
        self._hash = hashlib.sha256(self._hash + data).digest()


def _hkdf(chaining_key: bytes, secret: bytes) -> tuple[bytes, bytes]:
    """`HKDF()` of Noise 4.3 with two outputs."""
    temporary = hmac.digest(chaining_key, secret, "sha256")
    first = hmac.digest(temporary, b"\x01", "sha256")
    return first, hmac.digest(temporary, first + b"\x02", "sha256")


def _nonce(count: int) -> bytes:
    """AES-GCM's nonce in Noise: 4 zero bytes and the count, big-endian (12.4)."""
    return count.to_bytes(12)
