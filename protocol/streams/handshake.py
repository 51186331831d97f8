"""Who is at either end of a stream: each end proves its identity over the gateway's certificate.

    1. client   "MSS1"  nonce (32)
    2. gateway  "MSS1"  nonce (32)  public key (32)  signature (64)
    3. client   public key (32)  signature (64)
    4. gateway  0: the stream is open; n: no place for n seconds (2)

All within TLS. The signatures are over the fingerprint of the certificate that the client sees, and
both nonces; the client's over the gateway's key besides. One in the middle shows another
certificate, so neither end's signature serves it.
"""

from dataclasses import dataclass
from typing import Final

from protocol import limits
from protocol.errors import Malformed, NotAuthentic
from protocol.identity import Identity, PeerId, checked_peer_id, peer_id_text, verify

ALPN: Final = "modswarm/1"
"""The name of the protocol within TLS (RFC 7301)."""

_MAGIC: Final = b"MSS1"
NONCE_BYTES: Final = 32
_SIGNATURE_BYTES: Final = 64
STREAM_HELLO_BYTES: Final = len(_MAGIC) + NONCE_BYTES
STREAM_REPLY_BYTES: Final = STREAM_HELLO_BYTES + limits.KEY_BYTES + _SIGNATURE_BYTES
PROOF_BYTES: Final = limits.KEY_BYTES + _SIGNATURE_BYTES
VERDICT_BYTES: Final = 2

_GATEWAY: Final = "stream gateway"
_CLIENT: Final = "stream client"


@dataclass(frozen=True, slots=True)
class StreamTerms:
    """`fingerprint`: SHA-256 of the gateway's certificate. `puzzle_bits`: of all identities."""

    identity: Identity
    fingerprint: bytes
    puzzle_bits: int


def hello(nonce: bytes) -> bytes:
    """What either side begins with."""
    return _MAGIC + nonce


def nonce_of(message: bytes) -> bytes:
    """The nonce of a hello, of STREAM_HELLO_BYTES; raises Malformed."""
    if not message.startswith(_MAGIC):
        raise Malformed("no stream of this protocol")
    return message[len(_MAGIC) : STREAM_HELLO_BYTES]


class ClientHandshake:
    """The client's side. `expected`: the peer that must be there; None: any is taken."""

    def __init__(self, terms: StreamTerms, nonce: bytes, expected: PeerId | None) -> None:
        self._terms = terms
        self._nonce = nonce
        self._expected = expected
        self.hello = hello(nonce)
        self.gateway: bytes = b""
        """The gateway's public key, once it has proved itself."""

    def prove(self, reply: bytes) -> bytes:
        """Our proof, once the gateway's reply holds. Raises Malformed, NotAuthentic."""
        theirs = nonce_of(reply)
        key, signature = reply[STREAM_HELLO_BYTES:-_SIGNATURE_BYTES], reply[-_SIGNATURE_BYTES:]
        peer_id = checked_peer_id(key, self._terms.puzzle_bits)
        if self._expected not in {None, peer_id}:
            raise NotAuthentic(f"{peer_id_text(peer_id)} answers there, which is another peer")
        said = self._terms.fingerprint + self._nonce + theirs
        verify(key, _GATEWAY, said, signature)
        self.gateway = key
        identity = self._terms.identity
        return identity.public_key + identity.sign(_CLIENT, said + key)


class GatewayHandshake:
    """The gateway's side."""

    def __init__(self, terms: StreamTerms, nonce: bytes) -> None:
        self._terms = terms
        self._nonce = nonce
        self._said = b""

    def reply(self, message: bytes) -> bytes:
        """The answer to a client's hello; raises Malformed."""
        self._said = self._terms.fingerprint + nonce_of(message) + self._nonce
        identity = self._terms.identity
        return hello(self._nonce) + identity.public_key + identity.sign(_GATEWAY, self._said)

    def client(self, proof: bytes) -> PeerId:
        """The client that has proved itself; raises NotAuthentic."""
        key, signature = proof[: limits.KEY_BYTES], proof[limits.KEY_BYTES :]
        peer_id = checked_peer_id(key, self._terms.puzzle_bits)
        verify(key, _CLIENT, self._said + self._terms.identity.public_key, signature)
        return peer_id


def verdict(wait_s: int) -> bytes:
    """The gateway's last message: 0, or after so many seconds there may be a place."""
    return wait_s.to_bytes(VERDICT_BYTES)


def wait_of(message: bytes) -> int:
    """How long to wait, by the gateway's last message; 0: the stream is open."""
    return min(int.from_bytes(message), limits.BUSY_RETRY_MAX_S)
