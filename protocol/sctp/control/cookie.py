"""The state cookie: what an INIT would make us remember, authenticated and kept by its sender.

Nothing is stored for an INIT; the association is established when its cookie comes back with our
MAC and not expired (RFC 9260, 5.1.3).
"""

from dataclasses import dataclass
from hmac import compare_digest, digest
from struct import Struct

from protocol.sctp.errors import MalformedChunk

_BODY = Struct("!dLLLLHHLLL???")
_MAC_BYTES = 16


@dataclass(frozen=True, slots=True)
class Peer:
    """What the peer said of itself in its INIT or INIT ACK."""

    tag: int
    window_bytes: int
    outgoing_streams: int
    incoming_streams: int
    first_tsn: int
    forward_tsn: bool
    reconfigures: bool
    takes_pieces: bool


@dataclass(frozen=True, slots=True)
class Cookie:
    """Tags and first TSNs of both sides, and the tie-tags of an earlier one, or 0 (5.2.2)."""

    expires_at: float
    local_tag: int
    local_first_tsn: int
    peer: Peer
    local_tie: int = 0
    peer_tie: int = 0


def seal_cookie(cookie: Cookie, secret: bytes) -> bytes:
    """Return the cookie's bytes with their MAC."""
    peer = cookie.peer
    body = _BODY.pack(
        cookie.expires_at,
        cookie.local_tag,
        cookie.local_first_tsn,
        peer.tag,
        peer.window_bytes,
        peer.outgoing_streams,
        peer.incoming_streams,
        peer.first_tsn,
        cookie.local_tie,
        cookie.peer_tie,
        peer.forward_tsn,
        peer.reconfigures,
        peer.takes_pieces,
    )
    return body + digest(secret, body, "sha256")[:_MAC_BYTES]


def open_cookie(sealed: bytes, secret: bytes) -> Cookie:
    """Read a cookie that we have sealed; raises MalformedChunk for any other bytes."""
    body, mac = sealed[: _BODY.size], sealed[_BODY.size :]
    if not compare_digest(mac, digest(secret, body, "sha256")[:_MAC_BYTES]):
        raise MalformedChunk("A cookie is not one of ours.")
    (
        expires_at,
        local_tag,
        local_first_tsn,
        tag,
        window_bytes,
        outgoing_streams,
        incoming_streams,
        first_tsn,
        local_tie,
        peer_tie,
        forward_tsn,
        reconfigures,
        takes_pieces,
    ) = _BODY.unpack(body)
    peer = Peer(
        tag,
        window_bytes,
        outgoing_streams,
        incoming_streams,
        first_tsn,
        forward_tsn,
        reconfigures,
        takes_pieces,
    )
    return Cookie(expires_at, local_tag, local_first_tsn, peer, local_tie, peer_tie)
