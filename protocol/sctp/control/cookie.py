"""The state cookie: what we would remember of a stranger, signed, and kept by the stranger instead.

Nothing is stored for an INIT; the association begins when its cookie comes back, signed by us and
not expired (RFC 9260, 5.1.3).
"""

from dataclasses import dataclass
from hmac import compare_digest, digest
from struct import Struct

from protocol.sctp.errors import MalformedChunk

_BODY = Struct("!dLLLLHHLLL??")
_MAC_BYTES = 16


@dataclass(frozen=True, slots=True)
class Peer:
    """What the other side brought in by its INIT or INIT ACK."""

    tag: int
    window_bytes: int
    outgoing_streams: int
    incoming_streams: int
    first_tsn: int
    forward_tsn: bool
    reconfigures: bool


@dataclass(frozen=True, slots=True)
class Cookie:
    """Both sides' beginnings; the ties name the association that existed already, or are zero."""

    expires_at: float
    local_tag: int
    local_first_tsn: int
    peer: Peer
    local_tie: int = 0
    peer_tie: int = 0


def seal_cookie(cookie: Cookie, secret: bytes) -> bytes:
    """Return the cookie's bytes with their signature."""
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
    ) = _BODY.unpack(body)
    peer = Peer(
        tag,
        window_bytes,
        outgoing_streams,
        incoming_streams,
        first_tsn,
        forward_tsn,
        reconfigures,
    )
    return Cookie(expires_at, local_tag, local_first_tsn, peer, local_tie, peer_tie)
