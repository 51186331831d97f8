"""Noise KK handshake between two identities, and frame encryption, inside DTLS.

DTLS authenticates the certificates that the signed offer and answer name; the Noise layer
authenticates the identities themselves, so that a relay or a broken DTLS learns and forges nothing.
Noise Protocol Framework, revision 34; the pattern (7.5), with the link's caller as initiator:

    -> s
    <- s
    ...
    -> e, es, ss
    <- e, ee, se
    -> an empty transport message, which proves to the responder that the initiator is live

Static keys are the X25519 forms of the Ed25519 identities. The prologue binds the handshake to one
call: its offer id, caller and callee, and the DTLS role and certificate of each. A message that
does not decrypt ends the session: the channel below is ordered and reliable, so a lost, repeated or
reordered message is an attack or a defect.
"""

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from protocol import limits
from protocol.codec import encode
from protocol.errors import LinkClosed, Malformed, NotAuthentic, Oversized
from protocol.identity import Identity, exchange_key

PROTOCOL_NAME = b"Noise_KK_25519_AESGCM_SHA256"
PROLOGUE_LABEL = "modswarm/link/1"

EPHEMERAL_BYTES = 32
FRAME_TAG_BYTES = 16
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


class _Step(Enum):
    """The next step of a handshake, of either role."""

    OPEN = auto()
    AWAIT_FIRST = auto()
    AWAIT_SECOND = auto()
    AWAIT_CONFIRMATION = auto()
    DONE = auto()
    FAILED = auto()


class NoiseHandshake:
    """One side of the handshake. `session` is set once the peer has proved its identity.

    The caller of the link is the initiator, the callee the responder. Raises BadKey for an unusable
    public key.
    """

    def __init__(
        self,
        identity: Identity,
        peer_public_key: bytes,
        *,
        initiator: bool,
        prologue: bytes,
        ephemeral_secret: bytes,
    ) -> None:
        self.session: NoiseSession | None = None
        self._step = _Step.OPEN if initiator else _Step.AWAIT_FIRST
        self._noise = NoiseKK(
            static_secret=identity.exchange_secret,
            ephemeral_secret=ephemeral_secret,
            remote_static=exchange_key(peer_public_key),
            initiator=initiator,
            prologue=prologue,
        )
        self._readers: dict[_Step, Callable[[bytes], list[bytes]]] = {
            _Step.AWAIT_FIRST: self._read_first,
            _Step.AWAIT_SECOND: self._read_second,
        }

    def start(self) -> list[bytes]:
        """The messages that open the handshake: one from the initiator, none from the responder."""
        if self._step is not _Step.OPEN:
            return []
        self._step = _Step.AWAIT_SECOND
        return [self._noise.write_message()]

    def receive(self, message: bytes) -> list[bytes]:
        """Read the peer's next message; returns what to send. Raises NotAuthentic, Malformed."""
        reader = self._readers.get(self._step)
        self._step = _Step.FAILED
        if reader is None:
            raise NotAuthentic("a handshake message where none is expected")
        return reader(message)

    def _read_first(self, message: bytes) -> list[bytes]:
        _expect_empty(self._noise.read_message(message))
        answer = self._noise.write_message()
        reader = partial(self._read_confirmation, self._noise.split())
        self._readers[_Step.AWAIT_CONFIRMATION] = reader
        self._step = _Step.AWAIT_CONFIRMATION
        return [answer]

    def _read_second(self, message: bytes) -> list[bytes]:
        _expect_empty(self._noise.read_message(message))
        self.session = self._noise.split()
        self._step = _Step.DONE
        return [self.session.encrypt(b"")]

    def _read_confirmation(self, session: NoiseSession, message: bytes) -> list[bytes]:
        _expect_empty(session.decrypt(message))
        self.session = session
        self._step = _Step.DONE
        return []


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
        ephemeral, ciphertext = message[:EPHEMERAL_BYTES], message[EPHEMERAL_BYTES:]
        self._remote["ephemeral"] = ephemeral
        self._mix_hash(ephemeral)
        try:
            payload = self._mix_keys().decrypt(_FIRST_NONCE, ciphertext, self._hash)
        except (InvalidTag, ValueError):
            raise NotAuthentic("a handshake message of another identity or another call") from None
        self._mix_hash(ciphertext)
        return payload

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
